//! Instances: Patroni makes and starts them; here they are looked at and waited for.

use crate::HostError;
use crate::command::Command;
use crate::real::progress::{Progress, bytes_below};
use crate::real::{RealHost, aside};
use crate::rest::{NoAnswer, Patroni, Status};
use futures_util::future::join_all;
use keddah_resource::kind::pg_instance::{Observed, Origin, Spec};
use keddah_resource::kind::postmaster::PatroniApi;
use keddah_resource::{Difference, Kind, Observation, TriggerAction};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long `start failed` may last: Patroni says so also between two attempts of its own.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long the first instance of a cluster may stand still before it is asked for what it waits. Patroni
/// begins within a round (`loop_wait`, ten seconds by default).
const LEADER_PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at how far an instance has come: they read the whole data directory.
const MEASURE: Duration = Duration::from_secs(5);

/// Looks at instances.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    join_all(specs.iter().map(|spec| look(spec))).await
}

async fn look(spec: &Spec) -> Result<Observation, HostError> {
    let version = Path::new(&spec.data_directory).join("PG_VERSION");
    let initialized = tokio::fs::try_exists(&version)
        .await
        .map_err(|error| HostError::path("read", &version, &error))?;
    let status = match Patroni::new(&spec.api).status().await {
        Ok(status) => Some(status),
        Err(NoAnswer::NotRunning) => None,
        Err(NoAnswer::Failed(error)) => return Err(error),
    };
    let (state, role) = status.map(|status| (status.state, status.role)).unzip();
    Ok(Observation::Known(Observed { initialized, state, role }.into()))
}

/// How far an instance that does not serve yet has come.
async fn measure(spec: &Spec, status: &Status) -> Progress {
    let directory = PathBuf::from(&spec.data_directory);
    let bytes = tokio::task::spawn_blocking(move || bytes_below(&directory)).await;
    Progress {
        bytes: bytes.unwrap_or_default(),
        received: status.xlog.received_location.unwrap_or_default(),
        replayed: status.xlog.replayed_location.unwrap_or_default(),
    }
}

/// Waits until the instance serves, for as long as it gets on: a new cluster's first instance as its leader, a replica with
/// its replication under way.
///
/// # Errors
/// When it stands still for as long as the patience lasts, or Patroni has given up; with the end of Patroni's log.
pub async fn apply(
    host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let must_lead = spec.origin != Origin::Clone && !observed.initialized;
    let patience = Duration::from_secs(u64::from(spec.patience_seconds));
    let patroni = Patroni::new(&spec.api);
    let start = Instant::now();
    let mut progress = Progress::default();
    let mut moved = start;
    let mut measured = start;
    let mut failing_since: Option<Instant> = None;
    let mut looked_at_unit = start;
    let mut pause = Duration::from_millis(100);
    let mut last = "it does not answer".to_owned();
    let mut stopped = false;
    let mut waits_since: Option<Instant> = None;
    let promotion = Duration::from_secs(u64::from(spec.promoted_within));
    let mut idle_since: Option<Instant> = None;
    loop {
        match patroni.status().await {
            Ok(status) if serves(&status, must_lead) && !(spec.starts_first && idles(&status)) => {
                // It was just started, and has read whatever it was to be restarted for.
                let (kind, done) = (Kind::Postmaster, TriggerAction::Restart);
                return host.owed().cross_out(kind, &spec.instance, done);
            }
            Ok(status) => {
                let failing = status.state.ends_with("failed");
                failing_since = failing.then(|| failing_since.unwrap_or_else(Instant::now));
                stopped = status.state == "stopped";
                let idle = spec.starts_first && Spec::serves(&status.state) && idles(&status);
                idle_since = idle.then(|| idle_since.unwrap_or_else(Instant::now));
                if idle_since.is_some_and(|since| since.elapsed() > promotion) {
                    return Err(nobody_is_promoted(spec, &status));
                }
                let waits = must_lead && stopped;
                waits_since = waits.then(|| waits_since.unwrap_or_else(Instant::now));
                if waits_since.is_some_and(|since| since.elapsed() > LEADER_PATIENCE) {
                    if has_been_made(&patroni).await {
                        return Err(waits_for_a_leader(spec, &status));
                    }
                    waits_since = None;
                }
                last = describe(&status);
                if measured.elapsed() > MEASURE {
                    let now = measure(spec, &status).await;
                    measured = Instant::now();
                    if progress.grows(now) {
                        moved = measured;
                    }
                }
            }
            Err(NoAnswer::NotRunning) => {}
            Err(NoAnswer::Failed(error)) => last = error.message,
        }
        if failing_since.is_some_and(|since| since.elapsed() > START_PATIENCE) {
            return Err(gave_up(spec, &last).await);
        }
        if moved.elapsed() > patience {
            let message = format!(
                "{last} after {} s, the last {} of them without progress",
                start.elapsed().as_secs(),
                patience.as_secs()
            );
            return Err(gave_up(spec, &message).await);
        }
        if looked_at_unit.elapsed() > Duration::from_secs(1) {
            looked_at_unit = Instant::now();
            let unit = &spec.api.unit;
            // Nothing that is waited for here changes that.
            if let Some(why) = aside::stays_stopped(&spec.data_directory)?.filter(|_| stopped) {
                let why = format!("it stays stopped, for its rewind has failed, and {why}");
                return Err(gave_up(spec, &why).await);
            }
            if let Some(state) = ended(unit).await {
                return Err(gave_up(spec, &format!("{unit} is {state}")).await);
            }
        }
        tokio::time::sleep(pause).await;
        pause = Duration::from_millis(250);
    }
}

