//! The directory in which something is written, held open, so that nobody can lead root elsewhere.
//!
//! Some of the directories that Keddah writes in belong to ordinary accounts, such as `postgres`, and
//! whoever owns a directory may put a link in the place of any name in it. So a path is walked name by
//! name, links are followed only where root (or the account that runs this) has made them, and what
//! follows happens in the directory that was reached, whatever becomes of its name meanwhile
//! (openat(2), "Rationale for openat()").

use crate::HostError;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// As many links on one way as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What to do about a directory on the way that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is an error.
    Fails,
    /// It is made, for root to write and all to pass.
    IsMade,
}

/// What to do about a link at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLink {
    /// It is followed, as long as root has made it.
    IsFollowed,
    /// It is what is meant.
    IsMeant,
}

/// A name in a directory that is held open.
#[derive(Debug)]
pub(crate) struct Held {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Held {
    /// Walks to an absolute path. Whether anything stands at its end does not matter.
    ///
    /// # Errors
    /// When a directory on the way is missing, is none, or is reached by a link of an ordinary account.
    pub fn reach(path: &Path, missing: Missing, last: LastLink) -> Result<Self, HostError> {
        let failed = |error: Errno| HostError::path("reach", path, &io::Error::from(error));
        let root = || {
            rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        if !path.is_absolute() {
            return Err(HostError::new(format!("{} is no absolute path", path.display())));
        }
        let mut directory = root().map_err(failed)?;
        let mut reached = PathBuf::from("/");
        let mut open: VecDeque<OsString> = names(path).collect();
        let mut links = 0;
        while let Some(name) = open.pop_front() {
            let at_end = open.is_empty() && name != "..";
            let found = match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => Some(found),
                Err(Errno::NOENT) => None,
                Err(error) => return Err(failed(error)),
            };
            let link = found.filter(|found| {
                FileType::from_raw_mode(found.st_mode) == FileType::Symlink
                    && !(at_end && last == LastLink::IsMeant)
            });
            if let Some(link) = link {
                let here = reached.join(&name);
                if link.st_uid != 0 && link.st_uid != geteuid().as_raw() {
                    return Err(untrusted(&here));
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(HostError::new(format!(
                        "{} leads through too many symbolic links",
                        path.display()
                    )));
                }
                let target = readlinkat(&directory, &name, Vec::new()).map_err(failed)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    directory = root().map_err(failed)?;
                    reached = PathBuf::from("/");
                }
                for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                    open.push_front(name);
                }
                continue;
            }
            if at_end {
                return Ok(Self { directory, path: reached.join(&name), name });
            }
            if found.is_none() && missing == Missing::IsMade {
                match mkdirat(&directory, &name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            directory = openat(&directory, &name, flags, Mode::empty()).map_err(failed)?;
            if name == ".." {
                reached.pop();
            } else {
                reached.push(&name);
            }
        }
        Err(HostError::new(format!("{} names no file", path.display())))
    }

    /// A path to it through the open directory, for this process alone.
    pub fn here(&self) -> PathBuf {
        self.beside(&self.name)
    }

    /// The same for another name in the directory.
    pub fn beside(&self, name: &OsStr) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd())).join(name)
    }

    /// Its name in the directory.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Where it was found, without links: for people, and for other programs that only read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes names that were added to or removed from the directory survive a power failure.
    pub fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        File::from(openat(&self.directory, ".", flags, Mode::empty())?).sync_all()
    }
}

/// The names of a path, one after another; `.` and the root have none.
fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn untrusted(link: &Path) -> HostError {
    HostError::new(format!(
        "{} is a symbolic link that belongs to an ordinary account, and is not followed",
        link.display()
    ))
    .with_hint("remove the link, or make it belong to root (chown -h root)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    fn reach(path: &Path) -> Result<PathBuf, HostError> {
        let held = Held::reach(path, Missing::Fails, LastLink::IsFollowed)?;
        Ok(held.path().to_owned())
    }

    #[test]
    fn links_of_root_lead_on_wherever_they_stand() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/inner")).unwrap();
        symlink(base.join("real"), base.join("whole")).unwrap();
        symlink("../real/inner", base.join("real/up")).unwrap();
        assert_eq!(reach(&base.join("whole/up/file")).unwrap(), base.join("real/inner/file"));
        assert!(reach(&base.join("missing/file")).is_err());
        symlink("circle", base.join("circle")).unwrap();
        assert!(reach(&base.join("circle")).unwrap_err().message.contains("too many"));
        let meant = Held::reach(&base.join("whole"), Missing::Fails, LastLink::IsMeant).unwrap();
        assert_eq!(meant.path(), base.join("whole"));
    }

    #[test]
    fn links_of_ordinary_accounts_lead_nowhere() {
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::create_dir(&victim).unwrap();
        let swapped = directory.path().join("conf");
        symlink(&victim, &swapped).unwrap();
        lchown(&swapped, Some(65534), Some(65534)).unwrap();
        let refused = reach(&swapped.join("pg_hba.conf")).unwrap_err();
        assert!(refused.message.contains("ordinary account"), "{refused:?}");
        assert!(reach(&swapped).is_err(), "nor at the end");
    }

    #[test]
    fn what_is_held_stays_the_same_when_its_name_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let (conf, victim) = (directory.path().join("conf"), directory.path().join("victim"));
        fs::create_dir(&conf).unwrap();
        fs::create_dir(&victim).unwrap();
        let held = Held::reach(&conf.join("file"), Missing::Fails, LastLink::IsFollowed).unwrap();
        fs::rename(&conf, directory.path().join("moved")).unwrap();
        symlink(&victim, &conf).unwrap();
        fs::write(held.here(), "x").unwrap();
        held.sync().unwrap();
        assert!(directory.path().join("moved/file").exists());
        assert!(!victim.join("file").exists());
    }

    #[test]
    fn missing_directories_are_made_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        Held::reach(&path, Missing::IsMade, LastLink::IsFollowed).unwrap();
        assert!(directory.path().join("a/b").is_dir() && !path.exists());
    }
}
