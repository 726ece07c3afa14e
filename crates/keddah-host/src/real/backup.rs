//! The first full backup.

use super::pgbackrest::{Info, info, not_yet, pgbackrest, with_lock};
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
    let info = info(&spec.account, &spec.stanza).await?;
    let (full_backups, newest) =
        info.map_or((0, 0), |info| (info.full_backups(), info.newest().unwrap_or_default()));
    Ok(Observation::Known(Observed { full_backups, newest }.into()))
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
    // Somebody else's backup may have begun before what a last one must hold.
    let done = if spec.not_before.is_some() { never } else { any_full };
    with_lock(&command, patience, whose, done).await
}

fn any_full(info: &Info) -> bool {
    info.full_backups() > 0
}

fn never(_info: &Info) -> bool {
    false
}
