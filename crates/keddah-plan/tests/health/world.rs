//! Three nodes that are well, and the handles by which tests break them.

use keddah_core::NodeName;
use keddah_plan::health::{Answer, Answers, Health, judge};
use keddah_resource::health::{
    ArchiverHealth, Asked, BackupHealth, CertificateHealth, DiskHealth, EtcdHealth, Expected,
    ExpectedCluster, ExpectedEtcd, ExpectedMember, ExpectedService, InstalledPackage, KnownEtcd,
    KnownMember, Listener, LoginAnswer, LoginDoor, LoginHealth, NodeHealth, PatroniHealth,
    PostgresHealth, PublicPasswordsDeclared, ServerHealth, SharedAddress, SlotHealth, Unattended,
    UnitHealth,
};
use std::collections::BTreeSet;

/// Seconds since 1970 at which all of this happens.
pub const NOW: i64 = 1_800_000_000;

pub struct World {
    pub expected: Expected,
    pub answers: Answers,
}

pub fn node(number: u8) -> NodeName {
    NodeName::new(format!("10.0.0.{number}"))
}

impl World {
    /// Three nodes with a member of etcd and of `pg` each; the first one leads both.
    pub fn well() -> Self {
        let members = (1..=3).map(|number| ExpectedMember {
            instance: format!("pg-{number}"),
            node: node(number),
            port: 5432,
            delayed: false,
            patroni_unit: "patroni.service".to_owned(),
            pool_unit: "pgbouncer.service".to_owned(),
            pool_port: 6432,
            patroni_directory: "/etc/patroni/conf.d".to_owned(),
            data_directory: "/pg/data".to_owned(),
            backup_command: "/pg/bin/pg-backup".to_owned(),
        });
        let cluster = ExpectedCluster {
            name: "pg".to_owned(),
            follows: false,
            members: members.collect(),
            leaving: Vec::new(),
            databases: vec!["app".to_owned()],
            users: vec!["app_owner".to_owned()],
            read_only: false,
            synchronous: 1,
            most_lag: 1 << 20,
            lease: 30,
            backups: true,
            backups_on_nodes: false,
            services: vec![ExpectedService {
                name: "pg-primary".to_owned(),
                port: 5433,
                primary: true,
            }],
            dns_name: Some("pg.lab".to_owned()),
        };
        let etcd = (1..=3).map(|number| ExpectedEtcd {
            name: format!("etcd-{number}"),
            node: node(number),
            peer_url: format!("https://10.0.0.{number}:2380"),
        });
        let nodes: BTreeSet<NodeName> = (1..=3).map(node).collect();
        let shared = SharedAddress {
            address: "10.0.0.9".to_owned(),
            nodes: nodes.iter().cloned().collect(),
            cluster: Some("pg".to_owned()),
        };
        let expected = Expected {
            clusters: vec![cluster],
            etcd: etcd.collect(),
            shared_addresses: vec![shared],
            nodes,
            accepted: Vec::new(),
            public_passwords: None,
            key_prefixes: BTreeSet::from(["/pg/pg/".to_owned()]),
        };
        let answers = (1..=3).map(|number| (node(number), answer(number))).collect();
        Self { expected, answers }
    }

    pub fn node(&mut self, number: u8) -> &mut NodeHealth {
        match &mut self.answers.get_mut(&node(number)).expect("it is there").health {
            Asked::Told(health) => health,
            _ => panic!("it is silent"),
        }
    }

    pub fn silence(&mut self, number: u8) {
        let answer = self.answers.get_mut(&node(number)).expect("it is there");
        answer.health = Asked::unknown("out of reach");
    }

    pub fn server(&mut self, number: u8) -> &mut PostgresHealth {
        match &mut self.node(number).servers[0].server {
            Asked::Told(server) => server,
            _ => panic!("it is silent"),
        }
    }

    pub fn patroni(&mut self, number: u8) -> &mut PatroniHealth {
        match &mut self.node(number).servers[0].patroni {
            Asked::Told(patroni) => patroni,
            _ => panic!("it is silent"),
        }
    }

    pub fn etcd(&mut self, number: u8) -> &mut EtcdHealth {
        match &mut self.node(number).etcd {
            Some(Asked::Told(etcd)) => etcd,
            _ => panic!("it is silent"),
        }
    }

    pub fn unattended(&mut self, number: u8) -> &mut Unattended {
        self.node(number).unattended.as_mut().expect("it upgrades")
    }

    pub fn disk(&mut self, number: u8) -> &mut DiskHealth {
        match &mut self.node(number).disks[0] {
            Asked::Told(disk) => disk,
            _ => panic!("it is silent"),
        }
    }

    pub fn judged(&self) -> Health {
        judge(&self.expected, &self.answers)
    }
}

