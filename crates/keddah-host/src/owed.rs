//! Write-ahead notes of the reloads and restarts that changes owe to units and postmasters.
//!
//! Before a file that a service reads is changed, a note is put on disk; it is crossed out when the
//! service has reloaded or restarted. Whoever is killed in between leaves the note to the next run.

use crate::HostError;
use crate::real::write::sync_directory;
use keddah_resource::kind::file::digest;
use keddah_resource::{Kind, TriggerAction};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// The notes of one machine: one empty file each, named after kind, name and action.
#[derive(Debug, Clone)]
pub struct Owed {
    directory: PathBuf,
}

impl Owed {
    /// Notes under a state directory such as `/var/lib/keddah`; made with the first note.
    pub fn new(state_directory: impl Into<PathBuf>) -> Self {
        Self { directory: state_directory.into().join("owed") }
    }

    fn path(&self, kind: Kind, name: &str, action: TriggerAction) -> PathBuf {
        let suffix = match action {
            TriggerAction::Reload => "reload",
            TriggerAction::Restart => "restart",
        };
        // Names hold slashes and blanks; 16 digits are plenty for the services of one machine.
        let short = &digest(name.as_bytes())[..16];
        self.directory.join(format!("{kind}-{short}.{suffix}"))
    }

    /// Puts a note on disk; it is there for good when this returns.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note(&self, kind: Kind, name: &str, action: TriggerAction) -> Result<(), HostError> {
        let path = self.path(kind, name, action);
        let failed = |error| HostError::path("write", &path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(failed)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        file.sync_all().map_err(failed)?;
        sync_directory(&self.directory).map_err(failed)
    }

    /// What is owed; a restart covers a reload.
    ///
    /// # Errors
    /// When the notes cannot be read, which is not the same as "nothing is owed".
    pub fn owes(&self, kind: Kind, name: &str) -> Result<Option<TriggerAction>, HostError> {
        for action in [TriggerAction::Restart, TriggerAction::Reload] {
            if self.has(kind, name, action)? {
                return Ok(Some(action));
            }
        }
        Ok(None)
    }

    /// Whether this very action is owed, whatever else is.
    ///
    /// # Errors
    /// When the notes cannot be read.
    pub fn has(&self, kind: Kind, name: &str, action: TriggerAction) -> Result<bool, HostError> {
        let path = self.path(kind, name, action);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(HostError::path("read", &path, &error)),
        }
    }

    /// How long ago this very action was noted last; nothing where it is not owed.
    ///
    /// # Errors
    /// When the notes cannot be read.
    pub fn noted(
        &self,
        kind: Kind,
        name: &str,
        action: TriggerAction,
    ) -> Result<Option<Duration>, HostError> {
        let path = self.path(kind, name, action);
        match fs::symlink_metadata(&path).and_then(|about| about.modified()) {
            // A clock that was set back makes nothing old.
            Ok(noted) => Ok(Some(noted.elapsed().unwrap_or_default())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HostError::path("read", &path, &error)),
        }
    }

    /// Crosses out what has been done: a restart (or a start) settles both, a reload itself.
    ///
    /// # Errors
    /// When a note cannot be removed.
    pub fn cross_out(&self, kind: Kind, name: &str, done: TriggerAction) -> Result<(), HostError> {
        let settled: &[TriggerAction] = match done {
            TriggerAction::Reload => &[TriggerAction::Reload],
            TriggerAction::Restart => &[TriggerAction::Reload, TriggerAction::Restart],
        };
        let mut removed = false;
        for action in settled {
            let path = self.path(kind, name, *action);
            match fs::remove_file(&path) {
                Ok(()) => removed = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(HostError::path("remove", &path, &error)),
            }
        }
        if removed {
            sync_directory(&self.directory)
                .map_err(|error| HostError::path("write", &self.directory, &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TriggerAction::{Reload, Restart};

    #[test]
    fn a_restart_settles_both_and_a_reload_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let owed = Owed::new(directory.path().join("state"));
        let owes = |name| owed.owes(Kind::Unit, name).unwrap();
        assert_eq!(owes("a.service"), None);
        owed.note(Kind::Unit, "a.service", Reload).unwrap();
        assert_eq!(owes("a.service"), Some(Reload));
        assert_eq!(owes("b.service"), None);
        assert_eq!(owed.owes(Kind::Postmaster, "a.service").unwrap(), None);
        owed.note(Kind::Unit, "a.service", Restart).unwrap();
        assert_eq!(owes("a.service"), Some(Restart));
        owed.cross_out(Kind::Unit, "a.service", Reload).unwrap();
        assert_eq!(owes("a.service"), Some(Restart));
        owed.note(Kind::Unit, "a.service", Reload).unwrap();
        owed.cross_out(Kind::Unit, "a.service", Restart).unwrap();
        assert_eq!(owes("a.service"), None);
        owed.cross_out(Kind::Unit, "a.service", Restart).unwrap();
    }
}
