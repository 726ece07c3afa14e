//! Conversations with all nodes at once.

use crate::{Controller, Holder, Session, SessionError, Target};
use keddah_core::NodeName;
use keddah_plan::{Failure, Outcome};
use keddah_resource::health::{Asked, HealthProbe, NodeHealth};
use keddah_resource::{DesiredFleet, IdleListener, NodeFacts, Probe, ResourceId, Spec};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections that are being opened at the same time: each is a process of OpenSSH and some
/// cryptography on this machine; more at once make none of them faster.
const CONNECTING: usize = 64;

/// The nodes that can be talked to, and why the others cannot.
#[derive(Debug, Default)]
pub struct Fleet {
    sessions: BTreeMap<NodeName, Arc<Session>>,
    unreachable: BTreeMap<NodeName, Failure>,
}

impl Fleet {
    /// Opens a conversation with each of these nodes.
    pub async fn connect(
        controller: &Arc<Controller>,
        targets: impl IntoIterator<Item = (NodeName, Target)>,
    ) -> Self {
        let gate = Arc::new(Semaphore::new(CONNECTING));
        let mut connecting = JoinSet::new();
        for (node, target) in targets {
            let (controller, gate) = (controller.clone(), gate.clone());
            connecting.spawn(async move {
                let _permit = gate.acquire().await;
                let session = controller.connect(&node, &target).await;
                (node, session)
            });
        }
        let mut fleet = Self::default();
        while let Some(joined) = connecting.join_next().await {
            match joined {
                Ok((_, Ok(session))) => fleet.add(session),
                Ok((node, Err(failure))) => {
                    fleet.unreachable.insert(node, failure);
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        fleet
    }

    /// Adds a conversation that is already open.
    pub fn add(&mut self, session: Session) {
        self.sessions.insert(session.node().clone(), Arc::new(session));
    }

    /// The nodes that could not be reached, and why.
    pub fn unreachable(&self) -> &BTreeMap<NodeName, Failure> {
        &self.unreachable
    }

    /// The conversation with a node.
    pub(crate) fn session(&self, node: &NodeName) -> Option<&Arc<Session>> {
        self.sessions.get(node)
    }

    /// What each node is. A node that cannot say counts as unreachable from here on.
    pub async fn facts(
        &mut self,
        probes: &BTreeMap<NodeName, Probe>,
    ) -> BTreeMap<NodeName, NodeFacts> {
        let mut asking = JoinSet::new();
        for (node, probe) in probes {
            if let Some(session) = self.sessions.get(node).cloned() {
                let probe = probe.clone();
                asking.spawn(async move { (session.node().clone(), session.facts(&probe).await) });
            }
        }
        let mut all = BTreeMap::new();
        while let Some(joined) = asking.join_next().await {
            match joined {
                Ok((node, Ok(facts))) => {
                    all.insert(node, facts);
                }
                Ok((node, Err(error))) => {
                    self.sessions.remove(&node);
                    self.unreachable.insert(node, lost(error));
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        all
    }

    /// How each of these nodes does, at the latest when `patience` is over, and how long each took to
    /// say so. A node that did not say it is unknown.
    pub async fn health(
        &self,
        probes: &BTreeMap<NodeName, HealthProbe>,
        patience: Duration,
    ) -> BTreeMap<NodeName, (Asked<NodeHealth>, Duration)> {
        let mut all = BTreeMap::new();
        let mut asking = JoinSet::new();
        for (node, probe) in probes {
            let Some(session) = self.sessions.get(node).cloned() else {
                let failure = self.unreachable.get(node).cloned();
                let because =
                    failure.map_or_else(|| "it was not asked".to_owned(), |one| one.message);
                all.insert(node.clone(), (Asked::unknown(because), Duration::ZERO));
                continue;
            };
            let probe = probe.clone();
            asking.spawn(async move {
                let begun = tokio::time::Instant::now();
                let asked = tokio::time::timeout(patience, session.health(&probe)).await;
                let answer = match asked {
                    Ok(Ok(health)) => Asked::Told(health),
                    Ok(Err(error)) => Asked::unknown(lost(error).message),
                    Err(_) => Asked::unknown(format!(
                        "its agent did not answer within {:.0} s",
                        patience.as_secs_f64()
                    )),
                };
                (session.node().clone(), (answer, begun.elapsed()))
            });
        }
        while let Some(joined) = asking.join_next().await {
            match joined {
                Ok((node, answer)) => {
                    all.insert(node, answer);
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        all
    }

    /// Who changes which of these nodes at the moment. A node that does not answer is left out: it
    /// is reported where it is looked at.
    pub async fn holders<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a NodeName>,
    ) -> BTreeMap<NodeName, Holder> {
        let mut asking = JoinSet::new();
        for session in nodes.into_iter().filter_map(|node| self.sessions.get(node).cloned()) {
            asking.spawn(async move { (session.node().clone(), session.holder().await) });
        }
        let mut holders = BTreeMap::new();
        while let Some(joined) = asking.join_next().await {
            match joined {
                Ok((node, Ok(Some(holder)))) => {
                    holders.insert(node, holder);
                }
                Ok(_) => {}
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        holders
    }

    /// What is there, for every resource; one question per node.
    pub async fn observe(&self, desired: &DesiredFleet) -> BTreeMap<ResourceId, Outcome> {
        let mut by_node: BTreeMap<&NodeName, Vec<&keddah_resource::Resource>> = BTreeMap::new();
        for resource in desired.iter() {
            by_node.entry(&resource.id.node).or_default().push(resource);
        }
        let mut outcomes = BTreeMap::new();
        let mut asking = JoinSet::new();
        for (node, resources) in by_node {
            let ids: Vec<ResourceId> = resources.iter().map(|one| one.id.clone()).collect();
            let Some(session) = self.sessions.get(node).cloned() else {
                let failure = self.unreachable.get(node).cloned();
                let failure = failure.unwrap_or_else(|| Failure::new("it was not asked"));
                let failed = |id| (id, Outcome::Failed(failure.clone()));
                outcomes.extend(ids.into_iter().map(failed));
                continue;
            };
            let specs: Vec<Spec> = resources.iter().map(|one| one.spec.clone()).collect();
            asking.spawn(async move { (ids, session.observe(specs).await) });
        }
        while let Some(joined) = asking.join_next().await {
            match joined {
                Ok((ids, Ok(observed))) => outcomes.extend(ids.into_iter().zip(observed)),
                Ok((ids, Err(error))) => {
                    let failure = lost(error);
                    let failed = |id| (id, Outcome::Failed(failure.clone()));
                    outcomes.extend(ids.into_iter().map(failed));
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        outcomes
    }

    /// Which listeners of which node lead nowhere, once the health checks have had their say, or
    /// after `patience`; or why a node does not say.
    pub(crate) async fn idle_listeners(
        &self,
        patience: Duration,
    ) -> BTreeMap<NodeName, Result<Vec<IdleListener>, Failure>> {
        let mut asking = JoinSet::new();
        for session in self.sessions.values() {
            let session = session.clone();
            asking.spawn(async move {
                let listeners = session.idle_listeners(patience).await.map_err(lost);
                (session.node().clone(), listeners)
            });
        }
        let mut all = BTreeMap::new();
        while let Some(joined) = asking.join_next().await {
            match joined {
                Ok((node, listeners)) => {
                    all.insert(node, listeners);
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        all
    }
}

fn lost(error: SessionError) -> Failure {
    match error {
        SessionError::Failed(failure) | SessionError::Lost(failure) => failure,
        busy @ SessionError::Busy(_) => Failure::new(busy.to_string()),
    }
}
