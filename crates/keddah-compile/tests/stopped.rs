//! Where nobody of a cluster runs, whoever has the most starts first, whatever the inventory calls the
//! primary.

mod support;

use keddah_compile::Compiled;
use keddah_core::NodeName;
use keddah_resource::{
    DataFacts, InstanceFacts, Kind, NodeFacts, PatroniFacts, ResourceId, Spec, WalEnd,
};
use std::collections::BTreeMap;
use support::{compiled, facts, file};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
        10.10.10.13: { pg_seq: 3, pg_role: replica }
      vars: { pg_cluster: pg-test }
";

type Facts = BTreeMap<NodeName, NodeFacts>;

fn node(last: u8) -> NodeName {
    NodeName::new(format!("10.10.10.{last}"))
}

/// A cluster that is stopped; each member's timeline and the end of its WAL.
fn stopped(ends: [(u32, u64); 3]) -> Facts {
    let mut nodes: Facts = BTreeMap::from([(node(10), facts())]);
    for (seq, (timeline, position)) in (1_u8..).zip(ends) {
        let mut about = facts();
        let forks = if timeline > 1 { vec![(1, 100)] } else { Vec::new() };
        let wal = WalEnd { timeline, position, exact: true, forks };
        let data = DataFacts {
            path: "/data/postgres/pg-test-17/data".to_owned(),
            version: Some(17),
            system_identifier: "7300000000000000001".to_owned(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            wal: Some(wal),
            ..DataFacts::default()
        };
        about.instances = vec![InstanceFacts {
            made: true,
            runs: false,
            configuration: "conf.d".to_owned(),
            scope: "pg-test".to_owned(),
            namespace: "/pg".to_owned(),
            name: format!("pg-test-{seq}"),
            data_directory: "/pg/data".to_owned(),
            home: Some("/data/postgres/pg-test-17".to_owned()),
            data: Some(data),
        }];
        nodes.insert(node(10 + seq), about);
    }
    nodes
}

fn patroni(last: u8) -> ResourceId {
    ResourceId::new(&node(last), Kind::Unit, "patroni.service")
}

/// The members whose Patroni waits for no other member's instance.
fn first(compiled: &Compiled) -> Vec<u8> {
    let waits = |last: u8| {
        let unit = compiled.fleet.get(&patroni(last)).expect("a unit");
        unit.after.iter().any(|id| id.kind == Kind::PgInstance && id.node != node(last))
    };
    (11..=13).filter(|last| !waits(*last)).collect()
}

#[test]
fn whoever_has_the_most_starts_first() {
    for (ends, starts) in [
        ([(1, 500), (1, 500), (1, 500)], 11),
        ([(1, 300), (1, 500), (1, 900)], 13),
        ([(1, 300), (1, 900), (1, 900)], 12),
        // A timeline that came out of another one goes before it.
        ([(1, 900), (2, 300), (1, 50)], 12),
    ] {
        let compiled = compiled(INVENTORY, &stopped(ends));
        assert_eq!(first(&compiled), [starts], "{ends:?}");
        assert_eq!(file(&compiled, "10.10.10.11", "/etc/patroni/conf.d/05-bootstrap.yml"), None);
        let [cluster] = compiled.stopped.as_slice() else { panic!("{:?}", compiled.stopped) };
        assert_eq!((cluster.members.len(), cluster.silent.len()), (3, 0));
        assert_eq!(cluster.members[0].unit, patroni(starts));
        assert!(cluster.members.iter().all(|member| member.holds_data && member.wal.is_some()));
        let unit = compiled.fleet.get(&patroni(starts)).expect("a unit");
        assert!(matches!(&unit.spec, Spec::Unit(unit) if unit.running));
    }
}

#[test]
fn who_cannot_be_asked_and_who_has_nothing_is_told_apart() {
    let mut facts = stopped([(1, 300), (1, 500), (1, 900)]);
    facts.remove(&node(13));
    facts.get_mut(&node(11)).expect("a node").instances[0].data = None;
    let compiled = compiled(INVENTORY, &facts);
    let [cluster] = compiled.stopped.as_slice() else { panic!("{:?}", compiled.stopped) };
    let members: Vec<_> =
        cluster.members.iter().map(|member| (member.name.as_str(), member.holds_data)).collect();
    assert_eq!(members, [("pg-test-2", true), ("pg-test-1", false)]);
    assert_eq!(cluster.silent, ["pg-test-3 on 10.10.10.13"]);
}

#[test]
fn where_somebody_runs_patroni_decides_alone() {
    let mut facts = stopped([(1, 300), (1, 500), (1, 900)]);
    facts.get_mut(&node(12)).expect("a node").patroni = vec![PatroniFacts {
        tls: false,
        role: "primary".to_owned(),
        state: "running".to_owned(),
        scope: "pg-test".to_owned(),
        system_identifier: "7300000000000000001".to_owned(),
        paused: false,
    }];
    let compiled = compiled(INVENTORY, &facts);
    assert_eq!(first(&compiled), [12]);
    assert!(compiled.stopped.is_empty());
}
