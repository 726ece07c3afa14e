//! pgBackRest as the account that owns the repository runs it.

use super::accounts::Accounts;
use super::pgbackrest_own::{self, is_own};
use super::repository;
use crate::command::{Command, Output};
use crate::{HostError, round};
use futures_util::FutureExt;
use keddah_core::Secret;
use keddah_resource::kind::file::digest;
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What pgBackRest exits with when another one holds the stanza's lock.
const LOCK_HELD: i32 = 50;

/// What it exits with when it finds no server that takes writes (`DbConnectError`).
const NO_PRIMARY: i32 = 56;

/// How long that may last of a server that Patroni calls the leader: between its election and the end of
/// its recovery.
const PROMOTION: Duration = Duration::from_secs(45);

/// pgBackRest's code for a repository that cannot be read ("other"): its passphrase is another, say.
const UNREADABLE: i64 = 99;

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
    #[serde(default)]
    repo: Vec<Repo>,
}

/// One of a stanza's repositories; Keddah configures one.
#[derive(Debug, Clone, Deserialize)]
struct Repo {
    status: Status,
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
    #[serde(default)]
    pub message: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Backup {
    #[serde(rename = "type")]
    sort: String,
    #[serde(default)]
    label: String,
    /// Whether pages with wrong checksums were found in it.
    #[serde(default)]
    error: Option<bool>,
    #[serde(default)]
    timestamp: Times,
    /// The backups that it is based on.
    #[serde(default)]
    reference: Option<Vec<String>>,
    #[serde(default)]
    archive: Segments,
}

/// The WAL of the time of a backup.
#[derive(Debug, Clone, Default, Deserialize)]
struct Segments {
    #[serde(default)]
    start: Option<String>,
}

/// When a backup began and ended, in seconds since 1970.
#[derive(Debug, Clone, Default, Deserialize)]
struct Times {
    #[serde(default)]
    stop: i64,
}

impl Info {
    /// Full backups in which no page was broken, without those of which something is missing.
    pub fn full_backups(&self, missing: &[String]) -> u32 {
        let good = |backup: &&Backup| {
            backup.sort == "full" && backup.error != Some(true) && !missing.contains(&backup.label)
        };
        u32::try_from(self.backup.iter().filter(good).count()).unwrap_or(u32::MAX)
    }

    /// Backups in which pages were broken, with those that are based on them.
    pub fn damaged(&self) -> Vec<String> {
        let broken = |label: &String| {
            self.backup.iter().any(|backup| backup.error == Some(true) && backup.label == *label)
        };
        let damaged = self.backup.iter().filter(|backup| {
            backup.error == Some(true) || backup.reference.iter().flatten().any(broken)
        });
        damaged.map(|backup| backup.label.clone()).collect()
    }

    /// What is listed, to be compared with what is there.
    pub fn listed(&self) -> Vec<repository::Backup> {
        let listed = self.backup.iter().map(|backup| repository::Backup {
            label: backup.label.clone(),
            stop: Some(backup.timestamp.stop),
            timeline: backup.archive.start.as_deref().and_then(repository::timeline),
            start: backup.archive.start.clone(),
            needs: backup.reference.clone().unwrap_or_default(),
        });
        listed.collect()
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

/// Where a configuration stands while pgBackRest works under it: in memory, gone at the next start.
const RUN: &str = "/run/keddah-pgbackrest";

/// pgBackRest for one stanza, under the node's own configuration or under one that is not in its place
/// yet. Its file, with the passwords in it, is for the account alone, and goes with this.
pub(crate) struct Configured<'a> {
    account: &'a str,
    stanza: &'a str,
    file: Option<PathBuf>,
    /// Its digest; empty for the node's own.
    digest: String,
}

impl Drop for Configured<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.file {
            // Whoever cleared it away has done what is wanted.
            let _ = fs::remove_file(path);
        }
    }
}

