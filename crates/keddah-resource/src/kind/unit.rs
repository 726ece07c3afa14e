//! A systemd unit: whether it starts at boot, whether it runs, and what it still owes.
//!
//! "Owes" is how a reload or restart survives a crash: before a file that a unit reads is changed,
//! the node notes what the unit will have to do, and crosses it out when it is done.

use super::etcd_member::EtcdConnection;
use crate::difference::Fields;
use crate::{Action, Class, Difference, TriggerAction};
use serde::{Deserialize, Serialize};

/// How to tell that a started unit serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// systemd's word is enough.
    Active,
    /// A TCP port on an address accepts connections.
    Tcp {
        /// The address.
        address: String,
        /// The port.
        port: u16,
    },
    /// A TCP port speaks HTTP, in the way it should: a reload that changes the way is done when the
    /// port has changed its.
    Http {
        /// The address.
        address: String,
        /// The port.
        port: u16,
        /// Whether under TLS.
        tls: bool,
    },
}

/// What is asked of a node's Patroni once more, right before its unit is stopped: what was so when the
/// plan was made need not be so any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopGuard {
    /// The port of Patroni's REST API.
    pub port: u16,
    /// Whether its instance may lead, for the whole cluster goes.
    pub may_lead: bool,
}

/// Who is asked whether a member of etcd can be spared for as long as a restart takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// The member itself.
    pub own: EtcdConnection,
    /// The other declared members.
    pub others: Vec<EtcdConnection>,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The unit's name with its suffix.
    pub unit: String,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// Whether it runs now.
    pub running: bool,
    /// When a start counts as done.
    pub readiness: Readiness,
    /// How long to wait for that, in seconds.
    pub patience_seconds: u32,
    /// What a restart of it costs: `Restart`, or `OrderedRestart` for members of a cluster.
    pub restart_class: Class,
    /// What must still hold when it is stopped.
    #[serde(default)]
    pub guard: Option<StopGuard>,
    /// Of a member of etcd: who must be a quorum without it when it restarts.
    #[serde(default)]
    pub quorum: Option<Quorum>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether systemd knows the unit.
    pub exists: bool,
    /// `enabled`, `disabled`, `static`, …
    pub enabled: bool,
    /// Whether it is active.
    pub running: bool,
    /// A reload or restart that an earlier change owes it.
    pub owes: Option<TriggerAction>,
}

impl Spec {
    /// A unit that starts at boot and runs.
    pub fn running(unit: impl Into<String>) -> Self {
        Self {
            unit: unit.into(),
            enabled: true,
            running: true,
            readiness: Readiness::Active,
            patience_seconds: 30,
            restart_class: Class::Restart,
            guard: None,
            quorum: None,
        }
    }

    /// A unit that neither starts at boot nor runs.
    pub fn stopped(unit: impl Into<String>) -> Self {
        Self { enabled: false, running: false, ..Self::running(unit) }
    }

    /// Waits for a port.
    #[must_use]
    pub fn ready_when_open(mut self, address: &str, port: u16) -> Self {
        self.readiness = Readiness::Tcp { address: address.to_owned(), port };
        self
    }

    /// Waits for a port that speaks HTTP, under TLS or not.
    #[must_use]
    pub fn ready_when_speaking(mut self, address: &str, port: u16, tls: bool) -> Self {
        self.readiness = Readiness::Http { address: address.to_owned(), port, tls };
        self
    }

    /// The unit's name.
    pub fn name(&self) -> String {
        self.unit.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        let word = |running: bool| if running { "running" } else { "stopped" }.to_owned();
        let boot = |enabled: bool| if enabled { "enabled" } else { "disabled" }.to_owned();
        fields.value("at boot", &boot(observed.enabled), &boot(self.enabled));
        fields.value("state", &word(observed.running), &word(self.running));
        if self.running && observed.running {
            if let Some(owed) = observed.owes {
                return Some(
                    self.triggered(owed, "an earlier change still asks for it").with(fields.0),
                );
            }
            return Difference::update(Class::InPlace, fields.0, "its start at boot differs");
        }
        let mut difference = Difference::update(Class::InPlace, fields.0, "its state differs")?;
        if self.running {
            difference.action = Action::Create;
            difference.reason = "it does not run".to_owned();
        } else if observed.running {
            difference.class = Class::Stop;
            difference.reason = "it should not run".to_owned();
        }
        Some(difference)
    }

    /// The reload or restart that changes of other resources cause.
    pub fn triggered(&self, action: TriggerAction, reason: &str) -> Difference {
        let class = match action {
            TriggerAction::Reload => Class::Reload,
            TriggerAction::Restart => self.restart_class,
        };
        Difference::new(Action::Update, class, reason)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { exists: true, enabled: self.enabled, running: self.running, owes: None }
    }
}
