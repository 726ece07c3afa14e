//! Who leads a cluster that exists: what is one for the whole of it (its settings, roles, databases, the
//! first backup) is planned where it is known to lead, and nowhere else.

use super::{Cluster, Instance};
use crate::compiler::{Compiler, Node};
use keddah_core::NodeName;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_resource::{NodeFacts, PatroniFacts};

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lead {
    /// No member runs: the node that counts as the leader's is made or started first.
    Begins,
    /// The node that counts as the leader's: it says so itself, or those say so who follow it.
    Here,
    /// A member whose node cannot be asked, by the word of those who follow it: its name, and its node.
    Elsewhere(String),
    /// Members run, and none of them leads.
    Nobody,
}

/// Whether an instance of a cluster runs on a node, by its Patroni's word.
pub(super) fn serves(facts: &NodeFacts, cluster: &str) -> bool {
    facts.patroni_of(cluster).is_some_and(runs)
}

fn runs(patroni: &PatroniFacts) -> bool {
    matches!(patroni.state.as_str(), "running" | "streaming")
}

/// Where a cluster's leader is, and who that is.
#[derive(Debug)]
pub(super) struct Found<'n> {
    /// Its node, where it was asked.
    pub node: Option<&'n NodeName>,
    /// Who leads.
    pub lead: Lead,
}

/// Finds the leader of a cluster among members that were asked, by their own word or by others'. Nothing
/// where none of them runs: then one is to be made or started.
pub(super) fn find<'n>(
    model: &PgCluster<'_>,
    asked: &'n [(PgMember<'_>, Node<'_>)],
    stays: impl Fn(&PgMember<'_>) -> bool,
) -> Option<Found<'n>> {
    let cluster = model.name.as_str();
    let leads = |(_, node): &&(PgMember<'_>, Node<'_>)| {
        node.facts.patroni_of(cluster).is_some_and(|patroni| patroni.leads() && runs(patroni))
    };
    if let Some((_, node)) = asked.iter().find(leads) {
        return Some(Found { node: Some(&node.name), lead: Lead::Here });
    }
    let serving = asked.iter().find(|(_, node)| serves(node.facts, cluster))?;
    let told = asked.iter().flat_map(|(_, node)| &node.facts.members);
    let mut named = told.filter(|one| one.scope == cluster && one.leads).filter_map(|one| {
        model.members.iter().find(|member| member.instance(&model.name) == one.name)
    });
    let Some(leader) = named.find(|member| stays(member)) else {
        return Some(Found { node: Some(&serving.1.name), lead: Lead::Nobody });
    };
    Some(match asked.iter().find(|(_, node)| node.name == leader.node) {
        // Its Patroni says of itself that it does not lead: the others know it a moment later.
        Some((_, node)) if node.facts.patroni_of(cluster).is_some() => {
            Found { node: Some(&serving.1.name), lead: Lead::Nobody }
        }
        Some((_, node)) => Found { node: Some(&node.name), lead: Lead::Here },
        None => {
            let name = format!("{} on {}", leader.instance(&model.name), leader.node);
            Found { node: Some(&serving.1.name), lead: Lead::Elsewhere(name) }
        }
    })
}

impl Cluster<'_> {
    /// Whether what is one for the whole cluster can be planned: its leader is known, and was asked.
    pub(super) fn is_led(&self) -> bool {
        matches!(self.lead, Lead::Here | Lead::Begins)
    }

    /// Whether an instance's Patroni is one of those that serve beside a leader now: where these restart,
    /// they do so one by one, and need not wait for the leader to be made.
    pub(super) fn rolls(&self, instance: &Instance<'_>) -> bool {
        let facts = |instance: &Instance<'_>| instance.node.facts.patroni_of(&self.name).cloned();
        let leads = match self.lead {
            Lead::Here => facts(self.leader())
                .is_some_and(|leader| leader.leads() && leader.state == "running"),
            Lead::Elsewhere(_) => true,
            Lead::Begins | Lead::Nobody => false,
        };
        leads && facts(instance).is_some()
    }
}

impl Compiler<'_> {
    /// Says what is not looked at, and why.
    pub(super) fn tell_unled(&mut self, cluster: &Cluster<'_>) {
        let name = &cluster.name;
        match &cluster.lead {
            Lead::Here | Lead::Begins => {}
            Lead::Elsewhere(leader) => self.notes.push(format!(
                "{leader} leads {name} and cannot be asked: what is one for the whole cluster (settings, roles, \
                 databases, a first backup) is neither compared nor changed until it answers or another one leads"
            )),
            Lead::Nobody => self.notes.push(format!(
                "members of {name} run, and nobody leads: its roles, databases and first backup are neither \
                 compared nor changed until somebody does"
            )),
        }
    }
}
