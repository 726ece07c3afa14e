//! What happens while a plan is carried out, told to whoever watches.

use keddah_core::NodeName;
use keddah_resource::{Class, IdleListener, ResourceId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something on a node could not be done, with what a person needs to find the cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, in one or two sentences.
    pub message: String,
    /// The last lines of the log of the thing that failed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a log or a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), log: Vec::new(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Why a planned change was never begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum SkipReason {
    /// Something it waits for failed, or was itself skipped for this cause.
    DependencyFailed {
        /// The change that failed in the first place.
        id: ResourceId,
    },
    /// The node cannot be talked to any more.
    NodeLost {
        /// The node.
        node: NodeName,
    },
    /// The user asked to stop.
    Interrupted,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::DependencyFailed { id } => write!(formatter, "it waits for {id}"),
            SkipReason::NodeLost { node } => write!(formatter, "{node} is out of reach"),
            SkipReason::Interrupted => formatter.write_str("you asked to stop"),
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Event {
    /// How many changes could begin, and wait for a place on their machines or in the fleet. Their time
    /// limits have not begun.
    Queued {
        /// So many.
        count: usize,
    },
    /// A change was handed to its node.
    ChangeStarted {
        /// The change.
        id: ResourceId,
    },
    /// A change is done, and the node confirms that nothing is left to do.
    ChangeFinished {
        /// The change.
        id: ResourceId,
        /// What it cost; `None` when nothing was left to change.
        changed: Option<Class>,
        /// How long it took.
        milliseconds: u64,
    },
    /// A change failed.
    ChangeFailed {
        /// The change.
        id: ResourceId,
        /// Why.
        failure: Failure,
        /// How long it took.
        milliseconds: u64,
    },
    /// A change will not be begun.
    ChangeSkipped {
        /// The change.
        id: ResourceId,
        /// Why.
        because: SkipReason,
    },
    /// A node can no longer be talked to.
    NodeLost {
        /// The node.
        node: NodeName,
        /// Why.
        failure: Failure,
    },
    /// Everything is done that could be; now HAProxy's health checks are waited for.
    AwaitingServices,
    /// A service that no server answers, although its time to come up is over.
    ServiceIdle {
        /// The node whose HAProxy offers it.
        node: NodeName,
        /// The service.
        listener: IdleListener,
    },
    /// A node whose HAProxy does not say whether its services are answered.
    ServicesUnseen {
        /// The node.
        node: NodeName,
        /// Why.
        failure: Failure,
    },
    /// The user asked to stop: what runs is finished, nothing new is begun.
    Stopping {
        /// Changes that still run.
        running: usize,
    },
}
