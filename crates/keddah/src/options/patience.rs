//! `--timeout`: how long whoever plans waits for what is silent.

use clap::Args;
use keddah_fleet::LOOKING;
use std::time::Duration;

/// How long what is silent is waited for, while nothing is changed yet.
#[derive(Debug, Clone, Copy, Args)]
pub struct PatienceArgs {
    /// Seconds (1 to 300) after which a node, or something on it, that has not answered counts as silent
    #[arg(long, value_name = "SECONDS", default_value_t = usual(),
          value_parser = clap::value_parser!(u16).range(1..=300))]
    timeout: u16,
}

fn usual() -> u16 {
    u16::try_from(LOOKING.as_secs()).unwrap_or(u16::MAX)
}

impl PatienceArgs {
    /// That time.
    pub fn patience(self) -> Duration {
        Duration::from_secs(u64::from(self.timeout))
    }

    /// The seconds, where they are not the usual ones.
    pub fn unusual(self) -> Option<u16> {
        (self.timeout != usual()).then_some(self.timeout)
    }
}
