//! What can go wrong with a sandbox, as precisely as a person needs to mend it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a sandbox could not do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Namespaces, mounts and containers need root.
    NotRoot,
    /// Programs of the machine are missing; `packages` are the Debian packages that bring them.
    MissingPrograms {
        /// The programs that were not found.
        programs: Vec<&'static str>,
        /// The packages that bring them.
        packages: Vec<&'static str>,
    },
    /// A program could not be started.
    Start {
        /// The program's name.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        output: String,
    },
    /// A file or directory could not be used.
    File {
        /// What was tried, such as "read".
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The machine's package sources name no Debian mirror, and none was given.
    NoMirror,
    /// A name that cannot be used for a sandbox.
    InvalidName {
        /// The name as given.
        name: String,
    },
    /// A number of nodes that the sandbox's network has no addresses for.
    InvalidNodeCount {
        /// The number as given.
        count: u8,
    },
    /// There is no sandbox of that name.
    NotFound {
        /// The name that was looked for.
        name: String,
        /// The sandboxes there are.
        others: Vec<String>,
    },
    /// A sandbox of that name exists already and is made differently.
    Exists {
        /// The sandbox's name.
        name: String,
        /// What it is made of.
        found: String,
    },
    /// The sandbox has no such node.
    UnknownNode {
        /// The node as asked for.
        node: String,
        /// The nodes there are.
        known: Vec<String>,
    },
    /// The node is not running.
    NotRunning {
        /// The node's name.
        node: String,
    },
    /// The node runs already.
    AlreadyRunning {
        /// The node's name.
        node: String,
    },
    /// The node ended while it booted.
    Died {
        /// The node's name.
        node: String,
        /// The last lines of its console.
        log: String,
    },
    /// Something did not happen in time.
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last lines of the node's console, if any.
        log: String,
    },
    /// A disk that a node cannot have.
    Disk {
        /// Why.
        message: String,
    },
    /// A fault that a node cannot have.
    Fault {
        /// Why.
        message: String,
    },
    /// The state file is not one of ours.
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A package's index entry is missing or malformed.
    PackageIndex {
        /// What was found.
        message: String,
    },
    /// Removing a sandbox left something behind.
    Remains {
        /// What is still there.
        remains: Vec<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot => write!(formatter, "a sandbox needs root: run this with sudo"),
            Self::MissingPrograms { programs, packages } => write!(
                formatter,
                "this machine has no {}; install with: apt-get install {}",
                programs.join(", "),
                packages.join(" ")
            ),
            Self::Start { program, .. } => write!(formatter, "cannot start {program}"),
            Self::Failed { command, status, output } => {
                write!(formatter, "`{command}` failed ({status})")?;
                if output.is_empty() { Ok(()) } else { write!(formatter, ":\n{output}") }
            }
            Self::File { action, path, .. } => {
                write!(formatter, "cannot {action} {}", path.display())
            }
            Self::NoMirror => write!(
                formatter,
                "this machine's package sources name no Debian mirror: give one with --mirror"
            ),
            Self::InvalidName { name } => write!(
                formatter,
                "\"{name}\" is no name for a sandbox: use up to 32 of a-z, 0-9 and \"-\", beginning with a letter"
            ),
            Self::InvalidNodeCount { count } => {
                write!(formatter, "a sandbox has 1 to 64 nodes, not {count}")
            }
            Self::NotFound { name, others } => {
                write!(formatter, "there is no sandbox named \"{name}\": ")?;
                match others.as_slice() {
                    [] => write!(formatter, "there is none at all; `keddah sandbox up` boots one"),
                    [one] => write!(formatter, "the only one is \"{one}\" (--name {one})"),
                    many => write!(formatter, "there are {} (--name)", many.join(", ")),
                }
            }
            Self::Exists { name, found } => write!(
                formatter,
                "a sandbox named \"{name}\" exists and has {found}: take it down first, or give another name"
            ),
            Self::UnknownNode { node, known } => {
                write!(formatter, "no node \"{node}\": there are {}", known.join(", "))
            }
            Self::NotRunning { node } => write!(formatter, "{node} is not running"),
            Self::AlreadyRunning { node } => write!(formatter, "{node} is running already"),
            Self::Died { node, log } => write!(formatter, "{node} ended while it booted:\n{log}"),
            Self::TimedOut { what, waited, log } => {
                write!(formatter, "{what} took more than {} seconds", waited.as_secs())?;
                if log.is_empty() { Ok(()) } else { write!(formatter, ":\n{log}") }
            }
            Self::Disk { message } | Self::Fault { message } => write!(formatter, "{message}"),
            Self::State { path, .. } => write!(formatter, "cannot understand {}", path.display()),
            Self::PackageIndex { message } => write!(formatter, "package index: {message}"),
            Self::Remains { remains } => {
                write!(formatter, "not everything could be removed: {}", remains.join("; "))
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start { source, .. } | Self::File { source, .. } => Some(source),
            Self::State { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Names the file that an input or output error is about.
pub(crate) trait FileContext<T> {
    /// Adds what was tried and on which path.
    fn on(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> FileContext<T> for std::io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { action, path: path.to_owned(), source })
    }
}

impl<T> FileContext<T> for rustix::io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(std::io::Error::from).on(action, path)
    }
}
