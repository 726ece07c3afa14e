//! How members of etcd are born, replaced and struck: decided from what answers and what lies on disks.

mod support;

use keddah_compile::{Removing, as_if_well, own_changes};
use keddah_core::{Diagnostic, NodeName};
use keddah_resource::kind::etcd_member;
use keddah_resource::{DataFacts, EtcdFacts, EtcdMemberFacts, Kind, NodeFacts, PatroniFacts, Spec};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, without};

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts:
        10.10.10.10: { etcd_seq: 1 }
        10.10.10.11: { etcd_seq: 2 }
        10.10.10.12: { etcd_seq: 3 }
";

const BOOTSTRAP: &str = "/etc/etcd/bootstrap.env";

/// How a node of etcd is found.
#[derive(Clone, Copy)]
enum Found {
    /// Its member answers, as one of this cluster.
    Serves(&'static str),
    /// Its member does not run, and its data is there.
    Stopped,
    /// Nothing of a member is there.
    Empty,
    /// The node does not answer.
    Silent,
}

fn listed(last: u8) -> EtcdMemberFacts {
    EtcdMemberFacts {
        id: format!("{last}000"),
        name: format!("etcd-{}", last - 9),
        peer_urls: vec![format!("https://10.10.10.{last}:2380")],
        learner: false,
    }
}

/// The nodes; whoever serves lists these members.
fn nodes(found: [Found; 3], members: &[u8]) -> BTreeMap<NodeName, NodeFacts> {
    let members: Vec<EtcdMemberFacts> = members.iter().map(|&last| listed(last)).collect();
    let mut nodes = BTreeMap::new();
    for (last, found) in (10..).zip(found) {
        let etcd = match found {
            Found::Silent => continue,
            Found::Serves("own") => Some(EtcdFacts {
                cluster: "own".to_owned(),
                member: String::new(),
                members: vec![listed(last)],
            }),
            Found::Serves(cluster) => Some(EtcdFacts {
                cluster: cluster.to_owned(),
                member: String::new(),
                members: members.clone(),
            }),
            Found::Stopped | Found::Empty => None,
        };
        let etcd_has_data = matches!(found, Found::Serves(_) | Found::Stopped);
        nodes.insert(
            NodeName::new(format!("10.10.10.{last}")),
            NodeFacts { etcd, etcd_has_data, ..facts() },
        );
    }
    nodes
}

fn refused(found: [Found; 3], members: &[u8], removing: &Removing) -> Diagnostic {
    let problems = without(INVENTORY, &nodes(found, members), removing).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().expect("one")
}

fn removing(last: u8) -> Removing {
    let etcd = BTreeSet::from([NodeName::new(format!("10.10.10.{last}"))]);
    Removing { etcd, ..Removing::default() }
}

use Found::{Empty, Serves, Silent, Stopped};

#[test]
fn a_new_cluster_is_born_of_nodes_that_all_answer_and_have_nothing() {
    let born = compiled(INVENTORY, &nodes([Empty, Empty, Empty], &[]));
    for last in 10..=12 {
        let text = file(&born, &format!("10.10.10.{last}"), BOOTSTRAP).expect("it starts");
        assert!(text.contains("STATE=new"), "{text}");
    }
    // A first apply that was broken off when one of three had started goes on.
    let again = compiled(INVENTORY, &nodes([Stopped, Empty, Empty], &[]));
    assert_eq!(file(&again, "10.10.10.10", BOOTSTRAP), None);
    assert!(file(&again, "10.10.10.11", BOOTSTRAP).is_some_and(|text| text.contains("STATE=new")));
}

#[test]
fn a_rebuilt_member_takes_its_own_place_and_founds_nothing() {
    let fleet = compiled(INVENTORY, &nodes([Serves("7"), Empty, Serves("7")], &[10, 11, 12]));
    let text = file(&fleet, "10.10.10.11", BOOTSTRAP).expect("it joins");
    assert!(text.contains("STATE=existing"), "{text}");
    for member in ["etcd-1=", "etcd-2=", "etcd-3="] {
        assert_eq!(text.matches(member).count(), 1, "{text}");
    }
    let announced = fleet.fleet.iter().find(|one| one.id.kind == Kind::EtcdMember).expect("one");
    assert_eq!(announced.id.node.as_str(), "10.10.10.10");
    let Spec::EtcdMember(spec) = &announced.spec else { panic!("{announced:?}") };
    assert_eq!(spec.replaces.as_deref(), Some("11000"));
    let listed = etcd_member::Observed {
        peer_url: Some(spec.peer_url.clone()),
        id: Some("11000".to_owned()),
        learner: false,
        answers: false,
    };
    let change = spec.diff(&listed).expect("the plan shows it");
    assert!(change.reason.contains("its data is gone"), "{change:?}");
    let anew = etcd_member::Observed { id: Some("11001".to_owned()), ..listed };
    assert_eq!(spec.diff(&anew), None, "once is enough");
    for last in [10, 12] {
        assert_eq!(file(&fleet, &format!("10.10.10.{last}"), BOOTSTRAP), None);
    }
}

#[test]
fn a_member_that_was_announced_and_never_started_goes_on_joining() {
    let mut nodes = nodes([Serves("7"), Empty, Serves("7")], &[10, 11, 12]);
    for facts in nodes.values_mut() {
        if let Some(etcd) = &mut facts.etcd {
            etcd.members[1].name.clear();
        }
    }
    let fleet = compiled(INVENTORY, &nodes);
    assert!(fleet.fleet.iter().all(|one| one.id.kind != Kind::EtcdMember), "it is announced");
}

#[test]
fn a_cluster_of_its_own_is_refused_and_named() {
    let rogue =
        refused([Serves("own"), Serves("7"), Serves("7")], &[10, 11, 12], &Removing::default());
    assert_eq!(rogue.code, "etcd-rogue");
    assert!(rogue.message.starts_with("etcd on 10.10.10.10 is a cluster of its own"), "{rogue:?}");
    assert!(rogue.primary.is_some());
    // Lists of the same length: the cluster to which more members belong is the right one.
    let rogue = refused([Serves("own"), Serves("7"), Serves("7")], &[11], &Removing::default());
    assert!(rogue.message.starts_with("etcd on 10.10.10.10 is a cluster of its own"), "{rogue:?}");
}

#[test]
fn nobody_answers_is_not_nobody_exists() {
    let none = Removing::default();
    let grown = refused([Silent, Empty, Empty], &[], &none);
    assert_eq!(grown.code, "etcd-unasked");
    assert!(grown.message.contains("10.10.10.10 cannot be asked"), "{grown:?}");
    let stopped = refused([Stopped, Stopped, Empty], &[], &none);
    assert!(
        stopped.message.contains("data of a cluster on 10.10.10.10, 10.10.10.11"),
        "{stopped:?}"
    );
    // All of them are there and only off: they start as what they are.
    let off = compiled(INVENTORY, &nodes([Stopped, Stopped, Stopped], &[]));
    assert_eq!(file(&off, "10.10.10.11", BOOTSTRAP), None);
    // Whoever is asked for something else needs no etcd node to answer.
    assert!(without(INVENTORY, &nodes([Silent, Silent, Silent], &[]), &none).is_ok());
}

#[test]
fn a_place_is_given_anew_by_a_quorum_only() {
    let lost = refused([Serves("7"), Empty, Stopped], &[10, 11, 12], &Removing::default());
    assert_eq!(lost.code, "etcd-quorum");
    assert!(lost.message.contains("a quorum of 2 members; 1 answer"), "{lost:?}");
}

#[test]
fn a_dead_member_is_struck_and_its_node_left_alone() {
    let nodes = nodes([Serves("7"), Silent, Serves("7")], &[10, 11, 12]);
    let fleet = without(INVENTORY, &nodes, &removing(11)).expect("it compiles").fleet;
    let struck = fleet.iter().find(|one| one.id.kind == Kind::EtcdMember).expect("it is struck");
    let Spec::EtcdMember(spec) = &struck.spec else { panic!("{struck:?}") };
    assert_eq!((spec.member.as_str(), spec.present), ("etcd-2", false));
    assert!(fleet.iter().all(|one| one.id.node.as_str() != "10.10.10.11"));
}

#[test]
fn no_member_is_struck_where_that_costs_the_quorum() {
    // Three are listed, one is down: without a second one, one of two would answer.
    let stands = refused([Serves("7"), Serves("7"), Silent], &[10, 11, 12], &removing(11));
    assert_eq!(stands.code, "etcd-quorum");
    let alone = refused([Silent, Serves("7"), Silent], &[10, 11, 12], &removing(11));
    assert_eq!(alone.code, "etcd-unasked");
}

/// The same with a PostgreSQL on the first node.
const WITH_POSTGRES: &str = "    pg-a:
      hosts: { 10.10.10.10: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-a }
";

#[test]
fn one_stopped_member_of_a_fleet_with_data_is_no_broken_first_apply() {
    let text = format!("{INVENTORY}{WITH_POSTGRES}");
    let mut nodes = nodes([Stopped, Empty, Empty], &[]);
    // Grown from one to three while the one is off, or two of three rebuilt.
    let first = nodes.get_mut(&NodeName::new("10.10.10.10")).expect("it is there");
    first.package_candidates.insert("postgresql-18".to_owned(), "18".to_owned());
    let none = Removing::default();
    assert!(without(&text, &nodes, &none).is_ok(), "nothing was there but etcd's first start");
    let first = nodes.get_mut(&NodeName::new("10.10.10.10")).expect("it is there");
    first.data.push(DataFacts {
        path: "/data/postgres/pg-a-18".to_owned(),
        version: Some(18),
        system_identifier: "7".to_owned(),
        timeline: Some(1),
        owner: "postgres".to_owned(),
        restored: false,
        wal: None,
    });
    let problems = without(&text, &nodes, &none).expect_err("a second cluster is not made");
    assert_eq!(problems[0].code, "etcd-unasked");
    assert!(problems[0].message.contains("data of a cluster on 10.10.10.10"), "{problems:?}");
}

#[test]
fn whoever_comes_back_with_old_data_is_not_announced() {
    let back = refused([Serves("7"), Stopped, Silent], &[10], &Removing::default());
    assert_eq!(back.code, "etcd-leftover");
    // A removal that was broken off once the member was struck goes on.
    let nodes = nodes([Serves("7"), Stopped, Serves("7")], &[10, 12]);
    let well = as_if_well(nodes, &removing(11));
    assert!(without(INVENTORY, &well, &Removing::default()).is_ok());
}

#[test]
fn an_announced_member_without_data_is_told_its_cluster() {
    let mut nodes = nodes([Serves("7"), Empty, Empty], &[10, 11]);
    let first = nodes.get_mut(&NodeName::new("10.10.10.10")).expect("it is there");
    first.etcd.as_mut().expect("it serves").members[1].name.clear();
    let fleet = compiled(INVENTORY, &nodes);
    let text = file(&fleet, "10.10.10.11", BOOTSTRAP).expect("it would found one of its own");
    assert!(text.contains("etcd-1=https://10.10.10.10:2380,etcd-2=https://10.10.10.11:2380\n"));
    assert!(text.contains("STATE=existing"), "{text}");
}

/// etcd starts only where its list of members is the cluster's, and that has a lost one until it is
/// struck.
#[test]
fn the_first_of_two_lost_members_still_finds_the_second_in_the_list() {
    let text = INVENTORY.to_owned()
        + "        10.10.10.13: { etcd_seq: 4 }\n        10.10.10.14: { etcd_seq: 5 }\n";
    let mut five = nodes([Serves("7"), Empty, Empty], &[10, 11, 12, 13, 14]);
    let serving = five[&NodeName::new("10.10.10.10")].clone();
    five.insert(NodeName::new("10.10.10.13"), serving.clone());
    five.insert(NodeName::new("10.10.10.14"), serving);
    let fleet = compiled(&text, &five);
    for lost in ["10.10.10.11", "10.10.10.12"] {
        let list = file(&fleet, lost, BOOTSTRAP).expect("it joins");
        assert_eq!(list.matches(":2380").count(), 5, "{list}");
    }
}

#[test]
fn an_etcd_that_would_start_empty_is_refused() {
    // It answers, and its data is not where the inventory puts it.
    let mut moved = nodes([Serves("7"), Serves("7"), Serves("7")], &[10, 11, 12]);
    moved.get_mut(&NodeName::new("10.10.10.11")).expect("a node").etcd_has_data = false;
    let problems = without(INVENTORY, &moved, &Removing::default()).expect_err("it is refused");
    assert_eq!(problems[0].code, "etcd-place");
    // It is known to the others by another address.
    let ports = format!("{INVENTORY}      vars: {{ etcd_peer_port: 2480 }}\n");
    let all = nodes([Serves("7"), Serves("7"), Serves("7")], &[10, 11, 12]);
    let problems = without(&ports, &all, &Removing::default()).expect_err("it is refused");
    assert_eq!(problems[0].code, "etcd-place");
    assert!(problems[0].help.join(" ").contains("etcd_peer_port"), "{problems:?}");
    // Nobody has data, PostgreSQL has, and etcd was there before.
    let text = format!(
        "{INVENTORY}    pg-a:\n      hosts: {{ 10.10.10.10: {{ pg_seq: 1, pg_role: primary }} }}\n      \
         vars: {{ pg_cluster: pg-a }}\n"
    );
    let mut gone = nodes([Empty, Empty, Empty], &[]);
    let first = gone.get_mut(&NodeName::new("10.10.10.10")).expect("a node");
    let path = "/data/postgres/pg-a-17/data".to_owned();
    first.data.push(DataFacts { path, version: Some(17), ..DataFacts::default() });
    without(&text, &gone, &Removing::default()).expect("these nodes never had a member");
    gone.get_mut(&NodeName::new("10.10.10.12")).expect("a node").etcd_configured = true;
    let problems = without(&text, &gone, &Removing::default()).expect_err("it is refused");
    assert_eq!(problems[0].code, "etcd-lost");
}

#[test]
fn an_etcd_that_is_moved_to_another_host_is_not_born_a_second_time() {
    let gone = |text: String, line: &str| text.replace(&format!("        {line}\n"), "");
    let text = gone(INVENTORY.to_owned(), "10.10.10.10: { etcd_seq: 1 }");
    let text = gone(text, "10.10.10.12: { etcd_seq: 3 }");
    let text = format!(
        "{text}    pg-a:\n      hosts: {{ 10.10.10.10: {{ pg_seq: 1, pg_role: primary }} }}\n      \
         vars: {{ pg_cluster: pg-a }}\n"
    );
    assert_eq!(text.matches("etcd_seq").count(), 1, "{text}");
    let mut facts = nodes([Empty, Empty, Empty], &[]);
    let first = facts.get_mut(&NodeName::new("10.10.10.10")).expect("a node");
    let path = "/data/postgres/pg-a-17/data".to_owned();
    first.data.push(DataFacts { path, version: Some(17), ..DataFacts::default() });
    without(&text, &facts, &Removing::default()).expect("nothing is known of another etcd");
    // The host that was a member stands in no group of etcd's any more.
    let mut known = facts;
    known.get_mut(&NodeName::new("10.10.10.10")).expect("a node").etcd_configured = true;
    let problems = without(&text, &known, &Removing::default()).expect_err("it is refused");
    assert_eq!(problems[0].code, "etcd-lost", "{problems:?}");
    assert!(problems[0].help.join(" ").contains("to move etcd"), "{problems:?}");
}

/// One address is edited: the member that has the name lives elsewhere, and its vote would be given to a
/// machine without its data.
#[test]
fn a_members_name_is_not_given_to_another_host() {
    let text = INVENTORY.replace("10.10.10.12:", "10.10.10.13:");
    let mut nodes = nodes([Serves("7"), Serves("7"), Silent], &[10, 11, 12]);
    nodes.insert(NodeName::new("10.10.10.13"), facts());
    let refused = without(&text, &nodes, &Removing::default()).map(drop);
    let problems = refused.expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].code, "etcd-name");
    assert!(problems[0].message.contains("etcd-3 at https://10.10.10.12:2380"), "{problems:?}");
    assert!(problems[0].help.join(" ").contains("keddah remove"), "{problems:?}");
    // Struck, its name is free; another name joins beside it.
    let mut struck = self::nodes([Serves("7"), Serves("7"), Silent], &[10, 11]);
    struck.insert(NodeName::new("10.10.10.13"), facts());
    compiled(&text, &struck);
    compiled(&text.replace("etcd_seq: 3", "etcd_seq: 4"), &nodes);
}

