//! How each member of etcd comes to be: decided from the members that answer and from what lies in
//! the data directories. Where these cannot be asked, nothing is born.

mod lives;

use super::{connection, learners, others, unknown_counts};
use crate::compiler::{Problem, problem};
use crate::topology::EtcdMember;
use keddah_core::NodeName;
use keddah_resource::kind::etcd_member::{self, Stage, TOOL};
use keddah_resource::{ETCD_BOOTSTRAP, EtcdFacts, EtcdMemberFacts, NodeFacts};
use std::collections::BTreeMap;

type Facts = BTreeMap<NodeName, NodeFacts>;

/// A member that answers, and what it says.
type Answer<'a> = (&'a EtcdMember, &'a EtcdFacts);

/// How a member comes to be.
#[derive(Debug)]
pub(super) enum Birth<'a> {
    /// All members start together.
    Together,
    /// It is announced to a cluster that serves, through this member.
    Joins {
        /// Who announces it.
        through: &'a EtcdMember,
        /// The id under which it is still listed, though its data is gone: that is struck first.
        replaces: Option<String>,
    },
    /// It was announced, and has not started yet.
    Announced,
    /// It is a member, and the others have been told another address of it than the one it has.
    Elsewhere {
        /// Who tells them.
        through: &'a EtcdMember,
    },
    /// It already is a member.
    Done,
}

/// What is known of a cluster of etcd.
#[derive(Debug)]
pub(super) struct Life<'a> {
    members: &'a [EtcdMember],
    facts: &'a Facts,
    /// Whether etcd may hold the state of a PostgreSQL that exists.
    serves_data: bool,
    /// A member that answers, and what it says: the truth about who belongs to the cluster.
    serving: Option<(&'a EtcdMember, &'a EtcdFacts)>,
}

impl<'a> Life<'a> {
    /// Looks at what the members say. A cluster of PostgreSQL with data, or with a node that cannot be
    /// asked for it, is served by an etcd that exists: `serves_data`.
    ///
    /// # Errors
    /// `etcd-rogue` where two of them belong to different clusters.
    pub(super) fn of(
        members: &'a [EtcdMember],
        facts: &'a Facts,
        serves_data: bool,
    ) -> Result<Self, Problem> {
        let answers: Vec<Answer<'a>> = members
            .iter()
            .filter_map(|one| Some((one, facts.get(&one.node)?.etcd.as_ref()?)))
            .collect();
        let serving = answers.first().copied();
        if let Some(first) = serving
            && let Some(&other) = answers.iter().find(|other| other.1.cluster != first.1.cluster)
        {
            return Err(two_clusters(first, other, &answers));
        }
        Ok(Self { members, facts, serves_data, serving })
    }

