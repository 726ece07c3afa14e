//! Connecting as clients do: `psql` from inside the sandbox's network.

use crate::command::{self, Output};
use crate::failure::{Failure, Outcome};
use crate::sandbox::Sandbox;
use std::time::Duration;

/// Longer than a queued connection may wait in a pool.
const PATIENCE: Duration = Duration::from_secs(70);

/// Who connects to where.
#[derive(Debug, Clone)]
pub struct Login {
    user: String,
    password: String,
    host: String,
    port: u16,
    database: String,
    options: String,
}

/// A login without any word about TLS: `psql` then prefers it.
pub fn login(user: &str, password: &str, host: &str, port: u16, database: &str) -> Login {
    Login {
        user: user.to_owned(),
        password: password.to_owned(),
        host: host.to_owned(),
        port,
        database: database.to_owned(),
        options: String::new(),
    }
}

/// Runs SQL as the database superuser on a node, over the socket, and returns what it prints.
pub fn superuser(sandbox: &Sandbox, node: u8, database: &str, sql: &str) -> Outcome<String> {
    let script = format!(
        "cd / && runuser -u postgres -- psql -X -q -A -t -v ON_ERROR_STOP=1 -d {database} <<'END'\n{sql}\nEND\n"
    );
    Ok(sandbox.shell(node, &script)?.success()?.text().to_owned())
}

impl Login {
    /// `disable`, `require`, `verify-full`, …
    #[must_use]
    pub fn tls(self, mode: &str) -> Self {
        self.option(&format!("sslmode={mode}"))
    }

    /// A word more for the connection string.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(' ');
        self.options.push_str(option);
        self
    }

    /// Runs SQL and returns how `psql` ended.
    pub fn attempt(&self, sandbox: &Sandbox, sql: &str) -> Outcome<Output> {
        let Self { user, password, host, port, database, options } = self;
        let mut psql = sandbox.within("psql");
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql.arg(format!(
            "host={host} port={port} user={user} dbname={database} connect_timeout=10{options}"
        ));
        psql.env("PGPASSWORD", password);
        command::run(&mut psql, PATIENCE)
    }

    /// Runs SQL that must succeed and returns what it prints.
    pub fn query(&self, sandbox: &Sandbox, sql: &str) -> Outcome<String> {
        Ok(self.attempt(sandbox, sql)?.success()?.text().to_owned())
    }

    /// Runs SQL that must fail with these words.
    pub fn refused(&self, sandbox: &Sandbox, sql: &str, words: &str) -> Outcome {
        let output = self.attempt(sandbox, sql)?;
        if output.code != Some(0) && output.stderr.contains(words) {
            return Ok(());
        }
        Err(Failure::new(format!("this should have been refused with `{words}`")).with(&output))
    }
}
