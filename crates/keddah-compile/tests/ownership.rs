//! Nodes that somebody else has set up are refused; those of Keddah's and nobody's are not.

mod support;

use keddah_compile::Removing;
use keddah_core::NodeName;
use keddah_resource::{NodeFacts, OwnershipFacts, ServiceFacts};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts: { 10.10.10.11: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-test, pg_conf: tiny.yml }
";

fn service(unit: &str) -> ServiceFacts {
    ServiceFacts { unit: unit.to_owned(), ..ServiceFacts::default() }
}

/// What Pigsty leaves of etcd.
fn pigstys_etcd() -> ServiceFacts {
    ServiceFacts {
        foreign_unit: Some("/etc/systemd/system/etcd.service".to_owned()),
        command: "/usr/bin/etcd --config-file /etc/etcd/etcd.conf".to_owned(),
        running: Some("/usr/bin/etcd --config-file /etc/etcd/etcd.conf".to_owned()),
        enabled: true,
        foreign_files: vec!["/etc/etcd/etcd.conf".to_owned()],
        makers: vec!["Pigsty".to_owned()],
        ..service("etcd.service")
    }
}

/// HAProxy with services of others, under the package's unit.
fn other_haproxy() -> ServiceFacts {
    ServiceFacts {
        foreign_files: vec!["/etc/haproxy/haproxy.cfg".to_owned()],
        ..service("haproxy.service")
    }
}

/// Marks of Keddah's on a node, and what stands in the places of services.
type Found<'a> = (&'a [&'a str], Vec<ServiceFacts>);

/// etcd's node and PostgreSQL's.
fn nodes(etcd: Found<'_>, postgresql: Found<'_>) -> BTreeMap<NodeName, NodeFacts> {
    let node = |(marks, services): Found<'_>| {
        let marks = marks.iter().map(|&mark| mark.to_owned()).collect();
        NodeFacts { ownership: OwnershipFacts { marks, services }, ..facts() }
    };
    BTreeMap::from([
        (NodeName::new("10.10.10.10"), node(etcd)),
        (NodeName::new("10.10.10.11"), node(postgresql)),
    ])
}

/// Fails unless they are accepted.
fn accepted(etcd: Found<'_>, postgresql: Found<'_>) {
    let compiled = compiled(INVENTORY, &nodes(etcd, postgresql));
    assert!(file(&compiled, "10.10.10.10", "/etc/default/etcd").is_some());
    assert!(file(&compiled, "10.10.10.11", "/etc/haproxy/haproxy.cfg").is_some());
}

/// What is refused of them.
fn refused(etcd: Found<'_>, postgresql: Found<'_>, removing: &Removing) -> Vec<String> {
    let problems = without(INVENTORY, &nodes(etcd, postgresql), removing).err().unwrap_or_default();
    assert!(problems.iter().all(|problem| problem.code == "foreign-cluster"), "{problems:?}");
    problems.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn each_node_of_another_tools_fleet_is_refused_with_what_was_found() {
    let patroni = ServiceFacts {
        running: Some("/usr/bin/python3 /usr/bin/patroni /etc/patroni/patroni.yml".to_owned()),
        ..service("patroni.service")
    };
    let nodes = |removing: &Removing| {
        refused(
            (&[], vec![pigstys_etcd(), other_haproxy()]),
            (&[], vec![patroni.clone()]),
            removing,
        )
    };
    let found = nodes(&Removing::default());
    assert_eq!(
        found,
        [
            "10.10.10.10 was set up by another tool or by hand, not by Keddah (Pigsty is named \
             there): etcd.service is started by /etc/systemd/system/etcd.service, which no package \
             made so (`/usr/bin/etcd --config-file /etc/etcd/etcd.conf`), has configuration of its \
             own in /etc/etcd/etcd.conf; haproxy.service has configuration of its own in \
             /etc/haproxy/haproxy.cfg",
            "10.10.10.11 was set up by another tool or by hand, not by Keddah: patroni.service runs \
             with /etc/patroni/patroni.yml (`/usr/bin/python3 /usr/bin/patroni \
             /etc/patroni/patroni.yml`)",
        ]
    );
    let removing = Removing {
        pgsql: BTreeMap::from([(
            "pg-test".to_owned(),
            BTreeSet::from([NodeName::new("10.10.10.11")]),
        )]),
        without_backup: true,
        ..Removing::default()
    };
    assert_eq!(nodes(&removing), found, "nor is anything of it taken away");
}

#[test]
fn what_is_nobodys_or_not_asked_for_is_accepted() {
    let packaged = |unit: &str, command: &str| ServiceFacts {
        command: command.to_owned(),
        running: Some(command.to_owned()),
        enabled: true,
        ..service(unit)
    };
    let nobodys = [
        packaged("etcd.service", "/usr/bin/etcd"),
        packaged(
            "haproxy.service",
            "/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -S \
             /run/haproxy-master.sock",
        ),
        packaged("patroni.service", "/usr/bin/patroni /etc/patroni/config.yml"),
        packaged("pgbouncer.service", "/usr/sbin/pgbouncer /etc/pgbouncer/pgbouncer.ini"),
        // The inventory wants neither a member of etcd nor a virtual address on that node.
        pigstys_etcd(),
        ServiceFacts { enabled: true, ..service("vip-manager.service") },
    ];
    let etcd = nobodys[..4].to_vec();
    let postgresql = nobodys[1..].to_vec();
    accepted((&[], etcd), (&[], postgresql));
}

#[test]
fn a_node_of_keddahs_that_was_changed_by_hand_stays_its_own() {
    let marked = |service: ServiceFacts| {
        let marks = vec![format!("/etc/systemd/system/{}.d/keddah.conf", service.unit)];
        ServiceFacts { marks, ..service }
    };
    let edited = ServiceFacts {
        running: Some("/usr/bin/patroni /etc/patroni/conf.d".to_owned()),
        ..service("patroni.service")
    };
    let ours: &[&str] = &["/etc/sysctl.d/90-keddah.conf"];
    // All marks of HAProxy's were deleted, and its configuration was changed.
    let etcd = (ours, vec![marked(pigstys_etcd()), other_haproxy()]);
    let postgresql = (ours, vec![marked(edited)]);
    accepted(etcd, postgresql);
    // On a node that is Keddah's for other things, a store that others run is still theirs.
    let foreign = refused((ours, vec![pigstys_etcd()]), (ours, Vec::new()), &Removing::default());
    assert_eq!(foreign.len(), 1);
}
