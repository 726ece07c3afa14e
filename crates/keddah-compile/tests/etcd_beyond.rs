//! An empty etcd is made only where every host was asked whether a Patroni waits for one, whatever is selected.

mod support;

use keddah_compile::{Removing, asked_before_etcd, may_begin_etcd};
use keddah_core::{Diagnostic, NodeName, SourceMap};
use keddah_inventory::Inventory;
use keddah_resource::{DataFacts, EtcdFacts, NodeFacts, PatroniFacts};
use std::collections::{BTreeMap, BTreeSet};
use support::{facts, node, without};

const TEXT: &str = "all:
  children:
    etcd:
      hosts: { 10.10.10.10: { etcd_seq: 1 } }
    pg-a:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-a }
    others:
      hosts: { 10.10.10.13: {} }
";

fn set(lasts: &[u8]) -> BTreeSet<NodeName> {
    lasts.iter().map(|&last| node(last)).collect()
}

fn inventory() -> Inventory {
    let mut sources = SourceMap::default();
    let (inventory, problems) =
        keddah_inventory::load(&mut sources, "sandbox.yml", TEXT.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    inventory.expect("it loads")
}

/// A node of `pg-a` with data, and what its Patroni says that it is, if it runs.
fn postgres(role: Option<&str>) -> NodeFacts {
    let path = "/data/postgres/pg-a-17/data".to_owned();
    let patroni = role.map(|role| PatroniFacts {
        name: String::new(),
        tls: true,
        role: role.to_owned(),
        state: "running".to_owned(),
        scope: "pg-a".to_owned(),
        system_identifier: "7".to_owned(),
        paused: false,
    });
    NodeFacts {
        data: vec![DataFacts { path, version: Some(17), ..DataFacts::default() }],
        patroni: patroni.into_iter().collect(),
        ..facts()
    }
}

/// What is asked beyond `-l etcd`.
fn beyond(facts: &BTreeMap<NodeName, NodeFacts>) -> BTreeSet<NodeName> {
    let etcd = set(&[10]);
    asked_before_etcd(&inventory(), &etcd, &etcd, facts).expect("one etcd")
}

fn judged(
    selected: &[u8],
    starts: &[u8],
    nodes: &[(u8, NodeFacts)],
) -> Result<(), Vec<Diagnostic>> {
    let all = nodes.iter().map(|(last, about)| (node(*last), about.clone())).collect();
    may_begin_etcd(&inventory(), &set(selected), &set(starts), &all)
}

/// The code of the one refusal.
fn refused(answer: Result<(), Vec<Diagnostic>>) -> &'static str {
    let problems = answer.expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].primary.is_some() && !problems[0].help.is_empty(), "{problems:?}");
    problems[0].code
}

#[test]
fn all_hosts_are_asked_where_an_empty_etcd_would_be_made_and_only_there() {
    let mut nodes = BTreeMap::from([(node(10), facts())]);
    assert_eq!(beyond(&nodes), set(&[11, 12, 13]));
    let members = asked_before_etcd(&inventory(), &set(&[11]), &set(&[11]), &nodes);
    assert_eq!(members.expect("one etcd"), set(&[]), "no member of etcd is selected");
    // One that is off starts with its data, and one that answers is there.
    nodes.get_mut(&node(10)).expect("a node").etcd_has_data = true;
    assert_eq!(beyond(&nodes), set(&[]));
    let etcd = EtcdFacts { cluster: "7".into(), member: "1".into(), members: Vec::new() };
    nodes.insert(node(10), NodeFacts { etcd: Some(etcd), ..facts() });
    assert_eq!(beyond(&nodes), set(&[]));
}

#[test]
fn a_patroni_outside_of_the_selection_is_seen() {
    // Of the selected host alone nothing is known that speaks against it.
    let alone = BTreeMap::from([(node(10), facts())]);
    without(TEXT, &alone, &Removing::default()).expect("compiling asks nobody else");
    let waits = [(10, facts()), (11, postgres(Some("replica"))), (12, postgres(None))];
    assert_eq!(refused(judged(&[10], &[10], &waits)), "etcd-lost");
    // Whoever leads goes on, and a fleet that is new or stopped waits for nobody.
    let leads = [(10, facts()), (11, postgres(Some("primary"))), (12, postgres(None))];
    judged(&[10], &[10], &leads).expect("it is led");
    let stopped = [(10, facts()), (11, postgres(None)), (12, postgres(None))];
    judged(&[10], &[10], &stopped).expect("nobody runs");
    judged(&[10], &[10], &[(10, facts()), (11, facts()), (12, facts())]).expect("it is new");
    // A host that has been a member, and is one of etcd's no more.
    let was = NodeFacts { etcd_configured: true, ..facts() };
    let moved = [(10, facts()), (11, postgres(None)), (12, postgres(None)), (13, was)];
    assert_eq!(refused(judged(&[10], &[10], &moved)), "etcd-lost");
}

#[test]
fn one_that_does_not_answer_may_wait_for_etcd() {
    let silent = [(10, facts())];
    assert_eq!(refused(judged(&[10], &[10], &silent)), "etcd-unasked");
    assert_eq!(refused(judged(&[10, 11, 12], &[10, 11, 12], &silent)), "etcd-unasked");
    let half = [(10, facts()), (11, postgres(None))];
    assert_eq!(refused(judged(&[10], &[10], &half)), "etcd-unasked");
    assert_eq!(refused(judged(&[10, 11, 12], &[], &half)), "etcd-unasked", "-m etcd");
    // The start of its cluster in the same plan names it, and asks for a word.
    judged(&[10, 11, 12], &[10, 11, 12], &half).expect("that start judges");
    let led = [(10, facts()), (11, postgres(Some("primary")))];
    judged(&[10], &[10], &led).expect("it is led");
    // A host without PostgreSQL has no Patroni.
    judged(&[10], &[10], &[(10, facts()), (11, facts()), (12, facts())]).expect("13 is silent");
}
