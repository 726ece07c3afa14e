//! One change of a sandbox, or one build of an image, at a time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{FileContext, Result};

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
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).on("create", parent)?;
        }
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .on("open", path)?;
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
