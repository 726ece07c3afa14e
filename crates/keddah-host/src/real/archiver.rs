//! Whether a server gets its WAL into the archive.

use crate::HostError;
use crate::sql::Session;
use keddah_resource::kind::postmaster::Unarchived;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    segment: String,
    failed: String,
    archived: Option<String>,
    waiting: i64,
}

/// What a primary does not get into the archive: a replica archives nothing, and one whose last attempt has
/// succeeded is well, whatever failed before.
///
/// # Errors
/// When the server does not tell.
pub(super) async fn unarchived(session: &Session) -> Result<Option<Unarchived>, HostError> {
    const FORMAT: &str = "'YYYY-MM-DD HH24:MI:SS \"UTC\"'";
    let rows: Vec<Row> = session
        .rows(&format!(
            "select coalesce(last_failed_wal, '') as segment, \
             to_char(last_failed_time at time zone 'UTC', {FORMAT}) as failed, \
             to_char(last_archived_time at time zone 'UTC', {FORMAT}) as archived, \
             (select count(*) from pg_ls_archive_statusdir() where name like '%.ready') as waiting \
             from pg_stat_archiver \
             where not pg_is_in_recovery() and current_setting('archive_mode') <> 'off' \
             and last_failed_time > coalesce(last_archived_time, '-infinity')"
        ))
        .await?;
    Ok(rows.into_iter().next().map(|row| {
        let Row { segment, failed, archived, waiting } = row;
        Unarchived { segment, failed, archived, waiting }
    }))
}
