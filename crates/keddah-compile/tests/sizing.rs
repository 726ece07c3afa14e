//! What follows the sizes of a cluster's nodes, while one of them does not answer.

mod support;

use keddah_compile::Compiled;
use keddah_core::NodeName;
use keddah_resource::{DataFacts, InstanceFacts, NodeFacts, PatroniFacts, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, node};

const INVENTORY: &str = include_str!("../../../conf/sandbox.yml");

/// pg-test alive on three nodes, of which the last has a quarter of the others' memory.
fn alive() -> BTreeMap<NodeName, NodeFacts> {
    let mut nodes: BTreeMap<NodeName, NodeFacts> =
        [10, 11, 12, 13].map(|last| (node(last), facts())).into();
    for (last, role) in [(11, "primary"), (12, "replica"), (13, "replica")] {
        let facts = nodes.get_mut(&node(last)).expect("it is there");
        if last == 13 {
            facts.memory_bytes /= 4;
        }
        let data = DataFacts {
            path: "/data/postgres/pg-test-18/data".to_owned(),
            version: Some(18),
            system_identifier: "7300000000000000001".to_owned(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            restored: false,
            wal: None,
        };
        facts.instances = vec![InstanceFacts {
            configuration: "conf.d".to_owned(),
            scope: "pg-test".to_owned(),
            namespace: "/pg".to_owned(),
            name: format!("pg-test-{}", last - 10),
            data_directory: "/pg/data".to_owned(),
            home: Some("/data/postgres/pg-test-18".to_owned()),
            data: Some(data.clone()),
            made: true,
            runs: true,
        }];
        facts.patroni_directories = vec!["conf.d".to_owned()];
        facts.data = vec![data];
        facts.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7300000000000000001".to_owned(),
            paused: false,
        }];
    }
    nodes
}

/// The cluster's configuration as it should be.
fn configuration(compiled: &Compiled) -> Spec {
    let mut all = compiled.fleet.iter();
    let found = all.find(|one| {
        matches!(one.spec, Spec::PatroniConfig(_)) && one.cluster.as_deref() == Some("pg-test")
    });
    found.expect("it has one").spec.clone()
}

#[test]
fn what_a_member_that_is_away_might_not_bear_is_not_raised() {
    let mut facts = alive();
    let inventory = INVENTORY.replace("tiny.yml", "oltp.yml");
    let whole = configuration(&compiled(&inventory, &facts));
    let written = whole.settled();
    facts.remove(&node(13));
    let spec = configuration(&compiled(&inventory, &facts));
    assert_eq!(spec.diff(&written), None, "nothing of it was changed in the inventory");

    let Spec::PatroniConfig(config) = &spec else { panic!("{spec:?}") };
    let sized = ["shared_buffers", "effective_cache_size", "work_mem"];
    for name in sized {
        assert!(config.sized.contains(name), "{name}: {:?}", config.sized);
    }
    assert!(!config.sized.contains("log_destination"), "{:?}", config.sized);
    assert_eq!(config.away, ["pg-test-3 on 10.10.10.13"]);

    // What somebody sets by hand is theirs.
    let by_hand = inventory.replace(
        "pg_cluster: pg-test",
        "pg_cluster: pg-test\n        pg_parameters: { shared_buffers: 77MB }",
    );
    assert_ne!(by_hand, inventory);
    let spec = configuration(&compiled(&by_hand, &facts));
    let Spec::PatroniConfig(config) = &spec else { panic!("{spec:?}") };
    assert!(!config.sized.contains("shared_buffers"));
}
