//! `keddah plan`: what would change, and why. Changes nothing.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::plan as render;
use crate::steps::{
    self, PatienceArgs, Planned, PublicPasswords, Reviewed, Selection, SelectionArgs,
};
use clap::Args;
use keddah_compile::Removing;
use keddah_fleet::quote;
use keddah_plan::opened;
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
pub async fn run(context: &Context, args: PlanArgs) -> Result<ExitCode, CommandError> {
    let (mut read, inventory) = steps::checked(context)?;
    let selection = Selection::of(&args.selection, &inventory)?;
    let nothing = Removing::default();
    let patience = args.patience.patience();
    let Planned { plan, signer, doors, health, .. } =
        steps::plan(context, &mut read, &inventory, &selection, &nothing, patience).await?;
    if let Some(path) = &args.output {
        Reviewed::new(&plan, &args.selection, &read, &signer)?.write(path)?;
    }
    render::show(&context.output, &plan, &health, args.full);
    steps::foretell_the_refusal(context, &plan, &health, "keddah apply");
    PublicPasswords::of(context, false)?.foretell(context, &opened(&plan, &doors));
    if let Some(path) =
        args.output.filter(|_| !plan.changes.is_empty() && plan.summary().impossible == 0)
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
