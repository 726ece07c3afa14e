//! Extensions of one database: made, moved, updated, dropped while nothing depends on them.

use crate::HostError;
use crate::real::RealHost;
use crate::real::pg_inside::answer;
use crate::sql::{Session, Transaction, identifier, quote_array, quote_literal};
use keddah_resource::kind::pg_extension::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    schema: Option<String>,
    version: Option<String>,
    relocatable: bool,
    available: bool,
}

/// Looks at extensions of the session's database. What the packages offer is read only for those
/// that are missing: it makes the server read a directory full of files.
pub(super) async fn read(
    session: &Session,
    specs: &[&Spec],
) -> Vec<Result<Observation, HostError>> {
    if specs.is_empty() {
        return Vec::new();
    }
    answer(specs, rows(session, specs).await, |spec, rows| {
        let row = rows.iter().find(|row| row.name == spec.extension);
        let present = row.and_then(|row| row.schema.clone().zip(row.version.clone()));
        Observed {
            present,
            relocatable: row.is_some_and(|row| row.relocatable),
            available: row.is_some_and(|row| row.available),
        }
        .into()
    })
}

async fn rows(session: &Session, specs: &[&Spec]) -> Result<Vec<Row>, HostError> {
    let mut rows: Vec<Row> = session
        .rows(&format!(
            "select e.extname as name, n.nspname as schema, e.extversion as version, \
             e.extrelocatable as relocatable, true as available \
             from pg_extension e join pg_namespace n on n.oid = e.extnamespace \
             where e.extname = any({})",
            quote_array(specs.iter().map(|spec| spec.extension.as_str()))
        ))
        .await?;
    let missing: Vec<&str> = specs
        .iter()
        .map(|spec| spec.extension.as_str())
        .filter(|name| !rows.iter().any(|row| row.name == **name))
        .collect();
    if !missing.is_empty() {
        let offered: Vec<Row> = session
            .rows(&format!(
                "select name, null as schema, null as version, false as relocatable, \
                 true as available from pg_available_extensions where name = any({})",
                quote_array(missing)
            ))
            .await?;
        rows.extend(offered);
    }
    Ok(rows)
}

/// Makes, moves, updates or drops an extension.
///
/// # Errors
/// When the server refuses, as it does when something depends on an extension that is to go.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let session = Session::open_for_change(&spec.connection, &spec.database).await?;
    let quoted = identifier(&spec.extension)?;
    if !spec.present {
        let mut transaction = Transaction::default();
        transaction.add(format!("drop extension if exists {quoted} restrict"));
        return transaction.run(&session).await.map_err(|mut error| {
            // The server's hint is CASCADE, which loses columns and tables.
            error.hint = Some(format!(
                "drop what uses the extension {} in the database {} first",
                spec.extension, spec.database
            ));
            error
        });
    }
    let present = rows(&session, &[spec])
        .await?
        .into_iter()
        .find_map(|row| row.schema.zip(row.version).map(|found| (found, row.relocatable)));
    let Some(((schema, version), relocatable)) = present else {
        return create(&session, spec, &quoted).await;
    };
    if let Some(wanted) = spec.version.as_ref().filter(|wanted| **wanted != version) {
        // Some extensions, timescaledb among them, insist on a session in which nothing has run.
        let fresh = Session::open(&spec.connection, &spec.database, crate::sql::Purpose::Change)
            .await
            .map_err(crate::sql::Unreachable::into_error)?;
        fresh
            .execute(&format!("alter extension {quoted} update to {}", quote_literal(wanted)))
            .await?;
    }
    if let Some(wanted) = spec.schema.as_ref().filter(|wanted| relocatable && **wanted != schema) {
        let mut transaction = Transaction::default();
        transaction.add(format!("create schema if not exists {}", identifier(wanted)?));
        transaction.add(format!("alter extension {quoted} set schema {}", identifier(wanted)?));
        transaction.run(&session).await?;
    }
    Ok(())
}

/// A version that the packages offer.
#[derive(Debug, Deserialize)]
struct Offered {
    /// The schema that its control file dictates, if it does.
    schema: Option<String>,
}

async fn create(session: &Session, spec: &Spec, quoted: &str) -> Result<(), HostError> {
    let name = quote_literal(&spec.extension);
    let version = spec.version.as_deref().map_or_else(
        || format!("(select default_version from pg_available_extensions where name = {name})"),
        quote_literal,
    );
    let offered: Vec<Offered> = session
        .rows(&format!(
            "select schema from pg_available_extension_versions \
             where name = {name} and version = {version}"
        ))
        .await?;
    let dictated = offered.iter().any(|offered| offered.schema.is_some());
    let mut transaction = Transaction::default();
    let mut statement = format!("create extension if not exists {quoted}");
    if !dictated {
        // Never left to the search path, which is the catalog's here.
        let schema = spec.schema.as_deref().unwrap_or("public");
        if schema != "public" && !schema.starts_with("pg_") {
            transaction.add(format!("create schema if not exists {}", identifier(schema)?));
        }
        statement.push_str(&format!(" with schema {}", identifier(schema)?));
    }
    if let Some(version) = &spec.version {
        statement.push_str(&format!(" version {}", quote_literal(version)));
    }
    statement.push_str(" cascade");
    transaction.add(statement);
    transaction.run(session).await
}
