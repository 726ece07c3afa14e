//! What controller and agent say to each other.
//!
//! Both ends are always the same build, for the controller brings its own agent: messages need no
//! versions of their own, and a different build is refused in the first message.

use keddah_plan::{Debt, Failure, Promise};
use keddah_resource::health::{HealthProbe, NodeHealth};
use keddah_resource::{
    Class, IdleListener, Material, NodeFacts, Observation, Probe, ResourceId, Spec, TriggerAction,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Counts changes of the conversation's outline: the marker line and the first message.
pub const PROTOCOL: u32 = 1;

/// The line by which the agent says that from here on its standard output holds frames. Whatever a
/// shell prints before it is skipped.
pub(crate) const MARKER: &str = "keddah-agent-1";

/// Who changes a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The account on the controller.
    pub user: String,
    /// The controller's host name.
    pub host: String,
    /// The controller's process.
    pub pid: u32,
    /// When it began, RFC 3339.
    pub since: String,
    /// What it does, such as `keddah apply`.
    pub command: String,
    /// Whether it went away, and its agent only finishes what was begun. Others wait for that.
    #[serde(default)]
    pub finishing: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { user, host, pid, since, command, finishing } = self;
        let state = if *finishing { ", which went away; its last changes still run" } else { "" };
        write!(formatter, "{user}@{host} (`{command}`, process {pid}, since {since}){state}")
    }
}

/// The controller's first message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub protocol: u32,
    pub build: String,
    /// How many milliseconds the agent waits for what is silent when it looks.
    #[serde(default)]
    pub patience: u64,
}

/// The agent's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub protocol: u32,
    pub build: String,
}

/// A request with the number under which its answer comes; several are in flight.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub number: u64,
    pub ask: Ask,
}

/// What the controller asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// What the node is.
    Facts(Probe),
    /// What is there, for each of these; so many milliseconds have been spent on silence by whoever was
    /// asked before, here or elsewhere.
    Observe { specs: Vec<Spec>, spent: u64 },
    /// Who changes this node at the moment.
    Holder,
    /// Let nobody else change this node until the conversation ends.
    Lock(Holder),
    /// Note on disk what a target will have to do, before a change elsewhere makes it necessary.
    Owe { target: ResourceId, action: TriggerAction },
    /// Which listeners lead nowhere, after so many milliseconds at most.
    IdleListeners { patience: u64 },
    /// How the node does.
    Health(HealthProbe),
    /// Make one resource as it should be.
    Converge(Box<Converge>),
}

/// One change to carry out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Converge {
    pub id: ResourceId,
    pub spec: Spec,
    /// What may be done at most.
    pub promise: Promise,
    /// What changes before it ask of it.
    pub cause: Option<TriggerAction>,
    /// What it owes to others on the same node, each written down where the change is grave enough.
    pub owes: Vec<Debt>,
    /// What only the controller can make.
    pub material: Option<Material>,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Response {
    pub number: u64,
    pub answer: Answer,
    /// How many milliseconds the node has spent on silence while it was looked at.
    #[serde(default)]
    pub spent: u64,
}

/// What the agent answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Facts(Box<NodeFacts>),
    Observed(Vec<Result<Observation, Failure>>),
    Held(Option<Holder>),
    Locked,
    Busy(Option<Holder>),
    Owed,
    IdleListeners(Vec<IdleListener>),
    Health(Box<NodeHealth>),
    /// Done; `None` when nothing was left to change.
    Converged(Option<Class>),
    Failed(Failure),
}
