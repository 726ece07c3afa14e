//! The plan: every change, what it costs, why, and what it waits for. Holds no secret.

use crate::{Debt, Failure, Remembered};
use keddah_core::NodeName;
use keddah_resource::{
    Action, Class, Difference, FieldChange, Kind, Module, Observed, ResourceId, TriggerAction,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What came of looking at one resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What is there.
    Observed(Observed),
    /// It cannot be known before something else has happened.
    NotYet {
        /// What has to happen first, for a person.
        because: String,
    },
    /// Looking failed. Never the same as "it is not there".
    Failed(Failure),
}

/// Whether the difference is what will be, or only what can be said now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Certainty {
    /// The machine was compared with what is declared.
    Known,
    /// The comparison has to wait.
    NotYet {
        /// For what.
        because: String,
    },
}

/// What a node is told that it may do; it refuses to do anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// This difference, field by field.
    Exactly(Difference),
    /// Nothing graver than this difference. Earlier changes of the same plan may have altered what
    /// is there: a package brings configuration files, accounts and units of its own.
    AtMost(Difference),
    /// Nobody could compare when the plan was made; anything but losing data.
    Whatever,
}

impl Promise {
    /// Whether doing `actual` keeps the promise.
    pub fn allows(&self, actual: &Difference) -> bool {
        if actual.impossible.is_some() {
            return false;
        }
        match self {
            Promise::Exactly(promised) => {
                promised.action == actual.action
                    && promised.class == actual.class
                    && promised.fields == actual.fields
            }
            Promise::AtMost(promised) => {
                let deletes = actual.action == Action::Delete;
                if deletes && promised.action != Action::Delete {
                    return false;
                }
                // What was not there had no users; it may restart, but nothing may be lost.
                let worst = match promised.action {
                    Action::Create => promised.class.max(Class::OrderedRestart),
                    Action::Update | Action::Delete => promised.class,
                };
                actual.class <= worst
            }
            Promise::Whatever => actual.class < Class::Destroy,
        }
    }
}

/// One change of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// The resource.
    pub id: ResourceId,
    /// Which module wants it.
    pub module: Module,
    /// The cluster it belongs to.
    pub cluster: Option<String>,
    /// What changes, what it costs, and why.
    pub difference: Difference,
    /// Whether that is known.
    pub certainty: Certainty,
    /// The reload or restart that other changes of this plan ask of it.
    pub cause: Option<TriggerAction>,
    /// Those changes.
    pub caused_by: Vec<ResourceId>,
    /// Length of the longest path of changes before it: changes of one wave may run together.
    pub wave: usize,
    /// Changes of this plan that must be finished before it is begun.
    pub after: Vec<ResourceId>,
    /// The reloads and restarts that follow it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owes: Vec<Debt>,
    /// Whether services may be found elsewhere after it, or not yet again.
    #[serde(default)]
    pub moves_services: bool,
}

impl PlannedChange {
    /// What it owes that its own node writes down while it is carried out.
    pub fn on_the_spot(&self) -> impl Iterator<Item = &Debt> {
        self.owes.iter().filter(|debt| debt.remembered == Remembered::OnTheSpot)
    }

    /// What the node is told that it may do.
    pub fn promise(&self) -> Promise {
        match &self.certainty {
            Certainty::NotYet { .. } if self.cause.is_none() => Promise::Whatever,
            Certainty::NotYet { .. } => Promise::AtMost(self.difference.clone()),
            // The states of a server that does not come up follow each other: `starting`, `start failed`.
            Certainty::Known
                if self.id.kind == Kind::PgInstance && self.difference.action == Action::Update =>
            {
                Promise::AtMost(self.difference.clone())
            }
            Certainty::Known if self.after.is_empty() => Promise::Exactly(self.difference.clone()),
            Certainty::Known => Promise::AtMost(self.difference.clone()),
        }
    }
}

/// A resource that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unobserved {
    /// The resource.
    pub id: ResourceId,
    /// Why.
    pub failure: Failure,
}

/// A change that is left out because something it waits for could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The resource.
    pub id: ResourceId,
    /// The resource that could not be looked at.
    pub by: ResourceId,
}

