//! `keddah completion`: what makes a shell complete keddah's commands.

use crate::cli::{Cli, Context};
use crate::error::CommandError;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completion script of a shell
///
/// For bash: keddah completion bash > /etc/bash_completion.d/keddah
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// Prints it.
pub fn run(context: &Context, args: CompletionArgs) -> Result<ExitCode, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keddah", &mut script);
    context.output.answer(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}
