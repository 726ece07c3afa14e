//! Where nobody of a cluster runs, whoever has the most starts first, whatever the inventory calls the
//! primary.

mod support;

use keddah_compile::Compiled;
use keddah_resource::{Kind, Led, MemberFacts, PatroniFacts, ResourceId, Spec, WalEnd};
use std::collections::BTreeMap;
use support::{Facts, compiled, facts, file, instance, node, of};

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

/// A cluster that is stopped; each member's timeline and the end of its WAL.
fn stopped(ends: [(u32, u64); 3]) -> Facts {
    let mut nodes: Facts = BTreeMap::from([(node(10), facts())]);
    for (seq, (timeline, position)) in (1_u8..).zip(ends) {
        let mut about = facts();
        let forks = if timeline > 1 { vec![(1, 100)] } else { Vec::new() };
        let wal = WalEnd { timeline, position, exact: true, forks };
        about.instances = vec![instance(seq, false, Some(wal))];
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
        name: String::new(),
        tls: false,
        role: "primary".to_owned(),
        state: "running".to_owned(),
        scope: "pg-test".to_owned(),
        system_identifier: "7300000000000000001".to_owned(),
        paused: false,
    }];
    // Its WAL is what its Patroni says, and goes on.
    let leader = WalEnd { timeline: 2, position: 950, exact: false, forks: vec![(1, 600)] };
    of(&mut facts, 12).instances[0].data.as_mut().expect("data").wal = Some(leader.clone());
    let told = compiled(INVENTORY, &facts);
    assert_eq!(first(&told), [12]);
    let [cluster] = told.stopped.as_slice() else { panic!("{:?}", told.stopped) };
    let members: Vec<_> = cluster.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(members, ["pg-test-3", "pg-test-1"], "those that are stopped");
    let led = Led { by: "pg-test-2 on 10.10.10.12".to_owned(), wal: Some(leader) };
    assert_eq!(cluster.led, Some(led));
    // One that runs without its Patroni is not stopped, and a backup that was restored is told.
    of(&mut facts, 11).instances[0].runs = true;
    let data = of(&mut facts, 13).instances[0].data.as_mut().expect("data");
    data.restored = true;
    let told = compiled(INVENTORY, &facts);
    let [member] = told.stopped[0].members.as_slice() else { panic!("{:?}", told.stopped) };
    assert_eq!(member.restored.as_deref(), Some("/data/postgres/pg-test-17/data"));
    // Where nobody leads, Patroni compares those that run.
    of(&mut facts, 12).patroni[0].role = "replica".to_owned();
    assert!(compiled(INVENTORY, &facts).stopped.is_empty());
}

#[test]
fn what_stopped_members_are_compared_with_where_the_leader_cannot_be_asked() {
    let mut facts = stopped([(1, 300), (1, 500), (1, 900)]);
    facts.remove(&node(11));
    of(&mut facts, 10).etcd_has_data = true;
    let follows = WalEnd { timeline: 2, position: 800, exact: false, forks: vec![(1, 600)] };
    let replica = of(&mut facts, 12);
    replica.instances[0].data.as_mut().expect("data").wal = Some(follows);
    replica.patroni = vec![PatroniFacts {
        name: String::new(),
        tls: false,
        role: "replica".to_owned(),
        state: "running".to_owned(),
        scope: "pg-test".to_owned(),
        system_identifier: "7300000000000000001".to_owned(),
        paused: false,
    }];
    replica.members = vec![MemberFacts {
        scope: "pg-test".to_owned(),
        name: "pg-test-1".to_owned(),
        host: "10.10.10.11".to_owned(),
        state: "running".to_owned(),
        leads: true,
    }];
    let told = compiled(INVENTORY, &facts);
    let [cluster] = told.stopped.as_slice() else { panic!("{:?}", told.stopped) };
    let led = cluster.led.as_ref().expect("somebody leads");
    assert_eq!(led.by, "pg-test-1 on 10.10.10.11");
    let [member] = cluster.members.as_slice() else { panic!("{cluster:?}") };
    let beyond = member.wal.as_ref().zip(led.wal.as_ref()).and_then(|(wal, led)| wal.beyond(led));
    assert_eq!((member.name.as_str(), beyond), ("pg-test-3", Some(300)), "of its own");
}

#[test]
fn a_member_that_was_made_and_has_lost_its_data_is_told() {
    let mut nodes = stopped([(1, 900), (1, 500), (1, 500)]);
    assert_eq!(compiled(INVENTORY, &nodes).stopped[0].lost, [""; 0]);
    of(&mut nodes, 11).instances[0].data = None;
    assert_eq!(compiled(INVENTORY, &nodes).stopped[0].lost, ["pg-test-1 on 10.10.10.11"]);
}

#[test]
fn one_that_patroni_never_lets_lead_does_not_start_first() {
    let inventory = INVENTORY.replace(
        "10.10.10.13: { pg_seq: 3, pg_role: replica }",
        "10.10.10.13: { pg_seq: 3, pg_role: delayed, pg_delay: 1h }",
    );
    let told = compiled(&inventory, &stopped([(1, 300), (1, 500), (1, 900)]));
    assert_eq!(first(&told), [12], "it would wait for a leader, and the others for it");
    let [cluster] = told.stopped.as_slice() else { panic!("{:?}", told.stopped) };
    let members: Vec<_> =
        cluster.members.iter().map(|member| (member.name.as_str(), member.barred)).collect();
    assert_eq!(members, [("pg-test-2", false), ("pg-test-3", true), ("pg-test-1", false)]);
}

#[test]
fn where_patronis_run_and_no_server_does_the_leader_is_waited_for() {
    let waited_for = |state: &str| {
        let mut facts = stopped([(1, 500), (1, 500), (1, 500)]);
        for last in 11..=13 {
            of(&mut facts, last).patroni = vec![PatroniFacts {
                name: String::new(),
                tls: false,
                role: if last == 11 && state == "running" { "primary" } else { "replica" }
                    .to_owned(),
                state: state.to_owned(),
                scope: "pg-test".to_owned(),
                system_identifier: "7300000000000000001".to_owned(),
                paused: false,
            }];
        }
        let compiled = compiled(INVENTORY, &facts);
        let first = |last: u8| {
            let id =
                ResourceId::new(&node(last), Kind::PgInstance, format!("pg-test-{}", last - 10));
            let resource = compiled.fleet.get(&id).expect("an instance");
            matches!(&resource.spec, Spec::PgInstance(spec) if spec.starts_first)
        };
        (11..=13).filter(|last| first(*last)).count()
    };
    assert_eq!(waited_for("running"), 0);
    assert_eq!(waited_for("start failed"), 1, "roles want a primary, which one becomes");
}