    /// The members that one which joins now finds in the list: etcd compares its own list with that
    /// one, in which a lost member stands until its turn comes.
    pub(super) fn present(&self) -> Vec<&'a EtcdMember> {
        self.members.iter().filter(|member| self.listed(member).is_some()).collect()
    }

    /// What a member that answers says of the cluster.
    pub(super) fn etcd(&self) -> Option<&'a EtcdFacts> {
        self.serving.map(|(_, etcd)| etcd)
    }

    /// Whether a member is listed with a vote.
    pub(super) fn votes(&self, member: &EtcdMember) -> bool {
        self.listed(member).is_some_and(|listed| !listed.learner)
    }

    /// Whether a member is listed without a vote.
    pub(super) fn is_learner(&self, member: &EtcdMember) -> bool {
        self.listed(member).is_some_and(|listed| listed.learner)
    }

    /// The vote of a member that joins, or has joined and is still a learner, and through whom it gets it;
    /// nothing where it votes, or stays a learner.
    pub(super) fn vote(
        &self,
        member: &EtcdMember,
        birth: &Birth<'a>,
        members: &[EtcdMember],
    ) -> Option<(&'a EtcdMember, etcd_member::Spec)> {
        let (through, _) = self.serving?;
        let is_learner = self.is_learner(member);
        let replaces = match birth {
            Birth::Joins { replaces, .. } => replaces.clone(),
            Birth::Announced | Birth::Done if is_learner => None,
            Birth::Announced | Birth::Done | Birth::Elsewhere { .. } | Birth::Together => {
                return None;
            }
        };
        let spec = etcd_member::Spec {
            member: member.name.clone(),
            peer_url: member.peer_url(),
            present: true,
            replaces,
            stage: Stage::Votes,
            others: others(&[through, member], members),
            connection: connection(format!("https://127.0.0.1:{}", through.port)),
        };
        (!member.learner).then_some((through, spec))
    }

    /// Whether those that are known can take one more among them.
    ///
    /// # Errors
    /// `etcd-quorum` where only the votes of unknown members would make them a quorum.
    pub(super) fn may_join(
        &self,
        member: &EtcdMember,
        strangers: &[&EtcdMemberFacts],
    ) -> Result<(), Problem> {
        let Some(etcd) = self.etcd() else { return Ok(()) };
        let (voters, served) = (learners::voters(etcd), self.answering());
        let quorum = voters / 2 + 1;
        let strangers: Vec<_> = strangers.iter().copied().filter(|one| !one.learner).collect();
        if strangers.is_empty() || served >= quorum {
            return Ok(());
        }
        let names: Vec<&str> = strangers.iter().map(|one| super::strangers::called(one)).collect();
        let message = format!(
            "etcd on {} can join only through a quorum of {quorum} of {voters} members, and {served} of those              that the inventory knows answer; it does not know {}",
            member.node,
            names.join(", ")
        );
        let help = unknown_counts(&strangers);
        Err(Box::new(problem("etcd-quorum", member.span, message).help(help)))
    }

    /// How a member whose node answers comes to be.
    ///
    /// # Errors
    /// Where it would be born although nobody can say that it, or its cluster, does not exist:
    /// `etcd-unasked`; where too few members serve for its place to be given anew: `etcd-quorum`; or
    /// where it would join with the data of another life: `etcd-leftover`.
    pub(super) fn birth(&self, member: &EtcdMember) -> Result<Birth<'a>, Problem> {
        self.has_its_own(member)?;
        let Some((through, etcd)) = self.serving else { return self.without_answers(member) };
        let answers = self.facts.get(&member.node).is_some_and(|facts| facts.etcd.is_some());
        if answers && !self.has_data(member) {
            return Err(elsewhere(member));
        }
        match self.listed(member) {
            None if answers => match self.itself(member) {
                // What answers here by that name, with its data, is that member: the list is wrong.
                // At its own address and another port, it is the inventory that has changed.
                Some(listed) if listed.name == member.name && !lists_address(listed, member) => {
                    Ok(Birth::Elsewhere { through })
                }
                listed => Err(other_url(member, listed)),
            },
            // Announced, it would not start, and count as lost: of two members, that is the quorum.
            None if self.has_data(member) => Err(leftover(member, through)),
            None => match self.namesake(member) {
                Some(other) => Err(name_taken(member, other)),
                None => Ok(Birth::Joins { through, replaces: None }),
            },
            Some(one) if !self.is_lost(member) => match one.name.as_str() {
                name if name.is_empty() || name == member.name => Ok(Birth::Done),
                _ => Err(renamed(member, one)),
            },
            // Without its list of members it would found a cluster of its own.
            Some(announced) if announced.name.is_empty() => Ok(Birth::Announced),
            Some(lost) => {
                let served = self.answering();
                let quorum = learners::voters(etcd) / 2 + 1;
                if served < quorum {
                    return Err(too_few(member, served, quorum));
                }
                Ok(Birth::Joins { through, replaces: Some(lost.id.clone()) })
            }
        }
    }

    /// Nobody answers. That may be because nobody exists yet.
    fn without_answers(&self, member: &EtcdMember) -> Result<Birth<'a>, Problem> {
        if self.has_data(member) {
            // It starts as what it is.
            return Ok(Birth::Done);
        }
        let silent = self.members.iter().find(|other| !self.facts.contains_key(&other.node));
        if let Some(silent) = silent {
            return Err(unasked(
                member,
                format!("the node {} cannot be asked either", silent.node),
                format!("make {} answer, or take it out of the inventory", silent.node),
            ));
        }
        let with_data: Vec<&EtcdMember> =
            self.members.iter().filter(|other| self.has_data(other)).collect();
        // Fewer than a quorum without any PostgreSQL: a first apply was broken off. Otherwise they are
        // what is left of a cluster, or one that was smaller when it was made.
        let never_served = with_data.len() <= self.members.len() / 2 && !self.serves_data;
        if !with_data.is_empty() && !never_served {
            let nodes: Vec<&str> = with_data.iter().map(|one| one.node.as_str()).collect();
            return Err(unasked(
                member,
                format!("there is data of a cluster on {}", nodes.join(", ")),
                "start etcd there first (systemctl start etcd; journalctl -u etcd says why it does \
                 not run), then apply again"
                    .to_owned(),
            ));
        }
        if with_data.is_empty() && self.serves_data {
            let configured = |one: &&EtcdMember| {
                self.facts.get(&one.node).is_some_and(|facts| facts.etcd_configured)
            };
            if self.members.iter().any(|one| configured(&one)) {
                return Err(lost(member));
            }
            // A node that was a member, and that the inventory does not count among them any more.
            let mut others = self.facts.iter().filter(|(_, facts)| facts.etcd_configured);
            if let Some((other, _)) = others.next() {
                return Err(moved(member, other));
            }
            if let Some((node, cluster)) = self.waits_for_etcd() {
                return Err(leads_unasked(member, node, cluster));
            }
        }
        Ok(Birth::Together)
    }

    /// The member of the list that a node's own etcd says it is.
    fn itself(&self, member: &EtcdMember) -> Option<&'a EtcdMemberFacts> {
        let own = &self.facts.get(&member.node)?.etcd.as_ref()?.member;
        let (_, etcd) = self.serving?;
        etcd.members.iter().find(|one| !own.is_empty() && one.id == *own)
    }

    /// Whether an entry of the list is a declared member's, known by another address or not.
    pub(super) fn is_declared(&self, listed: &EtcdMemberFacts) -> bool {
        self.members.iter().filter_map(|one| self.itself(one)).any(|one| one.id == listed.id)
    }

    /// A Patroni that runs in a cluster of which nobody leads: in an empty etcd it takes the lead by itself,
    /// for who may, and who may not, went with the old one.
    fn waits_for_etcd(&self) -> Option<(&'a NodeName, &'a str)> {
        let all = || {
            let of = |(node, facts): (&'a NodeName, &'a NodeFacts)| {
                facts.patroni.iter().map(move |patroni| (node, patroni))
            };
            self.facts.iter().flat_map(of)
        };
        let is_led = |scope: &str| all().any(|(_, one)| one.scope == scope && one.leads());
        let mut waiting = all().filter(|(_, one)| !is_led(&one.scope));
        waiting.next().map(|(node, patroni)| (node, patroni.scope.as_str()))
    }

    fn listed(&self, member: &EtcdMember) -> Option<&'a EtcdMemberFacts> {
        let (_, etcd) = self.serving?;
        etcd.members.iter().find(|one| one.peer_urls.contains(&member.peer_url()))
    }

    /// The listed member that bears a member's name at another address.
    fn namesake(&self, member: &EtcdMember) -> Option<&'a EtcdMemberFacts> {
        let (_, etcd) = self.serving?;
        let elsewhere = |one: &&EtcdMemberFacts| !one.peer_urls.contains(&member.peer_url());
        etcd.members.iter().filter(elsewhere).find(|one| one.name == member.name)
    }

    /// Whether a node that answers has no data of its member, lost or not yet made.
    fn is_lost(&self, member: &EtcdMember) -> bool {
        let node = self.facts.get(&member.node);
        node.is_some_and(|facts| facts.etcd.is_none() && !facts.etcd_has_data)
    }

    fn has_data(&self, member: &EtcdMember) -> bool {
        self.facts.get(&member.node).is_some_and(|facts| facts.etcd_has_data)
    }

    fn answering(&self) -> usize {
        let answers =
            |one: &&EtcdMember| self.facts.get(&one.node).is_some_and(|facts| facts.etcd.is_some());
        self.members.iter().filter(answers).count()
    }
}

