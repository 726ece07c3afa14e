//! The password verifiers that a cluster keeps of declared roles.

use crate::HostError;
use crate::sql::{Purpose, Session, Unreachable, quote_array};
use futures_util::future::join_all;
use keddah_core::Secret;
use keddah_resource::{RoleVerifier, VerifierFacts, VerifierProbe};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    role: String,
    verifier: Secret,
}

/// Reads them from each instance that serves.
///
/// # Errors
/// When a server answers and does not tell them.
pub async fn gather(probes: &[VerifierProbe]) -> Result<Vec<VerifierFacts>, HostError> {
    let all = join_all(probes.iter().map(read)).await;
    all.into_iter().filter_map(Result::transpose).collect()
}

async fn read(probe: &VerifierProbe) -> Result<Option<VerifierFacts>, HostError> {
    let session = match Session::open(&probe.connection, "postgres", Purpose::Observe).await {
        Ok(session) => session,
        // Whoever looks at its roles later says why nobody can; facts are of the whole node.
        Err(Unreachable::NotYet { .. } | Unreachable::KeptOut(_) | Unreachable::Failed(_)) => {
            return Ok(None);
        }
    };
    let rows: Result<Vec<Row>, HostError> = session
        .rows(&format!(
            "select rolname as role, rolpassword as verifier from pg_authid \
             where rolpassword is not null and rolname = any({}) order by rolname",
            quote_array(probe.roles.iter().map(String::as_str))
        ))
        .await;
    if rows.is_err() && session.is_silent() {
        return Ok(None);
    }
    let rows = rows?;
    let roles =
        rows.into_iter().map(|Row { role, verifier }| RoleVerifier { role, verifier }).collect();
    Ok(Some(VerifierFacts { cluster: probe.cluster.clone(), roles }))
}
