//! `keddah plan`: what would change, and why. Changes nothing.

use crate::cli::Context;
use crate::error::{CommandError, Error};
use crate::options::{PatienceArgs, SelectionArgs};
use crate::render::plan as render;
use clap::Args;
use keddah_controller::{ALLOW_PUBLIC_PASSWORDS, PlanRequest, Planned};
use keddah_fleet::quote;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what would change, and why; change nothing
///
/// Exit code 0 when there is nothing to change and all is well, 2 when something changes or is not well,
/// 1 when something cannot be looked at or is wrong.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    patience: PatienceArgs,

    /// Write the plan to a file, to be reviewed and applied exactly as it is
    #[arg(short = 'o', long, value_name = "PLANFILE")]
    output: Option<PathBuf>,

    /// Show every field, new files in full
    #[arg(short = 'v', long, visible_alias = "verbose")]
    full: bool,
}

/// Plans and shows.
pub async fn run(context: &Context, args: PlanArgs) -> Result<ExitCode, Error> {
    let PlanArgs { selection, patience, output, full } = args;
    let trip = context.trip(full);
    let patience = patience.patience();
    let request = PlanRequest { choice: selection.into(), despite: Vec::new(), patience };
    let proposal = keddah_controller::plan(&trip, request).await?;
    let Planned { plan, health, .. } = &proposal.planned;
    if let Some(path) = &output {
        proposal.reviewed()?.write(path)?;
    }
    render::show(&context.output, plan, health, full);
    if let Some(error) = proposal.foreseen_refusal("keddah apply") {
        let error =
            CommandError { message: format!("apply will refuse this: {}", error.message), ..error };
        context.output.error(&error);
    }
    if proposal.opens_what_nobody_allowed(&trip)? {
        context.output.warning(&format!(
            "this would create logins with such passwords outside of a sandbox; apply asks for \
             {ALLOW_PUBLIC_PASSWORDS}"
        ));
    }
    if let Some(path) =
        output.filter(|_| !plan.changes.is_empty() && plan.summary().impossible == 0)
    {
        context.output.status(&format!(
            "To apply this very plan: keddah apply {}\n",
            quote(&path.display().to_string())
        ));
    }
    Ok(if !plan.is_complete() || plan.summary().impossible > 0 {
        ExitCode::from(1)
    } else if plan.changes.is_empty() && plan.otherwise == 0 && health.is_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}
