//! The running postmaster: what makes it read its configuration again, or restart, through Patroni.

use super::pg_settings::{Setting, Waiting};
use crate::difference::Fields;
use crate::{Action, Class, Difference, TriggerAction};
use keddah_core::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Whether a restart waits for no other member's (`--restart now`).
    #[serde(default)]
    pub at_once: bool,
    /// The declared parameters; what `ALTER SYSTEM` says of one of them goes.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// What is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether it runs; while it does not, there is nothing to reload or restart.
    pub running: bool,
    /// Whether PostgreSQL waits for a restart to take over a parameter
    /// (`pg_settings.pending_restart`, as Patroni reports it).
    pub pending_restart: bool,
    /// A reload or restart that an earlier change owes it.
    pub owes: Option<TriggerAction>,
    /// Whether a reload is owed, beside a restart or not: where nothing may restart, the files that
    /// a reload takes over must not wait with the rest.
    #[serde(default)]
    pub owes_reload: bool,
    /// What it waits to take over; empty where that is not known.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// Whether its rules of authentication keep out the superuser of its own node.
    #[serde(default)]
    pub kept_out: bool,
    /// Settings of this server that are not what Patroni was given.
    #[serde(default)]
    pub settings: Vec<Setting>,
    /// What this server runs with of that which no replica may have less of than its primary; of one that
    /// leads alone ([`super::patroni_config::STANDBY_SENSITIVE`]).
    #[serde(default)]
    pub limits: BTreeMap<String, i64>,
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
        let due = self.due(observed);
        let mut resets = Fields::default();
        let mut class = Class::Reload;
        for setting in self.resets(observed) {
            let field = format!("ALTER SYSTEM RESET {}", setting.name);
            resets.optional(&field, Some(setting.value.clone()), None);
            if setting.needs_restart && self.restarts {
                class = self.restart_class();
            }
        }
        if resets.0.is_empty() {
            return due;
        }
        let mut reason =
            "what ALTER SYSTEM has set on this instance wins over what is declared".to_owned();
        if let Some(due) = due {
            class = class.max(due.class);
            reason = format!("{reason}; {}", due.reason);
        }
        Some(Difference::new(Action::Update, class, reason).with(resets.0))
    }

    /// What a restart is called: nobody is told "one by one" of what restarts all at once.
    fn restart_class(&self) -> Class {
        if self.at_once { Class::Restart } else { Class::OrderedRestart }
    }

    /// The reload or restart that is due, whatever else differs.
    fn due(&self, observed: &Observed) -> Option<Difference> {
        const OWED: &str = "an earlier change still asks for it";
        if !self.restarts {
            let owed = observed.owes_reload || observed.owes == Some(TriggerAction::Reload);
            let owed = owed.then(|| self.triggered(TriggerAction::Reload, OWED));
            return owed.or_else(|| self.lets_in(observed));
        }
        if observed.pending_restart && !self.runs_as_declared(observed) {
            let reason = "PostgreSQL waits for a restart to take over changed parameters";
            return Some(self.triggered(TriggerAction::Restart, reason));
        }
        let owed = observed.owes.map(|owed| self.triggered(owed, OWED));
        owed.or_else(|| self.lets_in(observed))
    }

    /// The reload by which a server takes over rules that let its superuser in: what is wrong in their file is
    /// changed before.
    fn lets_in(&self, observed: &Observed) -> Option<Difference> {
        const KEPT_OUT: &str = "the rules that it runs with let its superuser not in";
        observed.kept_out.then(|| self.triggered(TriggerAction::Reload, KEPT_OUT))
    }

    /// Whether the server runs with what is declared of everything that it waits for: its files said otherwise for
    /// a while, or still do, and Patroni puts them right with the cluster's settings. A restart would change
    /// nothing; and after a value with which no server starts, those that never took it over must not wait for those
    /// that did.
    pub fn runs_as_declared(&self, observed: &Observed) -> bool {
        observed.pending_restart
            && !observed.waiting.is_empty()
            && observed.waiting.iter().all(|waiting| self.runs_with_it(waiting))
    }

    fn runs_with_it(&self, Waiting { setting, runs_with, default }: &Waiting) -> bool {
        let mut declared = self.parameters.iter();
        match declared.find(|(name, _)| name.eq_ignore_ascii_case(&setting.name)) {
            Some((_, wanted)) => setting.same(runs_with, wanted),
            None => *default,
        }
    }

    /// What `ALTER SYSTEM` says of declared parameters: it wins over them, and goes.
    pub fn resets<'a>(&'a self, observed: &'a Observed) -> impl Iterator<Item = &'a Setting> {
        observed.settings.iter().filter(|setting| setting.altered && self.declares(setting))
    }

    /// Whether the inventory has a value for this setting; PostgreSQL ignores the case of names.
    pub fn declares(&self, setting: &Setting) -> bool {
        self.parameters.keys().any(|name| name.eq_ignore_ascii_case(&setting.name))
    }

    /// The reload or restart that changes of other resources cause.
    pub fn triggered(&self, action: TriggerAction, reason: &str) -> Difference {
        let class = match action {
            TriggerAction::Reload => Class::Reload,
            TriggerAction::Restart if !self.restarts => Class::Reload,
            TriggerAction::Restart => self.restart_class(),
        };
        Difference::new(Action::Update, class, reason)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { running: true, ..Observed::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldChange;

    fn spec(restarts: bool) -> Spec {
        Spec {
            instance: "pg-test-1".to_owned(),
            api: PatroniApi {
                unit: "patroni.service".to_owned(),
                address: "127.0.0.1".to_owned(),
                port: 8008,
                ca_path: None,
                username: "postgres".to_owned(),
                password: Secret::new("pw"),
            },
            connection: crate::kind::PgConnection {
                socket_directory: "/run".to_owned(),
                port: 5432,
                superuser: "postgres".to_owned(),
            },
            patience_seconds: 1,
            settled_seconds: 1,
            restarts,
            at_once: false,
            parameters: BTreeMap::from([("TimeZone".to_owned(), "UTC".to_owned())]),
        }
    }

    fn altered(name: &str, needs_restart: bool) -> Setting {
        Setting {
            name: name.to_owned(),
            value: "Mars".to_owned(),
            place: "/pg/data/postgresql.auto.conf:3".to_owned(),
            altered: true,
            needs_restart,
        }
    }

    #[test]
    fn where_nothing_may_restart_an_owed_restart_hides_no_reload() {
        let owes = Some(TriggerAction::Restart);
        let mut observed = Observed { running: true, owes, ..Observed::default() };
        assert_eq!(spec(false).diff(&observed), None, "it waits");
        observed.owes_reload = true;
        let class = |spec: Spec| spec.diff(&observed).map(|difference| difference.class);
        assert_eq!(class(spec(false)), Some(Class::Reload));
        assert_eq!(class(spec(true)), Some(Class::OrderedRestart), "it covers the reload");
    }

    #[test]
    fn a_server_that_runs_with_what_is_declared_restarts_for_nothing() {
        let waiting = |name: &str, runs_with: &str, default: bool| Waiting {
            setting: serde_json::from_value(serde_json::json!({
                "name": name, "vartype": "integer", "unit": "8kB", "context": "postmaster",
            }))
            .expect("a setting"),
            runs_with: runs_with.to_owned(),
            default,
        };
        let mut spec = spec(true);
        spec.parameters.insert("shared_buffers".to_owned(), "1GB".to_owned());
        let restarts = |waiting: &[Waiting]| {
            let waiting = waiting.to_vec();
            let observed =
                Observed { running: true, pending_restart: true, waiting, ..Observed::default() };
            spec.diff(&observed).is_some()
        };
        let buffers = waiting("shared_buffers", "131072", false);
        assert!(!restarts(std::slice::from_ref(&buffers)), "its files say otherwise for a while");
        assert!(restarts(&[]), "what it waits for is not known");
        assert!(restarts(&[waiting("shared_buffers", "16384", true)]), "another one is declared");
        assert!(restarts(&[buffers.clone(), waiting("wal_buffers", "7", false)]), "taken away");
        assert!(!restarts(&[buffers, waiting("wal_buffers", "", true)]), "it never had it");
    }

    #[test]
    fn what_alter_system_says_of_a_declared_parameter_goes() {
        let settings = vec![altered("timezone", false), altered("work_mem", true)];
        let mut observed = Observed { running: true, settings, ..Observed::default() };
        let difference = spec(true).diff(&observed).expect("the server uses another value");
        assert_eq!(difference.class, Class::Reload, "work_mem is nobody's");
        let [FieldChange::Value { field, before, after }] = difference.fields.as_slice() else {
            panic!("{difference:?}")
        };
        assert_eq!((field.as_str(), after), ("ALTER SYSTEM RESET timezone", &None));
        assert_eq!(before.as_deref(), Some("Mars"), "what goes is shown");
        observed.settings[0].needs_restart = true;
        let class = |spec: Spec| spec.diff(&observed).map(|difference| difference.class);
        assert_eq!(class(spec(true)), Some(Class::OrderedRestart));
        assert_eq!(class(spec(false)), Some(Class::Reload), "the restart waits");
        observed.running = false;
        assert_eq!(spec(true).diff(&observed), None, "a stopped server cannot be asked");
    }
}
