//! A healthy fleet, and what is found when one thing in it breaks: each finding is made once at least, and
//! nothing else is found with it than what follows from it.

use keddah_core::NodeName;
use keddah_plan::health::{
    Answer, Answers, FINDINGS, Finding, Health, Severity, beside, in_the_way, judge,
};
use keddah_plan::{Certainty, Plan, PlannedChange};
use keddah_resource::health::{
    Accepted, ArchiverHealth, Asked, BackupHealth, CertificateHealth, ClosedPort, DiskHealth,
    EtcdHealth, Expected, ExpectedCluster, ExpectedEtcd, ExpectedMember, KnownEtcd, KnownMember,
    LoginAnswer, LoginDoor, LoginHealth, NodeHealth, PatroniHealth, PostgresHealth,
    PublicPasswordsDeclared, ServerHealth, SharedAddress, SlotHealth, UnitHealth, Unloaded,
};
use keddah_resource::{Action, Class, Difference, IdleListener, Kind, Module, ResourceId};
use std::collections::BTreeSet;

/// Seconds since 1970 at which all of this happens.
const NOW: i64 = 1_800_000_000;

struct World {
    expected: Expected,
    answers: Answers,
}

fn node(number: u8) -> NodeName {
    NodeName::new(format!("10.0.0.{number}"))
}

