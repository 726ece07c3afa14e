//! Members of etcd's own list that the inventory does not know: each has a vote, and nobody asks it.

mod support;

use keddah_compile::Removing;
use keddah_core::NodeName;
use keddah_resource::{EtcdFacts, EtcdMemberFacts, NodeFacts};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, without};

const TWO: &str = "all:
  children:
    etcd:
      hosts:
        10.10.10.10: { etcd_seq: 1 }
        10.10.10.11: { etcd_seq: 2 }
";

const THIRD: &str = "        10.10.10.12: { etcd_seq: 3 }\n";

/// A member as its own kind lists it.
fn listed(last: u8, name: &str) -> EtcdMemberFacts {
    serde_json::from_value(serde_json::json!({
        "id": format!("{last}000"),
        "name": name,
        "peer_urls": [format!("https://10.10.10.{last}:2380")],
    }))
    .expect("facts of a member")
}

/// Nodes that serve with this list, and nodes that have nothing.
fn nodes(
    serving: &[u8],
    empty: &[u8],
    members: &[EtcdMemberFacts],
) -> BTreeMap<NodeName, NodeFacts> {
    let node = |last: u8, serves: bool| {
        let etcd = serves.then(|| EtcdFacts {
            cluster: "7".to_owned(),
            member: String::new(),
            members: members.to_vec(),
        });
        let facts = NodeFacts { etcd, etcd_has_data: serves, ..facts() };
        (NodeName::new(format!("10.10.10.{last}")), facts)
    };
    let empty = empty.iter().map(|&last| node(last, false));
    serving.iter().map(|&last| node(last, true)).chain(empty).collect()
}

#[test]
fn a_member_that_nobody_declared_is_named_with_what_to_do() {
    let members = [listed(10, "etcd-1"), listed(11, "etcd-2"), listed(19, "etcd-9")];
    let found = compiled(TWO, &nodes(&[10, 11], &[], &members));
    let note = found.notes.iter().find(|note| note.contains("10.10.10.19")).expect("it is named");
    for words in ["etcd-9", "https://10.10.10.19:2380", "keddah remove", "member remove 4a38"] {
        assert!(note.contains(words), "{note}");
    }
    let known = compiled(TWO, &nodes(&[10, 11], &[], &members[..2]));
    assert!(known.notes.iter().all(|note| !note.contains("etcd")), "{:?}", known.notes);
}

#[test]
fn nobody_joins_where_the_unknown_votes_could_take_the_quorum() {
    let text = format!("{TWO}{THIRD}");
    let mut members = vec![listed(10, "etcd-1"), listed(11, "etcd-2"), listed(19, "etcd-9")];
    // With the new one four vote, and three are known.
    let joins = compiled(&text, &nodes(&[10, 11], &[12], &members));
    // etcd starts only where its list of members is the cluster's.
    let list = file(&joins, "10.10.10.12", "/etc/etcd/bootstrap.env").expect("it may join");
    assert!(
        list.contains("=https://10.10.10.19:2380,etcd-3=") || list.contains("19:2380\n"),
        "{list}"
    );
    members.push(listed(20, "etcd-10"));
    let problems = without(&text, &nodes(&[10, 11], &[12], &members), &Removing::default())
        .expect_err("of four, three are the quorum, and two are known");
    assert_eq!(problems[0].code, "etcd-quorum");
    assert!(problems[0].message.contains("etcd-9, etcd-10"), "{problems:?}");
}

#[test]
fn nobody_is_struck_where_only_the_unknown_would_make_the_quorum() {
    let members = [
        listed(10, "etcd-1"),
        listed(11, "etcd-2"),
        listed(12, "etcd-3"),
        listed(19, "etcd-9"),
        listed(20, "etcd-10"),
    ];
    let removing =
        Removing { etcd: BTreeSet::from([NodeName::new("10.10.10.12")]), ..Removing::default() };
    let text = format!("{TWO}{THIRD}");
    let nodes = nodes(&[10, 11, 12], &[], &members);
    let problems = without(&text, &nodes, &removing).expect_err("of four two answer");
    assert_eq!(problems[0].code, "etcd-quorum");
    let all = format!("{:?}", problems[0]);
    assert!(all.contains("etcd-9") && all.contains("member remove"), "{all}");
}
