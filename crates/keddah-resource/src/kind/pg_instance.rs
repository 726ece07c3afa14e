//! A PostgreSQL instance under Patroni: bootstrapped or cloned, and healthy.

use super::postmaster::PatroniApi;
use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// How the instance comes to be when its data directory is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The cluster does not exist: `initdb`.
    Bootstrap,
    /// A base backup of the cluster that this standby cluster follows.
    Copy,
    /// A base backup of the cluster's leader.
    Clone,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The instance's name, such as `pg-test-1`.
    pub instance: String,
    /// Where its data is.
    pub data_directory: String,
    /// How it comes to be.
    pub origin: Origin,
    /// Its Patroni.
    pub api: PatroniApi,
    /// How long it may stand still before it serves, in seconds.
    pub patience_seconds: u32,
    /// Whether it leads a cluster of which no server runs: what comes after wants a primary, which it becomes
    /// once the lease of the one before has run out.
    #[serde(default)]
    pub starts_first: bool,
    /// Within how many seconds Patroni has promoted it then, if it does: the lease of the leader before has run
    /// out, and some rounds are over.
    #[serde(default)]
    pub promoted_within: u32,
    /// Whether its cluster is paused: then Patroni neither makes nor starts it.
    #[serde(default)]
    pub paused: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether the data directory holds a database cluster.
    pub initialized: bool,
    /// Patroni's `state`, when it answers.
    pub state: Option<String>,
    /// Patroni's `role`, when it answers.
    pub role: Option<String>,
}

impl Spec {
    /// The instance's name.
    pub fn name(&self) -> String {
        self.instance.clone()
    }

    /// Whether Patroni's word for the state means that it serves.
    pub fn serves(state: &str) -> bool {
        matches!(state, "running" | "streaming")
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        if observed.state.as_deref().is_some_and(Self::serves) {
            return None;
        }
        let mut fields = Fields::default();
        let before = observed.state.clone();
        fields.optional("state", before, Some("running".to_owned()));
        let difference = if observed.initialized {
            Difference::new(crate::Action::Update, Class::Restart, "it does not serve")
                .with(fields.0)
        } else {
            let (how, reason) = match self.origin {
                Origin::Bootstrap => ("initdb", "the cluster does not exist yet"),
                Origin::Copy => (
                    "base backup of the cluster it follows",
                    "the standby cluster does not exist yet",
                ),
                Origin::Clone => ("base backup of the leader", "the instance does not exist yet"),
            };
            fields.new_value("made by", how);
            Difference::create(reason).with(fields.0)
        };
        // Patroni says "running with empty data directory" for ever, and starts no server either
        // (patroni/ha.py, `_run_cycle`).
        Some(if self.paused {
            difference.impossible(
                "its cluster is paused, in which Patroni neither makes nor starts a member; end the pause \
                 first (patronictl resume)",
            )
        } else {
            difference
        })
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { initialized: true, state: Some("running".to_owned()), role: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_made_or_started_in_a_pause() {
        let impossible = |paused: bool, initialized: bool, state: Option<&str>| {
            let spec: Spec = serde_json::from_value(json!({
                "instance": "pg-2", "data_directory": "/pg/data", "origin": "clone",
                "patience_seconds": 1, "paused": paused,
                "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008,
                        "ca_path": null, "username": "u", "password": "p"},
            }))
            .expect("a spec");
            let state = state.map(str::to_owned);
            let present = Observed { initialized, state, role: None };
            spec.diff(&present).map(|difference| difference.impossible.is_some())
        };
        assert_eq!(impossible(true, false, None), Some(true));
        assert_eq!(impossible(true, true, Some("stopped")), Some(true));
        assert_eq!(impossible(false, false, None), Some(false));
        assert_eq!(impossible(true, true, Some("running")), None);
    }
}
