//! How this machine does. Every question has the same limit of time and is asked beside the others,
//! so that one that hangs costs no answer but its own.

mod login;
mod machine;
mod server;
mod turns;

use super::etcd_gateway::{Status, missing_file, status};
use super::haproxy;
use crate::HostError;
use keddah_resource::health::{Asked, EtcdHealth, HealthProbe, NodeHealth};
use keddah_resource::kind::etcd_member::EtcdConnection;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use turns::in_turn;

/// Asks the machine.
pub async fn look(probe: &HealthProbe) -> NodeHealth {
    let patience = Duration::from_millis(probe.patience);
    let end = Instant::now() + patience;
    let servers = in_turn(probe.servers.iter().map(|one| async move {
        // Whose turn comes late has less time, for the whole has no more.
        server::look(one, end.saturating_duration_since(Instant::now())).await
    }));
    let etcd = async {
        match &probe.etcd {
            Some(connection) => Some(within(patience, "etcd", etcd(connection)).await),
            None => None,
        }
    };
    let listeners = within(patience, "HAProxy", haproxy::idle_listeners(Duration::ZERO));
    let units = within(patience, "systemd", machine::units(&probe.units));
    let addresses = within(patience, "`ip`", machine::addresses());
    let disks = machine::disks(&probe.directories, patience);
    let logins = login::look(&probe.logins, patience);
    let (servers, etcd, listeners, units, addresses, disks, logins) =
        tokio::join!(servers, etcd, listeners, units, addresses, disks, logins);
    NodeHealth {
        clock: machine::clock(),
        servers,
        etcd,
        disks,
        certificates: machine::certificates(&probe.certificates),
        units,
        addresses,
        logins: logins.0,
        logins_untried: logins.1,
        idle_listeners: listeners,
    }
}

/// An answer that comes within the time, or why there is none.
async fn within<T, E: Display>(
    patience: Duration,
    who: &str,
    question: impl Future<Output = Result<T, E>>,
) -> Asked<T> {
    match tokio::time::timeout(patience, question).await {
        Ok(Ok(answer)) => Asked::Told(answer),
        Ok(Err(error)) => Asked::unknown(error.to_string()),
        Err(_) => {
            Asked::unknown(format!("{who} did not answer within {:.1} s", patience.as_secs_f64()))
        }
    }
}

async fn etcd(connection: &EtcdConnection) -> Result<EtcdHealth, HostError> {
    if let Some(path) = missing_file(connection) {
        return Err(HostError::new(format!("{path} does not exist")));
    }
    let Status { header, version, size, leader, errors, learner } = status(connection).await?;
    Ok(EtcdHealth {
        cluster: header.cluster_id,
        member: header.member_id,
        leader: leader.to_string(),
        size: size.parse().unwrap_or_default(),
        errors,
        version,
        learner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_says_is_read_also_without_a_leader() {
        let status: Status = serde_json::from_str(
            r#"{"header":{"cluster_id":"77","member_id":"5","raft_term":"3"},"version":"3.5.16",
                "dbSize":"24576","leader":"5","raftIndex":"9","dbSizeInUse":"20480"}"#,
        )
        .unwrap();
        assert_eq!((status.leader, status.size.as_str()), (5, "24576"));
        let alone: Status = serde_json::from_str(
            r#"{"header":{"cluster_id":"77"},"errors":["etcdserver: no leader"]}"#,
        )
        .unwrap();
        assert!(alone.leader == 0 && alone.errors.len() == 1);
    }

    #[tokio::test]
    async fn what_hangs_is_unknown_and_says_who_it_was() {
        let hangs = std::future::pending::<Result<(), HostError>>();
        let answer = within(Duration::from_millis(20), "PostgreSQL", hangs).await;
        let Asked::Unknown { because } = answer else { panic!("it cannot have answered") };
        assert_eq!(because, "PostgreSQL did not answer within 0.0 s");
    }
}
