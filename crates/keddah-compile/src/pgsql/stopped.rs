//! Who starts first where nobody runs: the member that has the most, never the one that the inventory
//! names. Whoever is started first and alone leads, and the others throw away what they have beyond it. Where
//! somebody leads already, whoever is started throws away what that one has not.

use super::identity::{Found, is_at};
use super::led::Lead;
use super::standby::delayed;
use super::{Cluster, Instance};
use crate::compiler::{Compiler, Node};
use keddah_core::NodeName;
use keddah_inventory::model::PgMember;
use keddah_resource::{DataFacts, Led, StoppedCluster, StoppedMember, WalEnd};

/// A node that holds a cluster's data.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// Its name.
    pub node: NodeName,
    /// The timeline of its data's last checkpoint.
    timeline: Option<u32>,
    /// How far its WAL reaches.
    wal: Option<WalEnd>,
    /// Its directory, where it was restored and its recovery has not ended.
    restored: Option<String>,
    /// Whether Patroni never lets it lead: started first, it would wait for a leader, and the others for it.
    barred: bool,
}

impl Holder {
    pub fn of(member: &PgMember<'_>, node: &Node<'_>, data: &DataFacts) -> Self {
        let (timeline, wal) = (data.timeline, data.wal.clone());
        let restored = data.restored.then(|| data.path.clone());
        let barred = delayed(member).is_some();
        Self { node: node.name.clone(), timeline, wal, restored, barred }
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
    /// primary. None of those that Patroni never lets lead.
    pub fn starts_first(&self, first_primary: Option<&NodeName>) -> Option<&NodeName> {
        let may_lead = || self.holders.iter().filter(|holder| !holder.barred);
        let most = may_lead().map(Holder::reach).max()?;
        let with_most = || may_lead().filter(|holder| holder.reach() == most);
        let primary = with_most().find(|holder| Some(&holder.node) == first_primary);
        primary.or_else(|| with_most().next()).map(|holder| &holder.node)
    }
}

impl Instance<'_> {
    /// Whether its mark says that it has been made.
    fn was_made(&self) -> bool {
        self.node.facts.instances.iter().any(|found| is_at(self, found) && found.made)
    }

    /// Whether it was made, and its data is there.
    pub(super) fn ran_before(&self) -> bool {
        let mut found = self.node.facts.instances.iter();
        found.any(|found| is_at(self, found) && found.made && found.data.is_some())
    }
}

impl Compiler<'_> {
    /// Tells what is there of a cluster of which nobody runs, so that a plan can say what its start decides;
    /// and what stopped members of one have that somebody leads, so that it can say what they lose. What
    /// follows another cluster has nothing of its own to lose.
    pub(super) fn tell_stopped(&mut self, cluster: &Cluster<'_>) {
        let answers = |one: &&Instance<'_>| one.node.facts.patroni_of(&cluster.name).is_some();
        if cluster.holders.is_empty() || cluster.follows.is_some() {
            return;
        }
        let holder = |node: &Node<'_>| cluster.holders.iter().find(|one| one.node == node.name);
        let led = cluster.instances.iter().any(|one| answers(&one)).then(|| led(cluster));
        if let Some(None) = led {
            // Nobody leads: Patroni compares those that run.
            return;
        }
        let led = led.flatten();
        // A server that runs without its Patroni is not stopped.
        let runs = |one: &Instance<'_>| {
            one.node.facts.instances.iter().any(|found| is_at(one, found) && found.runs)
        };
        let stopped = |one: &&Instance<'_>| led.is_none() || !(answers(one) || runs(one));
        let mut instances: Vec<_> = cluster.instances.iter().filter(stopped).collect();
        if led.is_some() {
            instances.retain(|one| holder(&one.node).is_some());
        }
        if instances.is_empty() {
            return;
        }
        let lost = instances.iter().filter(|one| holder(&one.node).is_none() && one.was_made());
        let lost = lost.map(|one| format!("{} on {}", one.name, one.node.name)).collect();
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
                restored: holder.and_then(|holder| holder.restored.clone()),
                barred: holder.is_some_and(|holder| holder.barred),
            }
        });
        self.stopped.push(StoppedCluster {
            name: cluster.name.clone(),
            members: members.collect(),
            lost,
            silent: if led.is_some() { Vec::new() } else { cluster.away.clone() },
            led,
        });
    }
}

/// Who leads, and how far that one has come: where it cannot be asked, as far as those have come who follow
/// it, whose history is the same.
fn led(cluster: &Cluster<'_>) -> Option<Led> {
    let wal = |node: &NodeName| {
        let holder = cluster.holders.iter().find(|one| one.node == *node)?;
        holder.wal.clone().map(|wal| (holder.reach(), wal))
    };
    match &cluster.lead {
        Lead::Begins | Lead::Nobody => None,
        Lead::Here => {
            let leader = cluster.leader();
            let by = format!("{} on {}", leader.name, leader.node.name);
            Some(Led { by, wal: wal(&leader.node.name).map(|(_, wal)| wal) })
        }
        Lead::Elsewhere(by) => {
            let follows = cluster.instances.iter().filter(|one| {
                one.node.facts.patroni_of(&cluster.name).is_some_and(|patroni| !patroni.leads())
            });
            let furthest =
                follows.filter_map(|one| wal(&one.node.name)).max_by_key(|(reach, _)| *reach);
            // How far the leader has come itself cannot be said.
            let wal = furthest.map(|(_, wal)| WalEnd { position: u64::MAX, ..wal });
            Some(Led { by: by.clone(), wal })
        }
    }
}
