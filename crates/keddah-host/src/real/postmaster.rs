//! The running postmaster: reloads that are checked, restarts that are waited for.

use crate::HostError;
use crate::real::{RealHost, pg_instance, pg_settings};
use crate::rest::{NoAnswer, Patroni};
use crate::sql::{Purpose, Session, Unreachable};
use futures_util::future::join_all;
use keddah_resource::kind::patroni_config::STANDBY_SENSITIVE;
use keddah_resource::kind::postmaster::{Observed, Spec};
use keddah_resource::{Class, Difference, Kind, Observation, TriggerAction};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A replica asks for WAL again after at most five seconds (`wal_retrieve_retry_interval`).
const REPLAYED: Duration = Duration::from_secs(6);

/// A reload takes milliseconds; a busy machine may take longer.
const RELOAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long Patroni takes until it has told the server: it does so in its own turn, once in `loop_wait`, ten
/// seconds by default.
const LET_IN: Duration = Duration::from_secs(15);

/// Looks at postmasters.
pub async fn observe(host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    join_all(specs.iter().map(|spec| look(host, spec))).await
}

async fn look(host: &RealHost, spec: &Spec) -> Result<Observation, HostError> {
    let mut owes = host.owed().owes(Kind::Postmaster, &spec.instance)?;
    let (running, pending_restart) = match Patroni::new(&spec.api).status().await {
        Ok(status) => (runs(&status.state), status.pending_restart),
        Err(NoAnswer::NotRunning) => (false, false),
        Err(NoAnswer::Failed(error)) => return Err(error),
    };
    let owes_reload = host.owed().has(Kind::Postmaster, &spec.instance, TriggerAction::Reload)?;
    // A restart is owed for parameters alone. What PostgreSQL waits for no more, long after its Patroni has
    // looked at the cluster's settings, was taken back meanwhile.
    let noted = host.owed().noted(Kind::Postmaster, &spec.instance, TriggerAction::Restart)?;
    let settled = Duration::from_secs(u64::from(spec.settled_seconds));
    if running && !pending_restart && noted.is_some_and(|ago| ago > settled) {
        owes = owes_reload.then_some(TriggerAction::Reload);
    }
    let pg_settings::Read { settings, limits, waiting, kept_out } =
        if running { pg_settings::read(spec).await? } else { pg_settings::Read::default() };
    let observed = Observed {
        running,
        pending_restart,
        owes,
        owes_reload,
        waiting,
        kept_out,
        settings,
        limits,
    };
    Ok(Observation::Known(observed.into()))
}

fn runs(state: &str) -> bool {
    keddah_resource::kind::pg_instance::Spec::serves(state)
}

/// Reloads or restarts, and crosses out what was owed.
///
/// # Errors
/// When a configuration file is wrong, or the restart does not end well in time.
pub async fn apply(
    host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    difference: &Difference,
) -> Result<(), HostError> {
    pg_settings::reset(spec, observed).await?;
    let done = if difference.class >= Class::Restart {
        restart(spec, observed).await?;
        TriggerAction::Restart
    } else {
        reload(spec).await?;
        TriggerAction::Reload
    };
    host.owed().cross_out(Kind::Postmaster, &spec.instance, done)
}

