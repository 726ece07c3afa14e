//! The effects on one machine: observe and apply every resource kind.

mod command;
mod error;
mod fake;
mod masked;
mod owed;
pub mod real;
pub mod rest;
mod round;
pub mod sql;

pub use error::HostError;
pub use fake::{FakeEvent, FakeHost};
pub use owed::Owed;
pub use real::RealHost;
pub use round::Round;

use keddah_resource::health::{HealthProbe, NodeHealth};
use keddah_resource::{
    Difference, IdleListener, Material, NodeFacts, Observation, Observed, Probe, ResourceId, Spec,
    TriggerAction,
};
use std::future::Future;
use std::time::Duration;

/// One machine, as far as resources are concerned.
///
/// The futures are `Send`, so that an agent can have several requests under way.
pub trait Host: Send + Sync {
    /// What the machine says about itself.
    fn facts(&self, probe: &Probe) -> impl Future<Output = Result<NodeFacts, HostError>> + Send;

    /// Looks at resources; answers in the order of `specs`, and asks once per kind where one
    /// question can answer for many (one `systemctl show`, one `dpkg-query`, one SQL session).
    fn observe(
        &self,
        specs: &[Spec],
    ) -> impl Future<Output = Vec<Result<Observation, HostError>>> + Send;

    /// Carries out one difference. Idempotent, and safe to be killed at any byte: whatever is
    /// left half done is seen by the next `observe`.
    fn apply(
        &self,
        spec: &Spec,
        observed: &Observed,
        difference: &Difference,
        material: Option<&Material>,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Notes on disk, before a change is applied, that `target` (a unit or postmaster of this
    /// machine) will owe a reload or restart. The target's own apply crosses it out.
    fn owe(
        &self,
        target: &ResourceId,
        action: TriggerAction,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Listeners of this machine's HAProxy that lead nowhere. Waits until the health checks have
    /// had their say, at most for `patience`.
    fn idle_listeners(
        &self,
        patience: Duration,
    ) -> impl Future<Output = Result<Vec<IdleListener>, HostError>> + Send;

    /// How the machine does. What does not answer within the question's patience is an answer of its
    /// own.
    fn health(&self, probe: &HealthProbe) -> impl Future<Output = NodeHealth> + Send;
}
