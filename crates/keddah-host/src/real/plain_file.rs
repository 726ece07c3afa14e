//! Files in directories that belong to another account: no link of it is followed, and nothing is waited for.

use crate::HostError;
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

/// So many bytes of a file at most, from its beginning; `None` where there is no plain file.
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn beginning(path: &Path, most: u64) -> Result<Option<Vec<u8>>, HostError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: OwnedFd = match openat(rustix::fs::CWD, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
        Err(error) => return Err(HostError::path("read", path, &error.into())),
    };
    let file = File::from(file);
    let failed = |error: std::io::Error| HostError::path("read", path, &error);
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}
