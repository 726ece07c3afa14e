//! `-l`, `-m` and `--restart`: which part of the fleet is planned, and what may restart in it.

use clap::{Args, ValueEnum};
use keddah_controller::{Choice, Restart};

/// Options that choose a part of the fleet.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectionArgs {
    /// Only these hosts, groups or clusters
    #[arg(short = 'l', long, value_delimiter = ',', value_name = "HOST|GROUP|CLUSTER")]
    pub limit: Vec<String>,

    /// Only these modules: ca, node, etcd, pgsql, infra
    #[arg(short = 'm', long, value_delimiter = ',', value_name = "MODULE")]
    pub modules: Vec<String>,

    /// How PostgreSQL may restart where a change needs that [default: rolling, once approved]
    #[arg(long, value_name = "HOW")]
    pub restart: Option<RestartArg>,
}

impl From<SelectionArgs> for Choice {
    fn from(args: SelectionArgs) -> Self {
        let SelectionArgs { limit, modules, restart } = args;
        Choice { limit, modules, restart: restart.map(Restart::from) }
    }
}

/// How PostgreSQL may restart.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum RestartArg {
    /// Not at all: what needs a restart waits, and the next plan shows it again
    Never,
    /// Replicas one by one, each streaming again before the next, then the primary
    Rolling,
    /// All instances of a cluster at once, without service meanwhile; Patronis go one by one
    Now,
}

impl From<RestartArg> for Restart {
    fn from(restart: RestartArg) -> Self {
        match restart {
            RestartArg::Never => Restart::Never,
            RestartArg::Rolling => Restart::Rolling,
            RestartArg::Now => Restart::Now,
        }
    }
}
