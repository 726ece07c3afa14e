//! `keddah apply`: make it so.

use crate::cli::Context;
use crate::error::Error;
use crate::options::{Forks, PatienceArgs, SelectionArgs};
use crate::render::{self, report::Afterwards};
use clap::{Args, ValueEnum};
use keddah_controller::{
    ALLOW_PUBLIC_PASSWORDS, Applied, ApplyRequest, Choice, PlanRequest, Planned, Reviewed,
};
use keddah_fleet::quote;
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

/// plan → show → apply that very plan → report
pub async fn run(context: &Context, args: ApplyArgs) -> Result<ExitCode, Error> {
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
    let trip = context.trip(full);
    let reviewed = plan_file.as_deref().map(Reviewed::read).transpose()?;
    let (trip, choice) = match &reviewed {
        Some(reviewed) => (reviewed.context(&trip)?, reviewed.selection.clone()),
        None => (trip, Choice::from(selection)),
    };

    let request = PlanRequest { choice, despite: despite.clone(), patience };
    let proposal = keddah_controller::plan(&trip, request).await?;
    let Planned { plan, health, .. } = &proposal.planned;
    render::plan::announce(&context.output, plan, health, full);

    let request = ApplyRequest {
        reviewed: reviewed.as_ref(),
        yes,
        destroy,
        despite,
        allow_public_passwords,
        forks: forks.count,
        command,
    };
    Ok(match keddah_controller::apply(&trip, &proposal, request).await? {
        Applied::Nothing => render::report::nothing(&context.output, plan, health, &[]),
        Applied::Done { report, health } => {
            // A reviewed plan is of machines as they were: what is left of it is another plan.
            let afterwards = match &reviewed {
                Some(_) => Afterwards {
                    again: "plan what is left (`keddah plan -o PLANFILE`) and apply that"
                        .to_owned(),
                    ..Afterwards::default()
                },
                None => Afterwards::default(),
            };
            render::report::show(&context.output, plan, &report, &health, &afterwards)
        }
    })
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
