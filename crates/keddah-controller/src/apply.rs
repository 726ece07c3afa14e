//! Apply: judge → lint → approve → execute → report, of the very plan that was proposed.

use crate::steps::{self, Approval, Planned, PublicPasswords};
use crate::{Context, Error, Proposal, Reviewed};
use keddah_fleet::quote;
use keddah_plan::health::Health;
use keddah_plan::{Allowance, Report, opened};
use std::num::NonZeroU16;

/// How a plan is to be carried out, and what was said beforehand.
#[derive(Debug)]
pub struct ApplyRequest<'a> {
    /// The plan that was reviewed: nothing else is carried out.
    pub reviewed: Option<&'a Reviewed>,
    /// Whether the changes are approved already.
    pub yes: bool,
    /// Names of what may be lost.
    pub destroy: Vec<String>,
    /// Clusters that are not well, or of which others have more, and that are changed all the same.
    pub despite: Vec<String>,
    /// Whether logins by public passwords are allowed from now on.
    pub allow_public_passwords: bool,
    /// How much heavy work may run at once in the whole fleet.
    pub forks: NonZeroU16,
    /// The command as it was given, without `--destroy`, to be completed in a hint.
    pub command: String,
}

/// What came of it.
#[derive(Debug)]
pub enum Applied {
    /// There was nothing to change.
    Nothing,
    /// The plan was carried out; not everything need have gone well.
    Done {
        /// How each change ended.
        report: Box<Report>,
        /// How the planned part of the fleet does now.
        health: Box<Health>,
    },
}

/// Carries out a proposal, once all that may stand in its way is settled.
///
/// # Errors
/// When nothing was changed, and why. What failed on the way is in the report.
pub async fn apply(
    context: &Context,
    proposal: &Proposal,
    request: ApplyRequest<'_>,
) -> Result<Applied, Error> {
    let ApplyRequest { reviewed, yes, destroy, despite, allow_public_passwords, forks, command } =
        request;
    let Proposal { planned, .. } = proposal;
    let Planned { plan, desired, signer, doors, stopped, health, .. } = planned;
    if let Some(reviewed) = reviewed.filter(|reviewed| !reviewed.agrees(plan, signer)) {
        let (reviewed, now) = (Box::new(reviewed.plan.clone()), Box::new(plan.clone()));
        return Err(Error::NotAsReviewed { reviewed, now });
    }
    if plan.changes.is_empty() {
        // Whoever misspells a name believes it gone.
        let destroyed = destroy.iter().cloned().collect();
        steps::known_losses(plan, desired, &destroyed)?;
        return Ok(Applied::Nothing);
    }
    let (opened, said) =
        (opened(plan, doors), PublicPasswords::of(context, allow_public_passwords)?);
    said.guard(&opened, &with_losses(&command, &destroy))?;
    steps::not_into_the_sick(plan, health, &despite, &with_losses(&command, &destroy))?;
    let starts = keddah_plan::starts(plan, stopped);
    steps::not_the_wrong_leader(&starts, &despite, &with_losses(&command, &destroy))?;
    let allowance = Allowance { names: destroy.into_iter().collect(), everything: false };
    let approval = Approval { yes, allowance, typed: None, command };
    steps::approve(context, plan, desired, approval)?;
    said.remember(&opened, context.environment.now())?;
    let report = Box::new(steps::carry_out(context, planned, "keddah apply", forks).await?);
    let health = Box::new(planned.health_now(context).await);
    Ok(Applied::Done { report, health })
}

/// A command, with what may be lost by it.
fn with_losses(command: &str, destroy: &[String]) -> String {
    if destroy.is_empty() {
        return command.to_owned();
    }
    format!("{command} --destroy {}", quote(&destroy.join(",")))
}
