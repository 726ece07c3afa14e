//! One lock per node, so that two controllers never change it at the same time.
//!
//! `flock` on a file under `/run`: the kernel lets go of it when the holder ends, however it ends.

use crate::Holder;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// A second controller waits this long for an agent that is finishing after its controller went
/// away; a controller that is really at work takes longer, and is named.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look again meanwhile.
const INTERVAL: Duration = Duration::from_millis(100);

/// The right to change this node; given back when dropped.
#[derive(Debug)]
pub struct NodeLock {
    // Held for its lock alone.
    _file: File,
}

/// Why the lock was not given.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody else has it; `None` when they did not say who they are.
    Busy(Option<Holder>),
    /// The lock file cannot be used.
    Io(std::io::Error),
}

impl From<std::io::Error> for LockError {
    fn from(error: std::io::Error) -> Self {
        LockError::Io(error)
    }
}

impl NodeLock {
    /// Takes the lock and writes down who holds it.
    pub(crate) async fn take(path: &Path, holder: &Holder) -> Result<Self, LockError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
                Err(std::fs::TryLockError::WouldBlock) => {}
            }
            if tokio::time::Instant::now() >= until {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                return Err(LockError::Busy(serde_json::from_str(&text).ok()));
            }
            tokio::time::sleep(INTERVAL).await;
        }
        let text = serde_json::to_string(holder).map_err(std::io::Error::other)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())?;
        Ok(Self { _file: file })
    }
}
