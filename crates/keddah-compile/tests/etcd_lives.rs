//! Data of etcd that is of another life than the list of those that answer: foretold, with the way out.

mod support;

use keddah_compile::{Removing, as_if_well};
use keddah_core::{Diagnostic, NodeName};
use keddah_resource::{EtcdFacts, EtcdLife, EtcdMemberFacts, NodeFacts};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, node, without};

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts:
        10.10.10.10: { etcd_seq: 1 }
        10.10.10.11: { etcd_seq: 2 }
        10.10.10.12: { etcd_seq: 3 }
";

/// The cluster that lives, and one that was.
const LIVES: &str = "7700";
const WAS: &str = "6600";

/// The data of a member, in which cluster.
fn life(cluster: &str, member: &str) -> Option<EtcdLife> {
    Some(EtcdLife { cluster: cluster.to_owned(), member: member.to_owned() })
}

/// Three members that answer, the ids of which are their addresses' last parts, each with its own data.
fn fleet() -> BTreeMap<NodeName, NodeFacts> {
    let members: Vec<EtcdMemberFacts> = (10..=12)
        .map(|last| EtcdMemberFacts {
            id: last.to_string(),
            name: format!("etcd-{}", last - 9),
            peer_urls: vec![format!("https://10.10.10.{last}:2380")],
            learner: false,
        })
        .collect();
    let one = |last: u8| {
        let etcd = EtcdFacts {
            cluster: LIVES.to_owned(),
            member: last.to_string(),
            members: members.clone(),
        };
        let life = life(LIVES, &last.to_string());
        let about = NodeFacts { etcd: Some(etcd), etcd_has_data: true, etcd_life: life, ..facts() };
        (node(last), about)
    };
    (10..=12).map(one).collect()
}

/// The fleet in which the third member does not answer, with this data.
fn third(life: Option<EtcdLife>) -> BTreeMap<NodeName, NodeFacts> {
    let mut fleet = fleet();
    let about = fleet.get_mut(&node(12)).expect("a node");
    (about.etcd, about.etcd_life) = (None, life);
    fleet
}

