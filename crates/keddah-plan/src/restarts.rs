//! Whether and how PostgreSQL may restart: what the user said, put into what should be, so that the
//! plan that is shown is the one that is carried out.

use keddah_resource::kind::unit::Readiness;
use keddah_resource::{DesiredFleet, Spec, TriggerAction};
use serde::{Deserialize, Serialize};

/// What the user allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restarts {
    /// None: changed parameters wait, and each later plan shows that they do.
    Never,
    /// One instance after another, each only after the one before serves and streams again.
    #[default]
    Rolling,
    /// All instances of a cluster at once; where their Patronis restart, these go one by one.
    Now,
}

impl Restarts {
    /// Puts it into what should be. Instances that are made or started are not concerned.
    pub fn arrange(self, desired: &mut DesiredFleet) {
        match self {
            Restarts::Rolling => {}
            Restarts::Now => {
                for resource in desired.iter_mut() {
                    if let Spec::Postmaster(postmaster) = &mut resource.spec {
                        postmaster.at_once = true;
                        resource.restart_after.clear();
                    }
                }
            }
            Restarts::Never => {
                for resource in desired.iter_mut() {
                    if let Spec::Postmaster(postmaster) = &mut resource.spec {
                        postmaster.restarts = false;
                    }
                    // A Patroni that restarts takes PostgreSQL along: one that runs otherwise than
                    // declared goes on, and a later plan shows it again.
                    if let Spec::Unit(unit) = &mut resource.spec
                        && matches!(unit.readiness, Readiness::Http { .. })
                    {
                        unit.started = None;
                    }
                    // PostgreSQL itself remembers what it has not taken over.
                    for trigger in &mut resource.triggers {
                        if trigger.target.kind == keddah_resource::Kind::Postmaster {
                            trigger.action = TriggerAction::Reload;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::kind::postmaster;
    use keddah_resource::kind::unit::{self, Process};
    use keddah_resource::{Class, Module, Resource};

    #[test]
    fn a_patroni_that_runs_otherwise_waits_where_postgresql_may_not_restart() {
        let node = NodeName::new("a");
        let changes = |restarts: Restarts| -> Vec<String> {
            let mut fleet = DesiredFleet::default();
            let pool = unit::Spec::running("pgbouncer.service").started_with(&["/pool"]);
            let patroni = unit::Spec::running("patroni.service").started_with(&["/conf.d"]);
            let patroni = patroni.ready_when_speaking("127.0.0.1", 8008, false);
            for spec in [pool, patroni] {
                fleet.add(Resource::new(&node, Module::Pgsql, spec));
            }
            restarts.arrange(&mut fleet);
            let otherwise = |resource: &Resource| {
                let Spec::Unit(unit) = &resource.spec else { return false };
                let process = Process { words: vec!["other".to_owned()], changed_start: None };
                let observed = unit::Observed { process: Some(process), ..unit.settled() };
                unit.diff(&observed).is_some()
            };
            let changed = fleet.iter().filter(|resource| otherwise(resource));
            changed.map(|resource| resource.id.name.clone()).collect()
        };
        assert_eq!(changes(Restarts::Rolling), ["pgbouncer.service", "patroni.service"]);
        assert_eq!(changes(Restarts::Never), ["pgbouncer.service"]);
    }

    #[test]
    fn what_restarts_at_once_is_not_said_to_restart_one_by_one() {
        let class = |restarts: Restarts| {
            let spec: postmaster::Spec = serde_json::from_value(serde_json::json!({
                "instance": "pg-1", "patience_seconds": 1, "settled_seconds": 1, "restarts": true,
                "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008,
                        "ca_path": null, "username": "u", "password": "p"},
                "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
            }))
            .expect("a spec");
            let mut fleet = DesiredFleet::default();
            let id = fleet.add(Resource::new(&NodeName::new("a"), Module::Pgsql, spec));
            restarts.arrange(&mut fleet);
            let Some(Spec::Postmaster(spec)) = fleet.get(&id).map(|one| &one.spec) else {
                panic!("it is there")
            };
            spec.triggered(TriggerAction::Restart, "because").class
        };
        assert_eq!(class(Restarts::Rolling), Class::OrderedRestart);
        assert_eq!(class(Restarts::Now), Class::Restart);
        assert_eq!(class(Restarts::Never), Class::Reload);
    }
}
