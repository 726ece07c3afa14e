//! The first full backup.

use super::pgbackrest::{Configured, Info, not_yet};
use super::repository;
use crate::{HostError, RealHost};
use keddah_core::Secret;
use keddah_resource::kind::backup::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::path::Path;
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
    let pgbackrest = Configured::new(&spec.account, &spec.stanza, &spec.configuration)?;
    let info = pgbackrest.info().await?;
    // pgBackRest believes its list.
    let (missing, gap) = match (&spec.repository, &info) {
        (Some(path), Some(info)) => {
            let listed = (info.systems(), info.listed());
            let list = repository::sorted(Path::new(path), &spec.stanza, listed.0, listed.1)?;
            // What another node wrote between two times that this one led is in its repository, and told
            // (`backup-behind`); nobody has lost it.
            let lost =
                list.gap.as_ref().is_some_and(|(before, after)| before.get(..8) == after.get(..8));
            (list.missing, lost)
        }
        _ => (Vec::new(), false),
    };
    // Over a gap in the archive after the newest of them, none of them can be rolled forward.
    let (full_backups, newest) = info.map_or((0, 0), |info| {
        let full = if gap { 0 } else { info.full_backups(&missing) };
        (full, info.newest().unwrap_or_default())
    });
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
    // The configuration is in its place by now, and the archiver uses it, too.
    let pgbackrest = Configured::new(&spec.account, &spec.stanza, &Secret::default())?;
    let command = pgbackrest
        .command()
        .args(["--type=full", "--log-level-console=warn", "backup"])
        .patience(patience);
    // Somebody else's backup may have begun before what a last one must hold.
    let done = if spec.not_before.is_some() { never } else { any_full };
    pgbackrest.with_lock(&command, patience, done).await
}

fn any_full(info: &Info) -> bool {
    info.full_backups(&[]) > 0
}

fn never(_info: &Info) -> bool {
    false
}
