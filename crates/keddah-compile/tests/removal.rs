//! What taking an instance away changes, and what it leaves for an apply.

mod support;

use keddah_compile::{Compiled, Removing, own_changes};
use keddah_core::NodeName;
use keddah_resource::{BackupFacts, Kind, NodeFacts, PatroniFacts, Spec};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    infra: { hosts: { 10.10.10.10: { infra_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
        10.10.10.13: { pg_seq: 3, pg_role: replica }
      vars:
        pg_cluster: pg-test
        pg_conf: tiny.yml
        pg_users: [{ name: app, password: unlike-any, pgbouncer: true }, { name: gone, state: absent }]
        pg_databases: [{ name: app, owner: app }, { name: waits, state: absent }]
        pg_hba_rules: [{ user: app, db: all, addr: intra, auth: pwd }]
        pg_parameters: { max_connections: 77 }
";

fn nodes() -> BTreeMap<NodeName, NodeFacts> {
    let says = [(10, None), (11, Some("primary")), (12, Some("replica")), (13, Some("replica"))];
    let node = |(last, role): (u8, Option<&str>)| {
        let patroni = role.map(|role| PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        });
        let facts = NodeFacts { patroni: patroni.into_iter().collect(), ..facts() };
        (NodeName::new(format!("10.10.10.{last}")), facts)
    };
    says.map(node).into()
}

fn removal(of: &[u8], without_backup: bool) -> Compiled {
    let hosts: BTreeSet<NodeName> =
        of.iter().map(|last| NodeName::new(format!("10.10.10.{last}"))).collect();
    let pgsql = BTreeMap::from([("pg-test".to_owned(), hosts)]);
    let removing = Removing { pgsql, without_backup, ..Removing::default() };
    let mut with = without(INVENTORY, &nodes(), &removing).expect("it compiles");
    own_changes(&mut with.fleet, &compiled(INVENTORY, &nodes()).fleet);
    assert_eq!(with.fleet.unknown_dependencies(), []);
    with
}

/// The directories that leave their places on a node, and whether they are kept.
fn leaving(compiled: &Compiled, node: &str) -> BTreeMap<String, bool> {
    let here = compiled.fleet.iter().filter(|one| one.id.node.as_str() == node);
    here.filter_map(|one| match &one.spec {
        Spec::Directory(spec) if spec.permissions.is_none() => Some((spec.path.clone(), spec.kept)),
        _ => None,
    })
    .collect()
}

#[test]
fn no_parameter_deletes_data_or_backups() {
    let kept = leaving(&removal(&[13], false), "10.10.10.13");
    for path in ["/data/postgres/pg-test-17", "/data/backups/pg-test-17"] {
        assert_eq!(kept.get(path), Some(&true), "{path}: {kept:?}");
    }
    let hosts = BTreeSet::from([NodeName::new("10.10.10.13")]);
    let pgsql = BTreeMap::from([("pg-test".to_owned(), hosts.clone())]);
    let removing = Removing { pgsql, deletes: true, ..Removing::default() };
    let deleted = without(INVENTORY, &nodes(), &removing).expect("it compiles");
    let deleted = leaving(&deleted, "10.10.10.13");
    assert_eq!(deleted.get("/data/postgres/pg-test-17"), Some(&false), "{deleted:?}");
    let stays =
        INVENTORY.replace("pg_conf: tiny.yml", "pg_conf: tiny.yml\n        pg_rm_data: false");
    assert_ne!(stays, INVENTORY);
    let left = leaving(&without(&stays, &nodes(), &removing).expect("it compiles"), "10.10.10.13");
    assert!(left.keys().all(|path| path.starts_with("/data/backups")), "{left:?}");
    // What earlier removals have kept goes when its host is named, and nothing else.
    let mut facts = nodes();
    let old = "/data/postgres/pg-old-16.removed".to_owned();
    facts.get_mut(&NodeName::new("10.10.10.13")).expect("a node").removed = vec![old.clone()];
    let removing = Removing { removed: hosts, ..Removing::default() };
    let mut gone = without(INVENTORY, &facts, &removing).expect("it compiles");
    own_changes(&mut gone.fleet, &compiled(INVENTORY, &facts).fleet);
    assert_eq!(gone.fleet.len(), 1);
    assert_eq!(leaving(&gone, "10.10.10.13"), BTreeMap::from([(old, false)]));
}

#[test]
fn the_only_backups_of_a_cluster_are_not_deleted_with_a_member() {
    let hosts = BTreeSet::from([NodeName::new("10.10.10.13")]);
    let pgsql = BTreeMap::from([("pg-test".to_owned(), hosts)]);
    let kept = |facts: &mut BTreeMap<NodeName, NodeFacts>, last: u8| {
        let node = NodeName::new(format!("10.10.10.{last}"));
        facts.get_mut(&node).expect("a node").backups = vec![BackupFacts {
            stanza: "pg-test".to_owned(),
            place: "/data/backups/pg-test-17".to_owned(),
            backups: 2,
            systems: vec!["7".to_owned()],
            ..BackupFacts::default()
        }];
    };
    let mut facts = nodes();
    kept(&mut facts, 13);
    let removing = Removing { pgsql, deletes: true, ..Removing::default() };
    let refused = without(INVENTORY, &facts, &removing).expect_err("they would be lost");
    assert_eq!(refused[0].code, "only-backups");
    let aside = Removing { deletes: false, ..removing.clone() };
    without(INVENTORY, &facts, &aside).expect("they are moved aside");
    let unwanted = Removing { without_backup: true, ..removing.clone() };
    without(INVENTORY, &facts, &unwanted).expect("nobody wants them");
    kept(&mut facts, 11);
    without(INVENTORY, &facts, &removing).expect("another member has some");
    let list = |facts: &mut BTreeMap<NodeName, NodeFacts>, last: u8, systems: &[&str], backups| {
        let node = NodeName::new(format!("10.10.10.{last}"));
        let kept = &mut facts.get_mut(&node).expect("a node").backups[0];
        kept.systems = systems.iter().map(|&system| system.to_owned()).collect();
        kept.backups = backups;
    };
    list(&mut facts, 11, &["6"], 2);
    let refused = without(INVENTORY, &facts, &removing).expect_err("another system's are no help");
    assert_eq!(refused[0].code, "only-backups");
    list(&mut facts, 13, &[], 0);
    let refused = without(INVENTORY, &facts, &removing).expect_err("its list is encrypted");
    assert_eq!(refused[0].code, "only-backups");
}

fn names(compiled: &Compiled, node: &str) -> BTreeSet<String> {
    let here = compiled.fleet.iter().filter(|one| one.id.node.as_str() == node);
    here.map(|one| format!("{} {}", one.id.kind, one.id.name)).collect()
}

#[test]
fn removing_a_replica_changes_nothing_that_an_apply_would() {
    let (removal, whole) = (removal(&[13], false), compiled(INVENTORY, &nodes()));
    let kinds: BTreeSet<Kind> = removal.fleet.iter().map(|one| one.id.kind).collect();
    for kind in [Kind::PgDatabase, Kind::PgRole, Kind::PatroniConfig, Kind::Packages, Kind::User] {
        assert!(!kinds.contains(&kind), "the removal of a replica holds a {kind}");
    }
    let leaving = names(&removal, "10.10.10.13");
    for expected in
        ["unit patroni.service", "unit pgbouncer.service", "directory /data/postgres/pg-test-17"]
    {
        assert!(leaving.contains(expected), "{expected} is missing: {leaving:#?}");
    }
    for staying in ["10.10.10.11", "10.10.10.12"] {
        let names = names(&removal, staying);
        for expected in ["file /etc/haproxy/haproxy.cfg", "unit haproxy.service"] {
            assert!(names.contains(expected), "{staying} does not learn of it: {names:#?}");
        }
        let balancer = file(&removal, staying, "/etc/haproxy/haproxy.cfg").expect("it changes");
        assert!(
            !balancer.contains("10.10.10.13") && balancer.contains("10.10.10.12"),
            "{balancer}"
        );
        // Of Patroni's configuration, one line: from where writes are taken.
        let patroni = "/etc/patroni/conf.d/10-patroni.yml";
        let before = file(&whole, staying, patroni).expect("it is there");
        let after = file(&removal, staying, patroni).expect("it changes");
        assert_eq!(after, before.replace("  - \"10.10.10.13\"\n", ""));
        assert_ne!(after, before);
        let untouched = ["/pg/conf/pg_hba.conf", "/etc/pgbouncer/userlist.txt", "20-listen.yml"];
        let touched: Vec<&String> =
            names.iter().filter(|name| untouched.iter().any(|file| name.ends_with(file))).collect();
        assert!(touched.is_empty(), "{staying}: {touched:?}");
    }
}

#[test]
fn a_cluster_that_goes_leaves_no_database_to_be_dropped_first() {
    let removal = removal(&[11, 12, 13], true);
    let databases = removal.fleet.iter().filter(|one| one.id.kind == Kind::PgDatabase);
    assert_eq!(databases.count(), 0);
    assert!(names(&removal, "10.10.10.11").contains("unit patroni.service"));
}