/// Members of two clusters: the one to which fewer of the declared members answer, and then the one that
/// lists fewer, is the one that should not be.
fn two_clusters(first: Answer<'_>, other: Answer<'_>, answers: &[Answer<'_>]) -> Problem {
    let weight = |one: Answer<'_>| {
        let same = answers.iter().filter(|answer| answer.1.cluster == one.1.cluster);
        (same.count(), one.1.members.len())
    };
    let (rogue, right) =
        if weight(first) < weight(other) { (first, other) } else { (other, first) };
    let message = format!(
        "etcd on {} is a cluster of its own (id {}, of {}), and not a member of the one on {} (id {}, of \
         {}): a PostgreSQL that asks it may take another leader",
        rogue.0.node,
        rogue.1.cluster,
        rogue.1.members.len(),
        right.0.node,
        right.1.cluster,
        right.1.members.len(),
    );
    Box::new(problem("etcd-rogue", rogue.0.span, message).help(format!(
        "look at both (as root on each node: {TOOL} endpoint status). Where {node} is the wrong one: stop it \
         there (systemctl stop etcd), move {data} aside, and apply: it then joins the other cluster",
        node = rogue.0.node,
        data = rogue.0.data_directory,
    )))
}

fn too_few(member: &EtcdMember, served: usize, quorum: usize) -> Problem {
    let message = format!(
        "the data of the etcd member on {} is gone, and it can join anew only through a quorum of {quorum} \
         members; {served} answer",
        member.node
    );
    let help = "make the other members answer first; where they are lost for good, docs/operations.md, \
                \"etcd without a quorum\", says the ways";
    Box::new(problem("etcd-quorum", member.span, message).help(help))
}