impl<'a> Configured<'a> {
    /// Under this configuration; an empty one stands for the node's own.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn new(
        account: &'a str,
        stanza: &'a str,
        configuration: &Secret,
    ) -> Result<Self, HostError> {
        Self::within(Path::new(RUN), account, stanza, configuration)
    }

    fn within(
        directory: &Path,
        account: &'a str,
        stanza: &'a str,
        configuration: &Secret,
    ) -> Result<Self, HostError> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        if configuration.is_empty() {
            return Ok(Self { account, stanza, file: None, digest: String::new() });
        }
        let accounts = Accounts::read()?;
        let user = accounts
            .user(account)
            .ok_or_else(|| HostError::new(format!("the account {account} does not exist")))?;
        let text = configuration.reveal();
        if is_own(Path::new(pgbackrest_own::CONFIGURATION), user, stanza, text) {
            return Ok(Self { account, stanza, file: None, digest: String::new() });
        }
        // Whatever this process's mask is, the account must get through.
        let open = fs::Permissions::from_mode(0o755);
        fs::create_dir_all(directory)
            .and_then(|()| fs::set_permissions(directory, open))
            .map_err(|error| HostError::path("make", directory, &error))?;
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("pgbackrest-{}-{number}.conf", std::process::id()));
        let failed = |error: std::io::Error| HostError::path("write", &path, &error);
        // What an agent of the same number has left that was killed.
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let digest = digest(text.as_bytes());
        let own = Self { account, stanza, file: Some(path.clone()), digest };
        fchown(&file, Some(user.uid), Some(user.gid)).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        Ok(own)
    }

    /// pgBackRest for the stanza.
    pub fn command(&self) -> Command {
        let stanza = format!("--stanza={}", self.stanza);
        let command = Command::new("runuser").args(["-u", self.account, "--", "pgbackrest"]);
        let command = match &self.file {
            Some(path) => command.arg(format!("--config={}", path.display())),
            None => command,
        };
        command.arg(stanza)
    }

    /// What is known of the stanza; `None` when the repository has never heard of it. In a round of
    /// looking, pgBackRest runs once for all who want to know it.
    ///
    /// # Errors
    /// When the repository does not answer, or cannot be read.
    pub async fn info(&self) -> Result<Option<Info>, HostError> {
        let name = format!("{}/{}/{}", self.account, self.stanza, self.digest);
        let command = self
            .command()
            .args(["--output=json", "--log-level-console=off", "--log-level-stderr=error", "info"])
            .asks(format!("the repository of {name}"));
        let stanza = self.stanza.to_owned();
        let look = async move { read(&command.succeed().await?, &stanza) };
        round::backups(name, look.boxed()).await
    }

    /// Runs a command that needs the stanza's lock; while another one has it, waits, and lets `done`
    /// see whether that other one has made it unnecessary. A server that is being promoted is waited for.
    ///
    /// # Errors
    /// When the command fails, or the lock is not free in time.
    pub async fn with_lock(
        &self,
        command: &Command,
        patience: Duration,
        done: fn(&Info) -> bool,
    ) -> Result<(), HostError> {
        let begun = Instant::now();
        let deadline = begun + patience;
        loop {
            let output: Output = command.run().await?;
            match output.code {
                0 => return Ok(()),
                LOCK_HELD if Instant::now() < deadline => sleep(STEP).await,
                NO_PRIMARY if begun.elapsed() < PROMOTION => sleep(STEP).await,
                _ => return Err(command.failure(&output)),
            }
            if self.info().await?.is_some_and(|info| done(&info)) {
                return Ok(());
            }
        }
    }
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

/// What is said of a stanza, where its repository can be read.
fn read(text: &str, stanza: &str) -> Result<Option<Info>, HostError> {
    let Some(info) = parse(text, stanza)? else { return Ok(None) };
    if info.status.code != UNREADABLE {
        return Ok(Some(info));
    }
    let why = info.repo.iter().map(|repo| repo.status.message.as_str()).collect::<Vec<_>>();
    Err(HostError::new(format!("the backups of {stanza} cannot be listed"))
        .with_log(&why.join("\n"))
        .with_hint(
            "is the repository within reach, with these keys? A repository that was made with another \
             cipher_type or cipher_pass is not read with this one: give the new one another path",
        ))
}

