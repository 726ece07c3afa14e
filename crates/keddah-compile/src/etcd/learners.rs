//! Learners of etcd: a new member follows without a vote until it has caught up, so that adding one never
//! lowers what may fail ("Learner" in etcd's documentation, 3.4 and later). etcd takes one at a time.

use super::strangers::called;
use crate::compiler::{Problem, problem};
use crate::topology::EtcdMember;
use keddah_resource::{EtcdFacts, EtcdMemberFacts};

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
