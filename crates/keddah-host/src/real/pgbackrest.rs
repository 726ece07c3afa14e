//! pgBackRest as the account that owns the repository runs it.

use super::accounts::Accounts;
use crate::HostError;
use crate::command::{Command, Output};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What pgBackRest exits with when another one holds the stanza's lock.
const LOCK_HELD: i32 = 50;

/// Between two attempts to get the lock.
const STEP: Duration = Duration::from_secs(1);

/// One stanza of `pgbackrest info`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Info {
    name: String,
    pub status: Status,
    #[serde(default)]
    backup: Vec<Backup>,
    /// The systems that it has held, the one it takes now last.
    #[serde(default)]
    db: Vec<Database>,
}

/// A system that a stanza is or was for.
#[derive(Debug, Clone, Deserialize)]
struct Database {
    #[serde(rename = "system-id")]
    system: u64,
}

/// What pgBackRest thinks of a stanza.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub code: i64,
}

#[derive(Debug, Clone, Deserialize)]
struct Backup {
    #[serde(rename = "type")]
    sort: String,
    /// Whether pages with wrong checksums were found in it.
    #[serde(default)]
    error: Option<bool>,
    #[serde(default)]
    timestamp: Times,
}

/// When a backup began and ended, in seconds since 1970.
#[derive(Debug, Clone, Default, Deserialize)]
struct Times {
    #[serde(default)]
    stop: i64,
}

impl Info {
    /// Full backups in which no page was broken.
    pub fn full_backups(&self) -> u32 {
        let good = |backup: &&Backup| backup.sort == "full" && backup.error != Some(true);
        u32::try_from(self.backup.iter().filter(good).count()).unwrap_or(u32::MAX)
    }

    /// All backups.
    pub fn backups(&self) -> u32 {
        u32::try_from(self.backup.len()).unwrap_or(u32::MAX)
    }

    /// Identifiers of the systems that it has held, the one it takes now last.
    pub fn systems(&self) -> Vec<String> {
        self.db.iter().map(|database| database.system.to_string()).collect()
    }

    /// When the newest backup ended.
    pub fn newest(&self) -> Option<i64> {
        self.backup.iter().map(|backup| backup.timestamp.stop).max()
    }
}

/// pgBackRest with these arguments.
pub(crate) fn pgbackrest(account: &str) -> Command {
    Command::new("runuser").args(["-u", account, "--", "pgbackrest"])
}

/// Why pgBackRest cannot be asked yet.
pub(crate) fn not_yet(account: &str) -> Result<Option<String>, HostError> {
    if Accounts::read()?.user(account).is_none() {
        return Ok(Some(format!("the account {account} does not exist yet")));
    }
    let installed = ["/usr/bin/pgbackrest", "/usr/local/bin/pgbackrest"]
        .iter()
        .any(|path| Path::new(path).exists());
    Ok((!installed).then(|| "pgBackRest is not installed yet".to_owned()))
}

/// What is known of a stanza; `None` when the repository has never heard of it.
pub(crate) async fn info(account: &str, stanza: &str) -> Result<Option<Info>, HostError> {
    let stanza_option = format!("--stanza={stanza}");
    let text = pgbackrest(account)
        .args(["--output=json", "--log-level-console=off", "--log-level-stderr=error"])
        .args([&stanza_option, "info"])
        .succeed()
        .await?;
    parse(&text, stanza)
}

fn parse(text: &str, stanza: &str) -> Result<Option<Info>, HostError> {
    let all: Vec<Info> = serde_json::from_str(text)
        .map_err(|error| HostError::new(format!("pgbackrest info cannot be read: {error}")))?;
    Ok(all.into_iter().find(|info| info.name == stanza))
}

/// Runs a command that needs the stanza's lock; while another one has it, waits, and lets `done`
/// see whether that other one has made it unnecessary.
pub(crate) async fn with_lock(
    command: &Command,
    patience: Duration,
    (account, stanza): (&str, &str),
    done: fn(&Info) -> bool,
) -> Result<(), HostError> {
    let deadline = Instant::now() + patience;
    loop {
        let output: Output = command.run().await?;
        match output.code {
            0 => return Ok(()),
            LOCK_HELD if Instant::now() < deadline => sleep(STEP).await,
            _ => return Err(command.failure(&output)),
        }
        if info(account, stanza).await?.is_some_and(|info| done(&info)) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_backups_are_counted_without_broken_ones() {
        let text = r#"[{"backup":[
            {"type":"full","error":false,"label":"20260101-000000F","timestamp":{"start":5,"stop":7}},
            {"type":"incr","error":false},{"type":"full","error":true},{"type":"full"}],
            "name":"pg-test","status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"#;
        let info = parse(text, "pg-test").unwrap().unwrap();
        assert_eq!((info.status.code, info.full_backups(), info.newest()), (0, 2, Some(7)));
        assert!(parse(text, "pg-meta").unwrap().is_none());
        assert!(parse("[]", "pg-test").unwrap().is_none());
        let missing = r#"[{"backup":[],"db":[],"name":"pg-test",
            "status":{"code":1,"message":"missing stanza path"}}]"#;
        assert_eq!(parse(missing, "pg-test").unwrap().unwrap().status.code, 1);
        assert!(parse("ERROR", "pg-test").is_err());
    }
}
