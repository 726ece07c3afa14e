//! Doors: an apply that would create logins with public passwords outside of a sandbox is stopped
//! before its first change, until somebody has allowed it for this fleet.

use crate::steps::base_directory;
use crate::{CommandError, Context, counted};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Where the permission is remembered, beside the inventory. Whoever takes it away is asked again.
const FILE: &str = "files/public-passwords-allowed";

/// The option that gives it.
pub const OPTION: &str = "--allow-public-passwords";

/// What has been said about this fleet's public passwords.
pub struct PublicPasswords {
    path: PathBuf,
    remembered: bool,
    given: bool,
}

impl PublicPasswords {
    /// Reads what was said before; `given` is what is said now.
    ///
    /// # Errors
    /// When there is no inventory, or it cannot be seen what lies beside it.
    pub fn of(context: &Context, given: bool) -> Result<Self, CommandError> {
        Self::beside(&base_directory(context)?, given)
    }

    fn beside(base: &Path, given: bool) -> Result<Self, CommandError> {
        let path = base.join(FILE);
        let remembered = path.try_exists().map_err(|error| {
            CommandError::system(format!("cannot look for {}", path.display())).caused_by(&error)
        })?;
        Ok(Self { path, remembered, given })
    }

    /// Whether somebody has said for this fleet that they may stay.
    pub fn are_allowed(&self) -> bool {
        self.remembered
    }

    /// Stops an apply that opens something nobody has allowed.
    ///
    /// # Errors
    /// Then; the passwords are named once, `command` is what was run.
    pub fn guard(&self, opened: &BTreeSet<&str>, command: &str) -> Result<(), CommandError> {
        if opened.is_empty() || self.remembered || self.given {
            return Ok(());
        }
        let what = match opened.len() {
            1 => "a login with a password".to_owned(),
            count => format!("logins with {}", counted(count, "password")),
        };
        Err(CommandError::user(format!(
            "nothing was changed: this would create {what} that everyone knows: {}",
            list(opened)
        ))
        .hint("choose passwords of your own; `keddah check` shows where")
        .hint(format!("to allow it, once for this fleet: {command} {OPTION}")))
    }

    /// Remembers what was said now, before the first change.
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn remember(&self, opened: &BTreeSet<&str>, now: i64) -> Result<(), CommandError> {
        if self.remembered || !self.given {
            return Ok(());
        }
        let day = OffsetDateTime::from_unix_timestamp(now)
            .map(|moment| format!(" on {}", moment.date()))
            .unwrap_or_default();
        let mut text = format!(
            "# `keddah apply {OPTION}` was said for this fleet{day}: it may have logins with\n\
             # passwords that everyone knows. Delete this file, and apply asks again.\n"
        );
        for password in opened {
            text.push_str(&format!("# - {password}\n"));
        }
        let failed = |error: std::io::Error| {
            CommandError::system(format!("cannot write {}", self.path.display())).caused_by(&error)
        };
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        std::fs::write(&self.path, text).map_err(failed)
    }
}

fn list(opened: &BTreeSet<&str>) -> String {
    opened.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_for_a_fleet() {
        let own = rustix::process::getpid().as_raw_nonzero();
        let base = std::env::temp_dir().join(format!("keddah-doors-{own}"));
        let said = |given| PublicPasswords::beside(&base, given).unwrap();
        let opened = BTreeSet::from(["`patroni_password`", "user `app`"]);
        let refused = said(false).guard(&opened, "keddah apply -i f.yml").unwrap_err();
        assert_eq!(
            refused.message,
            "nothing was changed: this would create logins with 2 passwords that everyone knows: \
             `patroni_password`, user `app`"
        );
        assert!(
            refused.hints[1].ends_with("keddah apply -i f.yml --allow-public-passwords"),
            "{refused:?}"
        );
        assert!(said(false).guard(&BTreeSet::new(), "").is_ok(), "nothing is opened");

        said(false).remember(&opened, 0).unwrap();
        assert!(said(false).guard(&opened, "").is_err(), "nobody has allowed it");
        assert!(said(true).guard(&opened, "").is_ok());
        assert!(said(false).guard(&opened, "").is_err(), "allowed, and then not carried out");
        said(true).remember(&opened, 86_400).unwrap();
        assert!(said(false).guard(&opened, "").is_ok(), "it is remembered");
        let text = std::fs::read_to_string(base.join(FILE)).unwrap();
        assert!(text.contains("1970-01-02") && text.contains("user `app`"), "{text}");
        std::fs::remove_file(base.join(FILE)).unwrap();
        assert!(said(false).guard(&opened, "").is_err(), "taken back");
        std::fs::remove_dir_all(&base).unwrap();
    }
}
