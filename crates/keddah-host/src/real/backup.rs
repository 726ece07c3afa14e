//! The first full backup.

use super::pgbackrest::{info, not_yet, pgbackrest, with_lock};
use crate::{HostError, RealHost};
use keddah_resource::kind::backup::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::time::Duration;

/// Looks at backups.
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
    Ok(Observation::Known(Observed { full_backups: full_backups(spec).await? }.into()))
}

async fn full_backups(spec: &Spec) -> Result<u32, HostError> {
    let info = info(&spec.account, &spec.stanza).await?;
    Ok(info.map_or(0, |info| info.full_backups()))
}

/// Makes a full backup. One that somebody else is making is waited for, and is as good.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let patience = Duration::from_secs(u64::from(spec.patience_seconds));
    let stanza = format!("--stanza={}", spec.stanza);
    let command = pgbackrest(&spec.account)
        .args([&stanza, "--type=full", "--log-level-console=warn", "backup"])
        .patience(patience);
    let whose = (spec.account.as_str(), spec.stanza.as_str());
    with_lock(&command, patience, whose, |info| info.full_backups() > 0).await
}
