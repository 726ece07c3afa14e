//! Execute: the plan, watched.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::progress::Progress;
use crate::steps::Planned;
use keddah_fleet::{Execution, Holder, Stop, execute};
use keddah_plan::{Event, Report};
use std::num::NonZeroU16;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// Carries out the plan, showing how it goes. Ctrl-C once finishes what runs; twice ends at once.
///
/// # Errors
/// When nothing was begun, as when a node is locked. What failed on the way is in the report.
pub async fn carry_out(
    context: &Context,
    planned: &Planned,
    command: &str,
    forks: NonZeroU16,
    show_all: bool,
) -> Result<Report, CommandError> {
    let Planned { plan, desired, fleet, places, signer, doors: _, .. } = planned;
    let places = places.clone().with_forks(forks);
    let (events, mut incoming) = mpsc::unbounded_channel::<Event>();
    let (wish, stop) = watch::channel(Stop::No);
    let now = context.environment.now();
    let since = OffsetDateTime::from_unix_timestamp(now).ok();
    let holder = Holder {
        user: context.environment.user.clone(),
        host: context.environment.host.clone(),
        pid: std::process::id(),
        since: since.and_then(|since| since.format(&Rfc3339).ok()).unwrap_or_default(),
        command: command.to_owned(),
        finishing: false,
    };
    let authorities = &signer.authorities;
    let execution =
        Execution { desired, plan, fleet, authorities, now, places, holder, events, stop };
    let listening = tokio::spawn(listen(wish));
    let mut progress = Progress::start(&context.output, plan, show_all);
    let mut told = Vec::new();
    let watching = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                event = incoming.recv() => match event {
                    Some(event) => {
                        progress.show(&event);
                        told.push(event);
                    }
                    None => break,
                },
                _ = tick.tick() => progress.tick(),
            }
        }
    };
    let (executed, ()) = tokio::join!(execute(execution), watching);
    listening.abort();
    progress.finish();
    executed?;
    Ok(Report::new(plan, &told))
}

/// Turns signals into wishes.
async fn listen(wish: watch::Sender<Stop>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    for stop in [Stop::Gently, Stop::Now] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if wish.send(stop).is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}
