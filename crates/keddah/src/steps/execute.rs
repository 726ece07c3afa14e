//! Approve and execute: the user's yes, then the plan, watched.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::progress::Progress;
use crate::steps::Signer;
use keddah_fleet::{Execution, Fleet, Holder, Stop, execute};
use keddah_plan::{Allowance, Event, Finding, Plan, Report, lint};
use keddah_resource::DesiredFleet;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// What the user has said beforehand.
#[derive(Debug, Default)]
pub struct Approval {
    /// `--yes`.
    pub yes: bool,
    /// What may be lost.
    pub allowance: Allowance,
    /// A name that must be typed, whatever else was said.
    pub typed: Option<String>,
}

/// Lints the plan and asks for a yes.
///
/// # Errors
/// When the plan must not be carried out, the answer is no, or there is nobody to ask.
pub fn approve(context: &Context, plan: &Plan, mut approval: Approval) -> Result<(), CommandError> {
    let asks = std::io::stdin().is_terminal() && !context.output.is_json();
    for finding in lint(plan, &approval.allowance) {
        if finding.code == "destroys-data" && asks && !approval.yes {
            let name = finding.id.name.rsplit('/').next().unwrap_or(&finding.id.name);
            let question = format!("{}. Type {name} to allow it: ", finding.message);
            if answer(context, &question)? == name {
                approval.allowance.names.insert(finding.id.name.clone());
            }
        }
    }
    let findings = lint(plan, &approval.allowance);
    if !findings.is_empty() {
        return Err(refused(findings));
    }
    if let Some(name) = approval.typed {
        if !asks {
            return Err(CommandError::user("there is no terminal to type the name on")
                .hint(format!("confirm it on the command line: --confirm {name}")));
        }
        let question = format!("Type {name} to go ahead: ");
        return if answer(context, &question)? == name { Ok(()) } else { Err(declined()) };
    }
    if approval.yes {
        return Ok(());
    }
    if !asks {
        return Err(CommandError::user("there is no terminal to ask for approval")
            .hint("review the plan, then apply with --yes"));
    }
    let count = plan.changes.len();
    let these =
        if count == 1 { "this change".to_owned() } else { format!("these {count} changes") };
    match answer(context, &format!("Apply {these}? [y/N] "))?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(declined()),
    }
}

fn declined() -> CommandError {
    CommandError::user("nothing was changed: you did not approve")
}

fn refused(findings: Vec<Finding>) -> CommandError {
    let mut error = CommandError::user("this plan must not be carried out as it is");
    for finding in findings {
        error.causes.push(finding.message);
        error.hints.push(finding.help);
    }
    error
}

fn answer(context: &Context, question: &str) -> Result<String, CommandError> {
    context.output.status(question);
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| CommandError::system("cannot read the answer").caused_by(&error))?;
    Ok(line.trim().to_owned())
}

/// Carries out the plan, showing how it goes. Ctrl-C once finishes what runs; twice ends at once.
///
/// # Errors
/// When nothing was begun, as when a node is locked. What failed on the way is in the report.
pub async fn carry_out(
    context: &Context,
    desired: &DesiredFleet,
    plan: &Plan,
    fleet: &Fleet,
    signer: &Signer,
    command: &str,
) -> Result<Report, CommandError> {
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
    let authority = &signer.authority;
    let execution = Execution { desired, plan, fleet, authority, now, holder, events, stop };
    let listening = tokio::spawn(listen(wish));
    let mut progress = Progress::start(&context.output, plan);
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
