//! What is in a server that answers: its archive, slots, pages, transaction ids and sessions.

use super::cluster::{patronictl, programs};
use super::{Finding, bytes};
use keddah_resource::health::{ExpectedCluster, ExpectedMember, PostgresHealth};

/// Bytes of WAL that a slot without a user may keep before it is told.
const KEPT_BY_SLOT: i64 = 512 << 20;

/// Seconds that a finished segment may wait for the archive before it is told.
const LATE_ARCHIVER: i64 = 120;

/// `autovacuum_freeze_max_age` is 200 million, after which a server vacuums whatever it takes; a database
/// that is far beyond that is not vacuumed. At 2,147 million less 3 it refuses writes (PostgreSQL's
/// manual, "Preventing Transaction ID Wraparound Failures").
const OLD_TRANSACTIONS: i64 = 800_000_000;
const LAST_TRANSACTIONS: i64 = 1_800_000_000;

/// What is in a server.
pub(super) fn judge(
    cluster: &ExpectedCluster,
    expected: &ExpectedMember,
    server: &PostgresHealth,
    findings: &mut Vec<Finding>,
) {
    let ExpectedMember { instance, node, .. } = expected;
    if let Some(archiver) = &server.archiver
        && let Some(failed) = archiver.failed_at
        && archiver.archived_at.is_none_or(|archived| archived < failed)
    {
        let file = archiver.failed_file.as_deref().unwrap_or("a file");
        findings.push(
            Finding::of(
                "archiving-fails",
                instance,
                format!("{file} cannot be archived, and what is written since is in no backup"),
                format!(
                    "the server's log on {node} has the words of `archive_command`; WAL is kept until \
                     it succeeds, and fills the disk"
                ),
            )
            .since(archiver.archived_at.unwrap_or_default()),
        );
    }
    if let Some(archiver) =
        server.archiver.as_ref().filter(|one| one.waiting_seconds > LATE_ARCHIVER)
    {
        findings.push(Finding::of(
            "archiving-late",
            instance,
            format!(
                "{} of WAL wait for the archive, the first for {} s",
                if archiver.waiting == 1 { "1 file".to_owned() } else { format!("{} files", archiver.waiting) },
                archiver.waiting_seconds
            ),
            format!(
                "what archives hangs, or is slower than what is written: the server's log on {node}, `ps -o \
                 pid,etime,cmd -u postgres`, and the repository"
            ),
        ));
    }
    if let Some(command) = &server.other_archiver
        && cluster.backups
        && !server.in_recovery
    {
        findings.push(Finding::of(
            "archiving-elsewhere",
            instance,
            format!(
                "WAL is not archived by pgBackRest (`archive_command` is `{command}`): backups cannot be \
                 brought beyond that"
            ),
            format!(
                "`keddah apply -l {}` puts that right; then take a backup (`/pg/bin/pg-backup full`), for \
                 what was written meanwhile is in no archive",
                cluster.name
            ),
        ));
    }
    for slot in &server.idle_slots {
        let lost = slot.wal_status.as_deref() == Some("lost");
        let kept = slot.kept.unwrap_or_default();
        if lost || kept > KEPT_BY_SLOT {
            let name = &slot.name;
            let message = if lost {
                format!("the replication slot {name} has lost the WAL that its user needs")
            } else {
                format!(
                    "the replication slot {name}, which nobody uses, keeps {} of WAL",
                    bytes(kept)
                )
            };
            findings.push(Finding::of(
                "idle-slot",
                instance,
                message,
                format!(
                    "bring its user back, or drop it: \
                     `SELECT pg_drop_replication_slot('{name}')` on {instance}"
                ),
            ));
        }
    }
    if server.checksum_failures > 0 {
        findings.push(
            Finding::of(
                "checksum-failures",
                instance,
                format!("{} pages of its data were read with a wrong checksum", server.checksum_failures),
                format!(
                    "its log on {node} has file and page; `{}/pg_amcheck` looks at all. Other members' copies \
                     are whole: hand over to one, then `{} reinit {} {instance}`, and look at the disk. \
                     `SELECT pg_stat_reset()` in each database ends this",
                    programs(Some(server)),
                    patronictl(expected),
                    cluster.name
                ),
            )
            .since(server.checksum_failed_at.unwrap_or_default()),
        );
    }
    let age = server.transaction_age;
    if age > OLD_TRANSACTIONS && !server.in_recovery {
        let name = if age > LAST_TRANSACTIONS { "transaction-ids-end" } else { "transaction-ids" };
        findings.push(Finding::of(
            name,
            instance,
            format!(
                "the database {} has not been frozen for {} million transactions; at 2,147 million \
                 nothing more can be written",
                server.oldest_database,
                age / 1_000_000
            ),
            "end old transactions, prepared transactions and idle slots that hold it back, then \
             `VACUUM FREEZE` it",
        ));
    }
    if server.most_connections > 0 && server.connections * 10 >= server.most_connections * 9 {
        findings.push(Finding::of(
            "connections-full",
            instance,
            format!("{} of {} sessions are taken", server.connections, server.most_connections),
            "`pg_stat_activity` says by whom; clients belong behind the pool",
        ));
    }
}
