//! How this machine does. Every question has the same limit of time and is asked beside the others,
//! so that one that hangs costs no answer but its own.

mod etcd;
mod login;
mod machine;
mod pool;
mod ports;
mod programs;
mod server;
mod turns;
mod unattended;

use super::{haproxy, unit_start};
use crate::round;
use keddah_resource::health::{Asked, HealthProbe, NodeHealth, ServerHealth, ServerProbe};
use keddah_resource::{ETCD_BOOTSTRAP, SANDBOX_MARK};
use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use turns::Turns;

/// Asks the machine.
pub async fn look(probe: &HealthProbe) -> NodeHealth {
    let patience = Duration::from_millis(probe.patience);
    let end = Instant::now() + patience;
    let sandbox = Path::new(SANDBOX_MARK).exists();
    // Logins are asked for beside the rest: each waits for several programs.
    let (turns, logging_in) = (Turns::of_this_machine(sandbox), Turns::of_this_machine(sandbox));
    let servers = servers(&probe.servers, &turns, end);
    let etcd = async {
        match &probe.etcd {
            Some(connection) => {
                let asked = etcd::look(connection, &probe.namespaces, patience);
                Some(within(patience, "etcd", asked).await)
            }
            None => None,
        }
    };
    let etcd_settings = async {
        match &probe.etcd_settings {
            // Before it was made, nothing is declared of it.
            Some(own) if Path::new(ETCD_BOOTSTRAP).exists() => {
                let asked = within(patience, "systemd", unit_start::foreign(own)).await;
                // Where systemd does not answer, its units say so.
                asked.told().cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    };
    let listeners = within(patience, "HAProxy", haproxy::listeners());
    let units = within(patience, "systemd", machine::units(&probe.units, &probe.configurations));
    let addresses = within(patience, "`ip`", machine::addresses());
    let disks = machine::disks(&probe.directories, patience);
    let logins = login::look(&probe.logins, &probe.servers, &logging_in, end);
    let ports = ports::closed(&probe.ports, patience);
    let unattended = async {
        // What cannot be read says of no danger.
        let asked = within(patience, "apt", unattended::look()).await;
        asked.told().cloned().flatten()
    };
    let unattended = async { if probe.unattended { unattended.await } else { None } };
    let asked = async {
        tokio::join!(servers, etcd, listeners, units, addresses, disks, logins, ports, unattended)
    };
    let (asked, etcd_settings) = tokio::join!(asked, etcd_settings);
    let (servers, etcd, listeners, units, addresses, disks, logins, ports, unattended) = asked;
    let (units, unloaded) = match units {
        Asked::Told((units, unloaded)) => (Asked::Told(units), unloaded),
        Asked::Unknown { because } => (Asked::Unknown { because }, Vec::new()),
        Asked::Untried => (Asked::Untried, Vec::new()),
    };
    let (idle_listeners, listeners) = match listeners {
        Asked::Told((idle, all)) => (Asked::Told(idle), all),
        Asked::Unknown { because } => (Asked::Unknown { because }, Vec::new()),
        Asked::Untried => (Asked::Untried, Vec::new()),
    };
    NodeHealth {
        clock: machine::clock(),
        sandbox,
        servers,
        etcd,
        etcd_settings,
        disks,
        certificates: machine::certificates(&probe.certificates),
        units,
        addresses,
        logins: logins.0,
        logins_untried: logins.1,
        closed_ports: ports,
        unloaded,
        idle_listeners,
        listeners,
        unattended,
    }
}

/// Who has less time than this left is not asked: that he says nothing would mean nothing.
const FAIR: Duration = Duration::from_millis(500);

/// All instances. Where there is no time for all of it, the most important comes first: what each Patroni
/// says, which is cheap, and then the servers themselves and their backups.
async fn servers(probes: &[ServerProbe], turns: &Turns, end: Instant) -> Vec<ServerHealth> {
    let (told, asked): (Vec<_>, Vec<_>) = probes.iter().map(|_| oneshot::channel()).unzip();
    let patronis = turns.all(probes.iter().zip(told).map(|(probe, told)| async move {
        let patroni = server::patroni(probe, end).await;
        // Nobody waits for it any more where the look has ended.
        let _ = told.send(server::leads(&patroni));
        patroni
    }));
    let servers = turns.all(probes.iter().zip(asked).map(|(probe, leads)| async move {
        let leads = async { leads.await.unwrap_or_default() };
        server::itself(probe, leads, end).await
    }));
    let (patronis, servers) = tokio::join!(patronis, servers);
    let both = probes.iter().zip(patronis).zip(servers);
    both.map(|((probe, patroni), (server, backups, replaced))| ServerHealth {
        instance: probe.instance.clone(),
        patroni,
        server,
        backups,
        replaced,
    })
    .collect()
}

/// An answer that comes before the end, or why there is none; nobody is asked for whom no time is left.
async fn before<T, E: Display>(
    end: Instant,
    who: &str,
    question: impl Future<Output = Result<T, E>>,
) -> Asked<T> {
    match end.saturating_duration_since(Instant::now()) {
        rest if rest < FAIR => Asked::Untried,
        rest => within(rest, who, question).await,
    }
}

/// An answer that comes within the time, or why there is none.
async fn within<T, E: Display>(
    patience: Duration,
    who: &str,
    question: impl Future<Output = Result<T, E>>,
) -> Asked<T> {
    let begun = Instant::now();
    match tokio::time::timeout(patience, question).await {
        Ok(Ok(answer)) => Asked::Told(answer),
        Ok(Err(error)) => Asked::unknown(error.to_string()),
        Err(_) => {
            round::waited_since(begun);
            Asked::unknown(format!("{who} did not answer within {:.1} s", patience.as_secs_f64()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostError;

    #[tokio::test]
    async fn nobody_is_called_silent_for_whom_no_time_was_left() {
        let late = Instant::now() + FAIR / 2;
        let hangs = std::future::pending::<Result<(), HostError>>();
        assert!(before(late, "PostgreSQL", hangs).await.is_untried());
    }

    #[tokio::test]
    async fn what_hangs_is_unknown_and_says_who_it_was() {
        let hangs = std::future::pending::<Result<(), HostError>>();
        let answer = within(Duration::from_millis(20), "PostgreSQL", hangs).await;
        let Asked::Unknown { because } = answer else { panic!("it cannot have answered") };
        assert_eq!(because, "PostgreSQL did not answer within 0.0 s");
    }
}
