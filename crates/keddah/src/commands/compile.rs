//! `keddah compile`: what should be on every node, worked out without asking one.

use crate::cli::Context;
use crate::error::Error;
use crate::render::compile as render;
use clap::Args;
use keddah_compile::Removing;
use keddah_controller::stations::{self, Signer};
use std::process::ExitCode;

/// Work out what should be on every node, without asking one
///
/// Goes further than `check`: templates are rendered, services find their members, versions and
/// privileges are settled, as if every node were a fresh machine with Debian 13, 4 processors and
/// 16 GiB of memory. Answers with the number of resources of each module. For inventories that are
/// tested before they are merged; exit code 1 when something is wrong.
#[derive(Debug, Args)]
pub struct CompileArgs {}

/// Compiles and counts.
pub fn run(context: &Context, args: CompileArgs) -> Result<ExitCode, Error> {
    let CompileArgs {} = args;
    let trip = context.trip(false);
    let (mut read, inventory) = stations::checked(&trip)?;
    let signer = Signer::load(&trip, &inventory)?;
    let facts = stations::assumed_facts(&inventory);
    let nothing = Removing::default();
    let compiled = stations::compile(&trip, &mut read, &inventory, &facts, &signer, &nothing)?;
    render::show(&context.output, &compiled, facts.len());
    // The process ends here; giving back millions of small pieces first would only take time.
    std::mem::forget((compiled, facts));
    Ok(ExitCode::SUCCESS)
}
