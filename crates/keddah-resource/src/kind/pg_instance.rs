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
    /// Whether a replica that serves receives what is written; `None` where that is not known.
    #[serde(default)]
    pub streams: Option<bool>,
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
        Some(if observed.initialized {
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
        })
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { initialized: true, state: Some("running".to_owned()), role: None, streams: None }
    }
}
