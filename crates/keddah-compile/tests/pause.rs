//! A cluster that is paused, or declared to be.

mod support;

use keddah_core::NodeName;
use keddah_resource::{Kind, NodeFacts, PatroniFacts, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file, node};

const INVENTORY: &str = include_str!("../../../conf/sandbox.yml");

/// Four nodes, pg-test alive on two of three.
fn nodes(paused: bool) -> BTreeMap<NodeName, NodeFacts> {
    let mut nodes: BTreeMap<NodeName, NodeFacts> =
        [10, 11, 12, 13].map(|last| (node(last), facts())).into();
    for (last, role) in [(11, "primary"), (12, "replica")] {
        nodes.get_mut(&node(last)).expect("it is there").patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7300000000000000001".to_owned(),
            paused,
        }];
    }
    nodes
}

#[test]
fn no_member_is_made_in_a_pause() {
    for paused in [false, true] {
        let compiled = compiled(INVENTORY, &nodes(paused));
        let third = node(13);
        let made = compiled.fleet.of_kind(&third, Kind::PgInstance).next().expect("it is there");
        let Spec::PgInstance(spec) = &made.spec else { panic!("{made:?}") };
        assert_eq!(spec.paused, paused);
    }
}

#[test]
fn a_declared_pause_begins_when_all_members_are_made() {
    let inventory =
        INVENTORY.replace("pg_conf: tiny.yml", "pg_conf: tiny.yml\n    patroni_mode: pause");
    let mut facts = nodes(false);
    facts.values_mut().for_each(|facts| facts.patroni.clear());
    let compiled = compiled(&inventory, &facts);
    let first = file(&compiled, "10.10.10.11", "/etc/patroni/conf.d/05-bootstrap.yml");
    let first = first.expect("it says how the cluster is made");
    assert!(first.contains("loop_wait") && !first.contains("pause"), "{first}");
    let mut all = compiled.fleet.iter();
    let config = all
        .find(|one| one.id.kind == Kind::PatroniConfig && one.cluster.as_deref() == Some("pg-test"))
        .expect("it has one");
    let Spec::PatroniConfig(spec) = &config.spec else { panic!("{config:?}") };
    assert_eq!(spec.settings["pause"], true);
    let waits: Vec<&str> = config
        .after
        .iter()
        .filter(|id| id.kind == Kind::PgInstance)
        .map(|id| id.name.as_str())
        .collect();
    assert!(["pg-test-1", "pg-test-2", "pg-test-3"].iter().all(|one| waits.contains(one)));
}
