//! The `keddah` command: wiring, one file per command, and everything that is printed.

mod cli;
mod commands;
mod environment;
mod error;
mod options;
mod render;
mod trip;

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Large fleets are millions of small pieces made on all processors
/// (`docs/decisions/allocator.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
