//! Where a running server has its settings from, and `ALTER SYSTEM RESET`.

use crate::HostError;
use crate::rest::Patroni;
use crate::sql::{Purpose, Session, Unreachable, parameter_name, quote_array};
use keddah_resource::kind::patroni_config::STANDBY_SENSITIVE;
use keddah_resource::kind::pg_settings::{Setting, Waiting};
use keddah_resource::kind::postmaster::{Observed, Spec};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The file of `ALTER SYSTEM`.
const ALTERED: &str = "/postgresql.auto.conf";

/// What Patroni hands to the server on its command line, out of the same configuration that it
/// writes to the file (`CMDLINE_OPTIONS` in its `postgresql/config.py`).
const BY_PATRONI: &[&str] = &[
    "cluster_name",
    "hot_standby",
    "listen_addresses",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_worker_processes",
    "port",
    "track_commit_timestamp",
    "wal_keep_segments",
    "wal_keep_size",
    "wal_level",
    "wal_log_hints",
];

/// What Patroni sets by its own judgement, or raises on a replica to what the primary has.
fn patroni_decides(name: &str) -> bool {
    name == "synchronous_standby_names" || BY_PATRONI.contains(&name)
}

/// Whether a server uses what is declared of something that Patroni hands over: it takes only some
/// values, and goes on with its own otherwise, without a word. A standby has at least what its primary
/// has ("Hot Standby", "Administrator's Overview" in PostgreSQL's manual).
fn hands_over(used: &str, wanted: &str, standby: bool) -> bool {
    if let (Ok(used), Ok(wanted)) = (used.parse::<i64>(), wanted.trim().parse::<i64>()) {
        return used == wanted || (standby && used > wanted);
    }
    let plain = |word: &str| match word.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => "on".to_owned(),
        "off" | "false" | "no" | "0" => "off".to_owned(),
        "hot_standby" | "archive" => "replica".to_owned(),
        other => other.to_owned(),
    };
    // A size with its unit is not the server's number; the inventory is checked for those.
    let sized = wanted.trim().starts_with(|first: char| first.is_ascii_digit());
    sized || plain(used) == plain(wanted)
}

/// Where a setting stands that every new session takes, whatever the files say.
const ALL_ROLES: &str = "ALTER ROLE ALL SET";

/// The last line of all files that names a setting, which is the one that counts, and the server's
/// own word; and what is set for all roles in all databases. The values of settings that nobody
/// declared do not leave the server.
const LAST_LINES: &str = "(select distinct on (lower(f.name)) lower(f.name) as name, \
    coalesce(f.setting, '') as value, f.sourcefile as file, f.sourceline as line, \
    coalesce(s.source = 'command line', false) as commanded, coalesce(s.setting, '') as used, \
    coalesce(s.context = 'postmaster', false) as at_start, \
    pg_is_in_recovery() as standby \
    from pg_file_settings f left join pg_settings s on lower(s.name) = lower(f.name) \
    where f.name is not null order by lower(f.name), f.seqno desc) \
    union all select lower(split_part(word, '=', 1)), substr(word, strpos(word, '=') + 1), \
    'ALTER ROLE ALL SET', 0, false, '', false, false \
    from pg_db_role_setting, unnest(setconfig) as word where setrole = 0 and setdatabase = 0";

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    value: String,
    file: String,
    line: i64,
    commanded: bool,
    used: String,
    at_start: bool,
    standby: bool,
}

/// A setting that stands in no file and on no command line.
#[derive(Debug, Deserialize)]
struct Absent {
    name: String,
    value: String,
}

/// What a server says of its settings.
#[derive(Debug, Default)]
pub struct Read {
    /// Those that are not what Patroni was given, by name.
    pub settings: Vec<Setting>,
    /// What a primary runs with of that which no replica may have less of.
    pub limits: BTreeMap<String, i64>,
    /// What it waits to take over.
    pub waiting: Vec<Waiting>,
    /// Its rules let nobody in who could ask.
    pub kept_out: bool,
}

#[derive(Debug, Deserialize)]
struct Limit {
    name: String,
    value: i64,
}

