//! Statements that take effect together or not at all, and are tried again when they met others.

use super::{Session, failed};
use crate::HostError;
use keddah_core::Secret;
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// How often statements are tried that met a concurrent change of the same catalog row.
const ATTEMPTS: u32 = 5;

/// Settings that keep the text of statements out of every place where the server would show it:
/// its log, `pg_stat_activity`, and what extensions collect.
const QUIET: &str = "select set_config(name, case name \
       when 'log_statement' then 'none' \
       when 'log_min_error_statement' then 'panic' \
       when 'pgaudit.log' then 'none' \
       when 'log_min_duration_statement' then '-1' \
       when 'log_min_duration_sample' then '-1' \
       when 'log_transaction_sample_rate' then '0' \
       else 'off' end, true) \
     from pg_settings where name in ('log_statement', 'log_min_error_statement', \
       'log_min_duration_statement', 'log_min_duration_sample', 'log_transaction_sample_rate', \
       'log_duration', 'debug_print_parse', 'debug_print_rewritten', 'debug_print_plan', \
       'track_activities', 'pgaudit.log', 'pg_stat_statements.track_utility', \
       'pg_stat_monitor.pgsm_track_utility')";

/// A list of statements.
#[derive(Debug, Default)]
pub struct Transaction {
    statements: Vec<Secret>,
    secrets: Vec<Secret>,
}

impl Transaction {
    /// Adds a statement.
    pub fn add(&mut self, statement: impl Into<String>) {
        self.statements.push(Secret::new(statement));
    }

    /// Adds a statement that contains a secret; the server will log none of the transaction, and
    /// no error will repeat the secret.
    pub fn add_secret(&mut self, statement: String, secret: &Secret) {
        self.statements.push(Secret::new(statement));
        self.secrets.push(secret.clone());
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Runs all statements in one transaction.
    ///
    /// # Errors
    /// When one fails; then nothing has changed.
    pub async fn run(&self, session: &Session) -> Result<(), HostError> {
        let mut attempt = 1;
        loop {
            let Err(error) = self.attempt(session).await else { return Ok(()) };
            // The server has ended the transaction already if the connection is gone.
            let _ = session.client().batch_execute("rollback").await;
            if attempt == ATTEMPTS || !passes(&error) {
                return Err(self.masked(failed(&error)));
            }
            tokio::time::sleep(Duration::from_millis(20) * attempt).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let client = session.client();
        client.batch_execute("begin").await?;
        if !self.secrets.is_empty() {
            client.batch_execute(QUIET).await?;
        }
        for statement in &self.statements {
            client.batch_execute(statement.reveal()).await?;
        }
        client.batch_execute("commit").await
    }

    fn masked(&self, mut error: HostError) -> HostError {
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            error.message = error.message.replace(secret.reveal(), "********");
            for line in &mut error.log {
                *line = line.replace(secret.reveal(), "********");
            }
        }
        error
    }
}

/// Whether an error is about a concurrent change and may be gone next time. PostgreSQL reports
/// two GRANTs on one object as an internal error with this text.
fn passes(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => true,
        Some(&SqlState::INTERNAL_ERROR) => {
            error.as_db_error().is_some_and(|told| told.message().starts_with("tuple concurrently"))
        }
        _ => false,
    }
}
