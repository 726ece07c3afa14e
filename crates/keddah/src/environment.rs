//! The environment and the clock, read in one place and handed down.

use keddah_controller::Clock;
use std::path::PathBuf;

/// What of the process's environment matters.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Whether `NO_COLOR` is set (<https://no-color.org>).
    pub no_color: bool,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: private to the account, gone after logout.
    pub runtime_directory: Option<PathBuf>,
    /// `KEDDAH_CACHE`: where the sandbox keeps images.
    pub image_cache: Option<PathBuf>,
    /// `KEDDAH_SSH_CONFIG`: a configuration for ssh in place of the user's own. `keddah sandbox in`
    /// sets it, so that commands inside reach the sandbox's nodes without further ado.
    pub ssh_configuration: Option<PathBuf>,
    /// The account's name, or its number when it has no name.
    pub user: String,
    /// The name of the account's group, or its number.
    pub group: String,
    /// The machine's host name.
    pub host: String,
}

impl Environment {
    /// Reads it.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn read() -> Self {
        let path = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            no_color: std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            home: path("HOME"),
            runtime_directory: path("XDG_RUNTIME_DIR"),
            image_cache: path("KEDDAH_CACHE"),
            ssh_configuration: path("KEDDAH_SSH_CONFIG"),
            user: name_of("/etc/passwd", uid),
            group: name_of("/etc/group", gid),
            host,
        }
    }

    /// Public keys of this account: `~/.ssh/*.pub`, in the order of their names.
    pub fn public_keys(&self) -> Vec<String> {
        let Some(home) = &self.home else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir(home.join(".ssh")) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "pub"))
            .collect();
        paths.sort();
        paths
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect()
    }
}

impl Clock for Environment {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn milliseconds(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The first field of the line whose third field is the number; the number when there is none.
/// Accounts of a directory service have no line here, and their number does as well.
fn name_of(database: &str, number: u32) -> String {
    let number = number.to_string();
    let text = std::fs::read_to_string(database).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}
