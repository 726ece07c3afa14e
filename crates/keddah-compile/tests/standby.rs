//! Standby clusters: what they are made with, and what they are set to once they run.

mod support;

use keddah_compile::{Removing, needed};
use keddah_core::{NodeName, SourceMap};
use keddah_resource::{Kind, PatroniFacts, Spec};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-meta:
      hosts: { 10.10.10.11: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-meta, pg_conf: tiny.yml }
    pg-delay:
      hosts:
        10.10.10.12: { pg_seq: 1, pg_role: primary, pg_upstream: 10.10.10.11, pg_delay: 1h }
      vars: { pg_cluster: pg-delay, pg_conf: tiny.yml }
";

/// With WAL to replay, a server that stays behind receives nothing until it has waited.
#[test]
fn a_copy_stays_behind_only_once_it_receives() {
    let node = |last: u8| NodeName::new(format!("10.10.10.{last}"));
    let nodes: BTreeMap<_, _> = [10, 11, 12].map(|last| (node(last), facts())).into();
    let made = compiled(INVENTORY, &nodes);
    let path = "/etc/patroni/conf.d/05-bootstrap.yml";
    let born = file(&made, "10.10.10.12", path).expect("it is told");
    assert!(
        born.contains("standby_cluster:") && !born.contains("recovery_min_apply_delay"),
        "{born}"
    );
    let settings = made.fleet.iter().find_map(|one| match &one.spec {
        Spec::PatroniConfig(spec) if one.id.name == "pg-delay" => Some(&spec.settings),
        _ => None,
    });
    let followed = &settings.expect("its settings")["standby_cluster"];
    assert_eq!(followed["recovery_min_apply_delay"], "1h");
    assert_eq!(made.fleet.iter().filter(|one| one.id.kind == Kind::PatroniConfig).count(), 2);
}

/// `-l` of the cluster that is to follow: who is followed is asked all the same.
#[test]
fn what_is_no_copy_is_not_demoted_when_it_is_selected_alone() {
    let node = |last: u8| NodeName::new(format!("10.10.10.{last}"));
    let mut sources = SourceMap::default();
    let (inventory, _) = keddah_inventory::load(&mut sources, "x.yml", INVENTORY.as_bytes());
    let needed = needed(&inventory.expect("it loads"), &BTreeSet::from([node(12)]));
    let refused = |systems: [&str; 2], answer: &dyn Fn(&NodeName) -> bool| {
        let mut nodes: BTreeMap<_, _> = [10, 11, 12].map(|last| (node(last), facts())).into();
        for (last, scope, system) in [(11, "pg-meta", systems[0]), (12, "pg-delay", systems[1])] {
            nodes.get_mut(&node(last)).expect("it is there").patroni = vec![PatroniFacts {
                name: String::new(),
                tls: false,
                role: "primary".to_owned(),
                state: "running".to_owned(),
                scope: scope.to_owned(),
                system_identifier: system.to_owned(),
                paused: false,
            }];
        }
        nodes.retain(|node, _| needed.contains(node) && answer(node));
        let problems = without(INVENTORY, &nodes, &Removing::default()).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(refused(["7", "8"], &|_| true), ["not-a-copy"]);
    assert_eq!(refused(["7", "7"], &|_| true), [""; 0], "it is a copy, and a DEMOTION");
    let followed = node(11);
    assert_eq!(refused(["7", "7"], &|node| *node != followed), ["not-a-copy"]);
}