/// Whether the cluster's state in etcd is that of one that has been made: it holds its settings. Before that,
/// Patroni answers with an error.
async fn has_been_made(patroni: &Patroni<'_>) -> bool {
    let answer = patroni.config().await;
    answer.is_ok_and(|answer| answer.status.is_success())
}

/// Patroni makes no cluster of which etcd says that it has been made: it waits for its leader, for ever where
/// nobody has its data.
fn waits_for_a_leader(spec: &Spec, status: &Status) -> HostError {
    let cluster = &status.patroni.scope;
    HostError::new(format!(
        "the instance {} does not serve: its Patroni waits for a leader of {cluster}, for the keys in etcd say \
         that {cluster} has been made, and no member has its data",
        spec.instance
    ))
    .with_hint(format!(
        "if a member that has the data is away, bring it back; if {cluster} shall begin anew and empty: stop \
         {} on every member, delete what etcd keeps of it (`sudo patronictl -c DIRECTORY remove {cluster}`, with \
         the directory that `systemctl cat {0}` names), then apply",
        spec.api.unit
    ))
}

/// Patroni promotes nobody who is further behind the last position that etcd has of the leader before than
/// `maximum_lag_on_failover` (Patroni's documentation, "Dynamic configuration"), however long it is waited for.
fn nobody_is_promoted(spec: &Spec, status: &Status) -> HostError {
    let cluster = &status.patroni.scope;
    HostError::new(format!(
        "the instance {} runs, and its Patroni promotes nobody of {cluster}: as a rule because it lacks more of what          the leader before has written than `maximum_lag_on_failover` allows",
        spec.instance
    ))
    .with_hint(format!(
        "`journalctl -u {}` there says why. If a member that has more can be brought back, bring it back; to go on          without what this one lacks: `sudo patronictl -c DIRECTORY failover {cluster} --candidate {} --force`, with          the directory that `systemctl cat {0}` names, then apply",
        spec.api.unit, spec.instance
    ))
}

/// Whether an instance with this status does its work.
fn serves(status: &Status, must_lead: bool) -> bool {
    if !Spec::serves(&status.state) {
        return false;
    }
    if status.leads() {
        return true;
    }
    // Older versions do not tell how replication goes; then the state must do.
    let streams = status.replication_state.as_deref().is_none_or(|state| state == "streaming");
    !must_lead && streams
}

/// Whether it neither leads nor follows somebody who does.
fn idles(status: &Status) -> bool {
    !status.leads() && status.replication_state.as_deref() != Some("streaming")
}

fn describe(status: &Status) -> String {
    let Status { state, role, replication_state, .. } = status;
    match replication_state {
        Some(replication) => format!("it is {role}, {state}, its replication {replication}"),
        None => format!("it is {role}, {state}"),
    }
}

/// The unit's state when it has ended for good; one that starts or restarts is given its time.
async fn ended(unit: &str) -> Option<String> {
    let output = Command::new("systemctl").args(["is-active", unit]).run().await.ok()?;
    let state = output.stdout.trim().to_owned();
    matches!(state.as_str(), "failed" | "inactive").then_some(state)
}

async fn gave_up(spec: &Spec, why: &str) -> HostError {
    HostError::new(format!("the instance {} does not serve: {why}", spec.instance))
        .with_log(&journal(&spec.api).await)
        .with_hint(format!("read more with journalctl -u {} on the node", spec.api.unit))
}

/// The end of Patroni's log.
pub(super) async fn journal(api: &PatroniApi) -> String {
    let arguments = ["-u", &api.unit, "-n", "100", "--since=-15min", "--no-pager", "-o", "cat"];
    match Command::new("journalctl").args(arguments).run().await {
        Ok(output) => output.stdout,
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, role: &str, replication: Option<&str>) -> Status {
        Status {
            state: state.to_owned(),
            role: role.to_owned(),
            replication_state: replication.map(str::to_owned),
            ..Status::default()
        }
    }

    #[test]
    fn one_that_starts_first_is_waited_for_until_it_leads_or_follows() {
        assert!(idles(&status("running", "replica", None)));
        assert!(idles(&status("running", "replica", Some("in archive recovery"))));
        assert!(!idles(&status("running", "replica", Some("streaming"))));
        assert!(!idles(&status("running", "primary", None)));
    }

    #[test]
    fn who_serves() {
        assert!(serves(&status("running", "master", None), true));
        assert!(serves(&status("running", "standby_leader", Some("in archive recovery")), true));
        assert!(!serves(&status("running", "replica", Some("streaming")), true));
        assert!(serves(&status("running", "replica", Some("streaming")), false));
        assert!(serves(&status("streaming", "replica", None), false));
        assert!(!serves(&status("running", "replica", Some("in archive recovery")), false));
        assert!(!serves(&status("creating replica", "replica", None), false));
    }
}
