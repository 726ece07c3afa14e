//! Data of a member of etcd that is of another life: of a member or cluster that the list of those that
//! answer does not have. A disk brings it that comes back after its member was struck and replaced, or that
//! was put into another machine. etcd ends at once with it; where nobody else answers, it may also be a
//! cluster of its own. It is refused before anything is started with it, and never deleted.

use super::super::strangers::{called, hexadecimal};
use super::{Birth, Life, other_url};
use crate::compiler::{Problem, problem};
use crate::topology::EtcdMember;
use keddah_resource::{EtcdFacts, EtcdLife, EtcdMemberFacts};

impl Life<'_> {
    /// Whether a member's data is its own.
    ///
    /// # Errors
    /// `etcd-leftover` where it is of another life, and `etcd-place` where the member runs with other data
    /// than what lies there now, or is known by another address.
    pub(super) fn has_its_own(&self, member: &EtcdMember) -> Result<(), Problem> {
        let Some(facts) = self.facts.get(&member.node) else { return Ok(()) };
        let Some(data) = &facts.etcd_life else { return Ok(()) };
        if let Some(own) = &facts.etcd {
            return if is_of(data, own) { Ok(()) } else { Err(covered(member, data)) };
        }
        let Some((through, etcd)) = self.serving else { return self.is_of_one(member, data) };
        if data.cluster != etcd.cluster {
            let what = format!(
                "it is of the cluster {}, and {} belongs to {}",
                hexadecimal(&data.cluster),
                through.node,
                hexadecimal(&etcd.cluster)
            );
            return Err(leftover(member, &what));
        }
        match etcd.members.iter().find(|one| one.id == data.member) {
            Some(listed) if listed.peer_urls.contains(&member.peer_url()) => Ok(()),
            Some(listed) if listed.name == member.name => Err(other_url(member, Some(listed))),
            Some(listed) => Err(anothers(member, listed)),
            None => {
                let what = format!(
                    "it is of the member {}, which the cluster of {} does not list",
                    hexadecimal(&data.member),
                    through.node
                );
                Err(leftover(member, &what))
            }
        }
    }

    /// Whether all data is of one cluster, each of another member, where nobody answers.
    fn is_of_one(&self, member: &EtcdMember, data: &EtcdLife) -> Result<(), Problem> {
        let lives: Vec<(&EtcdMember, &EtcdLife)> = self
            .members
            .iter()
            .filter_map(|one| Some((one, self.facts.get(&one.node)?.etcd_life.as_ref()?)))
            .collect();
        for (other, life) in lives.iter().filter(|(other, _)| other.node != member.node) {
            if life == &data {
                return Err(twin(member, other, data));
            }
        }
        let alike = |cluster: &str| lives.iter().filter(|(_, one)| one.cluster == cluster).count();
        let own = alike(&data.cluster);
        // Of as many, the first stands for what is right: a person looks at both.
        match lives.iter().find(|(_, one)| one.cluster != data.cluster) {
            Some((other, life)) if alike(&life.cluster) >= own => {
                Err(of_two_clusters(member, data, other, life))
            }
            _ => Ok(()),
        }
    }

    /// What a plan says before a member is made anew whose data may only be out of sight.
    pub(in crate::etcd) fn made_anew(
        &self,
        member: &EtcdMember,
        birth: &Birth<'_>,
    ) -> Option<String> {
        let becomes = match birth {
            Birth::Joins { replaces: Some(_), .. } => {
                "its entry is struck, and it joins anew and empty"
            }
            Birth::Together if self.facts.get(&member.node)?.etcd_configured => {
                "it begins anew and empty"
            }
            Birth::Joins { .. }
            | Birth::Together
            | Birth::Announced
            | Birth::Elsewhere { .. }
            | Birth::Done => return None,
        };
        Some(format!(
            "etcd on {} has been a member, and its data is not in {} any more: {becomes}; if a disk is not \
             mounted there, mount it first",
            member.node, member.data_directory
        ))
    }
}

/// Whether data is that of the member that says so; one that does not say its id says nothing else.
fn is_of(data: &EtcdLife, own: &EtcdFacts) -> bool {
    let same = |says: &str, is: &str| says.is_empty() || says == is;
    same(&own.member, &data.member) && same(&own.cluster, &data.cluster)
}

fn leftover(member: &EtcdMember, what: &str) -> Problem {
    let data = &member.data_directory;
    let message = format!(
        "etcd on {} does not answer, and the data in {data} is of another life: {what}. With that it ends at \
         once",
        member.node
    );
    Box::new(problem("etcd-leftover", member.span, message).help(format!(
        "where a disk came back over the member's own data: unmount it, and start etcd; where nobody needs \
         the data of that other life: stop it there (systemctl stop etcd), move {data}/member aside, and \
         apply: it then joins"
    )))
}

/// One that runs has its files open, whatever lies over them since.
fn covered(member: &EtcdMember, data: &EtcdLife) -> Problem {
    let path = &member.data_directory;
    let message = format!(
        "etcd on {} runs, and what lies in {path} now is not its data, but that of the member {} of the \
         cluster {}: it would not start again",
        member.node,
        hexadecimal(&data.member),
        hexadecimal(&data.cluster)
    );
    Box::new(problem("etcd-place", member.span, message).help(format!(
        "where a disk was mounted over its data: unmount it; to have the member on that disk: stop it there \
         (systemctl stop etcd), move {path}/member on the disk aside, and apply: it then joins anew"
    )))
}

fn anothers(member: &EtcdMember, listed: &EtcdMemberFacts) -> Problem {
    let path = &member.data_directory;
    let message = format!(
        "etcd on {} does not answer, and the data in {path} is that of {}, whom the others look for at {}: \
         two would speak as one member",
        member.node,
        called(listed),
        listed.peer_urls.join(", ")
    );
    Box::new(problem("etcd-leftover", member.span, message).help(format!(
        "put each disk back into its own machine; where that is a copy that nobody needs: stop etcd there \
         (systemctl stop etcd), move {path}/member aside, and apply: it then joins"
    )))
}

fn twin(member: &EtcdMember, other: &EtcdMember, data: &EtcdLife) -> Problem {
    let message = format!(
        "no member of etcd answers, and {} and {} both have the data of the member {}: two would speak as \
         one member",
        member.node,
        other.node,
        hexadecimal(&data.member)
    );
    Box::new(problem("etcd-leftover", member.span, message).help(format!(
        "one of the two is a copy: move {}/member aside on that node, start etcd on the others (systemctl \
         start etcd), and apply: it then joins them",
        member.data_directory
    )))
}

fn of_two_clusters(
    member: &EtcdMember,
    data: &EtcdLife,
    other: &EtcdMember,
    life: &EtcdLife,
) -> Problem {
    let message = format!(
        "no member of etcd answers, and the data on {} is of the cluster {}, that on {} of {}: started, they \
         would be two, and a PostgreSQL that asks the wrong one may take another leader",
        member.node,
        hexadecimal(&data.cluster),
        other.node,
        hexadecimal(&life.cluster)
    );
    Box::new(problem("etcd-leftover", member.span, message).help(format!(
        "look which of them has the clusters' state; where it is not {node}: move {path}/member aside there, \
         start etcd on the others (systemctl start etcd), and apply: it then joins them",
        node = member.node,
        path = member.data_directory
    )))
}
