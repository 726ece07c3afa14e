//! Which logins by public passwords an apply could open: none on a sandbox's nodes, none that is there.

mod support;

use keddah_core::NodeName;
use keddah_resource::{Door, Kind, NodeFacts, PatroniFacts};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars:
        pg_cluster: pg-test
        pg_conf: tiny.yml
        pg_users:
          - { name: app, password: unlike-any }
          - { name: view, password: DBUser.View }
          - { name: same, password: same }
          - { name: group, password: DBUser.Group, login: false }
";

const OWN: &str = "  vars:
    pg_admin_password: a-1
    pg_monitor_password: b-2
    pg_replication_password: c-3
    patroni_password: d-4
    haproxy_admin_password: e-5
    etcd_root_password: f-6
    pg_etcd_password: g-7
";

const ROLES: [&str; 6] = [
    "`pg_admin_password`",
    "`pg_etcd_password` (the cluster's name)",
    "`pg_monitor_password`",
    "`pg_replication_password`",
    "user `same`",
    "user `view`",
];

fn nodes() -> BTreeMap<NodeName, NodeFacts> {
    (10..13).map(|last| (NodeName::new(format!("10.10.10.{last}")), facts())).collect()
}

fn on<'d>(doors: &'d [Door], node: &str) -> BTreeSet<&'d str> {
    let here = doors.iter().filter(|door| door.by.node.as_str() == node);
    here.map(|door| door.password.as_str()).collect()
}

#[test]
fn everything_that_lets_somebody_in_by_a_public_password_is_one() {
    let doors = compiled(INVENTORY, &nodes()).doors;
    let of_etcd = ["`etcd_root_password`", "`haproxy_admin_password`"];
    assert_eq!(on(&doors, "10.10.10.10"), BTreeSet::from(of_etcd));
    let files = ["`haproxy_admin_password`", "`patroni_password`"];
    assert_eq!(on(&doors, "10.10.10.12"), BTreeSet::from(files));
    assert_eq!(on(&doors, "10.10.10.11"), files.into_iter().chain(ROLES).collect());
    assert!(doors.iter().all(|door| !door.presumed), "{doors:?}");
    let shown = format!("{doors:?}");
    assert!(!shown.contains("DBUser") && !shown.contains("Patroni.API"), "{shown}");
}

#[test]
fn passwords_of_ones_own_open_nothing() {
    let text =
        INVENTORY.replace("DBUser.View", "view-6").replace("password: same", "password: x-7");
    assert_eq!(compiled(&format!("{text}{OWN}"), &nodes()).doors, []);
}

#[test]
fn a_node_without_a_sandboxs_mark_is_none_of_a_sandbox() {
    let mut facts = nodes();
    for node in facts.values_mut() {
        node.sandbox = true;
    }
    assert_eq!(compiled(INVENTORY, &facts).doors, []);
    facts.get_mut(&NodeName::new("10.10.10.12")).expect("it is there").sandbox = false;
    let doors = compiled(INVENTORY, &facts).doors;
    assert_eq!(on(&doors, "10.10.10.10"), BTreeSet::new());
    assert_eq!(on(&doors, "10.10.10.11"), ROLES.into(), "a role logs in on each member");
    facts.get_mut(&NodeName::new("10.10.10.11")).expect("it is there").patroni =
        vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: "primary".to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        }];
    facts.remove(&NodeName::new("10.10.10.12"));
    let doors = compiled(INVENTORY, &facts).doors;
    assert_eq!(on(&doors, "10.10.10.11"), ROLES.into(), "one that is away is no sandbox's");
}

/// What a node answers is asked for by the same texts that are written there.
#[test]
fn what_stands_in_a_file_already_is_not_opened() {
    let mut sources = keddah_core::SourceMap::default();
    let (inventory, _) = keddah_inventory::load(&mut sources, "f.yml", INVENTORY.as_bytes());
    let probes = keddah_compile::probes(&inventory.expect("it loads"));
    let mut facts = nodes();
    let fleet = compiled(INVENTORY, &facts);
    for (node, probe) in &probes {
        for door in &probe.doors {
            let text = support::file(&fleet, node.as_str(), &door.path).expect(&door.path);
            assert!(text.lines().any(|line| line.trim_end().ends_with(&door.line)), "{door:?}");
        }
        let paths = probe.doors.iter().map(|door| door.path.clone()).collect();
        facts.get_mut(node).expect("it is there").doors = paths;
    }
    let doors = compiled(INVENTORY, &facts).doors;
    assert_eq!(on(&doors, "10.10.10.12"), BTreeSet::new());
    assert_eq!(on(&doors, "10.10.10.11"), ROLES.into(), "roles are compared, not read from files");
    let logins = [Kind::PgRole, Kind::EtcdAuth, Kind::EtcdAccess];
    assert!(doors.iter().all(|door| logins.contains(&door.by.kind)), "{doors:?}");
}

#[test]
fn a_cluster_that_is_there_has_the_roles_by_which_it_works() {
    let mut facts = nodes();
    facts.get_mut(&NodeName::new("10.10.10.11")).expect("it is there").patroni =
        vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: "primary".to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        }];
    let doors = compiled(INVENTORY, &facts).doors;
    for door in doors.iter().filter(|door| door.by.kind == Kind::PgRole) {
        assert_eq!(door.presumed, door.password.starts_with('`'), "{door:?}");
    }
}
