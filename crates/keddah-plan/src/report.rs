//! How carrying out a plan ended, change by change.

use crate::{Event, Failure, Plan, SkipReason};
use indexmap::IndexMap;
use keddah_core::NodeName;
use keddah_resource::{Class, IdleListener, ResourceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How one change ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Ending {
    /// It was carried out and confirmed.
    Changed {
        /// What it cost.
        class: Class,
        /// How long it took.
        milliseconds: u64,
    },
    /// When its turn came, nothing was left to change.
    Settled,
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// How long it took.
        milliseconds: u64,
    },
    /// It was never begun.
    Skipped {
        /// Why.
        because: SkipReason,
    },
    /// It was begun, and nobody knows how it ended; the next plan will tell.
    Unknown,
}

/// One change and its ending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportedChange {
    /// The change.
    pub id: ResourceId,
    /// How it ended.
    pub ending: Ending,
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Every change of the plan, in the plan's order.
    pub changes: Vec<ReportedChange>,
    /// Nodes that were lost on the way.
    pub lost: BTreeMap<NodeName, Failure>,
    /// Services that no server answers, by the node whose HAProxy offers them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub idle: BTreeMap<NodeName, Vec<IdleListener>>,
    /// Nodes whose HAProxy does not say whether its services are answered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<NodeName, Failure>,
    /// Whether the user asked to stop.
    pub interrupted: bool,
}

impl Report {
    /// The report of what these events say of this plan.
    pub fn new<'a>(plan: &Plan, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut endings: IndexMap<ResourceId, Ending> = plan
            .changes
            .iter()
            .map(|change| {
                let because = SkipReason::Interrupted;
                (change.id.clone(), Ending::Skipped { because })
            })
            .collect();
        let mut report = Self {
            changes: Vec::new(),
            lost: BTreeMap::new(),
            idle: BTreeMap::new(),
            unseen: BTreeMap::new(),
            interrupted: false,
        };
        for event in events {
            let (id, ending) = match event {
                Event::ChangeStarted { id } => (id, Ending::Unknown),
                Event::ChangeFinished { id, changed: Some(class), milliseconds } => {
                    (id, Ending::Changed { class: *class, milliseconds: *milliseconds })
                }
                Event::ChangeFinished { id, changed: None, .. } => (id, Ending::Settled),
                Event::ChangeFailed { id, failure, milliseconds } => {
                    let failure = failure.clone();
                    (id, Ending::Failed { failure, milliseconds: *milliseconds })
                }
                Event::ChangeSkipped { id, because } => {
                    (id, Ending::Skipped { because: because.clone() })
                }
                Event::NodeLost { node, failure } => {
                    report.lost.insert(node.clone(), failure.clone());
                    continue;
                }
                Event::AwaitingServices | Event::Queued { .. } => continue,
                Event::ServiceIdle { node, listener } => {
                    report.idle.entry(node.clone()).or_default().push(listener.clone());
                    continue;
                }
                Event::ServicesUnseen { node, failure } => {
                    report.unseen.insert(node.clone(), failure.clone());
                    continue;
                }
                Event::Stopping { .. } => {
                    report.interrupted = true;
                    continue;
                }
            };
            endings.insert(id.clone(), ending);
        }
        report.changes =
            endings.into_iter().map(|(id, ending)| ReportedChange { id, ending }).collect();
        report
    }

    /// Whether every change is done.
    pub fn is_success(&self) -> bool {
        self.lost.is_empty()
            && self
                .changes
                .iter()
                .all(|change| matches!(change.ending, Ending::Changed { .. } | Ending::Settled))
    }

    /// The changes that failed, with their causes: what a person has to look at.
    pub fn failures(&self) -> impl Iterator<Item = (&ResourceId, &Failure)> {
        self.changes.iter().filter_map(|change| match &change.ending {
            Ending::Failed { failure, .. } => Some((&change.id, failure)),
            _ => None,
        })
    }

    /// How many changes ended as `wanted` says.
    pub fn count(&self, wanted: impl Fn(&Ending) -> bool) -> usize {
        self.changes.iter().filter(|change| wanted(&change.ending)).count()
    }
}
