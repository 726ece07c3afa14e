//! `keddah check`: everything that is wrong with an inventory, without a machine.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::diagnostic;
use clap::Args;
use keddah_controller::stations;
use keddah_core::Severity;
use std::process::ExitCode;

/// Check an inventory: all problems at once, with their places
///
/// Reads nothing but the file. Exit code 1 when there is an error; warnings alone are fine.
#[derive(Debug, Args)]
pub struct CheckArgs {}

/// Checks and shows.
pub fn run(context: &Context, args: CheckArgs) -> Result<ExitCode, CommandError> {
    let CheckArgs {} = args;
    let read = stations::read(&context.trip(false))?;
    let problems = diagnostic::Problems::of(&read);
    if context.output.is_json() {
        context.output.data(&problems.json());
    } else {
        context.output.answer(&problems.text(&context.output.stdout));
    }
    let failed = read.diagnostics.iter().any(|problem| problem.severity == Severity::Error);
    Ok(ExitCode::from(u8::from(failed)))
}
