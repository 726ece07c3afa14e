//! One lock per node, so that two controllers never change it at the same time.
//!
//! `flock` on a file under `/run`: the kernel lets go of it when the holder ends, however it ends.

use crate::Holder;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// A second controller waits this long before it is told who is at work.
const PATIENCE: Duration = Duration::from_secs(3);

/// And this long for an agent whose controller went away, which finishes what it has begun: the
/// slowest single change is the installation of packages, or a base backup.
const FINISHING_PATIENCE: Duration = Duration::from_secs(600);

/// How often to look again meanwhile.
const INTERVAL: Duration = Duration::from_millis(100);

/// The right to change this node; given back when dropped.
#[derive(Debug)]
pub struct NodeLock {
    file: File,
    holder: Holder,
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
        let began = tokio::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
                Err(std::fs::TryLockError::WouldBlock) => {}
            }
            let present = holder_in(&mut file)?;
            let patience = match &present {
                Some(Holder { finishing: true, .. }) => FINISHING_PATIENCE,
                _ => PATIENCE,
            };
            if began.elapsed() >= patience {
                return Err(LockError::Busy(present));
            }
            tokio::time::sleep(INTERVAL).await;
        }
        let mut lock = Self { file, holder: holder.clone() };
        lock.write()?;
        Ok(lock)
    }

    /// Says that the controller went away, so that the next one waits.
    pub(crate) fn finishing(&mut self) -> std::io::Result<()> {
        self.holder.finishing = true;
        self.write()
    }

    fn write(&mut self) -> std::io::Result<()> {
        let text = serde_json::to_string(&self.holder).map_err(std::io::Error::other)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

/// Who has the lock of a node now; `None` when nobody has it. Never waits and takes nothing away: a
/// shared lock that is given is given back at once, and whoever takes the lock tries again.
pub(crate) fn holder(path: &Path) -> std::io::Result<Option<Holder>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(std::fs::TryLockError::WouldBlock) => holder_in(&mut file),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Who wrote the file; nothing while it is being written.
fn holder_in(file: &mut File) -> std::io::Result<Option<Holder>> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).ok())
}