/// Reads what pgBackRest says of its stanzas.
///
/// Its JSON holds what it met as it stands: of a file that was written with another cipher, one in a few
/// hundred decrypts to something that passes, and its bytes are in the message. Control characters have no
/// meaning in JSON but that of a space (RFC 8259, section 7).
fn parse(text: &str, stanza: &str) -> Result<Option<Info>, HostError> {
    let all: Vec<Info> = serde_json::from_str(&text.replace(char::is_control, " "))
        .map_err(|error| HostError::new(format!("pgbackrest info cannot be read: {error}")))?;
    Ok(all.into_iter().find(|info| info.name == stanza))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_for_its_account_alone_and_goes_with_its_use() {
        use std::os::unix::fs::MetadataExt;
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("run");
        let me = rustix::process::getuid().as_raw();
        let accounts = Accounts::read().unwrap();
        let root = accounts.user("postgres").filter(|_| me == 0);
        let user = root.or(accounts.users.iter().find(|user| user.uid == me)).unwrap();
        let text = Secret::new("[global]\nrepo1-cipher-pass=hidden\n");
        let own = Configured::within(&directory, &user.name, "pg-test", &text).unwrap();
        let path = own.file.clone().unwrap();
        let about = fs::metadata(&path).unwrap();
        assert_eq!((about.uid(), about.mode() & 0o777), (user.uid, 0o600));
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::read_to_string(&path).unwrap(), text.reveal());
        let line = format!("{:?}", own.command());
        assert!(line.contains(&format!("--config={}", path.display())), "{line}");
        assert!(!line.contains("hidden"), "{line}");
        drop(own);
        assert!(!path.exists());
        let none = Configured::within(&directory, &user.name, "pg-test", &Secret::default());
        let line = format!("{:?}", none.unwrap().command());
        assert!(!line.contains("--config"), "the node's own: {line}");
    }

    #[test]
    fn full_backups_are_counted_without_broken_ones() {
        let text = r#"[{"backup":[
            {"type":"full","error":false,"label":"20260101-000000F","timestamp":{"start":5,"stop":7}},
            {"type":"incr","error":false,"label":"20260101-000000F_20260102-000000I",
             "archive":{"start":"0000001A0000000000000007","stop":null},"prior":"20260101-000000F",
             "reference":["20260101-000000F"]},{"type":"full","error":true,"reference":null},{"type":"full"}],
            "name":"pg-test","status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"#;
        let info = parse(text, "pg-test").unwrap().unwrap();
        assert_eq!((info.status.code, info.full_backups(&[]), info.newest()), (0, 2, Some(7)));
        let broken = text.replacen("\"error\":false", "\"error\":true", 1);
        let both = ["20260101-000000F", "20260101-000000F_20260102-000000I", ""];
        assert_eq!(parse(&broken, "pg-test").unwrap().unwrap().damaged(), both);
        let gone = ["20260101-000000F".to_owned()];
        assert_eq!(info.full_backups(&gone), 1, "its files are gone");
        let listed = info.listed();
        assert_eq!((listed[1].timeline, &listed[1].needs[..]), (Some(26), &gone[..]));
        assert!(parse(text, "pg-meta").unwrap().is_none());
        assert!(parse("[]", "pg-test").unwrap().is_none());
        let missing = r#"[{"backup":[],"db":[],"name":"pg-test",
            "status":{"code":1,"message":"missing stanza path"}}]"#;
        assert_eq!(parse(missing, "pg-test").unwrap().unwrap().status.code, 1);
        assert!(parse("ERROR", "pg-test").is_err());
        let garbled = missing.replace("missing stanza path", "invalid line '\u{3}\u{0}\n'");
        assert_eq!(parse(&garbled, "pg-test").unwrap().unwrap().status.code, 1);
    }
}
