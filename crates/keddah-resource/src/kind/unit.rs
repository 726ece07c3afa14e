//! A systemd unit: whether it starts at boot, whether it runs, and what it still owes.
//!
//! "Owes" is how a reload or restart survives a crash: before a file that a unit reads is changed,
//! the node notes what the unit will have to do, and crosses it out when it is done.

use super::etcd_member::EtcdConnection;
use crate::difference::Fields;
use crate::{Action, Class, Difference, OwnSettings, TriggerAction};
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

/// Whose a service must be when it is stopped: a removal takes away what was named, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongs {
    /// The directory of Patroni's configuration that stands beside it.
    pub configuration: String,
    /// The cluster that the configuration has, and Patroni says.
    pub scope: String,
    /// The instance.
    pub name: String,
}

/// Who is asked whether a member of etcd can be spared for as long as a restart takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// The member itself.
    pub own: EtcdConnection,
    /// The other declared members.
    pub others: Vec<EtcdConnection>,
}

/// By what the command line of a running process is known to be the declared one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Paths of configuration that it names, as words of their own or behind `=` or a comma.
    pub with: Vec<String>,
    /// Options that lead it to a configuration of somebody else's.
    pub without: Vec<String>,
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
    /// Whose it must be when it is stopped.
    #[serde(default)]
    pub belongs: Option<Belongs>,
    /// Of a member of etcd: who must be a quorum without it when it restarts or stops.
    #[serde(default)]
    pub quorum: Option<Quorum>,
    /// How its process was started when it runs as declared; `None` where nobody can tell, as with
    /// daemons that are started by a script or write their own title.
    #[serde(default)]
    pub started: Option<Started>,
    /// By which variables its program is the declared one: with what others have put beside them it is
    /// neither started nor restarted.
    #[serde(default)]
    pub settings: Option<OwnSettings>,
}

/// The main process of a unit, and what its unit's files say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its command line, without secrets.
    pub words: Vec<String>,
    /// The command line in the unit's files, as far as these were changed after the process was
    /// started: with variables as they are written there.
    pub changed_start: Option<Vec<String>>,
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
    /// Its main process, where something is declared of it.
    #[serde(default)]
    pub process: Option<Process>,
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
            belongs: None,
            quorum: None,
            started: None,
            settings: None,
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

    /// Says by which paths its running process is known to have the declared configuration.
    #[must_use]
    pub fn started_with(mut self, paths: &[&str]) -> Self {
        let started = self.started.get_or_insert_default();
        started.with = paths.iter().map(|&path| path.to_owned()).collect();
        self
    }

    /// Says by which options its running process would have another configuration.
    #[must_use]
    pub fn started_without(mut self, options: &[&str]) -> Self {
        let started = self.started.get_or_insert_default();
        started.without = options.iter().map(|&option| option.to_owned()).collect();
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
            if let (Some(started), Some(process)) = (&self.started, &observed.process)
                && let Some((wanted, reason)) = started.otherwise(process)
            {
                // A process keeps the command line with which it was started: no reload helps.
                fields.optional("command line", Some(process.words.join(" ")), Some(wanted));
                let restart = self.triggered(TriggerAction::Restart, reason);
                return Some(restart.with(fields.0));
            }
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
        Observed {
            exists: true,
            enabled: self.enabled,
            running: self.running,
            owes: None,
            process: None,
        }
    }
}

impl Started {
    /// The paths that a command line does not name; `None` when it names all.
    pub fn absent(&self, words: &[String]) -> Option<String> {
        let absent: Vec<&str> = self
            .with
            .iter()
            .filter(|path| !words.iter().any(|word| names(word, path)))
            .map(String::as_str)
            .collect();
        (!absent.is_empty()).then(|| absent.join(" and "))
    }

    /// What the command line of a process should be, and why it is not that.
    fn otherwise(&self, process: &Process) -> Option<(String, &'static str)> {
        if let Some(absent) = self.absent(&process.words) {
            let wanted = format!("(with {absent})");
            return Some((wanted, "it runs with another configuration than the declared one"));
        }
        let option = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
        if let Some(foreign) =
            self.without.iter().find(|&one| process.words.iter().any(|word| option(word) == *one))
        {
            let wanted = format!("(without {foreign})");
            return Some((wanted, "it runs with another configuration than the declared one"));
        }
        // What systemd puts in the place of variables is not known here.
        let start = process.changed_start.as_ref()?;
        let literal = start.iter().filter(|word| !word.contains(['$', '%', '"', '\'', '\\']));
        let mut missing = literal.filter(|&word| !process.words.contains(word));
        missing.next().map(|_| {
            (start.join(" "), "its unit was changed after it was started with another command line")
        })
    }
}

