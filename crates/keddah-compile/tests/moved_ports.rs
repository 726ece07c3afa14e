//! A Patroni, a server or a pool that moves to another port: who asks it, or leads clients there, follows
//! after it.

mod support;

use keddah_core::NodeName;
use keddah_resource::{
    DataFacts, InstanceFacts, Kind, NodeFacts, PatroniFacts, PortFacts, ResourceId,
};
use std::collections::BTreeMap;
use support::{compiled, facts, node};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-test, patroni_port: 8009 }
";

/// Two members whose servers run; Patroni answers at the declared port on so many of them.
fn nodes(answering: usize) -> BTreeMap<NodeName, NodeFacts> {
    let mut nodes: BTreeMap<NodeName, NodeFacts> =
        [10, 11, 12].map(|last| (node(last), facts())).into();
    for (at, (last, role)) in [(11, "primary"), (12, "replica")].into_iter().enumerate() {
        let data = DataFacts {
            path: "/data/postgres/pg-test-17/data".to_owned(),
            version: Some(17),
            system_identifier: "7300000000000000001".to_owned(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            restored: false,
            wal: None,
        };
        let about = nodes.get_mut(&node(last)).expect("it is there");
        about.instances = vec![InstanceFacts {
            made: true,
            runs: true,
            configuration: "conf.d".to_owned(),
            scope: "pg-test".to_owned(),
            namespace: "/pg".to_owned(),
            name: format!("pg-test-{}", at + 1),
            data_directory: "/pg/data".to_owned(),
            home: Some("/data/postgres/pg-test-17".to_owned()),
            data: Some(data.clone()),
        }];
        about.patroni_directories = vec!["conf.d".to_owned()];
        about.data = vec![data];
        if at < answering {
            about.patroni = vec![PatroniFacts {
                name: String::new(),
                tls: false,
                role: role.to_owned(),
                state: "running".to_owned(),
                scope: "pg-test".to_owned(),
                system_identifier: "7300000000000000001".to_owned(),
                paused: false,
            }];
        }
    }
    nodes
}

/// The Patronis that a node's HAProxy waits for.
fn awaited(answering: usize, last: u8) -> Vec<NodeName> {
    let compiled = compiled(INVENTORY, &nodes(answering));
    let haproxy = ResourceId::new(&node(last), Kind::Unit, "haproxy.service");
    let haproxy = compiled.fleet.get(&haproxy).expect("the node has one");
    let patroni = haproxy.after.iter().filter(|id| id.name == "patroni.service");
    patroni.map(|id| id.node.clone()).collect()
}

#[test]
fn haproxy_follows_patronis_that_move_to_another_port() {
    for last in [11, 12] {
        assert_eq!(awaited(0, last), [node(11), node(12)], "none is found before");
    }
}

#[test]
fn haproxy_waits_for_no_patroni_that_is_merely_away() {
    for answering in [1, 2] {
        assert_eq!(awaited(answering, 11), Vec::<NodeName>::new(), "{answering} answer");
    }
}

/// What HAProxy of a node waits for, of servers and pools that have moved.
fn followed(told: &keddah_compile::Compiled, last: u8) -> Vec<String> {
    let haproxy = ResourceId::new(&node(last), Kind::Unit, "haproxy.service");
    let haproxy = told.fleet.get(&haproxy).expect("the node has one");
    let moved = |id: &&ResourceId| id.kind == Kind::Postmaster || id.name == "pgbouncer.service";
    haproxy.after.iter().filter(moved).map(|id| format!("{} {}", id.node, id.name)).collect()
}

#[test]
fn haproxy_and_pools_follow_servers_that_move_to_another_port() {
    let text = INVENTORY.replace("patroni_port: 8009", "pg_port: 5532");
    let mut facts = nodes(2);
    let told = compiled(&text, &facts);
    assert!(followed(&told, 11).is_empty(), "where they listen now is not known");
    for last in [11, 12] {
        let ports =
            PortFacts { cluster: "pg-test".to_owned(), server: Some(5432), pool: Some(6432) };
        facts.get_mut(&node(last)).expect("a node").ports = vec![ports];
    }
    let told = compiled(&text, &facts);
    for last in [11, 12] {
        assert_eq!(followed(&told, last), ["10.10.10.11 pg-test-1", "10.10.10.12 pg-test-2"]);
        let pool = ResourceId::new(&node(last), Kind::Unit, "pgbouncer.service");
        let pool = told.fleet.get(&pool).expect("a pool");
        assert!(pool.after.iter().any(|id| id.kind == Kind::Postmaster && id.node == node(last)));
    }
    let note = told.notes.iter().find(|note| note.contains("moves from port")).expect("a note");
    assert!(
        note.starts_with("PostgreSQL of pg-test-1, pg-test-2 moves from port 5432 to 5532"),
        "{note}"
    );
    let told = compiled(&INVENTORY.replace("patroni_port: 8009", "pgbouncer_port: 6532"), &facts);
    let pools = ["10.10.10.11 pgbouncer.service", "10.10.10.12 pgbouncer.service"];
    assert_eq!(followed(&told, 11), pools);
    let told = compiled(&INVENTORY.replace(", patroni_port: 8009", ""), &facts);
    assert!(followed(&told, 11).is_empty(), "nothing moves");
    assert!(!told.notes.iter().any(|note| note.contains("moves from port")));
}
