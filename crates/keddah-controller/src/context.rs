//! What a trip needs of whoever makes it: where the inventory is, who acts, what time it is, how nodes are
//! reached, and whom to tell and to ask.

use crate::{Approver, Event};
use keddah_fleet::{Agents, Stop};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Where events go. Called in the order in which things happen, and must not wait.
pub type Sink = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Asked once, right before the first change: from then on, whoever wants to stop says it there. Where the
/// other end is dropped, nobody will.
pub type Wishes = Arc<dyn Fn() -> watch::Receiver<Stop> + Send + Sync>;

/// What time it is.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn milliseconds(&self) -> i64;
}

/// The account and the machine that a trip is made from.
#[derive(Clone)]
pub struct Surroundings {
    /// The account's name: who holds the locks, and whose the controller's own files are.
    pub user: String,
    /// The name of the account's group.
    pub group: String,
    /// The machine's host name.
    pub host: String,
    /// The process that others find in a lock.
    pub pid: u32,
    /// Public keys of the account, which nodes may let in.
    pub public_keys: Vec<String>,
    /// A directory private to the account, gone after logout.
    pub runtime_directory: Option<PathBuf>,
    /// A configuration for ssh in place of the user's own.
    pub ssh_configuration: Option<PathBuf>,
    /// The program that has the agent in it, to be copied to nodes; `None` where it cannot be found.
    pub executable: Option<PathBuf>,
    /// Where a node keeps what it owes over a crash.
    pub state_directory: PathBuf,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Surroundings {
    /// Seconds since 1970-01-01 UTC.
    pub fn now(&self) -> i64 {
        self.milliseconds() / 1000
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn milliseconds(&self) -> i64 {
        self.clock.milliseconds()
    }
}

/// What a trip needs of whoever makes it.
#[derive(Clone)]
pub struct Context {
    /// The inventory's file. Where none is named, one of the usual names is looked for. `files/` and
    /// `templates/` are beside it.
    pub inventory: Option<PathBuf>,
    /// The account and the machine.
    pub environment: Surroundings,
    /// Whom to tell what happens.
    pub sink: Sink,
    /// Whom to ask; `None` where nobody is there to answer, and all has to be said beforehand.
    pub approver: Option<Arc<dyn Approver>>,
    /// How a wish to stop is heard.
    pub wishes: Wishes,
    /// Who answers in the place of nodes: machines in memory, or recorded answers.
    pub agents: Option<Arc<dyn Agents>>,
}

impl Context {
    /// Tells an event.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.sink)(event);
    }
}
