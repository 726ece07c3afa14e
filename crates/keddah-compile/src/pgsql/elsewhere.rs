//! Members of a cluster that live where the inventory does not have them: on a host that was taken out
//! of it without `keddah remove`, or under a name that it now gives to another host.
//!
//! Patroni's own list says who they are. What is planned without them takes a living member out of
//! every load balancer, or starts a second Patroni under the name of the first.

use crate::compiler::{Compiler, Problem, problem};
use crate::topology::Topology;
use keddah_core::NodeName;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::{Host, parameters};
use keddah_resource::{MemberFacts, NodeFacts};
use std::collections::BTreeMap;
use std::net::IpAddr;

impl<'a> Compiler<'a> {
    /// Refuses a cluster that has members which the inventory does not, or has elsewhere.
    pub(super) fn not_elsewhere(&self, model: &PgCluster<'a>) -> Result<(), Problem> {
        let cluster = model.name.as_str();
        let facts = |member: &PgMember<'a>| self.input.facts.get(&member.node);
        let told = model.members.iter().filter_map(facts).flat_map(|facts| &facts.members);
        let mut living: BTreeMap<(&str, &str), &MemberFacts> = BTreeMap::new();
        for one in told.filter(|one| one.scope == cluster && one.serves()) {
            living.insert((&one.name, &one.host), one);
        }
        // A change of an instance's number is told by its configuration.
        living.retain(|(name, host), _| {
            !model.members.iter().any(|member| {
                member.node.as_str() == *host
                    || (member.instance(&model.name) == *name && host.parse::<IpAddr>().is_err())
            })
        });
        for one in living.into_values() {
            let same = |member: &&PgMember<'a>| member.instance(&model.name) == one.name;
            match model.members.iter().find(same) {
                // A machine that got another address itself: its own Patroni is the one that is listed.
                Some(member)
                    if facts(member).is_some_and(|facts| facts.patroni_of(cluster).is_some()) => {}
                Some(member) => return Err(moved(model, member, one)),
                None => return Err(undeclared(model, one)),
            }
        }
        Ok(())
    }
}

fn moved(model: &PgCluster<'_>, member: &PgMember<'_>, living: &MemberFacts) -> Problem {
    let MemberFacts { name, host, state, .. } = living;
    let message = format!(
        "{name} of {} lives on {host} (Patroni calls it {state}), and the inventory now puts it on {}: two \
         Patronis of one name would take each other's place",
        model.name, member.node
    );
    Box::new(problem("identity-address", member.seq_span, message).help(format!(
        "give {} a pg_seq of its own; or, with {host} in the inventory as it was, `keddah remove {host}` \
         first, and then add {}. Where {host} is gone for good, etcd forgets it within half a minute \
         (`pg_rto`)",
        member.node, member.node
    )))
}

fn undeclared(model: &PgCluster<'_>, living: &MemberFacts) -> Problem {
    let MemberFacts { name, host, state, leads, .. } = living;
    let does = if *leads { "leads it" } else { "may lead it at any time" };
    let message = format!(
        "{name} on {host} is a member of {} and {does} (Patroni calls it {state}), and the inventory does not \
         have it: it would be taken out of every service while it lives",
        model.name
    );
    let span = model
        .members
        .first()
        .and_then(|member| member.params.span(parameters::PG_CLUSTER).or(member.seq_span));
    let help = format!(
        "put {host} back into the inventory; where it is to go, `keddah remove {host}` then takes it away in \
         good order. One that lives on out of reach is switched off; where it is gone already, etcd forgets \
         it within half a minute (`pg_rto`)"
    );
    Box::new(problem("undeclared-member", span, message).help(help))
}

/// An instance that Keddah has made and that runs, on a host of which the inventory wants none.
pub(crate) fn left_behind(
    topology: &Topology<'_>,
    host: &Host,
    facts: &NodeFacts,
) -> Option<Problem> {
    // Where it wants another one there, `identity-cluster` tells.
    if topology.instances_on(&host.name).next().is_some() {
        return None;
    }
    let left = facts.instances.iter().find(|one| one.runs && !one.scope.is_empty())?;
    let elsewhere =
        |node: &NodeName| format!("the inventory has {} on {node} and others", left.scope);
    let cluster = topology.clusters.iter().find(|one| one.name.as_str() == left.scope);
    let known = match cluster.and_then(|cluster| cluster.members.first()) {
        Some(member) => elsewhere(&member.node),
        None => format!("the inventory has no cluster {}", left.scope),
    };
    let message = format!(
        "{} runs on {}, and the inventory does not have it there ({known}): its services would be taken away",
        left.name, host.name
    );
    Some(Box::new(problem("undeclared-instance", host.span, message).help(format!(
        "look for what has been misspelt, deleted or commented out in the group of {}; where the instance is \
         to go, `keddah remove` it with the inventory as it was",
        left.scope
    ))))
}
