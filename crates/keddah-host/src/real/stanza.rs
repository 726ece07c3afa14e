//! pgBackRest stanzas.

use super::instance_facts::system_of;
use super::pgbackrest::{Configured, not_yet};
use super::repository;
use crate::{HostError, RealHost};
use keddah_resource::kind::stanza::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::path::Path;
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
    let pgbackrest = Configured::new(&spec.account, &spec.stanza, &spec.configuration)?;
    let info = pgbackrest.info().await?;
    let takes = info.as_ref().and_then(|info| info.systems().pop());
    let system = system_of(Path::new(&spec.data_directory))?;
    let status = info.map_or(MISSING, |info| info.status.code);
    let text = spec.configuration.reveal();
    let archived_in = repository::archived_in(&spec.stanza, text, Path::new(&spec.data_directory))?;
    Ok(Observation::Known(Observed { status, takes, system, archived_in }.into()))
}

/// Makes the stanza; pgBackRest leaves one alone that is as it should be.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let pgbackrest = Configured::new(&spec.account, &spec.stanza, &spec.configuration)?;
    let online = if spec.online { "--online" } else { "--no-online" };
    let command = pgbackrest
        .command()
        .args([online, "--log-level-console=warn", "stanza-create"])
        .patience(PATIENCE);
    let made =
        pgbackrest.with_lock(&command, PATIENCE, |info| matches!(info.status.code, 0 | 2)).await;
    made.map_err(|error| {
        let place = repository::told(spec.configuration.reveal());
        let error =
            if place.is_empty() { error } else { error.with_hint(format!("the repository: {place}")) };
        if error.log.iter().any(|line| line.contains(OTHER_CLUSTER)) {
            error.with_hint(format!(
                "the repository holds backups of another system under the name {}: give `pgbackrest_repo` \
                 another path, or move them away",
                spec.stanza
            ))
        } else {
            error
        }
    })
}