impl World {
    /// Three nodes with a member of etcd and of `pg` each; the first one leads both.
    fn well() -> Self {
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
            synchronous: 1,
            most_lag: 1 << 20,
            lease: 30,
            backups: true,
            backups_on_nodes: false,
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

    fn node(&mut self, number: u8) -> &mut NodeHealth {
        match &mut self.answers.get_mut(&node(number)).expect("it is there").health {
            Asked::Told(health) => health,
            Asked::Unknown { .. } => panic!("it is silent"),
        }
    }

    fn silence(&mut self, number: u8) {
        let answer = self.answers.get_mut(&node(number)).expect("it is there");
        answer.health = Asked::unknown("out of reach");
    }

    fn server(&mut self, number: u8) -> &mut PostgresHealth {
        match &mut self.node(number).servers[0].server {
            Asked::Told(server) => server,
            Asked::Unknown { .. } => panic!("it is silent"),
        }
    }

    fn patroni(&mut self, number: u8) -> &mut PatroniHealth {
        match &mut self.node(number).servers[0].patroni {
            Asked::Told(patroni) => patroni,
            Asked::Unknown { .. } => panic!("it is silent"),
        }
    }

    fn etcd(&mut self, number: u8) -> &mut EtcdHealth {
        match &mut self.node(number).etcd {
            Some(Asked::Told(etcd)) => etcd,
            _ => panic!("it is silent"),
        }
    }

    fn disk(&mut self, number: u8) -> &mut DiskHealth {
        match &mut self.node(number).disks[0] {
            Asked::Told(disk) => disk,
            Asked::Unknown { .. } => panic!("it is silent"),
        }
    }

    fn judged(&self) -> Health {
        judge(&self.expected, &self.answers)
    }
}

fn answer(number: u8) -> Answer {
    let leads = number == 1;
    let patroni = PatroniHealth {
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
    };
    let health = NodeHealth {
        clock: NOW * 1000 + 40,
        servers: vec![ServerHealth {
            instance: format!("pg-{number}"),
            patroni: Asked::Told(patroni),
            server: Asked::Told(server),
            backups: leads.then_some(Asked::Told(backups)),
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
        unloaded: Vec::new(),
        idle_listeners: Asked::Told(Vec::new()),
    };
    Answer { health: Asked::Told(health), asked: NOW * 1000, answered: NOW * 1000 + 80 }
}

fn public(allowed: bool) -> PublicPasswordsDeclared {
    let message = "a password is one that everyone knows: `patroni_password`".to_owned();
    PublicPasswordsDeclared { message, allowed }
}

fn login(name: &str, door: LoginDoor) -> LoginHealth {
    LoginHealth { name: name.to_owned(), door, answer: Asked::Told(LoginAnswer::default()) }
}

fn addresses(world: &mut World, number: u8) -> &mut Vec<String> {
    match &mut world.node(number).addresses {
        Asked::Told(addresses) => addresses,
        Asked::Unknown { .. } => panic!("it is silent"),
    }
}

/// What is found when a world is broken like this, in the order of the table of findings' names.
type Break = (&'static [&'static str], fn(&mut World));

const BREAKS: &[Break] = &[
    (&["address-twice"], |world| {
        // By a node that is none of the cluster's.
        let mut other = answer(2);
        other.health = match other.health {
            Asked::Told(mut health) => {
                health.addresses = Asked::Told(vec!["10.0.0.7".to_owned(), "10.0.0.9".to_owned()]);
                Asked::Told(health)
            }
            unknown @ Asked::Unknown { .. } => unknown,
        };
        world.answers.insert(node(7), other);
    }),
    (&["disk-full"], |world| world.disk(3).inodes = 99),
    (&["other-identity"], |world| world.patroni(2).name = "evil".to_owned()),
    (&["public-passwords"], |world| world.expected.public_passwords = Some(public(false))),
    (&["public-passwords-sandbox"], |world| {
        world.expected.public_passwords = Some(public(false));
        (1..=3).for_each(|number| world.node(number).sandbox = true);
    }),
    (&["diverged"], |world| world.server(1).ahead = vec!["pg-3".to_owned()]),
    (&["etcd-elsewhere"], |world| {
        for number in 1..=3 {
            world.etcd(number).members[2].peer_urls = vec!["https://10.0.0.4:2380".to_owned()];
        }
    }),
    (&["etcd-undeclared"], |world| {
        world.etcd(2).members.push(KnownEtcd {
            id: "4f".to_owned(),
            name: "etcd-4".to_owned(),
            peer_urls: vec!["https://10.0.0.4:2380".to_owned()],
        });
    }),
    (&[], |world| {
        // One that has just been announced, and another that was struck and has not heard of it.
        world.etcd(1).members[2].name = String::new();
        world.etcd(3).members.pop();
    }),
    (&["foreign-configuration"], |world| {
        world.patroni(2).foreign_files = vec!["/etc/patroni/conf.d/99-x.yml".to_owned()];
    }),
    (&["no-synchronous-standby"], |world| {
        world.server(1).synchronous_commit = "off".to_owned();
    }),
    (&["etcd-silent-keys"], |world| {
        world.etcd(1).led = Some(Asked::unknown("root has another password"));
    }),
    (&["port-closed"], |world| {
        world.node(3).closed_ports = vec![ClosedPort {
            instance: "pg-2".to_owned(),
            door: LoginDoor::Server,
            port: 5432,
            because: "connection timed out".to_owned(),
        }];
    }),
    (&["read-only"], |world| world.server(1).read_only = true),
    (&["replay-held"], |world| world.server(2).replay_paused = true),
    (&["replay-held"], |world| world.server(3).apply_delay = 3_600_000),
    (&["undeclared-cluster"], |world| {
        world.etcd(1).led = Some(Asked::Told(vec!["/pg/pg/".to_owned(), "/pg/old/".to_owned()]));
    }),
    (&["undeclared-leader"], |world| {
        for number in 1..=3 {
            let stray =
                KnownMember { name: "pg-4".to_owned(), host: "10.0.0.4".to_owned(), leads: true };
            world.patroni(number).members[0].leads = false;
            world.patroni(number).members.push(stray);
            world.patroni(number).role = "replica".to_owned();
            world.patroni(number).streams = Some(true);
            world.server(number).in_recovery = true;
        }
        addresses(world, 1).retain(|one| one != "10.0.0.9");
        world.expected.shared_addresses.clear();
    }),
    (&["undeclared-member"], |world| {
        let stray =
            KnownMember { name: "pg-4".to_owned(), host: "10.0.0.4".to_owned(), leads: false };
        world.patroni(1).members.push(stray);
    }),
    (&["unsafe-setting"], |world| world.server(1).unsafe_settings = vec!["fsync = off".to_owned()]),
    (&["address-missing"], |world| {
        addresses(world, 1).retain(|one| one != "10.0.0.9");
    }),
    (&["address-elsewhere"], |world| {
        addresses(world, 1).retain(|one| one != "10.0.0.9");
        addresses(world, 2).push("10.0.0.9".to_owned());
    }),
    (&["address-twice"], |world| addresses(world, 3).push("10.0.0.9".to_owned())),
    (&["altered-settings"], |world| world.server(2).altered = vec!["work_mem".to_owned()]),
    (&["archiving-fails"], |world| {
        world.server(1).archiver.as_mut().expect("it archives").archived_at = None;
    }),
    (&["archiving-fails"], |world| {
        world.server(1).archiver.as_mut().expect("it archives").failed_at = Some(NOW - 5);
    }),
    (&["archiving-late"], |world| {
        world.server(1).archiver.as_mut().expect("it archives").waiting_seconds = 300;
    }),
    (&["archiving-elsewhere"], |world| {
        world.server(1).other_archiver = Some("/bin/true".to_owned());
    }),
    (&["login-refused"], |world| {
        // The pool that a service leads to is another node's, which nobody asked.
        let refused = Some("SASL authentication failed".to_owned());
        let answer = LoginAnswer { refused, ..LoginAnswer::default() };
        world.node(2).logins[2].answer = Asked::Told(answer);
    }),
    (&["configuration-unloaded"], |world| {
        world.node(2).unloaded = vec![Unloaded {
            unit: "pgbouncer.service".to_owned(),
            files: vec!["/etc/pgbouncer/userlist.txt".to_owned()],
        }];
    }),
    (&["configuration-unloaded"], |world| {
        world.server(3).unloaded = vec!["/pg/conf/pg_hba.conf".to_owned()];
    }),
    (&["node-unknown"], |world| {
        // Nobody asked about it, and its cluster is asked about.
        world.silence(3);
        world.expected.nodes.remove(&node(3));
        world.expected.etcd.clear();
    }),
    (&["backup-missing"], |world| {
        world.node(1).servers[0].backups = Some(Asked::Told(BackupHealth::default()));
    }),
    (&["backup-missing"], |world| {
        let old =
            BackupHealth { full: 1, newest: Some(NOW - 3 * 86_400), ..BackupHealth::default() };
        world.node(1).servers[0].backups = Some(Asked::Told(old));
    }),
    (&["backup-behind", "backups-on-nodes"], |world| {
        world.expected.clusters[0].backups_on_nodes = true;
    }),
    (&["backups-on-nodes"], |world| {
        // It led all the time, and began the timeline itself, after a crash.
        world.expected.clusters[0].backups_on_nodes = true;
        let Some(Asked::Told(backups)) = &mut world.node(1).servers[0].backups else {
            panic!("they were asked for")
        };
        backups.begun = vec![2, 3, 4];
    }),
    (&["backup-behind"], |world| {
        let Some(Asked::Told(backups)) = &mut world.node(1).servers[0].backups else {
            panic!("they were asked for")
        };
        backups.gap = Some(("0A".to_owned(), "0D".to_owned()));
    }),
    (&["backup-broken"], |world| {
        let Some(Asked::Told(backups)) = &mut world.node(1).servers[0].backups else {
            panic!("they were asked for")
        };
        backups.missing = vec!["20261101-010000F".to_owned()];
    }),
    (&["backups-on-nodes"], |world| {
        world.expected.clusters[0].backups_on_nodes = true;
        world.server(1).timeline = 3;
    }),
    (&["backups-unknown"], |world| {
        world.node(1).servers[0].backups = Some(Asked::unknown("the repository hangs"));
    }),
    (&["certificate-ends"], |world| world.node(2).certificates[0].ends = NOW + 20 * 86_400),
    (&["certificate-ended"], |world| world.node(2).certificates[0].ends = NOW + 2 * 86_400),
    (&["certificate-ended"], |world| world.node(2).certificates[0].ends = NOW - 1),
    (&["commits-wait"], |world| {
        world.server(1).synchronous_names = "ANY 2 (*)".to_owned();
    }),
    (&["commits-wait"], |world| world.server(1).synchronous_standbys = 0),
    (&["commits-wait"], |world| world.server(1).longest_commit = 40),
    (&["database-shut"], |world| world.server(1).databases.retain(|one| one != "app")),
    (&["clock-apart"], |world| {
        world.node(3).clock += 90_000;
        world.patroni(3).heard_dcs += 90;
    }),
    (&["clock-apart"], |world| world.node(3).clock -= 1_500),
    (&["connections-full"], |world| world.server(2).connections = 97),
    (&["dcs-unheard"], |world| world.patroni(3).heard_dcs = NOW - 31),
    (&["disk-full"], |world| (world.disk(1).taken, world.disk(1).free) = (49 << 30, 1 << 30)),
    (&["disk-filling"], |world| (world.disk(1).taken, world.disk(1).free) = (44 << 30, 6 << 30)),
    (&["disk-unknown"], |world| world.node(1).disks[0] = Asked::unknown("/pg/data hangs")),
    (&["etcd-alarm"], |world| {
        world.etcd(2).errors = vec!["memberID:2 alarm:NOSPACE".to_owned()];
    }),
    (&["etcd-alone"], |world| {
        world.expected.etcd.truncate(1);
        (1..=3).for_each(|number| world.etcd(number).members.truncate(1));
    }),
    (&["etcd-member-down"], |world| {
        world.node(3).etcd = Some(Asked::unknown("connection refused"));
    }),
    (&["etcd-member-down", "etcd-member-down", "etcd-no-quorum"], |world| {
        for number in [2, 3] {
            world.node(number).etcd = Some(Asked::unknown("connection refused"));
        }
        world.etcd(1).leader = "0".to_owned();
    }),
    (&["etcd-no-quorum"], |world| {
        for number in 1..=3 {
            world.etcd(number).leader = "0".to_owned();
            world.etcd(number).errors = vec!["etcdserver: no leader".to_owned()];
        }
    }),
    // Struck, and still in the inventory: etcd itself waits for two.
    (&["etcd-unlisted"], |world| {
        world.node(3).etcd = Some(Asked::unknown("connection refused"));
        (1..=2).for_each(|number| world.etcd(number).members.truncate(2));
    }),
    // One that is listed has one vote, whatever the inventory says.
    (&["etcd-alone", "etcd-unlisted", "etcd-unlisted"], |world| {
        for number in [2, 3] {
            world.node(number).etcd = Some(Asked::unknown("connection refused"));
        }
        world.etcd(1).members.truncate(1);
    }),
    (&["etcd-size"], |world| world.etcd(1).size = 13 << 30),
    (&["etcd-two-clusters"], |world| world.etcd(3).cluster = "78".to_owned()),
    (&["idle-slot"], |world| world.server(1).idle_slots[0].kept = Some(3 << 30)),
    (&["idle-slot"], |world| {
        world.server(1).idle_slots[0].wal_status = Some("lost".to_owned());
    }),
    (&["lagging"], |world| world.server(3).position -= 200 << 20),
    (&["monitor-refused"], |world| {
        let refused = Some("password authentication failed".to_owned());
        let answer = LoginAnswer { refused, wrong_password: true, ..LoginAnswer::default() };
        world.node(2).logins[0].answer = Asked::Told(answer);
    }),
    (&["login-refused"], |world| {
        let refused = Some("no pg_hba.conf entry".to_owned());
        let answer = LoginAnswer { refused, wrong_password: false, ..LoginAnswer::default() };
        world.node(2).logins[0].answer = Asked::Told(answer);
    }),
    (&["pool-paused"], |world| {
        let answer = LoginAnswer { paused: vec!["test".to_owned()], ..LoginAnswer::default() };
        world.node(2).logins[1].answer = Asked::Told(answer);
    }),
    (&["pool-silent"], |world| {
        world.node(2).logins[1].answer = Asked::unknown("a new login gets no answer");
    }),
    (&["server-silent"], |world| {
        // Its socket answers, and its port does not.
        world.node(2).logins[0].answer = Asked::unknown("a new login gets no answer");
    }),
    (&["service-silent"], |world| {
        for number in 1..=3 {
            world.node(number).logins[2].answer = Asked::unknown("a new login gets no answer");
        }
    }),
    (&["member-down"], |world| {
        world.node(3).servers[0].patroni = Asked::unknown("Patroni does not run");
    }),
    (&["member-down"], |world| {
        world.patroni(3).state = "start failed".to_owned();
        world.node(3).servers[0].server = Asked::unknown("PostgreSQL does not run");
    }),
    (&["no-leader"], |world| {
        world.patroni(1).role = "replica".to_owned();
        world.server(1).in_recovery = true;
    }),
    (&["no-leader"], |world| world.server(1).in_recovery = true),
    (&["no-synchronous-standby"], |world| world.patroni(1).synchronous = Some(Vec::new())),
    (&["etcd-member-down", "node-unknown"], |world| world.silence(3)),
    (&["node-unknown"], |world| {
        world.node(3).idle_listeners = Asked::unknown("HAProxy does not answer");
    }),
    (&["node-unknown"], |world| world.node(3).addresses = Asked::unknown("`ip` hangs")),
    (&["node-unknown"], |world| {
        world.node(3).logins_untried = vec!["pg-primary".to_owned()];
    }),
    (&[], |world| {
        // A cluster that follows another one is backed up where it is written.
        world.expected.clusters[0].backups = false;
        world.node(1).servers[0].backups = Some(Asked::Told(BackupHealth::default()));
    }),
    (&["not-streaming"], |world| world.patroni(3).streams = Some(false)),
    (&["not-streaming"], |world| {
        // Patroni 3 does not say; the server does.
        world.patroni(3).streams = None;
        world.server(3).receiving = false;
    }),
    (&["not-streaming", "other-timeline"], |world| {
        world.patroni(3).streams = Some(false);
        world.server(3).timeline = 3;
    }),
    (&["paused"], |world| (1..=3).for_each(|number| world.patroni(number).paused = true)),
    (&["pending-restart"], |world| world.patroni(2).pending_restart = true),
    (&["pending-restart"], |world| {
        world.server(2).pending_restart = vec!["shared_buffers".to_owned()];
    }),
    (&["server-silent"], |world| {
        world.node(1).servers[0].server = Asked::unknown("no answer within 1.2 s");
    }),
    (&["service-down"], |world| {
        world.node(2).units = Asked::Told(vec![UnitHealth {
            unit: "haproxy.service".to_owned(),
            state: "failed".to_owned(),
            since: NOW - 60,
        }]);
    }),
    (&["service-leads-nowhere"], |world| {
        for number in 1..=3 {
            world.node(number).idle_listeners = Asked::Told(vec![IdleListener {
                name: "pg-replica".to_owned(),
                because: "pg-2: L4CON".to_owned(),
            }]);
        }
    }),
    (&["transaction-ids"], |world| world.server(1).transaction_age = 900_000_000),
    (&["transaction-ids-end"], |world| world.server(1).transaction_age = 2_000_000_000),
    (&["two-writable"], |world| world.server(2).in_recovery = false),
];

fn names(findings: &[Finding]) -> Vec<&str> {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_healthy_fleet_has_no_findings() {
    let health = World::well().judged();
    assert_eq!(health.findings, []);
    assert!(health.is_well());
    assert_eq!(health.clusters[0].leader.as_deref(), Some("pg-1"));
    let roles: Vec<&str> = health.clusters[0].members.iter().map(|member| member.role).collect();
    assert_eq!(roles, ["leader", "sync", "replica"]);
    assert!(health.etcd.expect("there is one").quorum);
}

#[test]
fn one_thing_that_breaks_is_found_and_nothing_else() {
    for (at, (expected, breaks)) in BREAKS.iter().enumerate() {
        let mut world = World::well();
        breaks(&mut world);
        let health = world.judged();
        assert_eq!(names(&health.findings), *expected, "break {at}: {:#?}", health.findings);
        let counts = health.findings.iter().any(|one| one.severity != Severity::Note);
        assert_eq!(health.is_well(), !counts, "break {at}");
        for finding in &health.findings {
            assert!(!finding.remedy.is_empty() && !finding.place.is_empty(), "{finding:?}");
        }
    }
}

#[test]
fn every_finding_is_made_by_one_of_the_breaks() {
    let made: BTreeSet<&str> = BREAKS.iter().flat_map(|(names, _)| *names).copied().collect();
    let table: BTreeSet<&str> = FINDINGS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(made, table);
}

#[test]
fn a_finding_that_is_accepted_is_shown_and_the_fleet_is_well() {
    let mut world = World::well();
    world.patroni(2).pending_restart = true;
    let accept =
        |number, finding: &str| Accepted { node: node(number), finding: finding.to_owned() };
    for elsewhere in [accept(2, "paused"), accept(3, "pending-restart")] {
        world.expected.accepted = vec![elsewhere];
        assert!(!world.judged().is_well(), "another finding, or another node's");
    }
    world.expected.accepted = vec![accept(2, "pending-restart")];
    let health = world.judged();
    assert!(health.is_well() && health.findings[0].accepted);
}

#[test]
fn public_passwords_that_were_allowed_are_shown_and_the_fleet_is_well() {
    let mut world = World::well();
    world.expected.public_passwords = Some(public(true));
    let health = world.judged();
    assert!(health.is_well() && names(&health.findings) == ["public-passwords"]);
}

#[test]
fn each_finding_can_be_accepted_where_it_is() {
    for (at, (expected, breaks)) in BREAKS.iter().enumerate() {
        let mut world = World::well();
        breaks(&mut world);
        for name in *expected {
            let everywhere =
                (1..=3).map(|number| Accepted { node: node(number), finding: (*name).to_owned() });
            world.expected.accepted.extend(everywhere);
        }
        let health = world.judged();
        assert!(health.is_well(), "break {at}, {expected:?}: {:#?}", health.findings);
    }
}

#[test]
fn a_fleet_of_which_nothing_answers_is_never_well() {
    let mut world = World::well();
    (1..=3).for_each(|number| world.silence(number));
    let health = world.judged();
    for name in ["no-leader", "etcd-no-quorum", "node-unknown", "address-missing"] {
        assert!(names(&health.findings).contains(&name), "{name}: {:#?}", health.findings);
    }
    assert_eq!(health.findings[0].severity, Severity::Critical, "the worst comes first");
}

#[test]
fn a_member_that_stays_behind_on_purpose_does_not_lag() {
    let mut world = World::well();
    world.server(3).position -= 200 << 20;
    world.expected.clusters[0].members[2].delayed = true;
    assert_eq!(world.judged().findings, []);
}

#[test]
fn a_silent_patroni_of_a_writable_server_does_not_make_its_cluster_leaderless() {
    let mut world = World::well();
    world.node(1).servers[0].patroni = Asked::unknown("Patroni did not answer within 1.2 s");
    let health = world.judged();
    assert_eq!(names(&health.findings), ["member-down"]);
    assert_eq!(health.clusters[0].leader.as_deref(), Some("pg-1"));
}

#[expect(clippy::disallowed_methods, reason = "a developer's switch, read by a test")]
fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn the_page_for_whoever_is_on_call_has_every_finding_and_what_to_do() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/findings.md");
    let page = std::fs::read_to_string(path).expect("docs/findings.md");
    let mut rows: Vec<String> = FINDINGS
        .iter()
        .map(|(name, severity, meaning)| format!("| `{name}` | {severity} | {meaning} |\n"))
        .collect();
    rows.sort();
    let table = rows.concat();
    let begins = page.find("| `").expect("the table");
    let ends = begins + page[begins..].find("\n\n").expect("something below it") + 1;
    if updating() {
        let text = format!("{}{table}{}", &page[..begins], &page[ends..]);
        std::fs::write(path, text).expect("docs/findings.md");
    } else {
        assert_eq!(&page[begins..ends], table, "`make docs` writes docs/findings.md anew");
    }
    for (name, ..) in FINDINGS {
        let heading = page.lines().filter(|line| line.starts_with("### "));
        let named = heading.flat_map(|line| line[4..].split(", ")).any(|word| word == *name);
        assert!(named, "docs/findings.md does not say what to do about {name}");
    }
}

/// A plan of one change of `pg`.
fn plan(kind: Kind, name: &str, on: u8, action: Action, class: Class) -> Plan {
    let change = PlannedChange {
        id: ResourceId::new(&node(on), kind, name),
        module: Module::Pgsql,
        cluster: Some("pg".to_owned()),
        difference: Difference {
            action,
            class,
            fields: Vec::new(),
            reason: String::new(),
            impossible: None,
        },
        certainty: Certainty::Known,
        cause: None,
        caused_by: Vec::new(),
        wave: 0,
        after: Vec::new(),
        owes: Vec::new(),
        moves_services: false,
    };
    Plan { changes: vec![change], ..Plan::default() }
}

#[test]
fn what_a_plan_mends_is_not_told_beside_it() {
    let mut world = World::well();
    world.patroni(2).pending_restart = true;
    world.server(1).connections = 99;
    let health = world.judged();
    let restart = plan(Kind::Postmaster, "pg-2", 2, Action::Update, Class::OrderedRestart);
    let told: Vec<&str> = beside(&restart, &health).iter().map(|finding| finding.name).collect();
    assert_eq!(told, ["connections-full"]);
    let other = plan(Kind::Postmaster, "pg-3", 3, Action::Update, Class::OrderedRestart);
    assert_eq!(beside(&other, &health).len(), 2);
    // A cluster that is being made has no illness of its own yet.
    let mut bare = World::well();
    for number in 1..=3 {
        bare.node(number).servers[0].patroni = Asked::unknown("Patroni does not run");
        bare.node(number).servers[0].server = Asked::unknown("PostgreSQL does not run");
    }
    let birth = plan(Kind::PgInstance, "pg-1", 1, Action::Create, Class::InPlace);
    let health = bare.judged();
    let about = |one: &&Finding| one.cluster.as_deref() == Some("pg");
    assert!(health.findings.iter().any(|one| about(&one)));
    assert!(!beside(&birth, &health).iter().any(about));
}

#[test]
fn what_a_plan_merely_touches_stays_told() {
    // A restart ends no alarm, and a member that joins makes no cluster well.
    let mut world = World::well();
    world.etcd(2).errors = vec!["alarm:NOSPACE".to_owned()];
    world.patroni(3).streams = Some(false);
    addresses(&mut world, 3).push("10.0.0.9".to_owned());
    let health = world.judged();
    let everything = ["etcd-alarm", "address-twice", "not-streaming"];
    let changes = [
        plan(Kind::Unit, "etcd.service", 2, Action::Update, Class::OrderedRestart),
        plan(Kind::Unit, "keddah-vip.service", 3, Action::Update, Class::Restart),
        plan(Kind::Unit, "patroni.service", 3, Action::Update, Class::Reload),
        plan(Kind::PgInstance, "pg-2", 2, Action::Create, Class::InPlace),
        plan(Kind::EtcdMember, "etcd-2", 2, Action::Create, Class::InPlace),
    ];
    for plan in changes {
        let told = beside(&plan, &health);
        for name in everything {
            assert!(
                told.iter().any(|one| one.name == name),
                "{name} beside {:?}",
                plan.changes[0].id
            );
        }
    }
    // Of a member that is started, that is told once.
    let mut down = World::well();
    down.node(3).servers[0].patroni = Asked::unknown("Patroni does not run");
    let unit = UnitHealth {
        unit: "patroni.service".to_owned(),
        state: "inactive".to_owned(),
        since: NOW - 60,
    };
    down.node(3).units = Asked::Told(vec![unit]);
    let health = down.judged();
    assert_eq!(names(&health.findings), ["member-down"]);
    let start = plan(Kind::Unit, "patroni.service", 3, Action::Create, Class::InPlace);
    assert_eq!(beside(&start, &health), Vec::<&Finding>::new());
}

#[test]
fn nothing_restarts_into_a_sick_cluster_but_the_sick_member_itself() {
    let mut world = World::well();
    world.node(3).servers[0].server = Asked::unknown("no answer within 1.2 s");
    let health = world.judged();
    let restart = |instance: &str, on| {
        plan(Kind::Postmaster, instance, on, Action::Update, Class::OrderedRestart)
    };
    let plan_of_another = restart("pg-2", 2);
    let refused = in_the_way(&plan_of_another, &health);
    let told: Vec<(&str, &str)> =
        refused.iter().map(|one| (one.cluster.as_str(), one.finding.name)).collect();
    assert_eq!(told, [("pg", "server-silent")]);
    assert_eq!(in_the_way(&restart("pg-3", 3), &health), [], "it may be the cure");
    let reload = plan(Kind::Postmaster, "pg-2", 2, Action::Update, Class::Reload);
    assert_eq!(in_the_way(&reload, &health), [], "nobody notices");
    let removal = plan(Kind::PgInstance, "pg-2", 2, Action::Delete, Class::Destroy);
    assert_eq!(in_the_way(&removal, &health).len(), 1);
    let mut down = World::well();
    down.silence(1);
    down.node(3).servers[0].server = Asked::unknown("PostgreSQL does not run");
    down.patroni(3).state = "stopped".to_owned();
    let start = plan(Kind::PgInstance, "pg-3", 3, Action::Update, Class::Restart);
    assert_eq!(in_the_way(&start, &down.judged()), [], "it does not serve: nobody loses it");
    let well = World::well().judged();
    assert_eq!(in_the_way(&plan_of_another, &well), []);
    // A node of which nothing is known has a member that nobody can count on.
    let mut silent = World::well();
    silent.silence(3);
    let names: Vec<&str> =
        in_the_way(&plan_of_another, &silent.judged()).iter().map(|one| one.finding.name).collect();
    assert!(names.contains(&"node-unknown"), "{names:?}");
}

#[test]
fn patroni_is_not_started_over_a_server_that_writes_for_itself() {
    let mut world = World::well();
    world.node(3).servers[0].patroni = Asked::unknown("Patroni does not run");
    world.server(3).in_recovery = false;
    let health = world.judged();
    assert_eq!(health.clusters[0].leader.as_deref(), Some("pg-1"), "Patroni's word goes first");
    assert_eq!(health.clusters[0].members[2].role, "writable");
    let start = plan(Kind::Unit, "patroni.service", 3, Action::Create, Class::InPlace);
    let refused = in_the_way(&start, &health);
    assert_eq!(refused[0].finding.name, "two-writable");
    assert!(refused[0].finding.remedy.contains("stop pg-3"), "{:?}", refused[0].finding);
}

#[test]
fn nothing_is_copied_where_nobody_leads() {
    let mut world = World::well();
    for number in 1..=2 {
        world.node(number).servers[0].patroni = Asked::unknown("Patroni does not run");
        world.node(number).servers[0].server = Asked::unknown("PostgreSQL does not run");
    }
    world.patroni(3).role = "replica".to_owned();
    let copy = plan(Kind::PgInstance, "pg-2", 2, Action::Create, Class::InPlace);
    let health = world.judged();
    assert_eq!(in_the_way(&copy, &health)[0].finding.name, "no-leader");
    assert!(beside(&copy, &health).iter().any(|one| one.name == "no-leader"));
}

#[test]
fn what_a_plan_declares_is_not_missed_before_it_is_there() {
    let mut world = World::well();
    world.patroni(1).synchronous = Some(Vec::new());
    let health = world.judged();
    let mut both = plan(Kind::Postmaster, "pg-2", 2, Action::Update, Class::OrderedRestart);
    assert_eq!(in_the_way(&both, &health).len(), 1);
    let settings = plan(Kind::PatroniConfig, "pg", 1, Action::Update, Class::Reload);
    both.changes.extend(settings.changes);
    assert_eq!(in_the_way(&both, &health), []);
    assert_eq!(beside(&both, &health), Vec::<&Finding>::new());
}
