//! What may break, and what is found then.

use crate::world::{NOW, World, addresses, answer, node, public, units};
use keddah_resource::health::{
    Asked, BackupHealth, ByHand, ClosedPort, KnownEtcd, KnownMember, LoginAnswer, LoginDoor,
    PoolSetting, Replaced, UnitHealth, Unloaded,
};
use keddah_resource::{Effect, ForeignSetting, IdleListener};

/// A setting of somebody else's.
fn foreign(effect: Effect, name: &str, value: &str) -> ForeignSetting {
    let place = "/etc/systemd/system/etcd.service.d/x.conf".to_owned();
    ForeignSetting { effect, name: name.to_owned(), value: Some(value.to_owned()), place }
}

/// What is found when a world is broken like this, in the order of the table of findings' names.
pub type Break = (&'static [&'static str], fn(&mut World));

pub const BREAKS: &[Break] = &[
    (&["address-twice"], |world| {
        // By a node that is none of the cluster's.
        let mut other = answer(2);
        other.health = match other.health {
            Asked::Told(mut health) => {
                health.addresses = Asked::Told(vec!["10.0.0.7".to_owned(), "10.0.0.9".to_owned()]);
                Asked::Told(health)
            }
            unsaid => unsaid,
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
    (&["etcd-member-down", "etcd-next-start"], |world| {
        // Whoever starts it makes it a cluster of its own.
        world.node(2).etcd = Some(Asked::unknown("connection refused"));
        let force = foreign(Effect::NotItself, "ETCD_FORCE_NEW_CLUSTER", "true");
        world.node(2).etcd_settings = vec![force];
    }),
    (&["etcd-foreign-settings"], |world| {
        let level = foreign(Effect::Undeclared, "ETCD_LOG_LEVEL", "debug");
        world.node(3).etcd_settings = vec![level];
    }),
    (&["etcd-foreign-settings"], |world| {
        let fsync = foreign(Effect::UntilRestart, "ETCD_UNSAFE_NO_FSYNC", "true");
        world.node(3).etcd_settings = vec![fsync];
    }),
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
            learner: false,
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
    (&["next-start-fails"], |world| {
        world.server(1).missing_files = vec!["ssl_cert_file = /nope.crt".to_owned()];
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
    (&["repository-gone"], |world| {
        let gone = Some("/pg/backup".to_owned());
        let told = BackupHealth { gone, ..BackupHealth::default() };
        world.node(1).servers[0].backups = Some(Asked::Told(told));
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
    (&["backup-broken"], |world| {
        let Some(Asked::Told(backups)) = &mut world.node(1).servers[0].backups else {
            panic!("they were asked for")
        };
        backups.damaged = vec!["20261101-010000F".to_owned()];
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
    (&["data-gone"], |world| world.server(2).data_gone = true),
    (&["read-only"], |world| world.server(1).read_only_for = vec!["everybody".to_owned()]),
    (&["scheduled"], |world| {
        world.patroni(1).scheduled =
            vec!["a switchover to pg-2 at 2026-11-28T09:00:00+00:00".to_owned()];
    }),
    (&["user-shut"], |world| world.server(1).shut_out = vec!["app_owner".to_owned()]),
    (&["database-shut"], |world| world.server(1).databases.retain(|one| one != "app")),
    (&["checksum-failures"], |world| {
        world.server(2).checksum_failures = 3;
        world.server(2).checksum_failed_at = Some(NOW - 60);
    }),
    (&["clock-apart"], |world| {
        world.node(3).clock += 90_000;
        world.patroni(3).heard_dcs += 90;
    }),
    (&["clock-apart"], |world| world.node(3).clock -= 1_500),
    (&["connections-exhausted"], |world| {
        let Asked::Told(answer) = &mut world.node(1).logins[0].answer else { panic!("it answers") };
        answer.refused = Some("sorry, too many clients already".to_owned());
        answer.full = true;
    }),
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
    (&["node-unknown"], |world| {
        // A leader that there was no time to ask may lead all the same, and its server is not silent.
        let server = &mut world.node(1).servers[0];
        server.patroni = Asked::Untried;
        server.server = Asked::Untried;
        server.backups = None;
    }),
    (&["node-unknown"], |world| world.node(1).servers[0].backups = Some(Asked::Untried)),
    (&["node-unknown"], |world| world.node(3).servers[0].server = Asked::Untried),
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
            replaced: None,
        }]);
    }),
    (&["writes-lead-nowhere"], |world| {
        world.node(2).idle_listeners = Asked::Told(vec![IdleListener {
            name: "pg-primary".to_owned(),
            because: "pg-1 is in maintenance (MAINT)".to_owned(),
        }]);
    }),
    (&["service-by-hand"], |world| {
        world.node(2).listeners[0].by_hand = vec![ByHand {
            server: "pg-2".to_owned(),
            what: "is in maintenance".to_owned(),
            back: "set server pg-primary/pg-2 state ready".to_owned(),
        }];
    }),
    (&["service-by-hand"], |world| {
        let addresses = &mut world.node(2).listeners[0].addresses;
        addresses.insert("pg-1".to_owned(), "10.0.0.3".to_owned());
    }),
    (&["service-leads-nowhere"], |world| {
        for number in 1..=3 {
            world.node(number).idle_listeners = Asked::Told(vec![IdleListener {
                name: "pg-replica".to_owned(),
                because: "pg-2: L4CON".to_owned(),
            }]);
        }
    }),
    (&["program-replaced"], |world| {
        world.node(2).servers[0].replaced = Some(Replaced {
            path: "/usr/lib/postgresql/17/bin/postgres".to_owned(),
            version: Some("17.7".to_owned()),
        });
    }),
    (&["program-replaced"], |world| {
        world.patroni(3).installed = Some("4.1.0".to_owned());
    }),
    (&["program-replaced"], |world| {
        let path = Some("/usr/sbin/haproxy".to_owned());
        units(world, 2)[0].replaced = path;
    }),
    (&["versions-apart"], |world| world.server(3).version = 170_007),
    (&["versions-apart"], |world| {
        world.patroni(3).version = "4.1.0".to_owned();
        world.patroni(3).installed = None;
    }),
    (&["versions-apart"], |world| world.etcd(2).version = "3.5.21".to_owned()),
    (&["unattended-upgrades"], |world| world.unattended(2).left_alone.clear()),
    (&["unattended-upgrades"], |world| {
        world.unattended(2).origins.push("site=apt.postgresql.org".to_owned());
    }),
    (&[], |world| {
        world.unattended(2).left_alone.clear();
        world.unattended(2).packages[1].held = true;
    }),
    (&[], |world| {
        world.unattended(2).left_alone.clear();
        world.unattended(2).upgrades = false;
    }),
    (&["unattended-upgrades"], |world| world.unattended(1).restarts = true),
    (&[], |world| {
        world.unattended(1).restarts = true;
        let alone = ["^haproxy", "^patroni"];
        world.unattended(1).not_restarted = alone.map(str::to_owned).to_vec();
    }),
    (&["configuration-unloaded"], |world| {
        let set = PoolSetting {
            name: "auth_type".to_owned(),
            runs: "any".to_owned(),
            file: "hba".to_owned(),
        };
        let answer = LoginAnswer { otherwise: vec![set], ..LoginAnswer::default() };
        world.node(2).logins[1].answer = Asked::Told(answer);
    }),
    (&["transaction-ids"], |world| world.server(1).transaction_age = 900_000_000),
    (&["transaction-ids-end"], |world| world.server(1).transaction_age = 2_000_000_000),
    (&["two-writable"], |world| world.server(2).in_recovery = false),
];
