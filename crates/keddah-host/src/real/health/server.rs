//! An instance: its Patroni, a new session of its server, and the backups of the one that leads.

use super::super::pgbackrest::{self, Configured};
use super::super::repository;
use super::{before, programs};
use crate::HostError;
use crate::rest::{self, Identity, MemberState};
use crate::sql::{Purpose, Session, Unreachable};
use keddah_core::Secret;
use keddah_resource::health::{
    Asked, BackupHealth, KnownMember, PatroniHealth, PostgresHealth, Replaced, ServerProbe,
};
use keddah_resource::kind::PgConnection;
use keddah_resource::{PATRONI_FILES, is_leading};
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// One row with all of it, so that it costs one session and one query. Functions that a standby or a
/// primary lacks are called on the other only (PostgreSQL's manual, "System Administration Functions").
/// What several columns are made of is read once: all settings cost half a millisecond each time.
const QUESTION: &str = "with settings as materialized \
        (select name, setting, sourcefile, pending_restart from pg_settings), \
    sessions as materialized (select backend_type, wait_event, state_change from pg_stat_activity), \
    senders as materialized \
        (select application_name, state, sync_state, replay_lsn, backend_start from pg_stat_replication) \
    select pg_is_in_recovery() as in_recovery, \
    (case when pg_is_in_recovery() then coalesce((select received_tli from pg_stat_wal_receiver), \
            (select timeline_id from pg_control_checkpoint())) \
        else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end)::bigint \
        as timeline, \
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end \
        - '0/0'::pg_lsn)::bigint as position, \
    exists (select from pg_stat_wal_receiver where status = 'streaming') as receiving, \
    current_setting('server_version_num')::bigint as version, \
    (select coalesce(json_agg(name order by name), '[]') from settings where pending_restart \
        and (pg_is_in_recovery() or name not like 'recovery_target%')) as pending_restart, \
    (select count(*) from sessions where backend_type = 'client backend') as connections, \
    current_setting('max_connections')::bigint as most_connections, \
    (select json_build_object( \
        'failed_at', extract(epoch from last_failed_time)::bigint, 'failed_file', last_failed_wal, \
        'archived_at', extract(epoch from last_archived_time)::bigint, \
        'waiting', waiting, 'waiting_seconds', coalesce(seconds, 0)) \
     from pg_stat_archiver cross join lateral (select count(*) as waiting, \
            max(extract(epoch from clock_timestamp() - modification))::bigint as seconds \
         from pg_ls_archive_statusdir() where name like '%.ready') as ready where current_setting('archive_mode') = 'always' \
        or (current_setting('archive_mode') = 'on' and not pg_is_in_recovery())) as archiver, \
    (select coalesce(json_agg(json_build_object('name', slot_name, 'wal_status', wal_status, 'kept', \
        (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end \
            - restart_lsn)::bigint)), '[]') \
     from pg_replication_slots where not active and not temporary) as idle_slots, \
    (select max(age(datfrozenxid))::bigint from pg_database) as transaction_age, \
    (select datname from pg_database order by age(datfrozenxid) desc limit 1) as oldest_database, \
    (select coalesce(json_agg(application_name), '[]') from senders \
        where state = 'streaming') as standbys, \
    coalesce((select setting::bool from pg_file_settings \
        where lower(name) = 'default_transaction_read_only' and error is null \
        order by seqno desc limit 1), false) as read_only, \
    (pg_is_in_recovery() and pg_is_wal_replay_paused()) as replay_paused, \
    (select setting::bigint from settings where name = 'recovery_min_apply_delay') as apply_delay, \
    (select sourcefile from settings where name = 'recovery_min_apply_delay') as apply_delay_file, \
    (case when pg_is_in_recovery() or current_setting('synchronous_commit') in ('off', 'local') then '' \
        else current_setting('synchronous_standby_names') end) as synchronous_names, \
    (case when pg_is_in_recovery() then '' else current_setting('synchronous_commit') end) \
        as synchronous_commit, \
    (select coalesce(json_agg(application_name), '[]') from senders \
        where case when pg_is_in_recovery() then false \
            else replay_lsn > pg_current_wal_lsn() \
                or (state = 'startup' and backend_start < clock_timestamp() - interval '10 seconds') end) \
        as ahead, \
    (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles as role \
        where not rolcanlogin or rolvaliduntil < clock_timestamp() or rolconnlimit = 0 \
            or (exists (select from pg_database where datallowconn and not datistemplate and datname <> 'postgres') \
                and not exists (select from pg_database where datallowconn and not datistemplate \
                    and datname <> 'postgres' and has_database_privilege(role.oid, pg_database.oid, 'connect')))) \
        as shut_out, \
    (select coalesce(json_agg(coalesce(rolname, 'everybody') || coalesce(' in ' || datname, '')), '[]') \
        from pg_db_role_setting left join pg_roles on pg_roles.oid = setrole \
            left join pg_database on pg_database.oid = setdatabase \
        where exists (select from unnest(setconfig) as one \
            where one ~* '^default_transaction_read_only=(on|t|tr|tru|true|y|ye|yes|1)$')) as read_only_for, \
    (select coalesce(sum(checksum_failures), 0)::bigint from pg_stat_database) as checksum_failures, \
    (select extract(epoch from max(checksum_last_failure))::bigint from pg_stat_database) \
        as checksum_failed_at, \
    (select count(*) from senders where state = 'streaming' \
        and sync_state in ('sync', 'quorum')) as synchronous_standbys, \
    (select count(*) from sessions where wait_event = 'SyncRep') as waiting_commits, \
    (select coalesce(max(extract(epoch from clock_timestamp() - state_change)), 0)::bigint \
        from sessions where wait_event = 'SyncRep') as longest_commit, \
    (select coalesce(json_agg(name || ' = ' || setting order by name), '[]') from settings \
        where (name, setting) in (('fsync', 'off'), ('full_page_writes', 'off'), ('autovacuum', 'off'), \
            ('zero_damaged_pages', 'on'), ('ignore_checksum_failure', 'on'), \
            ('ignore_invalid_pages', 'on'))) as unsafe_settings, \
    (select coalesce(json_agg(name || ' = ' || setting order by name), '[]') from settings \
        where current_setting('ssl') = 'on' and name ~ '^ssl_.*_file$' and setting <> '' \
            and (pg_stat_file(setting, true)).size is null) as missing_files, \
    (select setting from settings where name = 'archive_command' \
        and current_setting('archive_mode') <> 'off' and setting !~ '\\mpgbackrest\\M') \
        as other_archiver, \
    (select coalesce(json_agg(case when name ~* 'conninfo|command|pass|secret|token|key|credential' then name \
            else name || ' = ' || current_setting(name) end order by name), '[]') from settings \
        where sourcefile like '%/postgresql.auto.conf') as altered, \
    (select coalesce(json_agg(datname), '[]') from pg_database \
        where datallowconn and datconnlimit <> 0) as databases, \
    (select coalesce(json_agg(path order by path), '[]') from (values \
        (current_setting('hba_file')), (current_setting('ident_file')), (current_setting('config_file')), \
        (current_setting('data_directory') || '/postgresql.auto.conf')) as files (path) \
        where (pg_stat_file(path, true)).change > pg_conf_load_time()) as unloaded";

