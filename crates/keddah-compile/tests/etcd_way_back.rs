//! Ways back to an etcd that can be applied: a member that the others know by a wrong address, and hosts
//! whose clusters have been removed.

mod support;

use keddah_compile::Removing;
use keddah_core::NodeName;
use keddah_resource::{DataFacts, EtcdFacts, EtcdMemberFacts, NodeFacts, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file, node, without};

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts:
        10.10.10.10: { etcd_seq: 1 }
        10.10.10.11: { etcd_seq: 2 }
        10.10.10.12: { etcd_seq: 3 }
    pg-test:
      hosts: { 10.10.10.10: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-test }
";

/// Three members that run, of which the list has the last by this name at this address.
fn nodes(name: &str, address: &str) -> BTreeMap<NodeName, NodeFacts> {
    let listed = |id: u8, name: &str, address: &str| EtcdMemberFacts {
        id: id.to_string(),
        name: name.to_owned(),
        peer_urls: vec![format!("https://{address}:2380")],
        learner: false,
    };
    let members = vec![
        listed(10, "etcd-1", "10.10.10.10"),
        listed(11, "etcd-2", "10.10.10.11"),
        listed(12, name, address),
    ];
    let one = |last: u8| {
        let etcd = EtcdFacts {
            cluster: "1".to_owned(),
            member: last.to_string(),
            members: members.clone(),
        };
        (node(last), NodeFacts { etcd: Some(etcd), etcd_has_data: true, ..facts() })
    };
    [10, 11, 12].map(one).into()
}

/// Members of etcd's list that are to be put right: through whom, which, and to which address.
fn told(nodes: &BTreeMap<NodeName, NodeFacts>) -> Vec<(String, String, String)> {
    let fleet = compiled(INVENTORY, nodes).fleet;
    let told = fleet.iter().filter_map(|one| match &one.spec {
        Spec::EtcdMember(spec) => {
            assert!(spec.present && spec.replaces.is_none());
            Some((one.id.node.to_string(), spec.member.clone(), spec.peer_url.clone()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn a_member_that_the_others_know_by_a_wrong_address_is_put_right() {
    let wrong = nodes("etcd-3", "10.10.10.13");
    let right = ("10.10.10.10", "etcd-3", "https://10.10.10.12:2380");
    let right = (right.0.to_owned(), right.1.to_owned(), right.2.to_owned());
    assert_eq!(told(&wrong), [right]);
    let compiled = compiled(INVENTORY, &wrong);
    // It is no stranger that could be struck, and it is not made anew.
    assert!(
        !compiled.notes.iter().any(|note| note.contains("does not know")),
        "{:?}",
        compiled.notes
    );
    assert_eq!(file(&compiled, "10.10.10.12", "/etc/etcd/bootstrap.env"), None);
    assert_eq!(told(&nodes("etcd-3", "10.10.10.12")), [], "it is right");
}

#[test]
fn another_member_at_another_address_is_refused_with_what_helps() {
    let wrong = nodes("etcd-9", "10.10.10.13");
    let problems = without(INVENTORY, &wrong, &Removing::default()).expect_err("it is another");
    assert_eq!(problems[0].code, "etcd-place");
    assert!(problems[0].message.contains("etcd-9 at https://10.10.10.13:2380"));
    let help = problems[0].help.join(" ");
    assert!(
        help.contains("keddah-etcdctl member update c --peer-urls=https://10.10.10.12:2380"),
        "{help}"
    );
}

#[test]
fn what_was_removed_does_not_keep_etcd_from_being_made_anew() {
    let mut facts: BTreeMap<NodeName, NodeFacts> =
        [10, 11, 12].map(|last| (node(last), facts())).into();
    for node in facts.values_mut() {
        node.etcd_configured = true;
    }
    let data = |path: &str| DataFacts { path: path.to_owned(), ..DataFacts::default() };
    let first = facts.get_mut(&node(10)).expect("a node");
    first.data = vec![data("/data/postgres/pg-test-17.removed/data")];
    compiled(INVENTORY, &facts);
    let first = facts.get_mut(&node(10)).expect("a node");
    first.data.push(data("/data/postgres/pg-test-17/data"));
    let problems = without(INVENTORY, &facts, &Removing::default()).expect_err("it has data");
    assert_eq!(problems[0].code, "etcd-lost");
}
