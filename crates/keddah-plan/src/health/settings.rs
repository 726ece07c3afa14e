//! Settings and databases of a server that answers, and does not do what it is there for.

use super::Finding;
use keddah_core::NodeName;
use keddah_resource::health::{ExpectedCluster, ExpectedMember, PostgresHealth};

/// Seconds after which a commit that waits for a standby is stuck: a slow disk takes fewer.
const LONG_COMMIT: i64 = 10;

/// Settings under which a server does not do what it is there for, whoever made them.
pub(super) fn judge(
    expected: &ExpectedMember,
    leads: bool,
    server: &PostgresHealth,
    findings: &mut Vec<Finding>,
) {
    let ExpectedMember { instance, node, delayed, .. } = expected;
    if leads && server.read_only {
        findings.push(Finding::of(
            "read-only",
            instance,
            "each new transaction is read-only (`default_transaction_read_only`): nobody can write who \
             does not say otherwise",
            format!(
                "`ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()` on {node}, or \
                 take it out of where it is set (`SELECT * FROM pg_file_settings`)"
            ),
        ));
    }
    if server.in_recovery && server.replay_paused {
        findings.push(Finding::of(
            "replay-held",
            instance,
            "somebody has paused its replay: it shows what is old, and cannot take over soon",
            format!("`SELECT pg_wal_replay_resume()` on {node}"),
        ));
    } else if server.in_recovery && server.apply_delay > 0 && !delayed {
        // One made with ALTER SYSTEM is Patroni's to take away, which it does within seconds.
        let file = server.apply_delay_file.as_deref();
        findings.push(Finding::of(
            "replay-held",
            instance,
            format!(
                "it replays {} s late (`recovery_min_apply_delay`{}), and the inventory does not say so",
                server.apply_delay / 1000,
                file.map(|file| format!(" in {file}")).unwrap_or_default()
            ),
            format!(
                "take it out of {} on {node}, and `SELECT pg_reload_conf()`; or declare it (`pg_delay`)",
                file.unwrap_or("where it is set")
            ),
        ));
    }
    commits(instance, node, leads, server, findings);
    if !server.unsafe_settings.is_empty() {
        findings.push(Finding::of(
            "unsafe-setting",
            instance,
            format!("it runs with {}: data may be lost or broken", server.unsafe_settings.join(", ")),
            format!(
                "`SELECT name, sourcefile FROM pg_settings` on {node} says where it is set: `ALTER SYSTEM \
                 RESET` with `SELECT pg_reload_conf()` after it, or `pg_parameters`"
            ),
        ));
    }
    if !server.missing_files.is_empty() {
        findings.push(Finding::of(
            "next-start-fails",
            instance,
            format!(
                "it runs, and does not start again: {} is not there",
                server.missing_files.join(", ")
            ),
            format!("put the file there on {node}, or correct the setting (`pg_parameters`), before anything restarts"),
        ));
    }
    if !server.unloaded.is_empty() {
        findings.push(Finding::of(
            "configuration-unloaded",
            instance,
            format!(
                "it does not use what its files say: {} changed after it has read them",
                server.unloaded.join(", ")
            ),
            format!("`SELECT pg_reload_conf()` on {node}, if what they say is right"),
        ));
    }
    if !server.altered.is_empty() {
        findings.push(Finding::of(
            "altered-settings",
            instance,
            format!("settings were made with ALTER SYSTEM: {}", server.altered.join(", ")),
            "declare them in `pg_parameters`; or `ALTER SYSTEM RESET` them, then `SELECT pg_reload_conf()`; or accept \
             this",
        ));
    }
}

/// Whether commits wait for somebody who is not there.
fn commits(
    instance: &str,
    node: &NodeName,
    leads: bool,
    server: &PostgresHealth,
    findings: &mut Vec<Finding>,
) {
    let wanted = standbys_wanted(&server.synchronous_names);
    let stuck = server.longest_commit >= LONG_COMMIT;
    if !leads || !(stuck || wanted > server.synchronous_standbys) {
        return;
    }
    let waiting = match server.waiting_commits {
        0 => String::new(),
        1 => format!("; 1 session waits, for {} s by now", server.longest_commit),
        many => format!("; {many} sessions wait, up to {} s by now", server.longest_commit),
    };
    let names = &server.synchronous_names;
    findings.push(Finding::of(
        "commits-wait",
        instance,
        format!(
            "commits wait for a standby (`synchronous_standby_names` is `{names}`), and {} of {wanted} \
             {} there{waiting}",
            server.synchronous_standbys,
            if server.synchronous_standbys == 1 { "is" } else { "are" },
        ),
        format!(
            "bring the standby back; where the setting is not Patroni's (`SELECT name, sourcefile FROM \
             pg_settings` on {node}): `ALTER SYSTEM RESET synchronous_standby_names; SELECT \
             pg_reload_conf()`"
        ),
    ));
}

/// How many standbys have to agree (PostgreSQL's manual, `synchronous_standby_names`): `2 (a, b)`,
/// `FIRST 2 (a, b)`, `ANY 2 (*)`, or one of a list.
fn standbys_wanted(names: &str) -> i64 {
    let names = names.trim();
    if names.is_empty() {
        return 0;
    }
    let Some((before, _)) = names.split_once('(') else { return 1 };
    let number = before.split_whitespace().find_map(|word| word.parse().ok());
    number.unwrap_or(1)
}

/// Users and databases that are declared, and cannot log in or let nobody in or nobody write.
pub(super) fn databases(
    cluster: &ExpectedCluster,
    leader: &ExpectedMember,
    server: &PostgresHealth,
    findings: &mut Vec<Finding>,
) {
    let shut: Vec<&str> = cluster
        .databases
        .iter()
        .map(String::as_str)
        .filter(|name| !server.databases.iter().any(|open| open == name))
        .collect();
    for name in cluster.users.iter().filter(|name| server.shut_out.contains(name)) {
        findings.push(Finding::of(
            "user-shut",
            &cluster.name,
            format!("{name} cannot log in, or connect to any database"),
            format!("`keddah plan -l {}` says what differs", cluster.name),
        ));
    }
    if !cluster.read_only && !server.read_only_for.is_empty() {
        findings.push(Finding::of(
            "read-only",
            &leader.instance,
            format!(
                "new transactions are read-only for {} (`default_transaction_read_only`)",
                server.read_only_for.join(", ")
            ),
            format!(
                "`\\drds` in psql on {} shows it; `ALTER ROLE … RESET`, `ALTER DATABASE … RESET`, or `ALTER \
                 ROLE ALL RESET` with that name takes it back",
                leader.node
            ),
        ));
    }
    for name in shut {
        findings.push(Finding::of(
            "database-shut",
            &cluster.name,
            format!("no connection is let into {name}, or it is not there"),
            format!(
                "`keddah plan -l {}` says what differs (`datallowconn`, `datconnlimit` in pg_database \
                 on {})",
                cluster.name, leader.node
            ),
        ));
    }
}
