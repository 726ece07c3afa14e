//! Driving the trip from a terminal: what the controller needs is taken from the process, its events are
//! shown, its questions are put on standard error, and Ctrl-C is a wish to stop.

use crate::cli::Context;
use crate::commands::agent::STATE_DIRECTORY;
use crate::render::trip::{Asking, Watching};
use keddah_controller::{Approver, Surroundings, Wishes};
use keddah_fleet::Stop;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

impl Context {
    /// What the controller needs for a trip; with `all`, every change that is carried out has its line.
    pub fn trip(&self, all: bool) -> keddah_controller::Context {
        let Self { global, environment, output } = self;
        let watching = Watching::new(output, all);
        let asks = std::io::stdin().is_terminal() && !output.is_json();
        let approver = asks.then(|| Arc::new(Asking::new(output)) as Arc<dyn Approver>);
        let wishes: Wishes = Arc::new(|| {
            let (wish, stop) = watch::channel(Stop::No);
            tokio::spawn(listen(wish));
            stop
        });
        keddah_controller::Context {
            inventory: global.inventory.clone(),
            environment: Surroundings {
                user: environment.user.clone(),
                group: environment.group.clone(),
                host: environment.host.clone(),
                pid: std::process::id(),
                public_keys: environment.public_keys(),
                runtime_directory: environment.runtime_directory.clone(),
                ssh_configuration: environment.ssh_configuration.clone(),
                executable: std::env::current_exe().ok(),
                state_directory: PathBuf::from(STATE_DIRECTORY),
                clock: Arc::new(environment.clone()),
            },
            sink: Arc::new(move |event| watching.show(event)),
            approver,
            wishes,
            agents: None,
        }
    }
}

/// Turns signals into wishes, as long as somebody heeds them.
async fn listen(wish: watch::Sender<Stop>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    for stop in [Stop::Gently, Stop::Now] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = wish.closed() => return,
        }
        if wish.send(stop).is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}
