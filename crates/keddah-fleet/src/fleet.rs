//! Conversations with all nodes at once.

use crate::{Controller, Holder, Session, SessionError, Target, nodes_part};
use keddah_core::NodeName;
use keddah_plan::{Failure, Outcome};
use keddah_resource::health::{Asked, HealthProbe, NodeHealth};
use keddah_resource::{DesiredFleet, IdleListener, NodeFacts, Probe, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Connections that are being opened at the same time: each is a process of OpenSSH and some
/// cryptography on this machine; more at once make none of them faster.
const CONNECTING: usize = 64;

/// After this time, a login that has not come to its end waits for others rather than works here: it
/// no longer keeps anybody from beginning.
const WORKING: Duration = Duration::from_millis(300);

/// What nodes are asked as soon as they are reached, each without waiting for the others.
#[derive(Debug, Clone, Default)]
pub struct FirstQuestions {
    /// What they are.
    pub facts: BTreeMap<NodeName, Probe>,
    /// How they do.
    pub health: BTreeMap<NodeName, HealthProbe>,
    /// How long the second answer is waited for.
    pub patience: Duration,
    /// By when, counted from the beginning, all of it has to be over; whoever is reached early has what that
    /// leaves, where it is more than `patience`.
    pub whole: Option<Duration>,
}

impl FirstQuestions {
    /// How long a node is waited for that was reached after this time, and what it is asked: it has its part
    /// of what there is more than `patience`, too.
    fn asked(&self, mut probe: HealthProbe, after: Duration) -> (HealthProbe, Duration) {
        let rest = self.whole.map(|whole| whole.saturating_sub(after)).unwrap_or_default();
        if rest <= self.patience {
            return (probe, self.patience);
        }
        probe.patience = u64::try_from(nodes_part(rest).as_millis()).unwrap_or(u64::MAX);
        (probe, rest)
    }
}

/// What they answered.
#[derive(Debug, Clone, Default)]
pub struct FirstAnswers {
    /// What they are, those who said it.
    pub facts: BTreeMap<NodeName, NodeFacts>,
    /// How each of them does.
    pub health: BTreeMap<NodeName, Told>,
}

/// How a node does, and when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it said, or why it did not.
    pub health: Asked<NodeHealth>,
    /// How long after the beginning it was asked.
    pub after: Duration,
    /// How long it took to answer.
    pub took: Duration,
}

impl Told {
    fn nothing(why: Option<&Failure>) -> Self {
        let because = why.map_or("it was not asked", |failure| &failure.message);
        let health = Asked::unknown(because);
        Self { health, after: Duration::ZERO, took: Duration::ZERO }
    }

    async fn by(
        session: &Session,
        probe: &HealthProbe,
        patience: Duration,
        begun: Instant,
    ) -> Self {
        let after = begun.elapsed();
        let health = match timeout(patience, session.health(probe)).await {
            Ok(Ok(health)) => Asked::Told(health),
            Ok(Err(error)) => Asked::unknown(lost(error).message),
            Err(_) => Asked::unknown(format!(
                "its agent did not answer within {:.0} s",
                patience.as_secs_f64()
            )),
        };
        Self { health, after, took: begun.elapsed().saturating_sub(after) }
    }
}

/// The nodes that can be talked to, and why the others cannot.
#[derive(Debug, Default)]
pub struct Fleet {
    sessions: BTreeMap<NodeName, Arc<Session>>,
    unreachable: BTreeMap<NodeName, Failure>,
    shared: Shared,
}

/// Nodes of a sandbox, which share one machine's processors.
#[derive(Debug, Default)]
struct Shared {
    nodes: BTreeSet<NodeName>,
    cores: usize,
}

impl Shared {
    fn note(&mut self, node: &NodeName, facts: Option<&NodeFacts>) {
        if let Some(facts) = facts.filter(|facts| facts.sandbox) {
            self.nodes.insert(node.clone());
            self.cores = self.cores.max(usize::try_from(facts.cores).unwrap_or(1));
        }
    }

    /// Turns of those that are there: a look at a node works as much as all of its instances together.
    fn turns(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(self.cores.max(1)))
    }
}

impl Fleet {
    /// Opens a conversation with each of these nodes.
    pub async fn connect(
        controller: &Arc<Controller>,
        targets: impl IntoIterator<Item = (NodeName, Target)>,
    ) -> Self {
        Self::connect_and_ask(controller, targets, FirstQuestions::default()).await.0
    }

