//! Plan: from an inventory's file to what would change in the chosen part of the fleet.

use crate::steps::{self, Choice, Planned, PublicPasswords, Read, Selection};
use crate::{CommandError, Context, Error, Reviewed};
use keddah_compile::Removing;
use keddah_plan::opened;
use std::time::Duration;

/// What is to be planned.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// Which part of the fleet.
    pub choice: Choice,
    /// Clusters that an apply is to change although they are not well; names that none has are refused.
    pub despite: Vec<String>,
    /// How long what is silent is waited for.
    pub patience: Duration,
}

/// A plan, and all that it takes to carry out that very plan.
pub struct Proposal {
    /// The inventory's file, as it was read.
    pub read: Read,
    /// What was chosen of it.
    pub choice: Choice,
    /// The plan.
    pub planned: Planned,
}

/// load → check → facts and health → compile → observe → plan.
///
/// # Errors
/// When the inventory is wrong or cannot be for these nodes, or nothing can be said of them.
pub async fn plan(context: &Context, request: PlanRequest) -> Result<Proposal, Error> {
    let PlanRequest { choice, despite, patience } = request;
    let (mut read, inventory) = steps::checked(context)?;
    let selection = Selection::of(&choice, &inventory)?;
    steps::known_clusters(&inventory, &despite)?;
    let nothing = Removing::default();
    let planned =
        steps::plan(context, &mut read, &inventory, &selection, &nothing, patience).await?;
    Ok(Proposal { read, choice, planned })
}

impl Proposal {
    /// The plan as a file, to be reviewed and to come back.
    ///
    /// # Errors
    /// When the inventory's place cannot be named.
    pub fn reviewed(&self) -> Result<Reviewed, CommandError> {
        Reviewed::new(&self.planned.plan, &self.choice, &self.read, &self.planned.signer)
    }

    /// Why an apply would refuse the plan for the clusters' health; `command` is what would be run.
    pub fn foreseen_refusal(&self, command: &str) -> Option<CommandError> {
        let Planned { plan, health, .. } = &self.planned;
        steps::refusal(plan, health, &[], command)
    }

    /// Whether an apply would ask for leave to open logins by public passwords.
    ///
    /// # Errors
    /// When it cannot be seen what was allowed.
    pub fn opens_what_nobody_allowed(&self, context: &Context) -> Result<bool, CommandError> {
        let Planned { plan, doors, .. } = &self.planned;
        let said = PublicPasswords::of(context, false)?;
        Ok(!opened(plan, doors).is_empty() && !said.are_allowed())
    }
}