fn refused(facts: &BTreeMap<NodeName, NodeFacts>) -> Diagnostic {
    let refused = without(INVENTORY, facts, &Removing::default()).map(drop);
    let mut problems = refused.expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

/// The help leads out of it, and deletes nothing.
fn leads_out(problem: &Diagnostic) {
    let help = problem.help.join(" ");
    assert!(help.contains("/member aside") || help.contains("/member on the disk aside"), "{help}");
    assert!(!help.contains("rm ") && !help.contains("delete"), "{help}");
    assert!(problem.primary.is_some(), "{problem:?}");
}

#[test]
fn a_member_that_is_off_starts_with_its_own_data() {
    compiled(INVENTORY, &fleet());
    compiled(INVENTORY, &third(life(LIVES, "12")));
    // What does not say whose it is is taken as before.
    compiled(INVENTORY, &third(None));
}

/// A disk comes back after the member on it was struck, and its replacement has joined.
#[test]
fn data_of_a_struck_member_is_foretold_though_its_replacement_is_listed() {
    let back = refused(&third(life(LIVES, "99")));
    assert_eq!(back.code, "etcd-leftover");
    let says = "the member 63, which the cluster of 10.10.10.10 does not list";
    assert!(back.message.contains(says), "{back:?}");
    leads_out(&back);
    // Its replacement was announced, and has never started.
    let mut announced = third(life(LIVES, "99"));
    for about in announced.values_mut() {
        for one in about.etcd.iter_mut().flat_map(|etcd| &mut etcd.members) {
            if one.id == "12" {
                one.name.clear();
            }
        }
    }
    assert_eq!(refused(&announced).code, "etcd-leftover");
    // Moved aside, its replacement joins.
    let mut aside = third(None);
    aside.get_mut(&node(12)).expect("a node").etcd_has_data = false;
    compiled(INVENTORY, &aside);
}

#[test]
fn data_of_another_cluster_is_foretold() {
    let other = refused(&third(life(WAS, "12")));
    assert_eq!(other.code, "etcd-leftover");
    assert!(other.message.contains("it is of the cluster 19c8"), "{other:?}");
    leads_out(&other);
}

/// Two disks were exchanged, or one was copied.
#[test]
fn data_of_another_member_that_lives_is_not_started_a_second_time() {
    let copied = refused(&third(life(LIVES, "11")));
    assert_eq!(copied.code, "etcd-leftover");
    assert!(copied.message.contains("that of etcd-2"), "{copied:?}");
    leads_out(&copied);
}

/// Its address was changed while it was off: the data is its own, and the list is wrong.
#[test]
fn data_of_its_own_that_is_listed_elsewhere_is_told_as_that() {
    let mut moved = third(life(LIVES, "12"));
    for about in moved.values_mut() {
        for one in about.etcd.iter_mut().flat_map(|etcd| &mut etcd.members) {
            if one.id == "12" {
                one.peer_urls = vec!["https://10.10.10.99:2380".to_owned()];
            }
        }
    }
    let told = refused(&moved);
    assert_eq!(told.code, "etcd-place");
    assert!(told.help.join(" ").contains("keddah-etcdctl member update c "), "{told:?}");
}

/// The disk was mounted over the data that the member runs with.
#[test]
fn a_member_that_runs_with_other_data_than_what_lies_there_is_told() {
    let mut covered = fleet();
    covered.get_mut(&node(11)).expect("a node").etcd_life = life(LIVES, "99");
    let covered = refused(&covered);
    assert_eq!(covered.code, "etcd-place");
    assert!(covered.message.contains("etcd on 10.10.10.11 runs"), "{covered:?}");
    leads_out(&covered);
}

/// All are off. Started, data of two clusters is two clusters.
#[test]
fn where_nobody_answers_data_of_two_clusters_is_not_started() {
    let mut off = fleet();
    off.values_mut().for_each(|about| about.etcd = None);
    compiled(INVENTORY, &off);
    let mut two = off.clone();
    two.get_mut(&node(12)).expect("a node").etcd_life = life(WAS, "12");
    let problem = refused(&two);
    assert_eq!(problem.code, "etcd-leftover");
    assert!(
        problem.message.contains("the data on 10.10.10.12 is of the cluster 19c8"),
        "{problem:?}"
    );
    leads_out(&problem);
    // Of two with one each, nobody can say which one is right.
    two.remove(&node(11));
    assert_eq!(refused(&two).code, "etcd-leftover");
    let mut copied = off;
    copied.get_mut(&node(12)).expect("a node").etcd_life = life(LIVES, "11");
    let problem = refused(&copied);
    assert!(problem.message.contains("both have the data of the member b"), "{problem:?}");
    leads_out(&problem);
}

/// A member whose data is of another life can be removed all the same.
#[test]
fn a_removal_is_no_start() {
    let etcd = BTreeSet::from([node(12)]);
    let removing = Removing { etcd, ..Removing::default() };
    let back = third(life(LIVES, "99"));
    without(INVENTORY, &back, &removing).expect("it goes");
    without(INVENTORY, &as_if_well(back, &removing), &Removing::default()).expect("the rest stays");
}

/// Whoever has been a member and has no data may only miss a disk.
#[test]
fn before_a_member_is_made_anew_a_disk_is_thought_of() {
    let notes = |facts: &BTreeMap<NodeName, NodeFacts>| -> Vec<String> {
        let notes = compiled(INVENTORY, facts).notes;
        notes.into_iter().filter(|note| note.contains("mount it first")).collect()
    };
    assert_eq!(notes(&fleet()), Vec::<String>::new());
    let mut lost = third(None);
    lost.get_mut(&node(12)).expect("a node").etcd_has_data = false;
    let said = notes(&lost);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("etcd on 10.10.10.12 has been a member"), "{said:?}");
    // All of them, without any PostgreSQL.
    let mut all: BTreeMap<NodeName, NodeFacts> =
        (10..=12).map(|last| (node(last), facts())).collect();
    assert_eq!(notes(&all), Vec::<String>::new(), "they are new");
    all.values_mut().for_each(|about| about.etcd_configured = true);
    assert_eq!(notes(&all).len(), 3);
}