/// The names of what waits for a restart.
///
/// # Errors
/// When the server does not answer.
pub async fn pending(spec: &Spec) -> Result<Vec<String>, HostError> {
    #[derive(Debug, Deserialize)]
    struct Waiting {
        name: String,
    }
    let session = Session::open(&spec.connection, "postgres", Purpose::Observe)
        .await
        .map_err(Unreachable::into_error)?;
    let rows: Vec<Waiting> =
        session.rows("select name from pg_settings where pending_restart order by name").await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Reads them.
///
/// # Errors
/// When the server runs and does not answer.
pub async fn read(spec: &Spec) -> Result<Read, HostError> {
    let session = match Session::open(&spec.connection, "postgres", Purpose::Observe).await {
        Ok(session) => session,
        Err(Unreachable::NotYet { .. }) => return Ok(Read::default()),
        Err(Unreachable::KeptOut(_)) => return Ok(Read { kept_out: true, ..Read::default() }),
        Err(Unreachable::Failed(error)) => return Err(error),
    };
    let rows: Vec<Row> = session.rows(LAST_LINES).await?;
    let declared: BTreeMap<String, &str> = spec
        .parameters
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
        .collect();
    let set: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let dropped = declared.keys().map(String::as_str).filter(|name| !set.contains(name));
    let dropped = dropped.filter(|name| !patroni_decides(name)).collect::<Vec<_>>();
    let mut found = match dropped.as_slice() {
        [] => Vec::new(),
        // Seldom, and apart on the heap.
        names => Box::pin(absent(&session, names)).await?,
    };
    found.extend(rows.into_iter().filter_map(|row| {
        let wanted = declared.get(&row.name).copied();
        strays(row, wanted)
    }));
    let names = STANDBY_SENSITIVE.join("','");
    let limits: Vec<Limit> = session
        .rows(&format!(
            "select name, setting::bigint as value from pg_settings where name in ('{names}') \
             and not pg_is_in_recovery()"
        ))
        .await?;
    let limits = limits.into_iter().map(|Limit { name, value }| (name, value)).collect();
    let waiting = waiting(&session, &declared).await?;
    Ok(Read { settings: found, limits, waiting, kept_out: false })
}

/// What a server waits to take over, and what it runs with until then. Values that nobody declared do not leave
/// the server.
async fn waiting(
    session: &Session,
    declared: &BTreeMap<String, &str>,
) -> Result<Vec<Waiting>, HostError> {
    #[derive(Debug, Deserialize)]
    struct Row {
        #[serde(flatten)]
        setting: keddah_core::Setting,
        runs_with: String,
        default: bool,
    }
    let rows: Vec<Row> = session
        .rows(
            "select lower(name) as name, vartype, coalesce(unit, '') as unit, \
             coalesce(min_val, '') as min_val, coalesce(max_val, '') as max_val, \
             coalesce(array_to_string(enumvals, ','), '') as enumvals, context, \
             coalesce(setting, '') as runs_with, \
             coalesce(setting is not distinct from boot_val, false) as default \
             from pg_settings where pending_restart order by name",
        )
        .await?;
    let known = |Row { setting, runs_with, default }: Row| {
        let runs_with =
            if declared.contains_key(&setting.name) { runs_with } else { String::new() };
        Waiting { setting, runs_with, default }
    };
    Ok(rows.into_iter().map(known).collect())
}

/// What a server uses of declared settings that stand in none of its files.
async fn absent(session: &Session, names: &[&str]) -> Result<Vec<Setting>, HostError> {
    let names = quote_array(names.iter().copied());
    let rows: Vec<Absent> = session
        .rows(&format!(
            "select lower(name) as name, current_setting(name) as value from pg_settings \
             where lower(name) = any({names})"
        ))
        .await?;
    let setting = |Absent { name, value }| Setting {
        name,
        value,
        place: "default, for Patroni has not written it".to_owned(),
        altered: false,
        needs_restart: false,
    };
    Ok(rows.into_iter().map(setting).collect())
}

/// What a line says that differs from what is declared.
fn strays(row: Row, wanted: Option<&str>) -> Option<Setting> {
    let Row { name, value, file, line, commanded, used, at_start, standby } = row;
    let altered = file.ends_with(ALTERED);
    let place = if file == ALL_ROLES { file } else { format!("{file}:{line}") };
    match wanted {
        None if altered => {
            Some(Setting { name, value: String::new(), place, altered, needs_restart: false })
        }
        None => None,
        Some(wanted) if altered => {
            let needs_restart = at_start && !commanded && value != wanted;
            Some(Setting { name, value, place, altered, needs_restart })
        }
        Some(wanted) if commanded && patroni_decides(&name) => {
            let place = "Patroni's own judgement".to_owned();
            let stray = !hands_over(&used, wanted, standby);
            stray.then_some(Setting { name, value: used, place, altered, needs_restart: true })
        }
        Some(_) if patroni_decides(&name) => None,
        Some(_) if commanded => {
            let place = "the command line".to_owned();
            Some(Setting { name, value: used, place, altered, needs_restart: at_start })
        }
        Some(wanted) if value != wanted => {
            Some(Setting { name, value, place, altered, needs_restart: at_start })
        }
        Some(_) => None,
    }
}

/// Takes out of `ALTER SYSTEM`'s file what it says of declared parameters. The reload that makes it
/// count is the caller's, unless a restart must follow: then Patroni reloads, and sees it pending.
///
/// # Errors
/// When the server or Patroni refuses.
pub async fn reset(spec: &Spec, observed: &Observed) -> Result<(), HostError> {
    let mut session = None;
    let mut restarts = false;
    for setting in spec.resets(observed) {
        let session = match &mut session {
            Some(session) => session,
            none => none.insert(
                Session::open(&spec.connection, "postgres", Purpose::Observe)
                    .await
                    .map_err(Unreachable::into_error)?,
            ),
        };
        session.execute(&format!("alter system reset {}", parameter_name(&setting.name)?)).await?;
        restarts |= setting.needs_restart;
    }
    if restarts {
        Patroni::new(&spec.api).reload().await?;
    } else if let Some(session) = session {
        session.execute("select pg_reload_conf()").await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: &str, file: &str, commanded: bool) -> Row {
        Row {
            name: name.to_owned(),
            value: value.to_owned(),
            file: format!("/pg/data/{file}"),
            line: 3,
            commanded,
            used: "7".to_owned(),
            at_start: true,
            standby: false,
        }
    }

    #[test]
    fn what_patroni_wrote_is_no_stray() {
        let written =
            |value| strays(row("shared_buffers", value, "postgresql.conf", false), Some("1GB"));
        assert_eq!(written("1GB"), None);
        let stray = written("2GB").expect("another value");
        assert_eq!((stray.place.as_str(), stray.altered), ("/pg/data/postgresql.conf:3", false));
        // A replica has at least what its primary has, and Patroni sees to it.
        let connections = |used: &str, standby| {
            let row = row("max_connections", "100", "postgresql.conf", true);
            let found = strays(Row { used: used.to_owned(), standby, ..row }, Some("100"));
            found.map(|one| (one.value, one.place))
        };
        assert_eq!(connections("200", true), None);
        assert_eq!(connections("100", false), None);
        let commanded = strays(row("shared_buffers", "1GB", "postgresql.conf", true), Some("1GB"));
        assert_eq!(commanded.map(|one| one.value).as_deref(), Some("7"));
        assert_eq!(strays(row("work_mem", "1GB", "postgresql.base.conf", false), None), None);
    }

    #[test]
    fn what_patroni_does_not_hand_over_is_a_stray() {
        let of = |name: &str, used: &str, wanted: &str| {
            let row = row(name, wanted, "postgresql.conf", true);
            strays(Row { used: used.to_owned(), ..row }, Some(wanted)).map(|one| one.place)
        };
        let patroni = Some("Patroni's own judgement".to_owned());
        for (name, used, wanted) in [
            ("max_connections", "100", "5"),
            ("max_replication_slots", "10", "3"),
            ("hot_standby", "on", "off"),
            ("wal_level", "replica", "minimal"),
            ("track_commit_timestamp", "off", "on"),
        ] {
            assert_eq!(of(name, used, wanted), patroni, "{name}");
        }
        for (name, used, wanted) in [
            ("max_connections", "100", "100"),
            ("hot_standby", "on", "true"),
            ("wal_level", "replica", "hot_standby"),
            ("wal_keep_size", "128", "128MB"),
        ] {
            assert_eq!(of(name, used, wanted), None, "{name}");
        }
    }

    #[test]
    fn what_is_set_for_all_roles_is_a_stray_of_its_own() {
        let of = |value| Row { file: ALL_ROLES.to_owned(), ..row("work_mem", value, "", false) };
        let stray = strays(of("1GB"), Some("64MB")).expect("another value");
        assert_eq!((stray.place.as_str(), stray.altered), (ALL_ROLES, false));
        assert_eq!(strays(of("64MB"), Some("64MB")), None);
        assert_eq!(strays(of("1GB"), None), None);
    }

    #[test]
    fn what_alter_system_says_is_found_and_told_only_where_it_is_declared() {
        let of = |name, commanded, wanted| {
            strays(row(name, "1GB", "postgresql.auto.conf", commanded), wanted).expect("altered")
        };
        assert_eq!(of("primary_conninfo", false, None).value, "");
        assert!(of("shared_buffers", false, Some("2GB")).needs_restart);
        assert!(!of("shared_buffers", false, Some("1GB")).needs_restart, "nothing changes");
        assert!(!of("max_connections", true, Some("2GB")).needs_restart, "it never counted");
    }
}
