//! The machine that this process runs on: one file per kind, each with `observe` and `apply`.

pub(crate) mod accounts;
mod aside;
mod backup;
mod block;
mod certificate;
mod config_test;
mod directory;
mod dpkg_digests;
mod etcd_access;
mod etcd_auth;
mod etcd_client;
mod etcd_gateway;
mod etcd_keys;
mod etcd_life;
mod etcd_login;
mod etcd_member;
mod etcd_quorum;
mod facts;
mod file;
mod haproxy;
mod health;
mod held;
pub mod holdings;
mod hostname;
mod instance_facts;
mod ownership;
mod package_obstacles;
mod packages;
mod patroni_config;
mod pg_baseline;
mod pg_census;
mod pg_database;
mod pg_extension;
mod pg_function;
mod pg_grants;
mod pg_inside;
mod pg_instance;
mod pg_privileges;
mod pg_role;
mod pg_schema;
mod pg_settings;
mod pgbackrest;
mod pgbackrest_own;
mod plain_file;
mod policy;
mod ports;
mod postmaster;
mod process;
mod progress;
mod reconnect;
mod repository;
mod samples;
mod stanza;
mod symlink;
mod sysctl;
mod system;
mod systemd;
mod trust_anchor;
mod unit;
mod unit_start;
mod user;
pub mod verifiers;
mod wal_archive;
mod wal_end;
pub(crate) mod write;

use crate::{Host, HostError, Owed};
use keddah_resource::health::{HealthProbe, NodeHealth};
use keddah_resource::{
    Difference, IdleListener, Kind, Material, NodeFacts, Observation, Observed, Probe, ResourceId,
    Spec, TriggerAction,
};
use pg_inside::Inside;
pub(crate) use pgbackrest::Info;
use std::path::PathBuf;
use std::time::Duration;

/// This machine.
#[derive(Debug)]
pub struct RealHost {
    owed: Owed,
    /// Held by the one that installs packages.
    installing: tokio::sync::Mutex<()>,
}

impl RealHost {
    /// This machine, with notes that must survive a crash under `state_directory`, such as
    /// `/var/lib/keddah`.
    pub fn new(state_directory: impl Into<PathBuf>) -> Self {
        Self { owed: Owed::new(state_directory), installing: tokio::sync::Mutex::new(()) }
    }

    /// What earlier changes owe to units and postmasters of this machine.
    pub fn owed(&self) -> &Owed {
        &self.owed
    }
}

type Answer = Result<Observation, HostError>;

macro_rules! dispatch {
    (
        alone { $($variant:ident => $module:ident;)* }
        inside { $($inside_variant:ident => $inside_module:ident;)* }
    ) => {
        impl RealHost {
            /// Every kind's specs in one batch, all kinds at the same time.
            async fn observe_all(&self, specs: &[Spec]) -> Vec<Answer> {
                $(
                    let $module = async {
                        let (places, batch): (Vec<usize>, Vec<_>) = specs
                            .iter()
                            .enumerate()
                            .filter_map(|(place, spec)| match spec {
                                Spec::$variant(spec) => Some((place, &**spec)),
                                _ => None,
                            })
                            .unzip();
                        let answers = if batch.is_empty() {
                            Vec::new()
                        } else {
                            // On the heap: all of them at once are much for a stack.
                            Box::pin($module::observe(self, &batch)).await
                        };
                        (places, answers)
                    };
                )*
                // These kinds share one session per database.
                let inside = async {
                    let (places, questions): (Vec<usize>, Vec<Inside<'_>>) = specs
                        .iter()
                        .enumerate()
                        .filter_map(|(place, spec)| Some((place, Inside::of(spec)?)))
                        .unzip();
                    (places, Box::pin(pg_inside::observe(&questions)).await)
                };
                let ($($module,)* inside) = tokio::join!($($module,)* inside);
                let mut ordered: Vec<Option<Answer>> = specs.iter().map(|_| None).collect();
                for (places, answers) in [$($module,)* inside] {
                    debug_assert_eq!(places.len(), answers.len(), "a kind lost an answer");
                    for (place, answer) in places.into_iter().zip(answers) {
                        ordered[place] = Some(answer);
                    }
                }
                ordered
                    .into_iter()
                    .map(|answer| {
                        answer.unwrap_or_else(|| Err(HostError::new("it was not looked at")))
                    })
                    .collect()
            }

            async fn apply_one(
                &self,
                spec: &Spec,
                observed: &Observed,
                difference: &Difference,
            ) -> Result<(), HostError> {
                match (spec, observed) {
                    $((Spec::$variant(spec), Observed::$variant(observed)) => {
                        $module::apply(self, spec, observed, difference).await
                    })*
                    $((Spec::$inside_variant(spec), Observed::$inside_variant(observed)) => {
                        $inside_module::apply(self, spec, observed, difference).await
                    })*
                    (Spec::PgCensus(_) | Spec::PgGrants(_), _) => {
                        Err(HostError::new(format!("a {} is looked at only", spec.kind())))
                    }
                    _ => Err(HostError::new(format!(
                        "{} {} was observed as something else",
                        spec.kind(),
                        spec.name()
                    ))),
                }
            }
        }
    };
}

dispatch! {
    alone {
        Packages => packages;
        User => user;
        Hostname => hostname;
        Block => block;
        Directory => directory;
        File => file;
        Symlink => symlink;
        Sysctl => sysctl;
        Certificate => certificate;
        TrustAnchor => trust_anchor;
        Unit => unit;
        EtcdMember => etcd_member;
        EtcdKeys => etcd_keys;
        EtcdAuth => etcd_auth;
        EtcdAccess => etcd_access;
        EtcdLogin => etcd_login;
        PgInstance => pg_instance;
        Postmaster => postmaster;
        PatroniConfig => patroni_config;
        PgRole => pg_role;
        PgDatabase => pg_database;
        PgBaseline => pg_baseline;
        Stanza => stanza;
        Backup => backup;
    }
    inside {
        PgSchema => pg_schema;
        PgExtension => pg_extension;
        PgFunction => pg_function;
        PgPrivileges => pg_privileges;
    }
}

impl Host for RealHost {
    async fn facts(&self, probe: &Probe) -> Result<NodeFacts, HostError> {
        facts::gather(probe).await
    }

    async fn observe(&self, specs: &[Spec]) -> Vec<Result<Observation, HostError>> {
        self.observe_all(specs).await
    }

    async fn apply(
        &self,
        spec: &Spec,
        observed: &Observed,
        difference: &Difference,
        material: Option<&Material>,
    ) -> Result<(), HostError> {
        if let Some(why) = &difference.impossible {
            return Err(HostError::new(why.clone()));
        }
        match (spec, material) {
            (Spec::Certificate(spec), Some(Material::Certificate { certificate, key })) => {
                certificate::install(spec, certificate, key).await
            }
            _ => self.apply_one(spec, observed, difference).await,
        }
    }

    async fn owe(&self, target: &ResourceId, action: TriggerAction) -> Result<(), HostError> {
        match target.kind {
            Kind::Unit | Kind::Postmaster => self.owed.note(target.kind, &target.name, action),
            other => Err(HostError::new(format!("a {other} can neither reload nor restart"))),
        }
    }

    async fn idle_listeners(&self, patience: Duration) -> Result<Vec<IdleListener>, HostError> {
        haproxy::idle_listeners(patience).await
    }

    async fn health(&self, probe: &HealthProbe) -> NodeHealth {
        health::look(probe).await
    }
}