/// Numbers dealt anew: what runs as etcd-3 would be told that it is etcd-2, and etcd-3 be born elsewhere.
#[test]
fn members_of_etcd_are_not_renumbered() {
    let text = "all:
  children:
    etcd:
      hosts:
        10.10.10.10: { etcd_seq: 1 }
        10.10.10.12: { etcd_seq: 2 }
        10.10.10.13: { etcd_seq: 3 }
";
    let mut nodes = nodes([Serves("7"), Serves("7"), Serves("7")], &[10, 11, 12]);
    nodes.insert(NodeName::new("10.10.10.13"), facts());
    let problems = without(text, &nodes, &Removing::default()).expect_err("it is refused");
    assert_eq!(problems[0].code, "etcd-name", "{problems:?}");
    // Two that swap their numbers.
    let swapped =
        INVENTORY.replace("etcd_seq: 2", "etcd_seq: 9").replace("etcd_seq: 3", "etcd_seq: 2");
    let swapped = swapped.replace("etcd_seq: 9", "etcd_seq: 3");
    let problems = without(&swapped, &nodes, &Removing::default()).expect_err("it is refused");
    assert_eq!(problems[0].code, "etcd-name", "{problems:?}");
    assert!(problems[0].message.contains("10.10.10.12 is etcd-3"), "{problems:?}");
    assert!(problems[0].help.join(" ").contains("etcd_seq"), "{problems:?}");
    // One that has lost its data joins anew, under whatever name.
    let lost = self::nodes([Serves("7"), Empty, Serves("7")], &[10, 11, 12]);
    compiled(&INVENTORY.replace("etcd_seq: 2", "etcd_seq: 4"), &lost);
}

