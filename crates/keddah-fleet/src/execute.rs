//! Carrying out a plan: each change as soon as what it waits for is done and its machine has a place for
//! it, on all nodes at once.
//!
//! No choices are made here: what follows a change, who must remember that, and whether services
//! are waited for stands in the plan. A failure stops what waits for it and nothing else.

use crate::pki::Authority;
use crate::places::Places;
use crate::protocol::Converge;
use crate::queue::Queue;
use crate::{Fleet, Holder, Session, SessionError};
use keddah_core::NodeName;
use keddah_plan::{Debt, Event, Failure, Plan, PlannedChange, Remembered, SkipReason};
use keddah_resource::{Class, DesiredFleet, Resource, ResourceId, Spec, TriggerAction};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long health checks may take to find servers: some checks, and a replica's first connection.
const SERVICES: Duration = Duration::from_secs(10);

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Begin nothing new; finish what runs.
    Gently,
    /// Return at once; nodes finish what they have begun.
    Now,
}

/// What is carried out, and with what.
pub struct Execution<'a> {
    /// What should be.
    pub desired: &'a DesiredFleet,
    /// The reviewed plan.
    pub plan: &'a Plan,
    /// The nodes.
    pub fleet: &'a Fleet,
    /// Who signs certificates.
    pub authorities: &'a [Authority],
    /// Seconds since 1970-01-01 UTC, for the validity of certificates.
    pub now: i64,
    /// How much may run at once.
    pub places: Places,
    /// Who does it, for those who find a node locked.
    pub holder: Holder,
    /// Where to tell what happens.
    pub events: mpsc::UnboundedSender<Event>,
    /// Whether to go on.
    pub stop: watch::Receiver<Stop>,
}

/// Why nothing was begun.
#[derive(Debug)]
pub enum ExecuteError {
    /// Nodes that others change, and who; or that cannot be locked.
    Locked(BTreeMap<NodeName, SessionError>),
    /// The plan has a change that the desired fleet does not know.
    UnknownChange(ResourceId),
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecuteError::Locked(nodes) => {
                formatter.write_str("nothing was changed, for not every node can be locked:")?;
                for (node, error) in nodes {
                    write!(formatter, "\n  {node}: {error}")?;
                }
                Ok(())
            }
            ExecuteError::UnknownChange(id) => {
                write!(formatter, "the plan changes {id}, which is not declared")
            }
        }
    }
}

impl std::error::Error for ExecuteError {}

/// Locks the nodes that the plan names, then carries out the plan. How it went is told by events alone.
///
/// # Errors
/// When nothing was begun.
pub async fn execute(execution: Execution<'_>) -> Result<(), ExecuteError> {
    let mut resources = Vec::with_capacity(execution.plan.changes.len());
    for change in &execution.plan.changes {
        let resource = execution.desired.get(&change.id);
        let unknown = || ExecuteError::UnknownChange(change.id.clone());
        resources.push(resource.ok_or_else(unknown)?);
    }
    lock_nodes(&execution).await?;
    let services_moved = Scheduler::new(&execution, resources).run().await;
    if services_moved && *execution.stop.borrow() == Stop::No {
        await_services(&execution).await;
    }
    Ok(())
}

/// Who applies connects next: what HAProxy offers should lead somewhere by then.
async fn await_services(execution: &Execution<'_>) {
    let tell = |event| {
        // Nobody watching is no reason to stop.
        let _ = execution.events.send(event);
    };
    tell(Event::AwaitingServices);
    let mut stop = execution.stop.clone();
    let idle = tokio::select! {
        idle = execution.fleet.idle_listeners(SERVICES) => idle,
        Ok(()) = stop.changed() => return,
    };
    for (node, answer) in idle {
        match answer {
            Ok(listeners) => {
                for listener in listeners {
                    tell(Event::ServiceIdle { node: node.clone(), listener });
                }
            }
            Err(failure) => tell(Event::ServicesUnseen { node, failure }),
        }
    }
}

