//! `keddah schema`: the JSON Schema of an inventory.

use crate::cli::Context;
use crate::error::CommandError;
use clap::Args;
use std::process::ExitCode;

/// Print the JSON Schema of inventories, for editors
///
/// With VS Code's YAML extension, write it to a file and begin the inventory with
/// `# yaml-language-server: $schema=FILE`.
#[derive(Debug, Args)]
pub struct SchemaArgs {}

/// Prints it.
pub fn run(context: &Context, args: SchemaArgs) -> Result<ExitCode, CommandError> {
    let SchemaArgs {} = args;
    context.output.data(&keddah_inventory::schema());
    Ok(ExitCode::SUCCESS)
}
