//! One change of a sandbox, or one build of an image, at a time; and what all sandboxes of a machine share.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{FileContext, Result};

/// How often a directory may vanish between its making and a file's in it, because the last other sandbox
/// went away. Each time takes another sandbox; so many tell of something else, such as a dangling link.
const VANISHES: u32 = 1000;

/// The directory whose lock guards what all sandboxes share. It is always there, so that the lock itself leaves
/// nothing behind, and the same for sandboxes whose files lie elsewhere.
const MACHINE: &str = "/run";

/// An exclusive lock on a file, given back when dropped or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Waits for the lock. The file and its directory are made if need be.
    ///
    /// # Errors
    /// [`crate::Error::File`]
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        let mut vanished = 0;
        loop {
            let file = match open(path) {
                Ok(file) => file,
                Err(error) if vanishes(&error) && vanished < VANISHES => {
                    vanished += 1;
                    continue;
                }
                Err(error) => return Err(error).on("open", path),
            };
            file.lock().on("lock", path)?;
            // The holder before us may have removed the file: then this lock guards nothing.
            let ours = file.metadata().on("inspect", path)?;
            if std::fs::metadata(path).is_ok_and(|found| found.ino() == ours.ino()) {
                return Ok(Self { path: path.to_owned(), _file: file });
            }
        }
    }

    /// Gives the lock back and removes its file.
    ///
    /// # Errors
    /// [`crate::Error::File`]
    pub(crate) fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).on("remove", &self.path)
    }
}

/// True if the last other sandbox took the directory along. "Exists" is what making it says where it is there at
/// one look and gone at the next.
fn vanishes(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// The right to make, or to take away unused, what all sandboxes of the machine share: the directories that
/// theirs lie in, the mounts of control groups and of named network namespaces. Without it, one that goes away
/// finds such a thing unused and removes it between another's finding it and using it.
///
/// Held for moments, and never twice by one thread: it would wait for itself.
#[derive(Debug)]
pub(crate) struct Shared {
    _directory: File,
}

impl Shared {
    /// Waits for it.
    ///
    /// # Errors
    /// [`crate::Error::File`]
    pub(crate) fn acquire() -> Result<Self> {
        let path = Path::new(MACHINE);
        let directory = File::open(path).on("open", path)?;
        directory.lock().on("lock", path)?;
        Ok(Self { _directory: directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_that_come_and_go_do_not_take_each_others_directory() {
        let top = std::env::temp_dir().join(format!("keddah-lock-{}", std::process::id()));
        let parent = top.join("keddah/sandbox");
        let come_and_go = |name: &str| {
            for _ in 0..2000 {
                let lock = Lock::acquire(&parent.join(name)).unwrap();
                lock.remove().unwrap();
                // As the last sandbox does; it fails while the other's file is there.
                let _ = std::fs::remove_dir(&parent)
                    .and_then(|()| std::fs::remove_dir(top.join("keddah")));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| come_and_go("one.lock"));
            scope.spawn(|| come_and_go("two.lock"));
        });
        let _ = std::fs::remove_dir_all(top);
    }

    #[test]
    fn what_never_can_be_made_is_an_error() {
        let link = std::env::temp_dir().join(format!("keddah-dangling-{}", std::process::id()));
        std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
        let refused = Lock::acquire(&link);
        std::fs::remove_file(&link).unwrap();
        assert!(refused.is_err());
    }
}
