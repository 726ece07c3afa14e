//! The `keddah` command: wiring, one file per command, and everything that is printed.

mod cli;
mod commands;
mod environment;
mod error;
mod render;
mod steps;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
