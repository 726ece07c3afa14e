//! `keddah apply`: make it so. Reads like the trip of the data, for it is the whole of it.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::{self, report::Afterwards};
use crate::steps::{
    self, ALLOW_PUBLIC_PASSWORDS, Approval, Forks, PatienceArgs, Planned, PublicPasswords,
    Reviewed, Selection, SelectionArgs,
};
use clap::{Args, ValueEnum};
use keddah_compile::Removing;
use keddah_fleet::quote;
use keddah_plan::{Allowance, opened};
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what would change, ask, and change exactly that
///
/// With a PLANFILE of `keddah plan -o`, takes the inventory and the selection from there, and
/// refuses when these or the machines are no longer as they were when it was reviewed. Killed at
/// any point, the next apply goes on from there. Ctrl-C once finishes what runs and begins nothing
/// new; twice ends at once.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A reviewed plan
    #[arg(value_name = "PLANFILE", conflicts_with_all = ["limit", "modules"])]
    plan_file: Option<PathBuf>,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    patience: PatienceArgs,

    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,

    /// Allow what bears these names to be lost: users, databases, members
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    destroy: Vec<String>,

    /// Restart, start or remove members of these clusters although they are not well, or others have more
    #[arg(long, value_delimiter = ',', value_name = "CLUSTER")]
    despite: Vec<String>,

    /// Allow logins with passwords that everyone knows; said once, and remembered beside the inventory
    #[arg(long)]
    allow_public_passwords: bool,

    #[command(flatten)]
    forks: Forks,

    /// Show every field, new files in full, and every change as it is done
    #[arg(short = 'v', long, visible_alias = "verbose")]
    full: bool,
}

/// load → check → plan → lint → show → approve → execute → report
pub async fn run(context: &Context, args: ApplyArgs) -> Result<ExitCode, CommandError> {
    let command = command_line(context, &args);
    let ApplyArgs {
        plan_file,
        selection,
        patience,
        yes,
        destroy,
        despite,
        allow_public_passwords,
        forks,
        full,
    } = args;
    let patience = patience.patience();
    let reviewed = plan_file.as_deref().map(Reviewed::read).transpose()?;
    let selection = reviewed.as_ref().map_or(selection, |reviewed| reviewed.selection.clone());
    let context = match &reviewed {
        Some(reviewed) => &reviewed.context(context)?,
        None => context,
    };

    let (mut read, inventory) = steps::checked(context)?;
    let selection = Selection::of(&selection, &inventory)?;
    steps::known_clusters(&inventory, &despite)?;
    let nothing = Removing::default();
    let planned =
        steps::plan(context, &mut read, &inventory, &selection, &nothing, patience).await?;
    let Planned { plan, desired, signer, doors, stopped, health, .. } = &planned;

    render::plan::announce(&context.output, plan, health, full);
    if let Some(reviewed) = reviewed.filter(|reviewed| !reviewed.agrees(plan, signer)) {
        return Err(render::plan::differs(&reviewed.plan, plan));
    }
    if plan.changes.is_empty() {
        // Whoever misspells a name believes it gone.
        let destroyed = destroy.iter().cloned().collect();
        steps::known_losses(plan, desired, &destroyed)?;
        return Ok(render::report::nothing(&context.output, plan, health));
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
    let report = steps::carry_out(context, &planned, "keddah apply", forks.count, full).await?;
    let now = planned.health_now(context).await;
    Ok(render::report::show(&context.output, plan, &report, &now, &Afterwards::default()))
}

/// A command, with what may be lost by it.
fn with_losses(command: &str, destroy: &[String]) -> String {
    if destroy.is_empty() {
        return command.to_owned();
    }
    format!("{command} --destroy {}", quote(&destroy.join(",")))
}

/// The command as it was given, without what may be lost.
fn command_line(context: &Context, args: &ApplyArgs) -> String {
    let ApplyArgs {
        plan_file,
        selection,
        patience,
        yes,
        allow_public_passwords,
        despite,
        forks,
        ..
    } = args;
    let mut words = vec!["keddah".to_owned(), "apply".to_owned()];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), quote(&value)]);
    if let Some(path) = &context.global.inventory {
        option("-i", path.display().to_string());
    }
    if !selection.limit.is_empty() {
        option("-l", selection.limit.join(","));
    }
    if !selection.modules.is_empty() {
        option("-m", selection.modules.join(","));
    }
    if let Some(restart) = selection.restart.and_then(|how| how.to_possible_value()) {
        option("--restart", restart.get_name().to_owned());
    }
    if let Some(seconds) = patience.unusual() {
        option("--timeout", seconds.to_string());
    }
    if !despite.is_empty() {
        option("--despite", despite.join(","));
    }
    words.extend(forks.words());
    words.extend(yes.then(|| "--yes".to_owned()));
    words.extend(allow_public_passwords.then(|| ALLOW_PUBLIC_PASSWORDS.to_owned()));
    words.extend(plan_file.as_ref().map(|path| quote(&path.display().to_string())));
    words.join(" ")
}
