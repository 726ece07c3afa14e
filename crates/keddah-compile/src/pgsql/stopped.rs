//! Who starts first where nobody runs: the member that has the most, never the one that the inventory
//! names. Whoever is started first and alone leads, and the others throw away what they have beyond it.

use super::Cluster;
use super::identity::Found;
use crate::compiler::{Compiler, Node};
use keddah_core::NodeName;
use keddah_resource::{DataFacts, StoppedCluster, StoppedMember, WalEnd};

/// A node that holds a cluster's data.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// Its name.
    pub node: NodeName,
    /// The timeline of its data's last checkpoint.
    timeline: Option<u32>,
    /// How far its WAL reaches.
    wal: Option<WalEnd>,
}

impl Holder {
    pub fn of(node: &Node<'_>, data: &DataFacts) -> Self {
        Self { node: node.name.clone(), timeline: data.timeline, wal: data.wal.clone() }
    }

    /// What can be compared of two. A member that has all that the others have is never behind one of them: a
    /// timeline that came out of another has the greater number.
    fn reach(&self) -> (u32, u64) {
        let known = self.wal.as_ref().map(|wal| (wal.timeline, wal.position));
        known.unwrap_or((self.timeline.unwrap_or_default(), 0))
    }
}

impl Found {
    /// The node to start first while nobody leads: never one without data where another has it, for
    /// without keys in etcd it would be born anew; and of several that have as much, the inventory's
    /// primary.
    pub fn starts_first(&self, first_primary: Option<&NodeName>) -> Option<&NodeName> {
        let most = self.holders.iter().map(Holder::reach).max()?;
        let with_most = || self.holders.iter().filter(|holder| holder.reach() == most);
        let primary = with_most().find(|holder| Some(&holder.node) == first_primary);
        primary.or_else(|| with_most().next()).map(|holder| &holder.node)
    }
}

impl Compiler<'_> {
    /// Tells what is there of a cluster of which nobody runs, so that a plan can say what its start decides.
    /// What follows another cluster has nothing of its own to lose.
    pub(super) fn tell_stopped(&mut self, cluster: &Cluster<'_>) {
        let runs = |node: &Node<'_>| node.facts.patroni_of(&cluster.name).is_some();
        if cluster.holders.is_empty()
            || cluster.follows.is_some()
            || cluster.instances.iter().any(|instance| runs(&instance.node))
        {
            return;
        }
        let holder = |node: &Node<'_>| cluster.holders.iter().find(|one| one.node == node.name);
        let mut instances: Vec<_> = cluster.instances.iter().collect();
        instances.sort_by_key(|instance| {
            let holder = holder(&instance.node);
            let reach = holder.map(Holder::reach);
            (instance.node.name != cluster.leader, holder.is_none(), std::cmp::Reverse(reach))
        });
        let members = instances.into_iter().map(|instance| {
            let holder = holder(&instance.node);
            StoppedMember {
                name: instance.name.clone(),
                node: instance.node.name.clone(),
                unit: instance.patroni(),
                holds_data: holder.is_some(),
                wal: holder.and_then(|holder| holder.wal.clone()),
            }
        });
        self.stopped.push(StoppedCluster {
            name: cluster.name.clone(),
            members: members.collect(),
            silent: cluster.away.clone(),
        });
    }
}
