//! What has to be asked before an empty etcd is made, whatever part of the fleet is selected: in an empty
//! etcd, a Patroni that waits for one takes the lead at once with what it has, and others may hold more.

use super::birth::Life;
use crate::compiler::{Problem, problem};
use crate::topology::{EtcdMember, Topology};
use keddah_core::{Diagnostic, NodeName};
use keddah_inventory::Inventory;
use keddah_inventory::model::PgCluster;
use keddah_resource::NodeFacts;
use std::collections::{BTreeMap, BTreeSet};

type Facts = BTreeMap<NodeName, NodeFacts>;

/// The hosts that have to be asked what they are before a member of etcd of the `selected` nodes is made:
/// all that were not `asked`, where nobody answers and nobody has data. In any other case, none.
///
/// # Errors
/// When the inventory has two clusters of etcd.
pub fn asked_before_etcd(
    inventory: &Inventory,
    selected: &BTreeSet<NodeName>,
    asked: &BTreeSet<NodeName>,
    facts: &Facts,
) -> Result<BTreeSet<NodeName>, Box<Diagnostic>> {
    let topology = Topology::of(inventory)?;
    if !begins_anew(&topology, selected, facts) {
        return Ok(BTreeSet::new());
    }
    let hosts = inventory.hosts().map(|host| host.name.clone());
    Ok(hosts.filter(|host| !asked.contains(host)).collect())
}

/// Whether an empty etcd may be made on the `selected` nodes, judged by what all hosts say. `starts` are the
/// nodes of which the same plan starts PostgreSQL, which judges by itself who has the most.
///
/// # Errors
/// `etcd-lost` where a Patroni waits for the etcd that was lost, or that is elsewhere; `etcd-unasked` where
/// the nodes of a cluster that nobody is known to lead do not answer.
pub fn may_begin_etcd(
    inventory: &Inventory,
    selected: &BTreeSet<NodeName>,
    starts: &BTreeSet<NodeName>,
    facts: &Facts,
) -> Result<(), Vec<Diagnostic>> {
    judge(inventory, selected, starts, facts).map_err(|problem| vec![*problem])
}

fn judge(
    inventory: &Inventory,
    selected: &BTreeSet<NodeName>,
    starts: &BTreeSet<NodeName>,
    facts: &Facts,
) -> Result<(), Problem> {
    let topology = Topology::of(inventory)?;
    if !begins_anew(&topology, selected, facts) {
        return Ok(());
    }
    let life = Life::of(&topology.etcd, facts, holds_data(&topology, facts))?;
    for member in made(&topology, selected, facts) {
        life.birth(member)?;
        for cluster in &topology.clusters {
            nobody_waits_unasked(member, cluster, starts, facts)?;
        }
    }
    Ok(())
}

/// The members of the selected nodes that answer.
fn made<'t>(
    topology: &'t Topology<'_>,
    selected: &'t BTreeSet<NodeName>,
    facts: &'t Facts,
) -> impl Iterator<Item = &'t EtcdMember> {
    let is_made = |one: &&EtcdMember| selected.contains(&one.node) && facts.contains_key(&one.node);
    topology.etcd.iter().filter(is_made)
}

fn begins_anew(topology: &Topology<'_>, selected: &BTreeSet<NodeName>, facts: &Facts) -> bool {
    let exists = |one: &EtcdMember| {
        facts.get(&one.node).is_some_and(|about| about.etcd.is_some() || about.etcd_has_data)
    };
    made(topology, selected, facts).next().is_some() && !topology.etcd.iter().any(exists)
}

/// Whether a cluster of PostgreSQL has data, or a node of it cannot be asked. What removals have moved
/// aside is nobody's any more.
pub(crate) fn holds_data(topology: &Topology<'_>, facts: &Facts) -> bool {
    let mut members = topology.clusters.iter().flat_map(|cluster| &cluster.members);
    members.any(|member| {
        let about = facts.get(&member.node);
        about.is_none_or(|about| about.data.iter().any(|data| !data.was_removed()))
    })
}

/// A cluster that somebody leads goes on; of one that nobody is known to lead, whoever does not answer may
/// wait for an etcd. Where its members are started by the same plan and one of them answers, that start
/// names who is silent, and asks for a word.
fn nobody_waits_unasked(
    member: &EtcdMember,
    cluster: &PgCluster<'_>,
    starts: &BTreeSet<NodeName>,
    facts: &Facts,
) -> Result<(), Problem> {
    let name = cluster.name.as_str();
    let nodes = || cluster.members.iter().map(|one| &one.node);
    let is_led =
        nodes().filter_map(|node| facts.get(node)?.patroni_of(name)).any(|one| one.leads());
    let silent: Vec<&str> =
        nodes().filter(|node| !facts.contains_key(*node)).map(NodeName::as_str).collect();
    let starts_it = nodes().all(|node| starts.contains(node)) && silent.len() < nodes().count();
    if is_led || silent.is_empty() || starts_it {
        return Ok(());
    }
    let silent = silent.join(", ");
    let message = format!(
        "a new and empty etcd would be made on {}, and {silent} of {name} cannot be asked: a Patroni that \
         waits there for etcd would lead at once with what it has, and others may hold more",
        member.node
    );
    Err(Box::new(problem("etcd-unasked", member.span, message).help(format!(
        "make {silent} answer; or, where nothing of {name} can be there, take it out of the inventory for \
         this apply, and add it afterwards"
    ))))
}