async fn restart(spec: &Spec, observed: &Observed) -> Result<(), HostError> {
    let patroni = Patroni::new(&spec.api);
    let patience = Duration::from_secs(u64::from(spec.patience_seconds));
    if spec.runs_as_declared(observed) {
        return settles(spec).await;
    }
    if !observed.pending_restart && !becomes_pending(spec).await? {
        // It has taken over everything, so there is nothing to restart it for.
        return Ok(());
    }
    let until = Instant::now() + patience;
    if let Err(error) = patroni.restart(patience).await {
        return Err(error.with_log(&pg_instance::journal(&spec.api).await));
    }
    let (mut last, mut pending) = (String::new(), false);
    let mut restarted = Instant::now();
    while Instant::now() < until {
        match patroni.status().await {
            Ok(status) if runs(&status.state) && !status.pending_restart => {
                return streams(spec, status.leads(), until).await;
            }
            Ok(status) if runs(&status.state) => {
                pending = true;
                // A replica takes a lowered limit only after it has replayed that the primary
                // lowered it; restarted before that, it came back with the old value.
                if restarted.elapsed() > REPLAYED {
                    patroni.restart(patience).await?;
                    restarted = Instant::now();
                }
            }
            Ok(status) => {
                pending = false;
                last = format!("it is {}", status.state);
            }
            Err(error) => {
                pending = false;
                last = error.into_error().message;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    let (instance, seconds) = (&spec.instance, spec.patience_seconds);
    let message = if pending {
        still_waits(instance, seconds, &pg_settings::pending(spec).await?)
    } else {
        format!("the instance {instance} does not serve {seconds} s after its restart: {last}")
    };
    Err(HostError::new(message).with_log(&pg_instance::journal(&spec.api).await))
}

/// What is said of a server that has restarted, serves, and has not taken over what it restarted for.
fn still_waits(instance: &str, seconds: u32, pending: &[String]) -> String {
    let mut message = format!(
        "the instance {instance} serves, and {seconds} s after its restart it still waits for another one"
    );
    if !pending.is_empty() {
        message.push_str(&format!(" to take over {}", pending.join(", ")));
    }
    if pending.iter().any(|name| STANDBY_SENSITIVE.contains(&name.as_str())) {
        message.push_str(
            ": a replica keeps what its primary runs with until that has restarted with less; select the whole \
             cluster, so that the primary goes first",
        );
    }
    message
}

/// Whether PostgreSQL comes to wait for a restart. Restarted too early, it would start with the
/// old value.
async fn becomes_pending(spec: &Spec) -> Result<bool, HostError> {
    let until = Instant::now() + Duration::from_secs(u64::from(spec.settled_seconds));
    while Instant::now() < until {
        if Patroni::new(&spec.api).status().await.map_err(NoAnswer::into_error)?.pending_restart {
            return Ok(true);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(false)
}

/// Waits until a server that runs with what is declared waits for no restart any more: its Patroni takes the
/// cluster's settings over in its own turn. Where it does not, a restart would change nothing either.
async fn settles(spec: &Spec) -> Result<(), HostError> {
    let until = Instant::now() + Duration::from_secs(u64::from(spec.settled_seconds));
    while Instant::now() < until {
        if !Patroni::new(&spec.api).status().await.map_err(NoAnswer::into_error)?.pending_restart {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Waits until a restarted replica receives WAL again: only then may the next one restart.
async fn streams(spec: &Spec, leads: bool, until: Instant) -> Result<(), HostError> {
    const RECEIVES: &str = "select 1 from pg_stat_wal_receiver where status = 'streaming'";
    // One that leads a standby cluster streams, too, but nobody waits for that.
    if leads {
        return Ok(());
    }
    while Instant::now() < until {
        if let Ok(session) = open(spec).await
            && session.scalar(RECEIVES).await?.is_some()
        {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(HostError::new(format!(
        "the replica {} runs again, but receives no WAL: no other instance is restarted",
        spec.instance
    ))
    .with_log(&pg_instance::journal(&spec.api).await))
}

/// A line of a configuration file that PostgreSQL does not understand.
#[derive(Debug, Deserialize)]
struct Mistake {
    place: String,
    error: String,
}

/// Checks the files, reloads, and waits until the server has taken them over. PostgreSQL itself
/// goes on with the old rules when there is a mistake in the new ones, and tells only its log.
async fn reload(spec: &Spec) -> Result<(), HostError> {
    let session = Session::open(&spec.connection, "postgres", Purpose::Observe).await;
    let session = match session {
        Ok(session) => session,
        // A server whose rules keep the superuser out can be asked for nothing; Patroni tells it by a signal.
        Err(Unreachable::KeptOut(_)) => return let_in(spec).await,
        Err(other) => return Err(other.into_error()),
    };
    let hba_file = if session.version().await? >= 160_000 {
        "file_name"
    } else {
        "current_setting('hba_file')"
    };
    // A parameter that waits for a restart is listed as an error too; it is none.
    let mistakes: Vec<Mistake> = session
        .rows(&format!(
            "select {hba_file} || ':' || line_number as place, error from pg_hba_file_rules \
             where error is not null union all \
             select coalesce(sourcefile || ':' || sourceline, name, ''), error \
             from pg_file_settings where error is not null \
             and error <> 'setting could not be applied'"
        ))
        .await?;
    if !mistakes.is_empty() {
        let lines: Vec<String> =
            mistakes.iter().map(|Mistake { place, error }| format!("{place}: {error}")).collect();
        return Err(HostError::new(format!(
            "PostgreSQL would not take over its configuration: {}",
            lines.first().map(String::as_str).unwrap_or_default()
        ))
        .with_log(&lines.join("\n")));
    }
    let loaded = "select pg_conf_load_time()::text";
    let before = session.scalar(loaded).await?;
    session.execute("select pg_reload_conf()").await?;
    let until = Instant::now() + RELOAD_PATIENCE;
    while Instant::now() < until {
        // A session that is opened now has the time that the postmaster itself has.
        if open(spec).await?.scalar(loaded).await? != before {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(HostError::new(format!(
        "the instance {} did not take over its configuration within {} s; its log says why",
        spec.instance,
        RELOAD_PATIENCE.as_secs()
    )))
}

/// Has Patroni make the server read its files, and waits until these let the superuser in.
async fn let_in(spec: &Spec) -> Result<(), HostError> {
    Patroni::new(&spec.api).reload().await?;
    let until = Instant::now() + LET_IN;
    loop {
        let refused = match open_anew(spec).await {
            Ok(_) => return Ok(()),
            Err(error) => error.into_error(),
        };
        if Instant::now() >= until {
            let message = format!(
                "the rules of {} let its superuser not in, also after they were read again: {}",
                spec.instance, refused.message
            );
            return Err(HostError::new(message).with_hint(
                "its log says whether a line of pg_hba.conf is wrong; pg_default_hba_rules has to let \
                 ${dbsu} in over the socket (addr: local, auth: ident)",
            ));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn open_anew(spec: &Spec) -> Result<Session, Unreachable> {
    Session::open_new(&spec.connection, "postgres", Purpose::Observe).await
}

async fn open(spec: &Spec) -> Result<Session, HostError> {
    Session::open(&spec.connection, "postgres", Purpose::Observe)
        .await
        .map_err(Unreachable::into_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_serves_is_not_said_not_to() {
        let said = |pending: &[&str]| {
            still_waits(
                "pg-2",
                120,
                &pending.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            said(&["max_connections"]),
            "the instance pg-2 serves, and 120 s after its restart it still waits for another one to take over \
             max_connections: a replica keeps what its primary runs with until that has restarted with less; \
             select the whole cluster, so that the primary goes first"
        );
        assert!(said(&["shared_buffers"]).ends_with("to take over shared_buffers"));
        assert!(said(&[]).ends_with("it still waits for another one"));
    }
}
