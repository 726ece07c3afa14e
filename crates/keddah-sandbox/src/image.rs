//! The images that nodes boot from, and the repository that bare nodes install from: built once,
//! cached, found again by what they are made of.

mod apt;
mod recipe;
mod repository;

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{FileContext, Result};
use crate::image::apt::Mirror;
use crate::lock::Lock;
use crate::process::{stream, tool};
use crate::requirements::KEYRING;

/// A Debian release that nodes can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Debian 13, with PostgreSQL 17.
    Trixie,
    /// Debian 12, with PostgreSQL 15.
    Bookworm,
}

/// Which packages an image contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    /// A minimal Debian with systemd and sshd; everything else comes from the sandbox's repository.
    Bare,
    /// All packages are installed, and none of their services is enabled or has run.
    Warm,
}

/// A word that names no suite or no kind of image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord {
    word: String,
    known: &'static str,
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\" is not one of {}", self.word, self.known)
    }
}

impl std::error::Error for UnknownWord {}

impl fmt::Display for Suite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        })
    }
}

impl FromStr for Suite {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "trixie" => Ok(Self::Trixie),
            "bookworm" => Ok(Self::Bookworm),
            _ => Err(UnknownWord { word: word.into(), known: "trixie, bookworm" }),
        }
    }
}

impl fmt::Display for ImageKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bare => "bare",
            Self::Warm => "warm",
        })
    }
}

impl FromStr for ImageKind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "bare" => Ok(Self::Bare),
            "warm" => Ok(Self::Warm),
            _ => Err(UnknownWord { word: word.into(), known: "bare, warm" }),
        }
    }
}

/// What happens while images are built and nodes boot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Something that is cached from now on is being built, such as "the bare image of trixie".
    Building {
        /// What.
        what: String,
    },
    /// A line from the programs that build it.
    BuildLine {
        /// The line.
        line: String,
    },
    /// It is ready.
    Built {
        /// What.
        what: String,
    },
    /// A node is being switched on.
    Booting {
        /// The node's name.
        node: String,
    },
    /// A node has booted and answers.
    Ready {
        /// The node's name.
        node: String,
    },
}

/// What nodes are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The root file system, to be used as the lower layer of an overlay and never written to.
    pub root: PathBuf,
    /// The package repository that fits it: `dists` and `pool`.
    pub repository: PathBuf,
}

/// Finds the image and its repository in the cache, or builds what is missing.
///
/// What is there is taken as it is: an image is a snapshot of the mirror at the time it was built.
///
/// # Errors
/// The machine names no mirror and `mirror` is none, or a step of the build fails.
pub fn ensure_image(
    cache: &Path,
    suite: Suite,
    kind: ImageKind,
    mirror: Option<&str>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Image> {
    let bare_key = recipe::bare_key(suite);
    let bare = Entry { cache, suite, kind: "bare", key: &bare_key };
    bare.ensure(progress, |draft, on_line| {
        let mirror = Mirror::find(mirror)?;
        build_bare(&draft.join("rootfs"), suite, &mirror, on_line)
    })?;
    let bare_root = bare.path().join("rootfs");

    let repository_key = recipe::repository_key(suite);
    let repository = Entry { cache, suite, kind: "repository", key: &repository_key };
    repository.ensure(progress, |draft, on_line| {
        let mirror = Mirror::find(mirror)?;
        repository::build(draft, &bare_root, suite, &mirror, on_line)
    })?;

    let root = match kind {
        ImageKind::Bare => bare_root,
        ImageKind::Warm => {
            let warm_key = recipe::warm_key(suite);
            let warm = Entry { cache, suite, kind: "warm", key: &warm_key };
            warm.ensure(progress, |draft, on_line| {
                build_warm(&draft.join("rootfs"), &bare_root, &repository.path(), suite, on_line)
            })?;
            warm.path().join("rootfs")
        }
    };
    Ok(Image { root, repository: repository.path() })
}

/// One directory of the cache.
struct Entry<'a> {
    cache: &'a Path,
    suite: Suite,
    kind: &'static str,
    key: &'a str,
}

impl Entry<'_> {
    fn path(&self) -> PathBuf {
        self.cache.join(format!("{}-{}-{}", self.suite, self.kind, self.key))
    }

    /// Builds the entry unless it is there: in a draft directory that becomes the entry in one step.
    fn ensure(
        &self,
        progress: &(dyn Fn(Progress) + Sync),
        build: impl FnOnce(&Path, &mut dyn FnMut(&str)) -> Result<()>,
    ) -> Result<()> {
        let path = self.path();
        if path.exists() {
            return Ok(());
        }
        fs::create_dir_all(self.cache).on("create", self.cache)?;
        // Old programs that run as root on request lie in there; no other user may reach them.
        fs::set_permissions(self.cache, fs::Permissions::from_mode(0o700))
            .on("protect", self.cache)?;
        let name = format!("{}-{}", self.suite, self.kind);
        let _lock = Lock::acquire(&self.cache.join(format!(".{name}.lock")))?;
        if path.exists() {
            return Ok(());
        }
        let what = match self.kind {
            "repository" => format!("the package repository of {}", self.suite),
            kind => format!("the {kind} image of {}", self.suite),
        };
        progress(Progress::Building { what: what.clone() });
        let draft = self.cache.join(format!(".{name}.draft"));
        if draft.exists() {
            // Left by a build that was cut short; its programs ended with it (see `isolated`).
            fs::remove_dir_all(&draft).on("remove", &draft)?;
        }
        fs::create_dir(&draft).on("create", &draft)?;
        build(&draft, &mut |line| progress(Progress::BuildLine { line: line.into() }))?;
        fs::rename(&draft, &path).on("put in place", &path)?;
        progress(Progress::Built { what });
        Ok(())
    }
}

/// A shell script in mount and process namespaces of its own: whatever ends this process ends the
/// script's processes and mounts too.
fn isolated(script: &str, name: &str) -> Command {
    let mut command = tool("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
    command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
    command.args(["sh", "-c", script, name]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn build_bare(
    root: &Path,
    suite: Suite,
    mirror: &Mirror,
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut command = isolated(recipe::BARE_SCRIPT, "build-bare");
    command.arg(root).arg(suite.to_string()).args([
        mirror.main.as_str(),
        KEYRING,
        &recipe::BARE_PACKAGES.join(","),
    ]);
    if let Some(proxy) = &mirror.proxy {
        command.env("http_proxy", proxy).env("https_proxy", proxy);
    }
    stream(command, on_line)
}

fn build_warm(
    root: &Path,
    bare: &Path,
    repository: &Path,
    suite: Suite,
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut command = isolated(recipe::WARM_SCRIPT, "build-warm");
    command.arg(root).arg(bare).arg(repository).arg(suite.to_string());
    command.args(recipe::packages(suite));
    stream(command, on_line)
}
