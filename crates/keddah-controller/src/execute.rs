//! Execute: the plan, with every event told.

use crate::steps::Planned;
use crate::{Context, Error, Event};
use keddah_fleet::{Execution, Holder, execute};
use keddah_plan::Report;
use std::num::NonZeroU16;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;

/// Carries out the plan, telling how it goes.
///
/// # Errors
/// When nothing was begun, as when a node is locked. What failed on the way is in the report.
pub async fn carry_out(
    context: &Context,
    planned: &Planned,
    command: &str,
    forks: NonZeroU16,
) -> Result<Report, Error> {
    let Planned { plan, desired, fleet, places, signer, doors: _, .. } = planned;
    let places = places.clone().with_forks(forks);
    let (events, mut incoming) = mpsc::unbounded_channel();
    let stop = (context.wishes)();
    let now = context.environment.now();
    let since = OffsetDateTime::from_unix_timestamp(now).ok();
    let holder = Holder {
        user: context.environment.user.clone(),
        host: context.environment.host.clone(),
        pid: context.environment.pid,
        since: since.and_then(|since| since.format(&Rfc3339).ok()).unwrap_or_default(),
        command: command.to_owned(),
        finishing: false,
    };
    let authorities = &signer.authorities;
    let execution =
        Execution { desired, plan, fleet, authorities, now, places, holder, events, stop };
    context.tell(&Event::Executing(plan));
    let mut told = Vec::new();
    let watching = async {
        while let Some(event) = incoming.recv().await {
            context.tell(&Event::Execution(&event));
            told.push(event);
        }
    };
    let (executed, ()) = tokio::join!(execute(execution), watching);
    context.tell(&Event::Executed);
    executed?;
    Ok(Report::new(plan, &told))
}