/// Whether a word of a command line names a path: `path`, `--option=path`, `path,another`.
fn names(word: &str, path: &str) -> bool {
    word.split(['=', ',']).any(|part| part == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn change(unit: &Spec, line: &str, changed_start: Option<&str>) -> Option<Difference> {
        let process = Process { words: words(line), changed_start: changed_start.map(words) };
        unit.diff(&Observed { process: Some(process), ..unit.settled() })
    }

    #[test]
    fn a_process_with_another_configuration_is_restarted_and_never_reloaded() {
        let patroni =
            Spec { restart_class: Class::OrderedRestart, ..Spec::running("patroni.service") }
                .started_with(&["/etc/patroni/conf.d"]);
        let foreign = "/usr/bin/python3 /usr/bin/patroni /etc/patroni/patroni.yml";
        let changed = change(&patroni, foreign, None).expect("it is not converged");
        assert_eq!(changed.class, Class::OrderedRestart);
        assert_eq!(
            changed.fields,
            [crate::FieldChange::Value {
                field: "command line".to_owned(),
                before: Some(foreign.to_owned()),
                after: Some("(with /etc/patroni/conf.d)".to_owned()),
            }]
        );
        // A reload that is owed as well is no way around it.
        let process = Process { words: words(foreign), changed_start: None };
        let owing = Observed {
            owes: Some(TriggerAction::Reload),
            process: Some(process),
            ..patroni.settled()
        };
        assert_eq!(patroni.diff(&owing).expect("it owes").class, Class::OrderedRestart);
        let ours = "/usr/bin/python3 /usr/bin/patroni /etc/patroni/conf.d";
        assert_eq!(change(&patroni, ours, None), None);

        let etcd = Spec::running("etcd.service").started_without(&["--config-file"]);
        for line in ["/usr/bin/etcd --config-file=/x", "/usr/bin/etcd --config-file /x"] {
            assert_eq!(change(&etcd, line, None).expect(line).class, Class::Restart);
        }
        assert_eq!(change(&etcd, "/usr/bin/etcd", None), None);
    }

    #[test]
    fn what_a_daemon_adds_to_its_command_line_is_no_difference() {
        let haproxy = Spec::running("haproxy.service")
            .started_with(&["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg"]);
        let unit = "/usr/sbin/haproxy -Ws -f $CONFIG -p $PIDFILE $EXTRAOPTS";
        let reloaded = "/usr/sbin/haproxy -sf 812 -x sockpair@4 -Ws -f /etc/haproxy/haproxy.cfg -p \
                        /run/haproxy.pid -S /run/haproxy-master.sock -f /etc/haproxy/auth.cfg";
        assert_eq!(change(&haproxy, reloaded, Some(unit)), None);
        let dnsmasq = Spec::running("dnsmasq.service").started_with(&["/etc/dnsmasq.d"]);
        let line = "/usr/sbin/dnsmasq -u dnsmasq -7 /etc/dnsmasq.d,.dpkg-dist,.dpkg-new";
        assert_eq!(change(&dnsmasq, line, None), None);
    }

    #[test]
    fn a_unit_that_was_changed_after_the_start_is_restarted_where_that_means_another_command() {
        let pool = Spec::running("pgbouncer.service").started_with(&["/etc/pgbouncer/p.ini"]);
        let runs = "/usr/sbin/pgbouncer /etc/pgbouncer/p.ini";
        assert_eq!(change(&pool, runs, Some(runs)), None, "limits alone were changed");
        let with_options = "/usr/sbin/pgbouncer --verbose /etc/pgbouncer/p.ini";
        let changed = change(&pool, runs, Some(with_options)).expect("it is not converged");
        assert_eq!(changed.class, Class::Restart);
        assert!(changed.reason.contains("unit was changed"), "{}", changed.reason);
    }
}