/// Who may lead was known by the etcd that is lost: a replica that waits for one takes the lead in an empty
/// one, with what it has.
#[test]
fn an_empty_etcd_is_not_made_for_a_replica_that_waits_for_it() {
    let text = format!(
        "{INVENTORY}    pg-a:\n      hosts:\n        10.10.10.10: {{ pg_seq: 1, pg_role: primary }}\n        \
         10.10.10.13: {{ pg_seq: 2, pg_role: replica }}\n      vars: {{ pg_cluster: pg-a }}\n"
    );
    let patroni = |role: &str| PatroniFacts {
        name: String::new(),
        tls: true,
        role: role.to_owned(),
        state: "running".to_owned(),
        scope: "pg-a".to_owned(),
        system_identifier: "7".to_owned(),
        paused: false,
    };
    let mut gone = nodes([Empty, Empty, Empty], &[]);
    let first = gone.get_mut(&NodeName::new("10.10.10.10")).expect("a node");
    let path = "/data/postgres/pg-a-17/data".to_owned();
    first.data.push(DataFacts { path, version: Some(17), ..DataFacts::default() });
    // The other member is off; with every Patroni stopped, its start asks for a word (tests/stopped.rs).
    without(&text, &gone, &Removing::default()).expect("etcd is declared lost, and nobody runs");
    let first = gone.get_mut(&NodeName::new("10.10.10.10")).expect("a node");
    first.patroni.push(patroni("replica"));
    let problems = without(&text, &gone, &Removing::default()).expect_err("it would lead at once");
    assert_eq!(problems[0].code, "etcd-lost", "{problems:?}");
    assert!(problems[0].message.contains("Patroni of pg-a runs on 10.10.10.10"), "{problems:?}");
    // Whoever leads already goes on.
    let first = gone.get_mut(&NodeName::new("10.10.10.10")).expect("a node");
    first.patroni = vec![patroni("primary")];
    without(&text, &gone, &Removing::default()).expect("its primary goes on");
}

