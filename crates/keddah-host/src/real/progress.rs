//! Whether an instance that is being made gets on: a clone of a large cluster takes hours, and one that
//! stands still none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most that was seen of an instance that is being made. Less than that is no progress: whoever
/// begins again and again would never be given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes that its data takes on disk.
    pub bytes: u64,
    /// How far WAL has been received, in bytes.
    pub received: u64,
    /// How far WAL has been replayed, in bytes.
    pub replayed: u64,
}

impl Progress {
    /// Takes what is more than before, and says whether anything is.
    pub fn grows(&mut self, now: Self) -> bool {
        let most = Self {
            bytes: self.bytes.max(now.bytes),
            received: self.received.max(now.received),
            replayed: self.replayed.max(now.replayed),
        };
        std::mem::replace(self, most) != most
    }
}

/// Bytes that the files below a directory take on disk. What cannot be read counts nothing: files come
/// and go while a server is being made.
pub(super) fn bytes_below(directory: &Path) -> u64 {
    let mut open: Vec<PathBuf> = vec![directory.to_owned()];
    let mut bytes = 0;
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(about) = entry.metadata() else { continue };
            bytes += about.blocks() * 512;
            if about.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_ever_before_is_progress() {
        let at = |bytes, replayed| Progress { bytes, replayed, received: 0 };
        let mut progress = Progress::default();
        assert!(progress.grows(at(100, 0)));
        assert!(!progress.grows(at(100, 0)), "it stands still");
        assert!(!progress.grows(at(20, 0)), "it begins again");
        assert!(!progress.grows(at(100, 0)), "and comes as far as before");
        assert!(progress.grows(at(20, 5)), "it replays");
        assert!(progress.grows(at(101, 5)));
    }

    #[test]
    fn files_below_are_counted_as_they_lie_on_the_disk() {
        let scratch = tempfile::tempdir().unwrap();
        let below = scratch.path().join("base/1");
        fs::create_dir_all(&below).unwrap();
        let before = bytes_below(scratch.path());
        fs::write(below.join("1"), vec![1; 1 << 20]).unwrap();
        assert!(bytes_below(scratch.path()) >= before + (1 << 20));
        assert_eq!(bytes_below(Path::new("/nowhere")), 0);
    }
}
