//! `keddah apply`: make it so. Reads like the trip of the data, for it is the whole of it.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render;
use crate::steps::{self, Approval, Reviewed, Selection, SelectionArgs, Signer};
use clap::Args;
use keddah_compile::{Compiled, Removing};
use keddah_plan::Allowance;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what would change, ask, and change exactly that
///
/// With a PLANFILE of `keddah plan -o`, refuses when the machines are no longer as they were when
/// it was reviewed. Killed at any point, the next apply goes on from there. Ctrl-C once finishes
/// what runs and begins nothing new; twice ends at once.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A reviewed plan
    #[arg(value_name = "PLANFILE", conflicts_with_all = ["limit", "modules"])]
    plan_file: Option<PathBuf>,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,

    /// Allow what bears this name to be lost: a user, a database, a member
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    destroy: Vec<String>,

    /// Show new files in full
    #[arg(long)]
    full: bool,
}

/// load → check → observe facts → compile → observe → plan → lint → show → approve → execute → report
pub async fn run(context: &Context, args: ApplyArgs) -> Result<ExitCode, CommandError> {
    let ApplyArgs { plan_file, selection, yes, destroy, full } = args;
    let reviewed = plan_file.as_deref().map(Reviewed::read).transpose()?;
    let selection = reviewed.as_ref().map_or(selection, |reviewed| reviewed.selection.clone());

    let (mut read, inventory) = steps::checked(context)?;
    let selection = Selection::of(&selection, &inventory)?;
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

    render::plan::announce(&context.output, &plan, full);
    if let Some(reviewed) = reviewed.filter(|reviewed| !reviewed.agrees(&plan, &signer)) {
        return Err(render::plan::differs(&reviewed.plan, &plan));
    }
    if plan.changes.is_empty() {
        return Ok(render::report::nothing(&context.output, &plan));
    }
    let allowance = Allowance { names: destroy.into_iter().collect(), everything: false };
    steps::approve(context, &plan, Approval { yes, allowance, typed: None })?;
    let report =
        steps::carry_out(context, &desired, &plan, &fleet, &signer, "keddah apply").await?;
    Ok(render::report::show(&context.output, &plan, &report))
}
