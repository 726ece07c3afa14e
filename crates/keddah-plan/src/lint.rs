//! What must be settled before a plan may be carried out: the impossible, and what would be lost.

use crate::Plan;
use keddah_resource::{Class, ResourceId};
use serde::Serialize;
use std::collections::BTreeSet;

/// What the user has allowed to be lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Names the user typed: a resource's whole name, such as `5432/dbuser_old`, or its last part.
    pub names: BTreeSet<String>,
    /// Everything in the plan; set only after the name of what is removed was typed.
    pub everything: bool,
}

impl Allowance {
    /// Whether the user has named this resource.
    pub fn covers(&self, id: &ResourceId) -> bool {
        let last = id.name.rsplit(['/', '.']).next().unwrap_or(&id.name);
        let last_segment = id.name.rsplit('/').next().unwrap_or(&id.name);
        self.everything
            || [id.name.as_str(), last_segment, last].iter().any(|&name| self.names.contains(name))
    }
}

/// A reason not to carry out a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name in kebab-case: `impossible-change` or `destroys-data`.
    pub code: &'static str,
    /// The change it is about.
    pub id: ResourceId,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// The name by which a person calls what a resource is about: `dbuser_old` of `5432/dbuser_old`.
pub fn short_name(id: &ResourceId) -> &str {
    id.name.rsplit('/').next().unwrap_or(&id.name)
}

/// Reasons not to carry out the plan, in the plan's order; empty means that it may go ahead.
pub fn lint(plan: &Plan, allowance: &Allowance) -> Vec<Finding> {
    let mut findings = Vec::new();
    for change in &plan.changes {
        let id = &change.id;
        if let Some(why) = &change.difference.impossible {
            findings.push(Finding {
                code: "impossible-change",
                id: id.clone(),
                message: format!("{id} cannot be changed like this"),
                help: why.clone(),
            });
        }
        if change.difference.class == Class::Destroy && !allowance.covers(id) {
            findings.push(Finding {
                code: "destroys-data",
                id: id.clone(),
                message: format!("{id} would be lost for good"),
                help: format!("allow it by name: --destroy {}", short_name(id)),
            });
        }
    }
    findings
}
