//! The cluster's dynamic configuration: read and changed through the node's own Patroni.

use crate::HostError;
use crate::real::{RealHost, pg_instance};
use crate::rest::{NoAnswer, Patroni};
use crate::sql::{Purpose, Session, Unreachable, quote_array};
use futures_util::future::join_all;
use keddah_core::Setting;
use keddah_resource::kind::patroni_config::{Observed, Part, Spec};
use keddah_resource::{Difference, Observation};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The DCS answers within a second, or has an election first.
const STORED: Duration = Duration::from_secs(10);

/// Patroni reloads PostgreSQL right after a change; whether it did is good to know, and no more.
const TAKEN_OVER: Duration = Duration::from_secs(2);

/// A promotion waits for Patroni's next turn and for PostgreSQL to end recovery; a demotion for a
/// checkpoint, a rewind and a start.
const NEW_PART: Duration = Duration::from_secs(180);

/// Looks at clusters' configurations.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    join_all(specs.iter().map(|spec| look(spec))).await
}

async fn look(spec: &Spec) -> Result<Observation, HostError> {
    let document = match document(spec).await {
        Ok(Some(document)) => document,
        Ok(None) => {
            let because = format!("the cluster {} does not exist yet", spec.cluster);
            return Ok(Observation::NotYet { because });
        }
        Err(NoAnswer::NotRunning) => {
            return Ok(Observation::NotYet { because: "Patroni does not run yet".to_owned() });
        }
        Err(NoAnswer::Failed(error)) => return Err(error),
    };
    let mut observed = Observed { document, known: None };
    if let Some(difference) = spec.diff(&observed) {
        let names: BTreeSet<&str> = difference.fields.iter().map(|field| field.field()).collect();
        observed.known = known(spec, &names).await?;
    }
    Ok(Observation::Known(observed.into()))
}

/// The document; `None` before the cluster exists.
async fn document(spec: &Spec) -> Result<Option<Map<String, Value>>, NoAnswer> {
    let answer = Patroni::new(&spec.api).config().await?;
    // Patroni answers 502 as long as there is no configuration in the DCS.
    if matches!(answer.status.as_u16(), 404 | 502) {
        return Ok(None);
    }
    if !answer.status.is_success() {
        return Err(NoAnswer::Failed(HostError::new(format!(
            "Patroni cannot read the configuration of {} ({})",
            spec.cluster, answer.status
        ))));
    }
    serde_json::from_slice(&answer.body).map(Some).map_err(|error| {
        NoAnswer::Failed(HostError::new(format!(
            "Patroni's configuration of {} is not a JSON object: {error}",
            spec.cluster
        )))
    })
}

/// Libraries that PostgreSQL loads, with where it looks for them below its own directory and what fails without
/// (PostgreSQL's manual, "Shared Library Preloading").
const PRELOADED: [(&str, &str, &str); 3] = [
    ("shared_preload_libraries", "", "PostgreSQL would not start again"),
    ("session_preload_libraries", "", "nobody could log in any more"),
    ("local_preload_libraries", "plugins/", "nobody could log in any more"),
];

/// Refuses libraries that are not there.
async fn libraries_exist(
    spec: &Spec,
    (parameter, below, otherwise): (&str, &str, &str),
) -> Result<(), HostError> {
    let Some(wanted) = spec.parameters.get(parameter) else { return Ok(()) };
    let Some(session) = member(spec).await else { return Ok(()) };
    let query = "select setting from pg_config where name = 'PKGLIBDIR'";
    let Some(directory) = session.scalar(query).await? else { return Ok(()) };
    for library in wanted.split(',') {
        let name = library.trim().trim_matches('"').trim_start_matches("$libdir/");
        if name.is_empty() {
            continue;
        }
        let name = name.trim_end_matches(".so");
        let name = name.strip_prefix(below).unwrap_or(name);
        let path = Path::new(&directory).join(format!("{below}{name}.so"));
        if !path.try_exists().unwrap_or(true) {
            return Err(HostError::new(format!(
                "{parameter} names `{name}`, and there is no {}: {otherwise}",
                path.display()
            ))
            .with_hint(
                "correct pg_libs or pg_parameters, or have pg_extensions bring the package that holds the \
                 library",
            ));
        }
    }
    Ok(())
}

/// Files that a server reads with its certificates: a reload without them is a line in its log, and the next
/// start fails.
fn is_file_of_tls(parameter: &str) -> bool {
    parameter.starts_with("ssl_") && parameter.ends_with("_file")
}