/// What Patroni says.
pub(super) async fn patroni(probe: &ServerProbe, end: Instant) -> Asked<PatroniHealth> {
    let rest = end.saturating_duration_since(Instant::now());
    before(end, "Patroni", ask_patroni(probe, rest)).await
}

/// Whether it says that its instance leads.
pub(super) fn leads(patroni: &Asked<PatroniHealth>) -> bool {
    patroni.told().is_some_and(|patroni| is_leading(&patroni.role))
}

/// The server in a new session, its backups where it leads, and its program.
pub(super) async fn itself(
    probe: &ServerProbe,
    leads: impl Future<Output = bool>,
    end: Instant,
) -> (Asked<PostgresHealth>, Option<Asked<BackupHealth>>, Option<Replaced>) {
    let server = before(end, "PostgreSQL", server(probe));
    let backups = async {
        if !(probe.backups && leads.await) {
            return None;
        }
        Some(before(end, "pgBackRest", backups(probe)).await)
    };
    let replaced = async {
        let looked = programs::server(&probe.data_directory);
        tokio::time::timeout_at(end, looked).await.ok().flatten()
    };
    tokio::join!(server, backups, replaced)
}

async fn ask_patroni(probe: &ServerProbe, patience: Duration) -> Result<PatroniHealth, HostError> {
    let port = probe.patroni_port;
    // Without etcd it still says who it is itself, long before it gives up asking for the others.
    let members = tokio::time::timeout(patience.mul_f64(0.7), rest::known_members(port));
    let (status, members) = tokio::join!(rest::own_status(port), members);
    let status = status?;
    let cluster = members.ok().and_then(Result::ok);
    let scheduled = cluster.as_ref().map(rest::Members::scheduled).unwrap_or_default();
    let members = cluster.map(|cluster| cluster.members);
    let streams = status.streams();
    let synchronous =
        |member: &&MemberState| matches!(member.role.as_str(), "sync_standby" | "quorum_standby");
    let names = |members: &mut dyn Iterator<Item = &MemberState>| -> Vec<String> {
        members.map(|member| member.name.clone()).collect()
    };
    let heard_dcs = status.dcs_last_seen;
    let pending_restart = status.waits_for_restart();
    let Identity { scope, name, version } = status.patroni.clone();
    let known = |member: &MemberState| KnownMember {
        name: member.name.clone(),
        host: member.host.clone(),
        leads: matches!(member.role.as_str(), "leader" | "standby_leader"),
    };
    let runs = |member: &&MemberState| matches!(member.state.as_str(), "running" | "streaming");
    Ok(PatroniHealth {
        state: status.state,
        role: status.role,
        paused: status.pause,
        pending_restart,
        name,
        scope,
        scheduled,
        foreign_files: foreign_files(&probe.patroni_directory),
        streams,
        heard_dcs,
        synchronous: members.as_ref().map(|all| names(&mut all.iter().filter(synchronous))),
        members: members.iter().flatten().filter(runs).map(known).collect(),
        installed: programs::patroni(),
        version,
    })
}

