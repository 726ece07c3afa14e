//! `keddah plan`: what would change, and why. Changes nothing.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::plan as render;
use crate::steps::{self, Reviewed, Selection, SelectionArgs, Signer};
use clap::Args;
use keddah_compile::{Compiled, Removing};
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what would change, and why; change nothing
///
/// Exit code 0 when there is nothing to change, 2 when there is, 1 when something is wrong.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Write the plan to a file, to be reviewed and applied exactly as it is
    #[arg(short = 'o', long, value_name = "PLANFILE")]
    output: Option<PathBuf>,

    /// Show new files in full
    #[arg(long)]
    full: bool,
}

/// Plans and shows.
pub async fn run(context: &Context, args: PlanArgs) -> Result<ExitCode, CommandError> {
    let (mut read, inventory) = steps::checked(context)?;
    let selection = Selection::of(&args.selection, &inventory)?;
    let signer = Signer::load(context, &inventory)?;
    let mut fleet = steps::connect(context, &inventory).await?;
    let facts = steps::observe_facts(context, &inventory, &mut fleet).await;
    let nothing = Removing::default();
    let Compiled { fleet: mut desired, notes } =
        steps::compile(context, &mut read, &inventory, &facts, &signer, &nothing)?;
    selection.restrict(&mut desired);
    let observed = fleet.observe(&desired).await;
    signer.guard(&observed)?;
    let mut plan = keddah_plan::plan(&desired, &observed)?;
    plan.notes = notes;
    steps::complete(&mut plan, &desired, &fleet, selection.nodes());
    if let Some(path) = &args.output {
        Reviewed::new(&plan, &args.selection, &signer).write(path)?;
    }
    render::show(&context.output, &plan, args.full);
    Ok(match (plan.is_complete(), plan.changes.is_empty()) {
        (false, _) => ExitCode::from(1),
        (true, false) => ExitCode::from(2),
        (true, true) => ExitCode::SUCCESS,
    })
}
