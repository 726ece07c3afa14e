//! `keddah status`: whether the fleet is well. Changes nothing, and always answers.

use crate::cli::Context;
use crate::error::Error;
use crate::render::status::{self as render, View};
use clap::Args;
use keddah_controller::{Seen, StatusRequest, Watch};
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
pub async fn run(context: &Context, args: StatusArgs) -> Result<ExitCode, Error> {
    let StatusArgs { limit, watch: again, timeout } = args;
    let trip = context.trip(false);
    let within = Duration::from_secs(u64::from(timeout));
    let watch = Watch::of(&trip, StatusRequest { limit, within })?;
    loop {
        let begun = tokio::time::Instant::now();
        let Seen { health, nodes, unread, now } = watch.look(&trip).await?;
        let view = View { health: &health, nodes, unread, now };
        if again && !context.output.is_json() {
            render::again(&context.output, view.now);
        }
        render::show(&context.output, &view);
        if !again {
            return Ok(if view.is_well() { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        tokio::time::sleep_until(begun + ROUND).await;
    }
}