fn leftover(member: &EtcdMember, through: &EtcdMember) -> Problem {
    let message = format!(
        "etcd on {} is no member of the cluster that {} belongs to, and has data of another life in {}: it \
         could not join with that",
        member.node, through.node, member.data_directory
    );
    Box::new(problem("etcd-leftover", member.span, message).help(format!(
        "where nobody needs that data: stop it there (systemctl stop etcd), move {}/member aside, and \
         apply: it then joins",
        member.data_directory
    )))
}

fn elsewhere(member: &EtcdMember) -> Problem {
    let message = format!(
        "etcd runs on {}, and its data is not in {}, where the inventory puts it: with that it would start \
         empty, and forget the state of every cluster",
        member.node, member.data_directory
    );
    Box::new(problem("etcd-place", member.span, message).help(
        "set `etcd_data` to where its data is; to have it elsewhere, `keddah remove` one member after \
         another with the old value, and add each with the new one: it joins those that stay",
    ))
}

/// A member is known by its id and its data; by a name that two have, nobody could tell them apart. And
/// one whose address in the list is changed to a machine that has not its data takes its vote with it.
fn name_taken(member: &EtcdMember, other: &EtcdMemberFacts) -> Problem {
    let urls = other.peer_urls.join(", ");
    let message = format!(
        "etcd has a member {} at {urls}, and the inventory now puts that name on {}, which has none of its \
         data",
        member.name, member.node
    );
    Box::new(problem("etcd-name", member.span, message).help(format!(
        "give {} an etcd_seq of its own, which no member has; or, with the old host in the inventory as it \
         was, `keddah remove` it first: that strikes {}, also where the host is gone for good",
        member.node, member.name
    )))
}

