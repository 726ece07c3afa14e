//! Learners of etcd: a new member follows without a vote until it has caught up, so that adding one never
//! lowers what may fail ("Learner" in etcd's documentation, 3.4 and later). etcd takes one at a time.

use super::strangers::called;
use crate::compiler::{Problem, problem};
use crate::topology::EtcdMember;
use keddah_core::NodeName;
use keddah_resource::{EtcdFacts, EtcdMemberFacts, NodeFacts};
use std::collections::BTreeMap;

/// Whether a member answers clients' questions. A learner refuses all that a client asks but what may be
/// stale (`isRPCSupportedForLearner` in etcd's `api/v3rpc`), so that Patroni, or whoever acts as root, finds
/// nothing there. What it is, those say that answer; where nobody does, and etcd has been made, it is what it
/// was declared to become: of those that make a cluster together, all vote.
pub(crate) fn serves_clients(
    member: &EtcdMember,
    members: &[EtcdMember],
    facts: &BTreeMap<NodeName, NodeFacts>,
) -> bool {
    if !member.learner {
        return true;
    }
    let about = || members.iter().filter_map(|one| facts.get(&one.node));
    let mut lists = about().filter_map(|about| about.etcd.as_ref()).peekable();
    if lists.peek().is_none() {
        return about().count() == members.len() && !about().any(|about| about.etcd_has_data);
    }
    let votes = |one: &EtcdMemberFacts| !one.learner && one.peer_urls.contains(&member.peer_url());
    lists.any(|etcd| etcd.members.iter().any(votes))
}

/// The learner of a list, if it has one.
pub(super) fn listed(etcd: &EtcdFacts) -> Option<&EtcdMemberFacts> {
    etcd.members.iter().find(|one| one.learner)
}

/// How many of a list vote.
pub(super) fn voters(etcd: &EtcdFacts) -> usize {
    etcd.members.iter().filter(|one| !one.learner).count()
}

/// In which order members are looked at: one that is a learner gets its vote before another joins, and one
/// that stays a learner joins last.
pub(super) fn turn(member: &EtcdMember, etcd: Option<&EtcdFacts>) -> u8 {
    let is_learner =
        etcd.and_then(listed).is_some_and(|learner| learner.peer_urls.contains(&member.peer_url()));
    match (is_learner, member.learner) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

/// One joins while another stays a learner.
pub(super) fn second(member: &EtcdMember, learner: &str) -> Problem {
    let message = format!(
        "etcd on {} cannot join: {learner} is a learner and stays one for now, and etcd takes one at a time",
        member.node
    );
    Box::new(problem("etcd-learner", member.span, message).help(
        "make its node answer and set its `etcd_learner` to false, so that it gets its vote first, or \
         `keddah remove` it; it may join again afterwards",
    ))
}

/// A member that shall be a learner and votes already.
pub(super) fn votes_already(member: &EtcdMember) -> String {
    format!(
        "etcd on {} has a vote and keeps it: `etcd_learner` counts when a member joins; `keddah remove` it and \
         apply, and it joins as a learner",
        member.node
    )
}

/// The name by which a refusal calls a listed learner.
pub(super) fn name(learner: &EtcdMemberFacts) -> String {
    called(learner).to_owned()
}
