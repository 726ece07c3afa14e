//! Schemas: made, given to their owner, dropped only while nothing is in them.

use crate::HostError;
use crate::real::RealHost;
use crate::real::pg_inside::answer;
use crate::real::pg_privileges::grant_on_schema;
use crate::sql::{Session, Transaction, identifier, quote_array, quote_literal};
use keddah_resource::kind::pg_privileges::SchemaPrivilege;
use keddah_resource::kind::pg_schema::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    owner: String,
    privileges: Vec<SchemaPrivilege>,
}

/// Looks at schemas of the session's database.
pub(super) async fn read(
    session: &Session,
    specs: &[&Spec],
) -> Vec<Result<Observation, HostError>> {
    if specs.is_empty() {
        return Vec::new();
    }
    let query = format!(
        "select n.nspname as name, pg_get_userbyid(n.nspowner) as owner, \
         coalesce((select json_agg(json_build_object('privilege', a.privilege_type, \
             'grantee', g.rolname)) \
           from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
           join pg_authid g on g.oid = a.grantee), '[]') as privileges \
         from pg_namespace n where n.nspname = any({})",
        quote_array(specs.iter().map(|spec| spec.schema.as_str()))
    );
    answer(specs, session.rows::<Row>(&query).await, |spec, rows| {
        let row = rows.iter().find(|row| row.name == spec.schema);
        Observed {
            owner: row.map(|row| row.owner.clone()),
            privileges: row.into_iter().flat_map(|row| row.privileges.iter().cloned()).collect(),
        }
        .into()
    })
}

/// Makes a schema, changes its owner, grants what is missing on it, or drops it when it is empty.
///
/// # Errors
/// When the server refuses, as it does for a schema that is to be dropped with something in it.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let session = Session::open_for_change(&spec.connection, &spec.database).await?;
    let quoted = identifier(&spec.schema)?;
    let mut transaction = Transaction::default();
    if !spec.present {
        transaction.add(format!("drop schema if exists {quoted} restrict"));
        return transaction.run(&session).await.map_err(|mut error| {
            // The server's hint is to drop what is in it too; Keddah never does.
            error.hint = Some(format!(
                "move or drop what is in the schema {} of the database {} first",
                spec.schema, spec.database
            ));
            error
        });
    }
    let literal = quote_literal(&spec.schema);
    let exists = format!("select 1 from pg_namespace where nspname = {literal}");
    let exists = session.scalar(&exists).await?.is_some();
    match (&spec.owner, exists) {
        (Some(owner), false) => {
            transaction.add(format!("create schema {quoted} authorization {}", identifier(owner)?));
        }
        (Some(owner), true) => {
            transaction.add(format!("alter schema {quoted} owner to {}", identifier(owner)?));
        }
        (None, false) => transaction.add(format!("create schema {quoted}")),
        (None, true) => {}
    }
    for granted in &spec.privileges {
        transaction.add(grant_on_schema(&spec.schema, granted)?);
    }
    transaction.run(&session).await
}
