//! Where clients come in: services with the members that serve them now, and addresses with who holds them.

use super::Answers;
use keddah_core::NodeName;
use keddah_resource::health::{Expected, ExpectedCluster, SharedAddress};
use serde::Serialize;
use std::collections::BTreeSet;

/// A service of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceHealth {
    /// Its name, such as `pg-test-primary`.
    pub name: String,
    /// The port that load balancers listen on.
    pub port: u16,
    /// The members that get its clients now, as all load balancers together see it; `None` where none of them
    /// could be asked.
    pub members: Option<Vec<String>>,
}

/// An address that one of several nodes holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressHealth {
    /// The address.
    pub address: String,
    /// The nodes that hold it: one, if all is well.
    pub held_by: Vec<NodeName>,
}

/// A cluster's services.
pub(super) fn of(cluster: &ExpectedCluster, answers: &Answers) -> Vec<ServiceHealth> {
    let one = |name: &String| {
        let told = answers.values().filter_map(|answer| answer.health.told());
        let listeners: Vec<_> = told
            .flat_map(|health| &health.listeners)
            .filter(|listener| listener.name == *name)
            .collect();
        let serving: BTreeSet<&String> =
            listeners.iter().flat_map(|listener| &listener.servers).collect();
        // In the inventory's order; whoever is not in it is told all the same.
        let known = cluster.members.iter().map(|member| &member.instance);
        let known: Vec<&String> = known.filter(|name| serving.contains(name)).collect();
        let others = serving.iter().copied().filter(|name| !known.contains(name));
        (!listeners.is_empty()).then(|| known.iter().copied().chain(others).cloned().collect())
    };
    cluster
        .services
        .iter()
        .map(|service| ServiceHealth {
            name: service.name.clone(),
            port: service.port,
            members: one(&service.name),
        })
        .collect()
}

/// The addresses of a cluster, or, with none, those that go with no cluster.
pub(super) fn addresses(
    expected: &Expected,
    cluster: Option<&str>,
    answers: &Answers,
) -> Vec<AddressHealth> {
    let own = expected.shared_addresses.iter().filter(|one| one.cluster.as_deref() == cluster);
    own.map(|shared| AddressHealth {
        address: shared.address.clone(),
        held_by: holders(shared, answers).cloned().collect(),
    })
    .collect()
}

/// The nodes that hold an address, whichever they are: whoever else holds it takes its clients just the same.
pub(super) fn holders<'a>(
    shared: &'a SharedAddress,
    answers: &'a Answers,
) -> impl Iterator<Item = &'a NodeName> {
    let holds = |node: &NodeName| {
        let told = answers.get(node).and_then(|answer| answer.health.told()?.addresses.told());
        told.is_some_and(|addresses| addresses.contains(&shared.address))
    };
    answers.keys().filter(move |node| holds(node))
}