async fn lock_nodes(execution: &Execution<'_>) -> Result<(), ExecuteError> {
    let mut locking = JoinSet::new();
    let mut refused = BTreeMap::new();
    let changed = execution.plan.changed_nodes();
    for node in &execution.plan.locks {
        let Some(session) = execution.fleet.session(node).cloned() else {
            // Whoever else could reach it finds the rest of its cluster locked.
            if !changed.contains(node) {
                continue;
            }
            let failure = Failure::new("there is no connection");
            refused.insert(node.clone(), SessionError::Lost(failure));
            continue;
        };
        let holder = execution.holder.clone();
        locking.spawn(async move { (session.node().clone(), session.lock(&holder).await) });
    }
    while let Some(joined) = locking.join_next().await {
        match joined {
            Ok((_, Ok(()))) => {}
            Ok((node, Err(error))) => {
                refused.insert(node, error);
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(ExecuteError::Locked(refused)) }
}

/// One change on its way: who, what, and how it ended.
type Finished = (usize, Result<Option<Class>, SessionError>, Instant);

struct Scheduler<'a> {
    execution: &'a Execution<'a>,
    resources: Vec<&'a Resource>,
    queue: Queue<'a>,
    /// How many changes were last said to wait for a place.
    told_queued: usize,
    causes: Vec<Option<TriggerAction>>,
    lost: BTreeSet<&'a NodeName>,
    running: JoinSet<Finished>,
    services_moved: bool,
}

impl<'a> Scheduler<'a> {
    fn new(execution: &'a Execution<'a>, resources: Vec<&'a Resource>) -> Self {
        let changes = &execution.plan.changes;
        let work = resources.iter().zip(changes);
        let work = work.map(|(resource, change)| resource.spec.work(&change.difference)).collect();
        Self {
            execution,
            resources,
            queue: Queue::new(changes, work, execution.places.clone()),
            told_queued: 0,
            causes: vec![None; changes.len()],
            lost: BTreeSet::new(),
            running: JoinSet::new(),
            services_moved: false,
        }
    }

    fn change(&self, at: usize) -> &'a PlannedChange {
        &self.execution.plan.changes[at]
    }

    fn tell(&self, event: Event) {
        // Nobody watching is no reason to stop.
        let _ = self.execution.events.send(event);
    }

    /// Answers whether something that serves was started, reloaded or restarted.
    async fn run(mut self) -> bool {
        let mut stop = self.execution.stop.clone();
        let mut stopping = false;
        loop {
            let wish = *stop.borrow_and_update();
            if wish >= Stop::Gently && !stopping {
                stopping = true;
                self.tell(Event::Stopping { running: self.running.len() });
                for at in 0..self.queue.len() {
                    self.skip(at, &SkipReason::Interrupted);
                }
            }
            if wish == Stop::Now {
                self.running.detach_all();
                return self.services_moved;
            }
            self.dispatch();
            if self.running.is_empty() {
                return self.services_moved;
            }
            tokio::select! {
                Some(joined) = self.running.join_next() => match joined {
                    Ok(finished) => self.finish(finished),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                Ok(()) = stop.changed() => {}
            }
        }
    }

    fn dispatch(&mut self) {
        while let Some(at) = self.queue.begin() {
            self.start(at);
        }
        let count = self.queue.queued();
        if count != self.told_queued {
            self.told_queued = count;
            self.tell(Event::Queued { count });
        }
    }

    fn start(&mut self, at: usize) {
        let change = self.change(at);
        let Some(session) = self.execution.fleet.session(&change.id.node).cloned() else {
            self.queue.put_back(at);
            self.lose(at, Failure::new("there is no connection"));
            return;
        };
        self.tell(Event::ChangeStarted { id: change.id.clone() });
        let started = Instant::now();
        let prepared = self.request(at).and_then(|request| Ok((request, self.beforehand(at)?)));
        let (request, debts) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => {
                self.running
                    .spawn(async move { (at, Err(SessionError::Failed(failure)), started) });
                return;
            }
        };
        self.running.spawn(async move {
            for (session, debt) in debts {
                if let Err(error) = session.owe(&debt.target, debt.action).await {
                    let failure = cannot_note(&debt, &error.to_string());
                    return (at, Err(SessionError::Failed(failure)), started);
                }
            }
            (at, session.converge(request).await, started)
        });
    }

    fn request(&self, at: usize) -> Result<Box<Converge>, Failure> {
        let (change, resource) = (self.change(at), self.resources[at]);
        let material = match &resource.spec {
            Spec::Certificate(spec) => {
                let mut signers = self.execution.authorities.iter();
                let Some(signer) = signers.find(|one| one.fingerprint() == spec.issuer) else {
                    return Err(Failure::new("its certificate authority's key is not here"));
                };
                let issued = signer.issue(spec, self.execution.now);
                Some(issued.map_err(|error| Failure::new(error.to_string()))?)
            }
            _ => None,
        };
        Ok(Box::new(Converge {
            id: change.id.clone(),
            spec: resource.spec.clone(),
            promise: change.promise(),
            cause: self.causes[at],
            owes: change.on_the_spot().cloned().collect(),
            material,
        }))
    }

    /// The conversations with the nodes that write down beforehand what this change owes them.
    ///
    /// # Errors
    /// When one of them is not there: a debt that nobody remembers is not made.
    fn beforehand(&self, at: usize) -> Result<Vec<(Arc<Session>, Debt)>, Failure> {
        let owes = &self.change(at).owes;
        let beforehand = owes.iter().filter(|debt| debt.remembered == Remembered::Beforehand);
        beforehand
            .map(|debt| match self.execution.fleet.session(&debt.target.node) {
                Some(session) => Ok((session.clone(), debt.clone())),
                None => Err(cannot_note(debt, "there is no connection")),
            })
            .collect()
    }

    fn finish(&mut self, (at, result, started): Finished) {
        let change = self.change(at);
        let id = change.id.clone();
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.queue.end(at);
        match result {
            Ok(changed) => {
                self.tell(Event::ChangeFinished { id, changed, milliseconds });
                if let Some(class) = changed {
                    self.services_moved |= change.moves_services;
                    for debt in change.owes.iter().filter(|debt| class >= debt.from_class) {
                        if let Some(target) = self.queue.index(&debt.target) {
                            self.causes[target] = self.causes[target].max(Some(debt.action));
                        }
                    }
                }
                self.queue.release(at);
            }
            Err(SessionError::Lost(failure)) => self.lose(at, failure),
            Err(SessionError::Failed(failure)) => self.fail(at, failure, milliseconds),
            Err(busy @ SessionError::Busy(_)) => {
                self.fail(at, Failure::new(busy.to_string()), milliseconds);
            }
        }
    }

    fn fail(&mut self, at: usize, failure: Failure, milliseconds: u64) {
        let id = self.change(at).id.clone();
        self.tell(Event::ChangeFailed { id: id.clone(), failure, milliseconds });
        let because = SkipReason::DependencyFailed { id };
        for next in self.queue.successors(at).to_vec() {
            self.skip(next, &because);
        }
    }

    /// The node is gone: whatever is left on it, and whatever waits for that, is not begun.
    fn lose(&mut self, at: usize, failure: Failure) {
        let node = &self.change(at).id.node;
        if self.lost.insert(node) {
            self.tell(Event::NodeLost { node: node.clone(), failure });
        }
        let because = SkipReason::NodeLost { node: node.clone() };
        for next in self.queue.successors(at).to_vec() {
            self.skip(next, &because);
        }
        for other in self.queue.of_node(node) {
            self.skip(other, &because);
        }
    }

    /// Skips a change that was not begun, and everything that waits for it.
    fn skip(&mut self, at: usize, because: &SkipReason) {
        for at in self.queue.skip(at) {
            let id = self.change(at).id.clone();
            self.tell(Event::ChangeSkipped { id, because: because.clone() });
        }
    }
}

fn cannot_note(debt: &Debt, why: &str) -> Failure {
    let Debt { target, action, .. } = debt;
    let what = match action {
        TriggerAction::Reload => "reload",
        TriggerAction::Restart => "restart",
    };
    Failure::new(format!("the {what} that {target} is owed by this cannot be noted there: {why}"))
}