/// Files that Patroni reads besides those that Keddah writes: it reads all that end like this.
fn foreign_files(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
        .filter(|name| !PATRONI_FILES.contains(&name.as_str()))
        .map(|name| format!("{directory}/{name}"))
        .collect();
    found.sort();
    found
}

async fn server(probe: &ServerProbe) -> Result<PostgresHealth, HostError> {
    let connection = running(probe);
    // A new one, as a client would want it.
    let session = Session::open_new(&connection, "postgres", Purpose::Observe)
        .await
        .map_err(Unreachable::into_error)?;
    let rows: Vec<PostgresHealth> = session.rows(QUESTION).await?;
    let row = rows.into_iter().next();
    let mut health = row.ok_or_else(|| HostError::new("PostgreSQL answered without a row"))?;
    // A server goes on for a while on files that nobody finds any more.
    let version = Path::new(&probe.data_directory).join("PG_VERSION");
    let looked = std::fs::symlink_metadata(version);
    health.data_gone = looked.is_err_and(|error| error.kind() == ErrorKind::NotFound);
    Ok(health)
}

/// How a server is reached that runs with another port than the declared one until it restarts.
fn running(probe: &ServerProbe) -> PgConnection {
    let mut connection = probe.connection.clone();
    if let Some((port, directory)) = running_place(&probe.data_directory) {
        connection.port = port;
        connection.socket_directory = directory;
    }
    connection
}

/// The port and the socket's directory that a server runs with, from `postmaster.pid`: its fourth and
/// fifth line (PostgreSQL's manual, "Database File Layout"; `pidfile.h`).
pub(super) fn running_place(data_directory: &str) -> Option<(u16, String)> {
    let path = Path::new(data_directory).join("postmaster.pid");
    let text = std::fs::read_to_string(path).ok()?;
    let mut lines = text.lines().skip(3);
    let port = lines.next()?.trim().parse().ok()?;
    let directory = lines.next()?.trim();
    (!directory.is_empty()).then(|| (port, directory.to_owned()))
}

async fn backups(probe: &ServerProbe) -> Result<BackupHealth, HostError> {
    let account = &probe.connection.superuser;
    if let Some(because) = pgbackrest::not_yet(account)? {
        return Err(HostError::new(because));
    }
    let nowhere_else = Secret::default();
    let info = Configured::new(account, &probe.cluster, &nowhere_else)?.info().await?;
    // pgBackRest's "ok" and "no valid backups"; others say that the stanza or its lists are not there.
    let known = info.as_ref().is_some_and(|info| matches!(info.status.code, 0 | 2));
    let gone = if known {
        None
    } else {
        repository::archived_in(&probe.cluster, "", Path::new(&probe.data_directory))?
    };
    let Some(info) = info else { return Ok(BackupHealth { gone, ..BackupHealth::default() }) };
    let list = repository::own(&probe.cluster, info.systems(), info.listed())?;
    Ok(BackupHealth {
        full: info.full_backups(&list.missing),
        newest: list.newest(),
        timeline: list.timeline().map(i64::from),
        begun: repository::begun(&probe.cluster)?,
        gap: list.gap,
        missing: list.missing,
        damaged: info.damaged(),
        gone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_where_it_runs() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_str().unwrap();
        assert_eq!(running_place(path), None);
        let text = "71\n/pg/data\n1700000000\n5433\n/run/postgresql\n*\n  9 1\nready   \n";
        std::fs::write(data.path().join("postmaster.pid"), text).unwrap();
        assert_eq!(running_place(path), Some((5433, "/run/postgresql".to_owned())));
    }

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