/// Refuses a file that is not there.
fn file_exists(spec: &Spec, parameter: &str) -> Result<(), HostError> {
    let Some(wanted) = spec.parameters.get(parameter).filter(|path| path.starts_with('/')) else {
        return Ok(());
    };
    if Path::new(wanted).try_exists().unwrap_or(true) {
        return Ok(());
    }
    Err(HostError::new(format!(
        "{parameter} names {wanted}, which is not there: PostgreSQL would go on without, and not start again"
    ))
    .with_hint("put the file there on every member first, or correct pg_parameters"))
}

/// Waits until this node's instance plays its new part: what comes next wants to write.
async fn becomes(spec: &Spec, roles: &[&str]) -> Result<(), HostError> {
    let until = Instant::now() + NEW_PART;
    let mut last = String::new();
    while Instant::now() < until {
        match Patroni::new(&spec.api).status().await {
            Ok(status) if roles.contains(&status.role.as_str()) && status.state == "running" => {
                return Ok(());
            }
            Ok(status) => last = format!("{}, {}", status.role, status.state),
            Err(error) => last = error.into_error().message,
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err(HostError::new(format!(
        "{} should have become {} within {} s: {last}",
        spec.cluster,
        roles[0].replace('_', " "),
        NEW_PART.as_secs()
    ))
    .with_log(&pg_instance::journal(&spec.api).await))
}

/// What `pg_settings` says of these parameters, from the server on this node that belongs to the
/// cluster; nothing when it does not run.
async fn known(
    spec: &Spec,
    names: &BTreeSet<&str>,
) -> Result<Option<BTreeMap<String, Setting>>, HostError> {
    let Some(session) = member(spec).await else { return Ok(None) };
    let lower: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let rows: Vec<Setting> = session
        .rows(&format!(
            "select lower(name) as name, vartype, coalesce(unit, '') as unit, \
             coalesce(min_val, '') as min_val, coalesce(max_val, '') as max_val, \
             coalesce(array_to_string(enumvals, ','), '') as enumvals, context \
             from pg_settings where lower(name) = any({})",
            quote_array(lower.iter().map(String::as_str))
        ))
        .await?;
    Ok(Some(rows.into_iter().map(|row| (row.name.clone(), row)).collect()))
}

/// A session with the cluster's server on this node; `None` while it cannot be reached.
async fn member(spec: &Spec) -> Option<Session> {
    Session::open(&spec.connection, "postgres", Purpose::Observe).await.ok()
}

/// Changes the configuration in the DCS, and sees that it is there.
///
/// # Errors
/// When Patroni refuses, or the DCS does not keep it.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    difference: &Difference,
) -> Result<(), HostError> {
    const LOADED: &str = "select pg_conf_load_time()::text";
    let present = observed.parameters();
    let parameters_differ = difference.fields.iter().any(|change| {
        spec.parameters.contains_key(change.field()) || present.contains_key(change.field())
    });
    let before = match parameters_differ {
        true => match member(spec).await {
            Some(session) => session.scalar(LOADED).await?,
            None => None,
        },
        false => None,
    };
    for change in &difference.fields {
        if let Some(preloaded) = PRELOADED.into_iter().find(|(name, ..)| *name == change.field()) {
            libraries_exist(spec, preloaded).await?;
        }
        if is_file_of_tls(change.field()) {
            file_exists(spec, change.field())?;
        }
    }
    Patroni::new(&spec.api).patch_config(&spec.patch(observed)).await?;
    let until = Instant::now() + STORED;
    loop {
        let document = document(spec).await.map_err(NoAnswer::into_error)?.unwrap_or_default();
        let stored = Observed { document, known: None };
        let Some(remaining) = spec.diff(&stored) else { break };
        if Instant::now() > until {
            let names: Vec<&str> = remaining.fields.iter().map(|field| field.field()).collect();
            return Err(HostError::new(format!(
                "the DCS does not keep these settings of {}: {}",
                spec.cluster,
                names.join(", ")
            )));
        }
        sleep(Duration::from_millis(100)).await;
    }
    match spec.part(observed) {
        Part::Kept => {}
        Part::Promoted => {
            becomes(spec, &["primary", "master"]).await?;
            // Its control file tells of the new timeline only after a checkpoint, which PostgreSQL
            // takes its time over; pgBackRest refuses to back up what contradicts itself.
            let session = Session::open(&spec.connection, "postgres", Purpose::Change)
                .await
                .map_err(Unreachable::into_error)?;
            session.execute("set statement_timeout = 0").await?;
            session.execute("checkpoint").await?;
        }
        Part::Demoted => becomes(spec, &["standby_leader"]).await?,
    }
    let Some(before) = before else { return Ok(()) };
    let until = Instant::now() + TAKEN_OVER;
    while Instant::now() < until {
        let Some(session) = member(spec).await else { break };
        if session.scalar(LOADED).await?.as_ref() != Some(&before) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
