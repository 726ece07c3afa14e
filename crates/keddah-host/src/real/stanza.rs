//! pgBackRest stanzas.

use super::pgbackrest::{info, not_yet, pgbackrest, with_lock};
use crate::{HostError, RealHost};
use keddah_resource::kind::stanza::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::time::Duration;

/// pgBackRest's code for a stanza that the repository has never heard of.
const MISSING: i64 = 1;

/// pgBackRest's number for a repository that does not fit the cluster ("backup mismatch").
const OTHER_CLUSTER: &str = "[028]";

/// Making a stanza takes a second; a backup that holds the lock may take long.
const PATIENCE: Duration = Duration::from_secs(300);

/// Looks at stanzas.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut answers = Vec::with_capacity(specs.len());
    for spec in specs {
        answers.push(look(spec).await);
    }
    answers
}

async fn look(spec: &Spec) -> Result<Observation, HostError> {
    if let Some(because) = not_yet(&spec.account)? {
        return Ok(Observation::NotYet { because });
    }
    Ok(Observation::Known(Observed { status: status(spec).await? }.into()))
}

async fn status(spec: &Spec) -> Result<i64, HostError> {
    let info = info(&spec.account, &spec.stanza).await?;
    Ok(info.map_or(MISSING, |info| info.status.code))
}

/// Makes the stanza; pgBackRest leaves one alone that is as it should be.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let stanza = format!("--stanza={}", spec.stanza);
    let online = if spec.online { "--online" } else { "--no-online" };
    let command = pgbackrest(&spec.account)
        .args([&stanza, online, "--log-level-console=warn", "stanza-create"])
        .patience(PATIENCE);
    let whose = (spec.account.as_str(), spec.stanza.as_str());
    let made = with_lock(&command, PATIENCE, whose, |info| matches!(info.status.code, 0 | 2));
    made.await.map_err(|error| {
        if error.log.iter().any(|line| line.contains(OTHER_CLUSTER)) {
            error.with_hint(format!(
                "the repository holds backups of another cluster under the name {}: move them away",
                spec.stanza
            ))
        } else {
            error
        }
    })
}
