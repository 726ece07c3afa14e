//! Baselines: an SQL file, run once by `psql`, whose commands (`\set`, `\c`) such files use.

use crate::HostError;
use crate::command::Command;
use crate::real::RealHost;
use crate::sql::grouped::{Answers, groups};
use crate::sql::{
    Purpose, Session, Transaction, Unreachable, identifier, quote_array, quote_literal,
};
use keddah_core::Secret;
use keddah_resource::kind::PgConnection;
use keddah_resource::kind::pg_baseline::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use std::time::Duration;

/// The database's setting that keeps the name of the file that was run.
const SETTING: &str = "keddah.baseline";

/// A baseline may load data.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    settings: Vec<String>,
}

/// Looks at which databases had their baseline.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut answers = Answers::new(specs.len());
    for (connection, members) in groups(specs.iter().map(|spec| &spec.connection)) {
        let wanted: Vec<&Spec> = members.iter().map(|member| specs[*member]).collect();
        answers.fill(&members, read(connection, &wanted).await);
    }
    answers.finish()
}

async fn read(
    connection: &PgConnection,
    specs: &[&Spec],
) -> Result<Vec<Result<Observation, HostError>>, Unreachable> {
    let session = Session::open(connection, "postgres", Purpose::Observe).await?;
    let query = format!(
        "select d.datname as name, coalesce(to_json(s.setconfig), '[]') as settings \
         from pg_database d \
         left join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = 0 \
         where d.datname = any({})",
        quote_array(specs.iter().map(|spec| spec.database.as_str()))
    );
    let rows: Vec<Row> = session.rows(&query).await.map_err(Unreachable::Failed)?;
    Ok(specs
        .iter()
        .map(|spec| {
            let Some(row) = rows.iter().find(|row| row.name == spec.database) else {
                let because = format!("the database {} does not exist yet", spec.database);
                return Ok(Observation::NotYet { because });
            };
            let file = row.settings.iter().find_map(|setting| {
                let (name, value) = setting.split_once('=')?;
                (name == SETTING).then(|| value.to_owned())
            });
            Ok(Observation::Known(Observed { file }.into()))
        })
        .collect())
}

/// Runs a baseline, and notes in the database that it was run.
///
/// Both happen in one transaction wherever the file allows it, so that a run that is killed leaves
/// nothing. A file that must not be in a transaction, or connects elsewhere, is run statement by
/// statement and must be able to be run again.
///
/// # Errors
/// When a statement fails, or the server is not the primary any more.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    if observed.file.is_some() {
        return Ok(());
    }
    let session = Session::open_for_change(&spec.connection, &spec.database).await?;
    let note = format!(
        "alter database {} set {SETTING} to {}",
        identifier(&spec.database)?,
        quote_literal(&spec.file)
    );
    if !reconnects(&spec.sql) {
        let together = Secret::new(format!("{}\n;\n{note};\n", spec.sql));
        let output = psql(spec, true).input(together).run().await?;
        if output.code == 0 {
            return Ok(());
        }
        if !output.stderr.contains(IN_TRANSACTION) {
            return Err(failure(spec, &output.stderr));
        }
    }
    let output = psql(spec, false).input(Secret::new(spec.sql.clone())).run().await?;
    if output.code != 0 {
        return Err(failure(spec, &output.stderr));
    }
    let mut transaction = Transaction::default();
    transaction.add(note);
    transaction.run(&session).await
}

/// The SQLSTATE for "cannot run inside a transaction block".
const IN_TRANSACTION: &str = "25001:";

fn psql(spec: &Spec, single_transaction: bool) -> Command {
    let PgConnection { socket_directory, port, superuser } = &spec.connection;
    let port = port.to_string();
    let mut command = Command::new("runuser")
        .args(["-u", superuser, "--", "psql", "-X", "-q", "-w"])
        .args(["-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"])
        .args(["-h", socket_directory, "-p", &port, "-U", superuser, "-d", &spec.database])
        .args(["-f", "-"])
        .env("PGAPPNAME", "keddah")
        .env("PGOPTIONS", "-c default_transaction_read_only=off -c client_min_messages=warning")
        .patience(PATIENCE);
    if single_transaction {
        command = command.args(["--single-transaction"]);
    }
    command
}

/// Whether the file opens another connection, which would end the transaction.
fn reconnects(sql: &str) -> bool {
    sql.lines().any(|line| {
        let line = line.trim_start();
        line == "\\c" || line.starts_with("\\c ") || line.starts_with("\\connect")
    })
}

/// What psql said, without the lines that repeat the file's text: it may hold secrets.
fn failure(spec: &Spec, stderr: &str) -> HostError {
    let kept: Vec<&str> = stderr
        .lines()
        .filter(|line| {
            ["ERROR:", "FATAL:", "DETAIL:", "HINT:"].iter().any(|word| line.contains(word))
                || line.starts_with("psql: error")
        })
        .collect();
    HostError::new(format!("the baseline {} failed in the database {}", spec.file, spec.database))
        .with_log(&kept.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_reconnect_are_found() {
        assert!(reconnects("select 1;\n  \\c other\n"));
        assert!(reconnects("\\connect other"));
        assert!(!reconnects("\\copy t from stdin\nselect '\\c';"));
    }
}
