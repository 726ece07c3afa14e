//! A member joins etcd as a learner and gets its vote once it has caught up; one at a time.

mod support;

use keddah_compile::{Compiled, Removing};
use keddah_core::NodeName;
use keddah_resource::kind::etcd_member::{self, Stage, vote};
use keddah_resource::{EtcdFacts, EtcdMemberFacts, Kind, NodeFacts, Resource, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file, without};

/// An inventory of so many members; the third with these words beside its number.
fn inventory(members: u8, third: &str) -> String {
    let host = |number: u8| {
        let more = if number == 3 { third } else { "" };
        format!("        10.10.10.{}: {{ etcd_seq: {number}{more} }}\n", number + 9)
    };
    let hosts: String = (1..=members).map(host).collect();
    format!("all:\n  children:\n    etcd:\n      hosts:\n{hosts}")
}

const STAYS: &str = ", etcd_learner: true";

fn listed(number: u8, learner: bool) -> EtcdMemberFacts {
    EtcdMemberFacts {
        id: format!("{number}000"),
        name: format!("etcd-{number}"),
        peer_urls: vec![format!("https://10.10.10.{}:2380", number + 9)],
        learner,
    }
}

/// Nodes: those that serve with this list, those with data that do not answer (a learner answers no such
/// question), those that have nothing.
fn nodes(
    serving: &[u8],
    stopped: &[u8],
    empty: &[u8],
    members: &[EtcdMemberFacts],
) -> BTreeMap<NodeName, NodeFacts> {
    let node = |number: u8, serves: bool, etcd_has_data: bool| {
        let etcd = serves.then(|| EtcdFacts {
            cluster: "7".to_owned(),
            member: String::new(),
            members: members.to_vec(),
        });
        let name = NodeName::new(format!("10.10.10.{}", number + 9));
        (name, NodeFacts { etcd, etcd_has_data, ..facts() })
    };
    let serving = serving.iter().map(|&number| node(number, true, true));
    let stopped = stopped.iter().map(|&number| node(number, false, true));
    serving.chain(stopped).chain(empty.iter().map(|&number| node(number, false, false))).collect()
}

fn resource<'a>(fleet: &'a Compiled, name: &str) -> Option<&'a Resource> {
    fleet.fleet.iter().find(|one| one.id.kind == Kind::EtcdMember && one.id.name == name)
}

fn spec<'a>(fleet: &'a Compiled, name: &str) -> &'a etcd_member::Spec {
    match &resource(fleet, name).expect(name).spec {
        Spec::EtcdMember(spec) => spec,
        other => panic!("{name} is a {}", other.kind()),
    }
}

/// Which of the etcd members' steps come one after the other.
fn order(fleet: &Compiled) -> Vec<String> {
    let ordered = fleet.fleet.ordered().expect("nothing waits for itself");
    let steps = ordered.into_iter().filter(|one| one.kind == Kind::EtcdMember);
    steps.map(|one| one.name.clone()).collect()
}

#[test]
fn each_gets_its_vote_before_the_next_joins() {
    let fleet = compiled(&inventory(3, ""), &nodes(&[1], &[], &[2, 3], &[listed(1, false)]));
    assert_eq!(order(&fleet), ["etcd-2", "etcd-2-vote", "etcd-3", "etcd-3-vote"]);
    assert_eq!(spec(&fleet, &vote("etcd-2")).stage, Stage::Votes);
    let started = &resource(&fleet, "etcd-2-vote").expect("a vote").after;
    assert!(started.iter().any(|one| one.kind == Kind::Unit), "it has started first: {started:?}");
    // A new cluster is made of voters.
    let born = compiled(&inventory(3, ""), &nodes(&[], &[], &[1, 2, 3], &[]));
    assert_eq!(order(&born), [""; 0]);
}