/// Whether the others look for it at its own address, by whatever port.
fn lists_address(listed: &EtcdMemberFacts, member: &EtcdMember) -> bool {
    let own = format!("://{}:", member.address);
    listed.peer_urls.iter().any(|url| url.contains(&own))
}

fn other_url(member: &EtcdMember, listed: Option<&EtcdMemberFacts>) -> Problem {
    let known = listed.map_or_else(String::new, |listed| {
        format!(
            ": they have {} at {}",
            super::strangers::called(listed),
            listed.peer_urls.join(", ")
        )
    });
    let message = format!(
        "etcd on {} is a member of its cluster by another address than {}{known}",
        member.node,
        member.peer_url()
    );
    Box::new(problem("etcd-place", member.span, message).help(match listed {
        Some(listed) => super::update_by_hand(listed, &member.peer_url()),
        None => "put `etcd_peer_port` and the host's address back as they were: the others know it by them"
            .to_owned(),
    }))
}

/// Numbers that are dealt anew give one member's name to another one's data.
fn renamed(member: &EtcdMember, is: &EtcdMemberFacts) -> Problem {
    let message = format!(
        "the member of etcd on {} is {}, and the inventory now calls it {}: the others know it by its name",
        member.node, is.name, member.name
    );
    Box::new(problem("etcd-name", member.span, message).help(
        "give it back its etcd_seq, and the group its name; or, with the inventory as it was, `keddah remove` \
         the member, then add it with the new number: it joins those that stay",
    ))
}

fn leads_unasked(member: &EtcdMember, node: &NodeName, cluster: &str) -> Problem {
    let message = format!(
        "a new and empty etcd would be made while Patroni of {cluster} runs on {node} and nobody of {cluster} \
         leads: it would lead at once with what it has, and others may hold more"
    );
    Box::new(problem("etcd-lost", member.span, message).help(format!(
        "stop every Patroni of {cluster} (PostgreSQL stops with it), have the nodes of all its members answer, \
         and apply: whoever has the most starts first"
    )))
}

fn moved(member: &EtcdMember, other: &NodeName) -> Problem {
    let message = format!(
        "none of the members that the inventory gives etcd has ever been one, and PostgreSQL has data: the \
         clusters' state is in the etcd that {other} has been a member of, and a new and empty one would take \
         its place"
    );
    Box::new(problem("etcd-lost", member.span, message).help(
        "to move etcd: keep the old members in the inventory, add the new ones beside them and apply, then \
         `keddah remove` the old ones one by one",
    ))
}

fn lost(member: &EtcdMember) -> Problem {
    let message = format!(
        "no member of etcd has its data any more ({} and its like), and PostgreSQL has data: a new and \
         empty etcd would take the place of the one that holds the clusters' state",
        member.data_directory
    );
    Box::new(problem("etcd-lost", member.span, message).help(format!(
        "if a disk is not mounted, mount it, start etcd and plan again; a snapshot is brought back by \
         etcdctl snapshot restore; if it is gone for good and etcd shall begin anew, have the nodes of all \
         members of PostgreSQL answer (one that is off may hold the last commits, and only the lost etcd \
         knew), stop every Patroni (PostgreSQL stops with it), delete {ETCD_BOOTSTRAP} on each of etcd's \
         nodes, and apply"
    )))
}

fn unasked(member: &EtcdMember, because: String, help: String) -> Problem {
    let message = format!(
        "no member of etcd answers, and {because}: etcd on {} is not made anew, for a cluster may \
         exist",
        member.node
    );
    Box::new(problem("etcd-unasked", member.span, message).help(help))
}
