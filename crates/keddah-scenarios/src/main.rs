//! End-to-end scenarios: drives the real `keddah` program against real sandbox nodes.
//!
//! `keddah-scenarios --keddah PATH` runs every scenario, groups of them side by side, and ends with one line,
//! `N passed, N failed`, which counts scenarios. `keddah-scenarios bench` measures instead; `drill` runs the field
//! trials at full length.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test runner: it prints, measures time and starts programs, and is no part of the product"
)]

mod bench;
mod cluster;
mod command;
mod crowded;
mod drill;
mod failure;
mod keddah;
mod load;
mod many;
mod names;
mod poison;
mod postgres;
mod processes;
mod project;
mod runner;
mod sandbox;
mod scenarios;
mod side_by_side;
mod values;
mod world;

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the end-to-end scenarios on sandbox nodes, or measure what things cost
#[derive(Debug, Parser)]
#[command(name = "keddah-scenarios")]
pub struct Options {
    /// What to do
    #[arg(value_enum, default_value_t = Mode::Scenarios)]
    mode: Mode,

    /// The program under test
    #[arg(long, default_value = "target/release/keddah", value_name = "PATH")]
    keddah: PathBuf,

    /// The nodes' Debian release
    #[arg(long, value_enum, default_value_t = Suite::Trixie)]
    suite: Suite,

    /// Run these only (names, or numbers from 1), one after another; with `bench`, `many` alone is one
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,

    /// Run this group's scenarios only (see --list); the process ends with the one that started it
    #[arg(long, conflicts_with_all = ["only", "keep"], value_name = "NAME")]
    group: Option<String>,

    /// How many groups of scenarios run side by side
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8), value_name = "COUNT")]
    jobs: u8,

    /// List the scenarios
    #[arg(long)]
    list: bool,

    /// Leave the last sandbox standing; the scenarios then run one after another
    #[arg(long)]
    keep: bool,

    /// How long faults of `drill` last, in place of their own lengths; nothing is then written down
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,

    /// How often `bench` measures each thing
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    runs: usize,

    /// Where logs of failed scenarios and working directories go
    #[arg(long, default_value = "target/scenarios", value_name = "DIRECTORY")]
    output: PathBuf,

    /// The sandbox's name
    #[arg(long, default_value = "scenarios", value_name = "NAME")]
    sandbox: String,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Run the scenarios.
    Scenarios,
    /// Measure, and write a Markdown table to standard output.
    Bench,
    /// Run the field trials at full length, and add what they came to to docs/drill.md.
    Drill,
}

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Debian 13.
    Trixie,
    /// Debian 12.
    Bookworm,
}

impl Suite {
    /// As `keddah sandbox up --suite` wants it.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Trixie => "trixie",
            Suite::Bookworm => "bookworm",
        }
    }

    /// The one that is not this.
    pub fn other(self) -> Self {
        match self {
            Suite::Trixie => Suite::Bookworm,
            Suite::Bookworm => Suite::Trixie,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.mode {
        Mode::Scenarios => runner::run(options),
        Mode::Bench => bench::run(options),
        Mode::Drill => drill::run(options),
    }
}