/// Two removals in a row, with the inventory as it was: the second makes nothing of what the first took.
#[test]
fn a_removal_does_not_make_anew_what_an_earlier_one_took() {
    let mut nodes = nodes([Empty, Serves("7"), Serves("7")], &[11, 12]);
    let first = nodes.get_mut(&NodeName::new("10.10.10.10")).expect("a node");
    first.etcd_configured = true;
    let removing = removing(12);
    let mut with = without(INVENTORY, &nodes, &removing).expect("it compiles");
    let well = as_if_well(nodes, &removing);
    own_changes(&mut with.fleet, &compiled(INVENTORY, &well).fleet);
    assert_eq!(with.fleet.unknown_dependencies(), []);
    let elsewhere: Vec<String> = with
        .fleet
        .iter()
        .filter(|one| one.id.node.as_str() != "10.10.10.12")
        .map(|one| one.id.to_string())
        .collect();
    assert_eq!(elsewhere.len(), 1, "{elsewhere:?}");
    let struck =
        with.fleet.iter().find(|one| one.id.kind == Kind::EtcdMember).expect("it is struck");
    let Spec::EtcdMember(spec) = &struck.spec else { panic!("{struck:?}") };
    assert_eq!((spec.member.as_str(), spec.present), ("etcd-3", false));
}
