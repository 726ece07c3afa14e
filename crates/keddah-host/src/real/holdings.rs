//! What an instance holds that would go with it: sizes of databases, slots, WAL not archived.

use crate::HostError;
use crate::sql::{Purpose, Session, Unreachable};
use futures_util::future::join_all;
use keddah_resource::{HoldingsFacts, HoldingsProbe};

/// Asks each instance that serves. One that cannot say is no reason to say nothing of a node, but is
/// told, too.
pub async fn gather(probes: &[HoldingsProbe]) -> Vec<HoldingsFacts> {
    join_all(probes.iter().map(one)).await.into_iter().flatten().collect()
}

async fn one(probe: &HoldingsProbe) -> Option<HoldingsFacts> {
    let told = match Session::open(&probe.connection, "postgres", Purpose::Observe).await {
        Ok(session) => read(&session).await,
        Err(Unreachable::NotYet { .. }) => return None,
        Err(Unreachable::KeptOut(error) | Unreachable::Failed(error)) => Err(error),
    };
    let facts = told.unwrap_or_else(|error| HoldingsFacts {
        unread: error.message,
        ..HoldingsFacts::default()
    });
    Some(HoldingsFacts { cluster: probe.cluster.clone(), ..facts })
}

async fn read(session: &Session) -> Result<HoldingsFacts, HostError> {
    let databases = session
        .rows(
            "select datname as name, pg_database_size(oid) as bytes from pg_database \
             where not datistemplate order by datname",
        )
        .await?;
    let slots = session
        .rows(
            "select slot_name as name, slot_type as form, active from pg_replication_slots \
             order by slot_name",
        )
        .await?;
    // A segment waits while its mark is there (PostgreSQL manual, "Continuous Archiving").
    let waiting = session
        .scalar("select count(*) from pg_ls_archive_statusdir() where name like '%.ready'")
        .await?;
    let unarchived = waiting.and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok(HoldingsFacts { databases, slots, unarchived, ..HoldingsFacts::default() })
}
