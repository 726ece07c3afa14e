//! The command line as a whole: global options, the list of commands, and exit codes.

use crate::commands::{
    agent, apply, cert, check, compile, completion, inventory, params, pg, plan, remove, sandbox,
    schema, status,
};
use crate::environment::Environment;
use crate::error::{CommandError, Error, of_sandbox};
use crate::render::{Output, trip};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

/// Declarative, highly available PostgreSQL on plain Linux machines
///
/// An inventory says what should be; `keddah plan` shows what would change, and `keddah apply` does
/// exactly that. Nothing to change means that nothing is touched.
///
/// Exit codes: 0 done, nothing to change, all is well; 2 `plan` found changes, or `status` something that
/// is not well; 1 everything else, such as a command line that is not understood, an answer of no, or a
/// change that failed.
#[derive(Debug, Parser)]
#[command(name = "keddah", version = VERSION.as_str(), arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalOptions,

    #[command(subcommand)]
    command: Command,
}

/// The version, with the commit where whoever builds names it, as the Makefile does.
static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("KEDDAH_COMMIT") {
    Some(commit) if !commit.is_empty() => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
    _ => env!("CARGO_PKG_VERSION").to_owned(),
});

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct GlobalOptions {
    /// The inventory [default: keddah.yml or pigsty.yml in the current directory]
    #[arg(short = 'i', long, global = true, value_name = "FILE")]
    pub inventory: Option<PathBuf>,

    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Status(status::StatusArgs),
    Remove(remove::RemoveArgs),
    Pg(pg::PgArgs),
    Check(check::CheckArgs),
    Compile(compile::CompileArgs),
    Inventory(inventory::InventoryArgs),
    Params(params::ParamsArgs),
    Schema(schema::SchemaArgs),
    Cert(cert::CertArgs),
    Sandbox(sandbox::SandboxArgs),
    Completion(completion::CompletionArgs),
    #[command(hide = true)]
    Agent(agent::AgentArgs),
}

/// What every command gets.
#[derive(Debug, Clone)]
pub struct Context {
    /// Options of every command.
    pub global: GlobalOptions,
    /// What was read of the environment, once.
    pub environment: Environment,
    /// How to print.
    pub output: Output,
}

/// Parses, runs, prints an error, and chooses the exit code.
pub fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Not clap's 2, which a script would take for changes that `plan` found.
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let environment = Environment::read();
    let output = Output::new(global.color, environment.no_color, global.json);
    let context = Context { global, environment, output };
    match run(&context, command) {
        Ok(code) => code,
        Err(error) => {
            trip::failed(&context.output, error);
            ExitCode::from(1)
        }
    }
}

fn run(context: &Context, command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Plan(args) => block_on(plan::run(context, args)),
        Command::Status(args) => block_on(status::run(context, args)),
        Command::Apply(args) => block_on(apply::run(context, args)),
        Command::Remove(args) => block_on(remove::run(context, args)),
        Command::Pg(args) => block_on(pg::run(context, args)),
        Command::Check(args) => Ok(check::run(context, args)?),
        Command::Compile(args) => compile::run(context, args),
        Command::Inventory(args) => inventory::run(context, args),
        Command::Params(args) => Ok(params::run(context, args)?),
        Command::Schema(args) => Ok(schema::run(context, args)?),
        Command::Cert(args) => Ok(cert::run(context, args)?),
        Command::Sandbox(args) => {
            Ok(sandbox::run(args, context.environment.image_cache.clone()).map_err(of_sandbox)?)
        }
        Command::Completion(args) => Ok(completion::run(context, args)?),
        Command::Agent(args) => Ok(agent::run(args)?),
    }
}

fn block_on(command: impl Future<Output = Result<ExitCode, Error>>) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::internal("cannot start").caused_by(&error))?;
    let result = runtime.block_on(command);
    // What still runs is an agent that finishes; it needs nothing of this process.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
