//! Members of etcd's own list that the inventory does not know. Each that votes counts for the quorum,
//! and nobody asks it whether it is well.

use crate::topology::EtcdMember;
use keddah_resource::kind::etcd_member::TOOL;
use keddah_resource::{EtcdFacts, EtcdMemberFacts};

/// Those of a list that are not declared, in its order.
pub(crate) fn unknown<'a>(
    etcd: &'a EtcdFacts,
    declared: &[EtcdMember],
) -> Vec<&'a EtcdMemberFacts> {
    let known =
        |one: &EtcdMemberFacts| declared.iter().any(|its| one.peer_urls.contains(&its.peer_url()));
    etcd.members.iter().filter(|one| !known(one)).collect()
}

/// How a person knows one.
pub(crate) fn called(member: &EtcdMemberFacts) -> &str {
    if member.name.is_empty() {
        member.peer_urls.first().map_or("one that never started", String::as_str)
    } else {
        &member.name
    }
}

/// An id as `etcdctl` takes it: in hexadecimal digits.
pub(super) fn hexadecimal(id: &str) -> String {
    id.parse::<u64>().map_or_else(|_| id.to_owned(), |id| format!("{id:x}"))
}

/// The command by which etcd itself strikes one.
fn strike(member: &EtcdMemberFacts) -> String {
    format!("{TOOL} member remove {}", hexadecimal(&member.id))
}

/// What every plan says of one.
pub(super) fn note(member: &EtcdMemberFacts) -> String {
    let vote = if member.learner { "follows without a vote" } else { "has a vote" };
    format!(
        "etcd lists a member that the inventory does not know: {} ({}), which {vote}. Where it was ours, put \
         its host back into the inventory and `keddah remove` it; where it is to stay, declare it; otherwise \
         strike it, as root on a member's node: {}",
        called(member),
        member.peer_urls.join(", "),
        strike(member),
    )
}

/// What to do where their votes are too many.
pub(crate) fn unknown_counts(members: &[&EtcdMemberFacts]) -> String {
    let names: Vec<&str> = members.iter().map(|one| called(one)).collect();
    let commands: Vec<String> = members.iter().map(|one| strike(one)).collect();
    format!(
        "the inventory does not know {}, whose votes count: declare them, or strike them, as root on a \
         member's node ({})",
        names.join(", "),
        commands.join("; ")
    )
}