pub fn answer(number: u8) -> Answer {
    let leads = number == 1;
    let patroni = PatroniHealth {
        scheduled: Vec::new(),
        state: "running".to_owned(),
        role: if leads { "primary" } else { "replica" }.to_owned(),
        paused: false,
        pending_restart: false,
        streams: (!leads).then_some(true),
        heard_dcs: NOW - 3,
        synchronous: Some(vec!["pg-2".to_owned()]),
        name: format!("pg-{number}"),
        scope: "pg".to_owned(),
        foreign_files: Vec::new(),
        members: (1..=3)
            .map(|number| KnownMember {
                name: format!("pg-{number}"),
                host: format!("10.0.0.{number}"),
                leads: number == 1,
            })
            .collect(),
        version: "4.0.7".to_owned(),
        installed: Some("4.0.7".to_owned()),
    };
    let server = PostgresHealth {
        in_recovery: !leads,
        timeline: 4,
        position: 1 << 30,
        receiving: !leads,
        version: 170_006,
        pending_restart: Vec::new(),
        connections: 7,
        most_connections: 100,
        archiver: leads.then(|| ArchiverHealth {
            failed_at: Some(NOW - 900),
            failed_file: Some("000000040000000000000001".to_owned()),
            archived_at: Some(NOW - 60),
            ..ArchiverHealth::default()
        }),
        idle_slots: vec![SlotHealth {
            name: "just_away".to_owned(),
            kept: Some(4096),
            wal_status: Some("reserved".to_owned()),
        }],
        transaction_age: 150_000_000,
        oldest_database: "postgres".to_owned(),
        synchronous_names: if leads { "pg-2" } else { "" }.to_owned(),
        synchronous_standbys: i64::from(leads),
        waiting_commits: i64::from(leads),
        longest_commit: i64::from(leads),
        databases: vec!["postgres".to_owned(), "app".to_owned()],
        ..PostgresHealth::default()
    };
    let etcd = EtcdHealth {
        cluster: "77".to_owned(),
        member: number.to_string(),
        leader: "1".to_owned(),
        size: 20_480,
        errors: Vec::new(),
        version: "3.5.16".to_owned(),
        learner: false,
        members: (1..=3)
            .map(|number| KnownEtcd {
                id: format!("{number}f"),
                name: format!("etcd-{number}"),
                peer_urls: vec![format!("https://10.0.0.{number}:2380")],
                learner: false,
            })
            .collect(),
        led: leads.then(|| Asked::Told(vec!["/pg/pg/".to_owned()])),
    };
    let backups = BackupHealth {
        full: 2,
        newest: Some(NOW - 12 * 3600),
        timeline: Some(3),
        begun: Vec::new(),
        gap: None,
        missing: Vec::new(),
        damaged: Vec::new(),
        gone: None,
    };
    let health = NodeHealth {
        clock: NOW * 1000 + 40,
        servers: vec![ServerHealth {
            instance: format!("pg-{number}"),
            patroni: Asked::Told(patroni),
            server: Asked::Told(server),
            backups: leads.then_some(Asked::Told(backups)),
            replaced: None,
        }],
        etcd: Some(Asked::Told(etcd)),
        disks: vec![Asked::Told(DiskHealth {
            directory: "/pg/data".to_owned(),
            taken: 20 << 30,
            free: 30 << 30,
            inodes: 12,
            device: 7,
        })],
        certificates: vec![CertificateHealth {
            path: "/pg/cert/server.crt".to_owned(),
            ends: NOW + 90 * 86_400,
        }],
        units: Asked::Told(vec![UnitHealth {
            unit: "haproxy.service".to_owned(),
            state: "active".to_owned(),
            since: NOW - 86_400,
            replaced: None,
        }]),
        addresses: Asked::Told(if leads {
            vec!["10.0.0.1".to_owned(), "10.0.0.9".to_owned()]
        } else {
            vec![format!("10.0.0.{number}")]
        }),
        logins: vec![
            login(&format!("pg-{number}"), LoginDoor::Server),
            login(&format!("pg-{number}"), LoginDoor::Pool),
            login("pg-primary", LoginDoor::PooledService),
        ],
        logins_untried: Vec::new(),
        closed_ports: Vec::new(),
        sandbox: false,
        etcd_settings: Vec::new(),
        unloaded: Vec::new(),
        idle_listeners: Asked::Told(Vec::new()),
        listeners: vec![Listener {
            name: "pg-primary".to_owned(),
            servers: vec!["pg-1".to_owned()],
            addresses: (1..=3).map(|one| (format!("pg-{one}"), format!("10.0.0.{one}"))).collect(),
            ..Listener::default()
        }],
        unattended: Some(upgrades()),
    };
    Answer { health: Asked::Told(health), asked: NOW * 1000, answered: NOW * 1000 + 80 }
}

/// A machine that upgrades what comes from Debian, and leaves its servers alone.
pub fn upgrades() -> Unattended {
    let package = |name: &str, version: &str| InstalledPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        held: false,
    };
    Unattended {
        upgrades: true,
        origins: vec!["origin=Debian,codename=${distro_codename},label=Debian".to_owned()],
        left_alone: vec!["^haproxy$".to_owned(), "patroni".to_owned()],
        packages: vec![
            // From another place than the upgrades.
            package("postgresql-17", "17.6-1.pgdg13+1"),
            package("haproxy", "3.0.11-1"),
            package("patroni", "4.0.7-1"),
        ],
        restarts: false,
        not_restarted: Vec::new(),
    }
}

pub fn public(allowed: bool) -> PublicPasswordsDeclared {
    let message = "a password is one that everyone knows: `patroni_password`".to_owned();
    PublicPasswordsDeclared { message, allowed }
}

pub fn login(name: &str, door: LoginDoor) -> LoginHealth {
    LoginHealth { name: name.to_owned(), door, answer: Asked::Told(LoginAnswer::default()) }
}

pub fn units(world: &mut World, number: u8) -> &mut Vec<UnitHealth> {
    match &mut world.node(number).units {
        Asked::Told(units) => units,
        _ => panic!("it is silent"),
    }
}

pub fn addresses(world: &mut World, number: u8) -> &mut Vec<String> {
    match &mut world.node(number).addresses {
        Asked::Told(addresses) => addresses,
        _ => panic!("it is silent"),
    }
}
