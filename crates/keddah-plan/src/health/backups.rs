//! A cluster's backups, as its leader's node sees them.

use super::Finding;
use keddah_resource::health::{Asked, BackupHealth, ExpectedCluster, ExpectedMember};

/// A backup of every night is late after this time, in seconds: two nights and some.
const LATE_BACKUP: i64 = 50 * 3600;

/// Whether there are backups, of late, and whether they lead on to what is written now.
pub(super) fn judge(
    cluster: &ExpectedCluster,
    leader: &ExpectedMember,
    backups: &Asked<BackupHealth>,
    timeline: Option<i64>,
    now: i64,
    findings: &mut Vec<Finding>,
) {
    let told = match backups {
        Asked::Unknown { because } => {
            findings.push(Finding::of(
                "backups-unknown",
                &cluster.name,
                format!("its backups could not be asked for: {because}"),
                "`pgbackrest info` on its leader; look at the repository",
            ));
            return;
        }
        Asked::Untried => return,
        Asked::Told(told) => told,
    };
    let command = format!("sudo -iu postgres {}", leader.backup_command);
    let now_and_then = format!(
        "`{command} full` on {} makes one now; `pg_crontab` makes one every night",
        leader.node
    );
    let newest = told.newest.unwrap_or_default();
    if let Some(path) = &told.gone {
        let message = format!(
            "the repository in {path} on {} is gone: its WAL is archived nowhere, and no backup is in sight",
            leader.node
        );
        findings.push(Finding::of(
            "repository-gone",
            &cluster.name,
            message,
            "mount its disk; where the backups are gone for good, `keddah plan` says how to begin anew",
        ));
    } else if told.full == 0 {
        let elsewhere = if cluster.backups_on_nodes && cluster.members.len() > 1 {
            format!(
                " on {}, which leads it: those of a member that led before are on that one's node",
                leader.node
            )
        } else {
            String::new()
        };
        let message = format!("it has no full backup{elsewhere}");
        let now_and_then = if cluster.backups_on_nodes {
            format!("where the disk for backups is not mounted, mount it first; {now_and_then}")
        } else {
            now_and_then
        };
        findings.push(Finding::of("backup-missing", &cluster.name, message, now_and_then));
    } else if now - newest > LATE_BACKUP {
        let message = format!("its newest backup is {} hours old", (now - newest) / 3600);
        let finding = Finding::of("backup-missing", &cluster.name, message, now_and_then);
        findings.push(finding.since(newest));
    } else if let Some((before, after)) = &told.gap {
        findings.push(
            Finding::of(
                "backup-behind",
                &cluster.name,
                if before == after {
                    format!(
                        "WAL is missing in the archive on {}: {before}, with which the newest backup begins, \
                         so that it cannot be restored",
                        leader.node
                    )
                } else {
                    format!(
                        "WAL is missing in the archive on {} between {before} and {after}: a restore of the \
                         newest backup, and of every earlier one, ends there",
                        leader.node
                    )
                },
                format!("a full backup is due for what comes after: `{command} full` on {}", leader.node),
            )
            .since(newest),
        );
    } else if let (Some(backup), Some(leads)) = (told.timeline, timeline)
        && cluster.backups_on_nodes
        && (backup + 1..=leads).any(|timeline| !told.begun.contains(&timeline))
    {
        findings.push(
            Finding::of(
                "backup-behind",
                &cluster.name,
                format!(
                    "the newest backup of {} is of timeline {backup}, and it leads on timeline {leads}: \
                     where another node led between, its WAL is on that node alone, and a restore ends there",
                    leader.instance
                ),
                format!("a backup of any sort closes the gap: `{command}` on {}", leader.node),
            )
            .since(newest),
        );
    }
    if !told.damaged.is_empty() {
        findings.push(Finding::of(
            "backup-broken",
            &cluster.name,
            format!(
                "pgBackRest found pages with wrong checksums while it made backups on {}: {}",
                leader.node,
                told.damaged.join(", ")
            ),
            format!(
                "find the damaged pages on {} with pg_amcheck and pg_checksums, and take the good copy from \
                 another member; keep a good backup meanwhile: the retention counts damaged ones too, and \
                 the next ones expire the last good one",
                leader.node
            ),
        ));
    }
    if !told.missing.is_empty() {
        findings.push(Finding::of(
            "backup-broken",
            &cluster.name,
            format!(
                "files are gone of backups that are listed on {}, or of what they are based on: {}",
                leader.node,
                told.missing.join(", ")
            ),
            format!(
                "nothing can be restored from them; the next backup strikes them from the list: `{command}` \
                 on {}",
                leader.node
            ),
        ));
    }
}
