//! `keddah status`: whether the fleet is well. Changes nothing, and always answers.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::status::{self as render, View};
use crate::steps::{self, HealthCheck, Selection, SelectionArgs};
use clap::Args;
use keddah_core::NodeName;
use keddah_fleet::{FirstAnswers, FirstQuestions, Limits};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// Show how clusters and nodes do, and what is not well
///
/// Asks every node, its servers and services at the same time, and answers within a few seconds with
/// whatever is known by then: what could not be asked is a finding, too. What each finding means and
/// what to do about it is in docs/findings.md. Exit code 0 when all is well, 2 when it is not.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only these hosts, groups or clusters
    #[arg(short = 'l', long, value_delimiter = ',', value_name = "HOST|GROUP|CLUSTER")]
    limit: Vec<String>,

    /// Ask again and again, and show what changed, until interrupted
    #[arg(short = 'w', long)]
    watch: bool,

    /// Seconds (1 to 300) after which what has not answered counts as unknown
    #[arg(long, value_name = "SECONDS", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=300))]
    timeout: u16,
}

/// Between two rounds of `--watch`.
const ROUND: Duration = Duration::from_secs(2);

/// Asks, judges and shows.
pub async fn run(context: &Context, args: StatusArgs) -> Result<ExitCode, CommandError> {
    let StatusArgs { limit, watch, timeout } = args;
    let mut read = steps::read(context)?;
    let inventory = match read.inventory.take() {
        Some(inventory) if inventory.hosts().next().is_some() => inventory,
        // Of a fleet without a host nothing is known, least of all that it is well.
        nothing => {
            read.inventory = nothing;
            return Err(steps::refuse(context, &read));
        }
    };
    // Whoever looks for what is wrong at night is not helped by a refusal for a mistake elsewhere; but
    // what could not be read is not looked at either.
    let unread = steps::tell_what_is_missing(context, &read);
    let selection =
        Selection::of(&SelectionArgs { limit, ..SelectionArgs::default() }, &inventory)?;
    let whole = Duration::from_secs(u64::from(timeout));
    let (opening, answer) = (whole.mul_f64(0.55), whole.mul_f64(0.4));
    let check = HealthCheck::of(context, &read, &inventory, &selection, answer)?;
    let nodes: BTreeSet<NodeName> = check.nodes().cloned().collect();
    let limits =
        Limits { opening, answer: whole, pulse: answer, looking: answer, ..Limits::default() };
    loop {
        let begun = tokio::time::Instant::now();
        // A fleet that lets in quickly and is busy gets the time that no login needed.
        let whole = Some(whole.mul_f64(0.95));
        let questions = check.ask_with(FirstQuestions { whole, ..FirstQuestions::default() });
        let (FirstAnswers { health, .. }, asked) =
            steps::connect_within(context, &inventory, &nodes, limits, questions).await?;
        let health = check.judge_told(asked, health);
        let view = View {
            health: &health,
            nodes: selection.nodes().len(),
            unread,
            now: context.environment.now(),
        };
        if watch && !context.output.is_json() {
            render::again(&context.output, view.now);
        }
        render::show(&context.output, &view);
        if !watch {
            return Ok(if view.is_well() { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        tokio::time::sleep_until(begun + ROUND).await;
    }
}