    /// Opens a conversation with each of these nodes, and puts the first questions to each as soon as it
    /// is reached: one that is silent, and another that cannot be reached, are waited for side by side.
    pub async fn connect_and_ask(
        controller: &Arc<Controller>,
        targets: impl IntoIterator<Item = (NodeName, Target)>,
        questions: FirstQuestions,
    ) -> (Self, FirstAnswers) {
        let questions = Arc::new(questions);
        let FirstQuestions { facts: probes, health, .. } = &*questions;
        let begun = Instant::now();
        controller.arrivals.begin();
        let gate = Arc::new(Semaphore::new(CONNECTING));
        let mut connecting = JoinSet::new();
        for (node, target) in targets {
            let (controller, gate) = (controller.clone(), gate.clone());
            let (probe, health) = (probes.get(&node).cloned(), health.get(&node).cloned());
            let questions = questions.clone();
            connecting.spawn(async move {
                let session = match reach(&controller, &gate, &node, &target).await {
                    Ok(session) => session,
                    Err(failure) => return (node, Err(failure)),
                };
                let facts = async {
                    match probe {
                        Some(probe) => Some(session.facts(&probe).await),
                        None => None,
                    }
                };
                let told = async {
                    match health {
                        Some(probe) => {
                            let (probe, patience) = questions.asked(probe, begun.elapsed());
                            Some(Told::by(&session, &probe, patience, begun).await)
                        }
                        None => None,
                    }
                };
                let (facts, told) = tokio::join!(facts, told);
                (node, Ok((session, facts, told)))
            });
        }
        let mut fleet = Self::default();
        let mut answers = FirstAnswers::default();
        while let Some(joined) = connecting.join_next().await {
            let (node, reached) = match joined {
                Ok(joined) => joined,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            match reached {
                Ok((session, facts, told)) => {
                    answers.health.extend(told.map(|told| (node.clone(), told)));
                    match facts.transpose() {
                        Ok(facts) => {
                            fleet.add(session);
                            fleet.shared.note(&node, facts.as_ref());
                            answers.facts.extend(facts.map(|facts| (node, facts)));
                        }
                        // One that cannot say what it is counts as unreachable from here on.
                        Err(error) => {
                            fleet.unreachable.insert(node, lost(error));
                        }
                    }
                }
                Err(failure) => {
                    fleet.unreachable.insert(node, failure);
                }
            }
        }
        for node in health.keys() {
            let why = fleet.unreachable.get(node);
            answers.health.entry(node.clone()).or_insert_with(|| Told::nothing(why));
        }
        (fleet, answers)
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
                    self.shared.note(&node, Some(&facts));
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

    /// How each of these nodes does, at the latest when `patience` is over, counted from when it is asked:
    /// nodes that share a machine are asked in turn. A node that did not say it is unknown.
    pub async fn health(
        &self,
        probes: &BTreeMap<NodeName, HealthProbe>,
        patience: Duration,
    ) -> BTreeMap<NodeName, Told> {
        let begun = Instant::now();
        let mut all = BTreeMap::new();
        let mut asking = JoinSet::new();
        let turns = self.shared.turns();
        for (node, probe) in probes {
            let Some(session) = self.sessions.get(node).cloned() else {
                all.insert(node.clone(), Told::nothing(self.unreachable.get(node)));
                continue;
            };
            let probe = probe.clone();
            let turns = self.shared.nodes.contains(node).then(|| turns.clone());
            asking.spawn(async move {
                let _turn = match &turns {
                    // Nobody closes it.
                    Some(turns) => turns.acquire().await.ok(),
                    None => None,
                };
                let told = Told::by(&session, &probe, patience, begun).await;
                (session.node().clone(), told)
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
        // They were asked side by side before, so the longest silence is what it has cost.
        let spent = self.sessions.values().map(|session| session.spent()).max();
        let spent = spent.unwrap_or_default();
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
            asking.spawn(async move { (ids, session.observe(specs, spent).await) });
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

/// Opens a conversation, when there is a place for it.
async fn reach(
    controller: &Controller,
    gate: &Arc<Semaphore>,
    node: &NodeName,
    target: &Target,
) -> Result<Session, Failure> {
    let limit = controller.limits.opening;
    let turn = controller.arrivals.within(limit, gate.clone().acquire_owned()).await;
    let Some(permit) = turn else {
        return Err(Failure::new(format!(
            "{node} is out of reach: it was not tried within {} s, for too many others do not answer",
            limit.as_secs_f64()
        )));
    };
    let connecting = controller.connect(node, target);
    tokio::pin!(connecting);
    let session = match timeout(WORKING, &mut connecting).await {
        Ok(session) => session,
        Err(_) => {
            drop(permit);
            connecting.await
        }
    };
    if session.is_ok() {
        controller.arrivals.note();
    }
    session
}

fn lost(error: SessionError) -> Failure {
    match error {
        SessionError::Failed(failure) | SessionError::Lost(failure) => failure,
        busy @ SessionError::Busy(_) => Failure::new(busy.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_early_has_the_time_that_is_left() {
        let seconds = Duration::from_secs;
        let questions = FirstQuestions {
            patience: seconds(1),
            whole: Some(seconds(5)),
            ..FirstQuestions::default()
        };
        let asked = |after| {
            let probe = HealthProbe { patience: 750, ..HealthProbe::default() };
            let (probe, patience) = questions.asked(probe, after);
            (probe.patience, patience)
        };
        assert_eq!(asked(seconds(1)), (3000, seconds(4)));
        assert_eq!(asked(seconds(4)), (750, seconds(1)));
        assert_eq!(asked(seconds(9)), (750, seconds(1)), "never less than it was promised");
    }
}
