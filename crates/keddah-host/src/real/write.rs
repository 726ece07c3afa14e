//! Writes files so that a reader, or the next boot, sees the old content or the new, never a part.

use super::accounts::Ownership;
use super::held::{Held, LastLink, Missing};
use crate::HostError;
use rustix::fs::{Mode, fchmod, fchown};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Makes names that were added to or removed from a directory survive a power failure.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The directory that a path stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("/"),
    }
}

/// The name under which new content waits beside `path`: hidden from programs that read a whole
/// directory, with the ending that checking programs ask for, and always the same, so that what a
/// killed run has left is found and taken away by the next.
pub(crate) fn candidate_name(name: &OsStr) -> OsString {
    let mut waiting = OsString::from(".keddah-new.");
    waiting.push(name);
    waiting
}

/// Sets owner, group and mode so that nobody may do more at any moment than before or after.
pub(crate) fn set_ownership(file: impl AsFd, wanted: Ownership) -> io::Result<()> {
    let now = rustix::fs::fstat(&file)?;
    let mode = now.st_mode & 0o7777;
    if (now.st_uid, now.st_gid) != (wanted.uid.as_raw(), wanted.gid.as_raw()) {
        fchmod(&file, Mode::from_raw_mode(mode & wanted.mode & 0o777))?;
        fchown(&file, Some(wanted.uid), Some(wanted.gid))?;
        fchmod(&file, Mode::from_raw_mode(wanted.mode))?;
    } else if mode != wanted.mode {
        fchmod(&file, Mode::from_raw_mode(wanted.mode))?;
    }
    Ok(())
}

/// New content that waits beside the file it will replace; taken away again unless committed.
#[derive(Debug)]
pub(crate) struct Candidate {
    target: Held,
    waiting: PathBuf,
    shown: PathBuf,
    committed: bool,
}

impl Candidate {
    /// Writes content with its final owner and mode; it is readable by nobody else from the first
    /// byte on. A link at the end of `path` is written through.
    pub fn write(path: &Path, content: &[u8], ownership: Ownership) -> Result<Self, HostError> {
        let target = Held::reach(path, Missing::Fails, LastLink::IsFollowed)?;
        let name = candidate_name(target.name());
        let (waiting, shown) = (target.beside(&name), target.path().with_file_name(&name));
        let failed = |error: io::Error| HostError::path("write", path, &error);
        match fs::remove_file(&waiting) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&waiting)
            .map_err(failed)?;
        let candidate = Self { target, waiting, shown, committed: false };
        file.write_all(content).map_err(failed)?;
        set_ownership(&file, ownership).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(candidate)
    }

    /// Where the content waits, for a program that checks it.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Takes the place of the old content.
    pub fn commit(mut self) -> Result<(), HostError> {
        let failed = |error: io::Error| HostError::path("write", self.target.path(), &error);
        fs::rename(&self.waiting, self.target.here()).map_err(failed)?;
        self.target.sync().map_err(failed)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: the next write of the same file takes it away too.
            let _ = fs::remove_file(&self.waiting);
        }
    }
}

/// Replaces a file's content, owner and mode in one step.
pub(crate) fn replace(path: &Path, content: &[u8], ownership: Ownership) -> Result<(), HostError> {
    Candidate::write(path, content, ownership)?.commit()
}

/// Changes only owner and mode of what stands at the end of the links at `path`.
pub(crate) fn set_permissions(path: &Path, ownership: Ownership) -> Result<(), HostError> {
    let failed = |error: io::Error| HostError::path("change the permissions of", path, &error);
    let target = Held::reach(path, Missing::Fails, LastLink::IsFollowed)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default())
        .open(target.here())
        .map_err(failed)?;
    set_ownership(&file, ownership).map_err(failed)
}

/// Removes a file or link; that it is not there is what is wanted.
pub(crate) fn remove(path: &Path) -> Result<(), HostError> {
    let failed = |error: io::Error| HostError::path("remove", path, &error);
    match fs::symlink_metadata(path) {
        // Nor does the directory need to be there in which it would stand.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    let held = Held::reach(path, Missing::Fails, LastLink::IsMeant)?;
    match fs::remove_file(held.here()) {
        Ok(()) => held.sync().map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Does work that waits for the disk where it does not hold up other requests.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HostError::new(format!("writing was broken off: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getegid, geteuid};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn candidate_path(path: &Path) -> PathBuf {
        path.with_file_name(candidate_name(path.file_name().unwrap()))
    }

    fn mine(mode: u32) -> Ownership {
        Ownership { uid: geteuid(), gid: getegid(), mode }
    }

    #[test]
    fn content_and_mode_come_together_and_nothing_is_left_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.conf");
        replace(&path, b"one", mine(0o640)).unwrap();
        replace(&path, b"two", mine(0o4755)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o4755);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_candidate_that_is_not_committed_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.conf");
        replace(&path, b"old", mine(0o600)).unwrap();
        let candidate = Candidate::write(&path, b"new", mine(0o600)).unwrap();
        assert_eq!(candidate.path().file_name().unwrap(), ".keddah-new.file.conf");
        assert_eq!(fs::read(candidate.path()).unwrap(), b"new");
        drop(candidate);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_run_left_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.conf");
        fs::write(candidate_path(&path), "half").unwrap();
        fs::set_permissions(candidate_path(&path), fs::Permissions::from_mode(0o666)).unwrap();
        replace(&path, b"whole", mine(0o600)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_planted_link_at_the_candidate_name_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let path = directory.path().join("file.conf");
        symlink(&victim, candidate_path(&path)).unwrap();
        replace(&path, b"new", mine(0o600)).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn links_are_written_through_even_when_they_dangle() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("second", &link).unwrap();
        symlink("real", directory.path().join("second")).unwrap();
        replace(&link, b"x", mine(0o600)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(directory.path().join("real")).unwrap(), b"x");
    }

    #[test]
    fn links_that_lead_in_a_circle_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("link", &link).unwrap();
        assert!(replace(&link, b"x", mine(0o600)).is_err());
    }

    #[test]
    fn links_of_ordinary_accounts_are_not_followed() {
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("real", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert!(replace(&link, b"x", mine(0o600)).is_err());
        assert!(!directory.path().join("real").exists());
    }
}
