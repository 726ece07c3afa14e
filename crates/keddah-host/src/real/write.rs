//! Writes files so that a reader, or the next boot, sees the old content or the new, never a part.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes names that were added to or removed from a directory survive a power failure.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