#[test]
fn what_was_killed_before_the_vote_goes_on() {
    let members = [listed(1, false), listed(2, true)];
    // It runs already, and another one waits behind it.
    let fleet = compiled(&inventory(3, ""), &nodes(&[1], &[2], &[3], &members));
    assert_eq!(order(&fleet), ["etcd-2-vote", "etcd-3", "etcd-3-vote"]);
    // It was announced, and has not started.
    let mut announced = members.clone();
    announced[1].name.clear();
    let fleet = compiled(&inventory(2, ""), &nodes(&[1], &[], &[2], &announced));
    assert_eq!(order(&fleet), ["etcd-2-vote"]);
    let list = file(&fleet, "10.10.10.11", "/etc/etcd/bootstrap.env").expect("it starts");
    assert!(list.contains("STATE=existing"), "{list}");
    // The later one comes first where it is the learner.
    let members = [listed(1, false), listed(3, true)];
    let fleet = compiled(&inventory(3, ""), &nodes(&[1], &[3], &[2], &members));
    assert_eq!(order(&fleet), ["etcd-3-vote", "etcd-2", "etcd-2-vote"]);
}

#[test]
fn one_that_stays_a_learner_gets_no_vote_until_it_shall_have_one() {
    let one = [listed(1, false)];
    let fleet = compiled(&inventory(3, STAYS), &nodes(&[1], &[], &[2, 3], &one));
    assert_eq!(order(&fleet), ["etcd-2", "etcd-2-vote", "etcd-3"]);
    let members = [listed(1, false), listed(2, false), listed(3, true)];
    let found = nodes(&[1, 2], &[3], &[], &members);
    assert_eq!(order(&compiled(&inventory(3, STAYS), &found)), [""; 0]);
    assert_eq!(order(&compiled(&inventory(3, ", etcd_learner: false"), &found)), ["etcd-3-vote"]);
    // Nobody joins beside it.
    let found = nodes(&[1, 2], &[3], &[4], &members);
    let problems =
        without(&inventory(4, STAYS), &found, &Removing::default()).expect_err("refused");
    assert_eq!(problems[0].code, "etcd-learner");
    assert!(problems[0].message.contains("etcd-3"), "{problems:?}");
    // One that votes is told that it keeps its vote.
    let members = [listed(1, false), listed(2, false), listed(3, false)];
    let fleet = compiled(&inventory(3, STAYS), &nodes(&[1, 2, 3], &[], &[], &members));
    assert!(fleet.notes.iter().any(|note| note.contains("keeps it")), "{:?}", fleet.notes);
}

#[test]
fn a_learner_is_none_of_those_of_which_a_quorum_must_answer() {
    // Three vote, of which two answer: the third, which lost its data, may join anew.
    let members = [listed(1, false), listed(2, false), listed(3, false), listed(4, true)];
    let found = nodes(&[1, 2], &[4], &[3], &members);
    let text = inventory(4, "");
    let fleet = compiled(&text, &found);
    assert_eq!(order(&fleet), ["etcd-4-vote", "etcd-3", "etcd-3-vote"]);
    // A learner that lost its data itself joins anew.
    let fleet = compiled(&text, &nodes(&[1, 2, 3], &[], &[4], &members));
    assert_eq!(order(&fleet), ["etcd-4", "etcd-4-vote"]);
    assert_eq!(spec(&fleet, "etcd-4").replaces.as_deref(), Some("4000"));
}

#[test]
fn the_plan_shows_a_vote_until_it_is_there() {
    let members = [listed(1, false), listed(2, false), listed(3, false)];
    let fleet = compiled(&inventory(3, ""), &nodes(&[1, 3], &[], &[2], &members));
    let spec = spec(&fleet, "etcd-2-vote");
    let found = |id: &str, learner| etcd_member::Observed {
        peer_url: Some(spec.peer_url.clone()),
        id: Some(id.to_owned()),
        learner,
        answers: false,
    };
    assert!(spec.diff(&found("2000", false)).is_some(), "that is the lost one");
    assert!(spec.diff(&found("2001", true)).is_some());
    assert_eq!(spec.diff(&found("2001", false)), None);
    let none = etcd_member::Observed { peer_url: None, id: None, learner: false, answers: false };
    assert!(spec.diff(&none).is_some(), "it is not listed yet");
}
