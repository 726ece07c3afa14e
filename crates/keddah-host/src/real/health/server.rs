//! An instance: its Patroni, a new session of its server, and the backups of the one that leads.

use super::super::pgbackrest::{self, Configured};
use super::within;
use crate::HostError;
use crate::rest::{self, MemberState};
use crate::sql::{Purpose, Session, Unreachable};
use keddah_core::Secret;
use keddah_resource::health::{
    BackupHealth, PatroniHealth, PostgresHealth, ServerHealth, ServerProbe,
};
use keddah_resource::is_leading;
use std::time::Duration;
use tokio::time::Instant;

/// One row with all of it, so that it costs one session and one query. Functions that a standby or a
/// primary lacks are called on the other only (PostgreSQL's manual, "System Administration Functions").
const QUESTION: &str = "select pg_is_in_recovery() as in_recovery, \
    (case when pg_is_in_recovery() then coalesce((select received_tli from pg_stat_wal_receiver), \
            (select timeline_id from pg_control_checkpoint())) \
        else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end)::bigint \
        as timeline, \
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end \
        - '0/0'::pg_lsn)::bigint as position, \
    exists (select from pg_stat_wal_receiver where status = 'streaming') as receiving, \
    current_setting('server_version_num')::bigint as version, \
    (select coalesce(json_agg(name order by name), '[]') from pg_settings where pending_restart) \
        as pending_restart, \
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections, \
    current_setting('max_connections')::bigint as most_connections, \
    (select json_build_object( \
        'failed_at', extract(epoch from last_failed_time)::bigint, 'failed_file', last_failed_wal, \
        'archived_at', extract(epoch from last_archived_time)::bigint) \
     from pg_stat_archiver where current_setting('archive_mode') = 'always' \
        or (current_setting('archive_mode') = 'on' and not pg_is_in_recovery())) as archiver, \
    (select coalesce(json_agg(json_build_object('name', slot_name, 'wal_status', wal_status, 'kept', \
        (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end \
            - restart_lsn)::bigint)), '[]') \
     from pg_replication_slots where not active and not temporary) as idle_slots, \
    (select max(age(datfrozenxid))::bigint from pg_database) as transaction_age, \
    (select datname from pg_database order by age(datfrozenxid) desc limit 1) as oldest_database, \
    (select coalesce(json_agg(application_name), '[]') from pg_stat_replication \
        where state = 'streaming') as standbys";

pub(super) async fn look(probe: &ServerProbe, patience: Duration) -> ServerHealth {
    let begun = Instant::now();
    let server = within(patience, "PostgreSQL", server(probe));
    let patroni_and_backups = async {
        let patroni = within(patience, "Patroni", patroni(probe, patience)).await;
        let leads = patroni.told().is_some_and(|patroni| is_leading(&patroni.role));
        let backups = if probe.backups && leads {
            // All of it has one patience.
            let rest = patience.saturating_sub(begun.elapsed());
            Some(within(rest, "pgBackRest", backups(probe)).await)
        } else {
            None
        };
        (patroni, backups)
    };
    let ((patroni, backups), server) = tokio::join!(patroni_and_backups, server);
    ServerHealth { instance: probe.instance.clone(), patroni, server, backups }
}

async fn patroni(probe: &ServerProbe, patience: Duration) -> Result<PatroniHealth, HostError> {
    let port = probe.patroni_port;
    // Without etcd it still says who it is itself, long before it gives up asking for the others.
    let members = tokio::time::timeout(patience.mul_f64(0.7), rest::known_members(port));
    let (status, members) = tokio::join!(rest::own_status(port), members);
    let status = status?;
    let members = members.ok().and_then(Result::ok).map(|cluster| cluster.members);
    let streams = status.streams();
    let synchronous =
        |member: &&MemberState| matches!(member.role.as_str(), "sync_standby" | "quorum_standby");
    let names = |members: &mut dyn Iterator<Item = &MemberState>| -> Vec<String> {
        members.map(|member| member.name.clone()).collect()
    };
    let heard_dcs = status.dcs_last_seen;
    Ok(PatroniHealth {
        state: status.state,
        role: status.role,
        paused: status.pause,
        pending_restart: status.pending_restart,
        streams,
        heard_dcs,
        synchronous: members.as_ref().map(|all| names(&mut all.iter().filter(synchronous))),
    })
}

async fn server(probe: &ServerProbe) -> Result<PostgresHealth, HostError> {
    // A new one, as a client would want it.
    let session = Session::open_new(&probe.connection, "postgres", Purpose::Observe)
        .await
        .map_err(Unreachable::into_error)?;
    let rows: Vec<PostgresHealth> = session.rows(QUESTION).await?;
    rows.into_iter().next().ok_or_else(|| HostError::new("PostgreSQL answered without a row"))
}

async fn backups(probe: &ServerProbe) -> Result<BackupHealth, HostError> {
    let account = &probe.connection.superuser;
    if let Some(because) = pgbackrest::not_yet(account)? {
        return Err(HostError::new(because));
    }
    let nowhere_else = Secret::default();
    let info = Configured::new(account, &probe.cluster, &nowhere_else)?.info().await?;
    Ok(info.map_or_else(BackupHealth::default, |info| BackupHealth {
        full: info.full_backups(&[]),
        newest: info.newest(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_postgresql_writes_it() {
        let row: PostgresHealth = serde_json::from_str(
            r#"{"in_recovery":false,"timeline":2,"position":117440512,"receiving":false,
                "version":170006,"pending_restart":["shared_buffers"],"connections":7,
                "most_connections":100,"archiver":{"failed_at":1700000000,
                "failed_file":"00000002000000000000000A","archived_at":null},"idle_slots":[{"name":"old",
                "wal_status":"extended","kept":4096}],"transaction_age":731,
                "oldest_database":"postgres","standbys":["pg-test-2"]}"#,
        )
        .unwrap();
        let archiver = row.archiver.unwrap();
        assert_eq!((archiver.failed_at, archiver.archived_at), (Some(1_700_000_000), None));
        assert_eq!(row.idle_slots[0].kept, Some(4096));
    }
}
