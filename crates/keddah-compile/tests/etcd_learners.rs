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

/// A learner refuses whatever a client asks of it but what may be stale: whoever asks it first is refused.
#[test]
fn clients_are_not_led_to_a_member_that_stays_a_learner() {
    let text = |third: &str| {
        format!(
            "{}    pg-test:\n      hosts: {{ 10.10.10.20: {{ pg_seq: 1, pg_role: primary }} }}\n      \
             vars: {{ pg_cluster: pg-test, pg_conf: tiny.yml }}\n",
            inventory(3, third)
        )
    };
    let listed_by_patroni = |third: &str, mut found: BTreeMap<NodeName, NodeFacts>| {
        found.insert(NodeName::new("10.10.10.20"), facts());
        let fleet = compiled(&text(third), &found);
        let patroni = file(&fleet, "10.10.10.20", "/etc/patroni/conf.d/10-patroni.yml");
        let patroni = patroni.expect("it is there");
        [12, 11, 10].map(|last| patroni.contains(&format!("10.10.10.{last}:2379")))
    };
    let voters = [listed(1, false), listed(2, false), listed(3, false)];
    let members = [listed(1, false), listed(2, false), listed(3, true)];
    let without_it = [false, true, true];
    assert_eq!(listed_by_patroni(STAYS, nodes(&[1, 2], &[3], &[], &members)), without_it);
    // It is about to join, and the next plan must not differ.
    assert_eq!(listed_by_patroni(STAYS, nodes(&[1, 2], &[], &[3], &members[..2])), without_it);
    // Nobody says what it is: it is what it was declared to become.
    assert_eq!(listed_by_patroni(STAYS, nodes(&[], &[1, 2, 3], &[], &[])), without_it);
    // It votes, whatever was declared: it got its vote, or is made together with the others.
    assert_eq!(listed_by_patroni(STAYS, nodes(&[1, 2, 3], &[], &[], &voters)), [true; 3]);
    assert_eq!(listed_by_patroni(STAYS, nodes(&[], &[], &[1, 2, 3], &[])), [true; 3]);
    // It is on its way to its vote.
    assert_eq!(listed_by_patroni("", nodes(&[1, 2], &[3], &[], &members)), [true; 3]);
}

/// Logins, users and roles are asked of a member that answers such questions.
#[test]
fn nobody_acts_in_etcd_through_a_learner_first() {
    let hosts = "        10.10.10.10: { etcd_seq: 1, etcd_learner: true }\n        \
                 10.10.10.11: { etcd_seq: 2 }\n        10.10.10.12: { etcd_seq: 3 }\n";
    let text = format!(
        "all:\n  children:\n    etcd:\n      hosts:\n{hosts}    pg-test:\n      \
         hosts: {{ 10.10.10.20: {{ pg_seq: 1, pg_role: primary }} }}\n      \
         vars: {{ pg_cluster: pg-test, pg_conf: tiny.yml }}\n"
    );
    let members = [listed(1, true), listed(2, false), listed(3, false)];
    let mut found = nodes(&[2, 3], &[1], &[], &members);
    found.insert(NodeName::new("10.10.10.20"), facts());
    let fleet = compiled(&text, &found);
    let mut asked = 0;
    for resource in fleet.fleet.iter() {
        let servers = match &resource.spec {
            Spec::EtcdAuth(spec) => &spec.servers,
            Spec::EtcdAccess(spec) => &spec.servers,
            _ => continue,
        };
        asked += 1;
        assert!(resource.id.node.as_str() != "10.10.10.10", "{}", resource.id);
        let last = servers.connections.last().expect("somebody is asked");
        assert_eq!(last.endpoint, "https://10.10.10.10:2379", "{}", resource.id);
    }
    assert!(asked >= 3, "root, logins, and a cluster's user: {asked}");
}
