//! `keddah agent`: the node's end of a conversation, started by the controller.

use crate::error::CommandError;
use clap::Args;
use keddah_fleet::agent::{LOCK_PATH, Settings, runtime, serve};
use keddah_host::RealHost;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Where a node keeps what it owes over a crash.
pub const STATE_DIRECTORY: &str = "/var/lib/keddah";

/// Serve one conversation over standard input and output
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The hash of this executable, as the controller knows it
    #[arg(long)]
    build: String,
}

/// Runs until the controller hangs up and everything begun is finished.
pub fn run(args: AgentArgs) -> Result<ExitCode, CommandError> {
    let AgentArgs { build } = args;
    let settings = Settings { build, lock_path: Some(LOCK_PATH.into()) };
    let runtime =
        runtime().map_err(|error| CommandError::internal("cannot start").caused_by(&error))?;
    runtime
        .block_on(async {
            // The end of standard input is the only sign to stop: what was begun is finished
            // whatever becomes of the login that started this process.
            let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()];
            let _ignored: Vec<_> = kinds.into_iter().map(signal).collect();
            let host = Arc::new(RealHost::new(STATE_DIRECTORY));
            serve(host, tokio::io::stdin(), tokio::io::stdout(), settings).await
        })
        .map_err(|error| CommandError::system("the conversation broke").caused_by(&error))?;
    Ok(ExitCode::SUCCESS)
}
