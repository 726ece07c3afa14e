//! Files that hold what nobody else may read.

use crate::CommandError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<(), CommandError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let candidate = Path::new(&name);
    let write = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(candidate);
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(candidate)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(candidate, path)
    };
    write().map_err(|error| {
        CommandError::system(format!("cannot write {}", path.display())).caused_by(&error)
    })
}
