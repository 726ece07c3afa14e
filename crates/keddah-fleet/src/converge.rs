//! One change on its node: look, compare with what was promised, do it, and look again.

use crate::protocol::Converge;
use keddah_host::{Host, HostError};
use keddah_plan::Failure;
use keddah_resource::{Class, Difference, Observation, Observed, Spec};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// What comes before is done, but what it set going may need a moment until it can be looked at:
/// a cluster's leader answers a little before its configuration is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to look again meanwhile.
const INTERVAL: Duration = Duration::from_millis(200);

/// The words of the host for a person at the controller.
pub(crate) fn failure(error: HostError) -> Failure {
    let HostError { message, log, hint } = error;
    Failure { message, log, hint }
}

/// Carries out one change. `stopping` is set when the controller is gone: nothing new is begun.
///
/// # Errors
/// When the node is not as the plan says, when the change fails, or when something still differs
/// afterwards.
pub(crate) async fn converge<H: Host>(
    host: &H,
    request: &Converge,
    stopping: &Cell<bool>,
) -> Result<Option<Class>, Failure> {
    let Converge { id, spec, promise, cause, owes, material } = request;
    if stopping.get() {
        return Err(gone());
    }
    if let Some(action) = cause {
        host.owe(id, *action).await.map_err(failure)?;
    }
    let observed = look(host, spec, stopping).await?;
    let Some(difference) = spec.diff(&observed) else { return Ok(None) };
    if let Some(why) = &difference.impossible {
        return Err(Failure::new("it cannot be changed like this").hint(why));
    }
    if !promise.allows(&difference) {
        return Err(Failure::new(format!(
            "the node has changed since the plan was made: it would now be a change of class \
             \"{}\" ({})",
            difference.class, difference.reason
        ))
        .hint("plan again, and review what is different"));
    }
    // Before the change, so that a crash in the middle cannot lose a restart.
    for debt in owes.iter().filter(|debt| difference.class >= debt.from_class) {
        host.owe(&debt.target, debt.action).await.map_err(failure)?;
    }
    if stopping.get() {
        return Err(gone());
    }
    host.apply(spec, &observed, &difference, material.as_ref()).await.map_err(failure)?;
    match spec.diff(&look(host, spec, stopping).await?) {
        None => Ok(Some(difference.class)),
        Some(left) => Err(still_differs(&left)),
    }
}

async fn look<H: Host>(host: &H, spec: &Spec, stopping: &Cell<bool>) -> Result<Observed, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        match host.observe(std::slice::from_ref(spec)).await.into_iter().next() {
            Some(Ok(Observation::Known(observed))) => return Ok(observed),
            Some(Ok(Observation::NotYet { because })) => {
                if stopping.get() || Instant::now() >= until {
                    let message = format!("it still cannot be looked at: {because}");
                    return Err(Failure::new(message));
                }
            }
            Some(Err(error)) => return Err(failure(error)),
            None => return Err(Failure::new("the node did not say what is there")),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn gone() -> Failure {
    Failure::new("the controller went away before this was begun")
}

fn still_differs(left: &Difference) -> Failure {
    let fields: Vec<&str> = left.fields.iter().map(|field| field.field()).collect();
    let what = if fields.is_empty() { left.reason.clone() } else { fields.join(", ") };
    Failure::new(format!("it was carried out, but it still differs: {what}"))
}