/// Everything that would change, in an order in which it can be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The changes, by wave.
    pub changes: Vec<PlannedChange>,
    /// Nodes that could not be asked what they are; nothing is planned for them.
    #[serde(default)]
    pub unreachable: BTreeMap<NodeName, Failure>,
    /// The nodes that are locked while it is carried out: those that change, those that note what they
    /// are owed, and all others of the clusters that change, for two controllers must not restart two
    /// members of one.
    #[serde(default)]
    pub locks: BTreeSet<NodeName>,
    /// What could not be looked at.
    pub unobserved: Vec<Unobserved>,
    /// What is left out for that reason.
    pub blocked: Vec<Blocked>,
    /// How many resources were compared.
    pub resources: usize,
    /// On how many nodes.
    pub nodes: usize,
    /// What a person should know, though nothing changes by it.
    pub notes: Vec<String>,
    /// How many servers use other values than the declared ones, though no change of the plan mends
    /// that; a note says which. While there are any, not all is as declared.
    #[serde(default)]
    pub otherwise: usize,
}

/// Counts of changes, for one line at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Things to be made.
    pub create: usize,
    /// Units to be started, which may have been there for long.
    #[serde(default)]
    pub start: usize,
    /// Things to be changed.
    pub update: usize,
    /// Things to be taken away.
    pub delete: usize,
    /// Things that can only be compared later.
    pub not_yet: usize,
    /// Things that cannot be made as they are declared: while there are any, apply refuses the plan.
    #[serde(default)]
    pub impossible: usize,
    /// Known changes by what they cost.
    pub classes: BTreeMap<Class, usize>,
}

impl Plan {
    /// Whether there is nothing to do and everything was seen.
    pub fn is_settled(&self) -> bool {
        self.changes.is_empty() && self.is_complete()
    }

    /// Whether every node and every resource could be looked at.
    pub fn is_complete(&self) -> bool {
        self.unreachable.is_empty() && self.unobserved.is_empty()
    }

    /// The change of a resource.
    pub fn change(&self, id: &ResourceId) -> Option<&PlannedChange> {
        self.changes.iter().find(|change| change.id == *id)
    }

    /// The nodes on which something changes.
    pub fn changed_nodes(&self) -> BTreeSet<&NodeName> {
        self.changes.iter().map(|change| &change.id.node).collect()
    }

    /// The counts.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in &self.changes {
            summary.impossible += usize::from(change.difference.impossible.is_some());
            if change.certainty != Certainty::Known {
                summary.not_yet += 1;
                continue;
            }
            *summary.classes.entry(change.difference.class).or_default() += 1;
            match change.difference.action {
                Action::Create if change.id.kind == Kind::Unit => summary.start += 1,
                Action::Create => summary.create += 1,
                Action::Update => summary.update += 1,
                Action::Delete => summary.delete += 1,
            }
        }
        summary
    }

    /// SHA-256, in hexadecimal digits, of all that a person reviews: ids, actions, classes,
    /// displayed fields and certainty. Plans that say the same have the same digest.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            // The length before each part keeps `ab`+`c` and `a`+`bc` apart.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        for change in &self.changes {
            let PlannedChange {
                id,
                module,
                cluster: _,
                difference,
                certainty,
                cause: _,
                caused_by: _,
                wave: _,
                after: _,
                owes,
                moves_services: _,
            } = change;
            let Difference { action, class, fields, reason: _, impossible } = difference;
            part("change");
            part(&id.to_string());
            part(&module.to_string());
            part(&format!("{action:?} {class:?}"));
            part(impossible.as_deref().unwrap_or_default());
            match certainty {
                Certainty::Known => part("known"),
                Certainty::NotYet { because } => part(because),
            }
            for field in fields {
                match field {
                    FieldChange::Value { field, before, after } => {
                        part(field);
                        part(before.as_deref().map_or("-", |_| "+"));
                        part(before.as_deref().unwrap_or_default());
                        part(after.as_deref().map_or("-", |_| "+"));
                        part(after.as_deref().unwrap_or_default());
                    }
                    FieldChange::Text { field, before, after } => {
                        part(field);
                        part(before);
                        part(after);
                    }
                    FieldChange::Secret { field } => part(field),
                }
            }
            for debt in owes.iter().filter(|debt| debt.outside) {
                part("owes");
                part(&format!("{:?} {}", debt.action, debt.target));
            }
        }
        for node in self.unreachable.keys() {
            part("unreachable");
            part(node.as_str());
        }
        for unobserved in &self.unobserved {
            part("unobserved");
            part(&unobserved.id.to_string());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
