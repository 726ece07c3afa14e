//! `keddah completion`: what makes a shell complete keddah's commands.

use crate::cli::{Cli, Context};
use crate::error::CommandError;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completion script of a shell
///
/// bash: keddah completion bash > /etc/bash_completion.d/keddah
///
/// zsh: keddah completion zsh > ~/.zfunc/_keddah (a folder of your fpath)
///
/// fish: keddah completion fish > ~/.config/fish/completions/keddah.fish
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
