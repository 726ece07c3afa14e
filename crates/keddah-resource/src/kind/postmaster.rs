//! The running postmaster: what makes it read its configuration again, or restart, through Patroni.

use crate::{Action, Class, Difference, TriggerAction};
use keddah_core::Secret;
use serde::{Deserialize, Serialize};

/// How a node's agent reaches the Patroni REST API of its own node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatroniApi {
    /// The systemd unit that runs it; its journal says why when it does not answer.
    pub unit: String,
    /// The address it listens on.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The CA to verify it with, when it speaks TLS.
    pub ca_path: Option<String>,
    /// The account for changes.
    pub username: String,
    /// Its password.
    #[serde(with = "keddah_core::expose")]
    pub password: Secret,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The instance's name, such as `pg-test-1`.
    pub instance: String,
    /// Where to ask Patroni for restarts.
    pub api: PatroniApi,
    /// How to ask PostgreSQL for reloads.
    pub connection: super::PgConnection,
    /// How long a restart may take, in seconds.
    pub patience_seconds: u32,
    /// Within how many seconds a changed setting of the cluster has reached this instance: each
    /// Patroni looks once in `loop_wait`. When PostgreSQL waits for no restart by then, none is
    /// needed.
    pub settled_seconds: u32,
    /// Whether it may be restarted. If not, what waits for a restart goes on waiting, and that is
    /// no difference.
    pub restarts: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether it runs; while it does not, there is nothing to reload or restart.
    pub running: bool,
    /// Whether PostgreSQL waits for a restart to take over a parameter
    /// (`pg_settings.pending_restart`, as Patroni reports it).
    pub pending_restart: bool,
    /// A reload or restart that an earlier change owes it.
    pub owes: Option<TriggerAction>,
}

impl Spec {
    /// The instance's name.
    pub fn name(&self) -> String {
        self.instance.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        if !observed.running {
            return None;
        }
        if !self.restarts {
            let reload = observed.owes.filter(|&owed| owed == TriggerAction::Reload)?;
            return Some(self.triggered(reload, "an earlier change still asks for it"));
        }
        if observed.pending_restart {
            let reason = "PostgreSQL waits for a restart to take over changed parameters";
            return Some(self.triggered(TriggerAction::Restart, reason));
        }
        observed.owes.map(|owed| self.triggered(owed, "an earlier change still asks for it"))
    }

    /// The reload or restart that changes of other resources cause.
    pub fn triggered(&self, action: TriggerAction, reason: &str) -> Difference {
        let class = match action {
            TriggerAction::Reload => Class::Reload,
            TriggerAction::Restart if !self.restarts => Class::Reload,
            TriggerAction::Restart => Class::OrderedRestart,
        };
        Difference::new(Action::Update, class, reason)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { running: true, pending_restart: false, owes: None }
    }
}
