//! Many machines at once: reaching them, talking to them, and carrying out a plan on all of them.
//!
//! ```text
//!  controller                                         node
//!  Fleet ── Session ── frames over stdin/stdout ── agent::serve ── Host
//!    │         (ssh, sudo, or a pipe in this process)     │
//!  execute(Plan) ── Event* ──►                        one lock per node
//! ```
//!
//! Nothing stays running on a node: the agent is this very program, started for one conversation,
//! and it ends when the conversation does.

pub mod agent;
mod arrivals;
mod bootstrap;
mod converge;
mod execute;
mod fleet;
mod frame;
mod limits;
mod lock;
pub mod pki;
mod places;
mod protocol;
mod queue;
#[cfg(test)]
mod queue_tests;
mod session;
mod shell;
mod transport;
#[cfg(test)]
mod transport_tests;

pub use arrivals::Arrivals;
pub use execute::{ExecuteError, Execution, Stop, execute};
pub use fleet::{FirstAnswers, FirstQuestions, Fleet, Told};
pub use frame::{FrameError, MAXIMUM_FRAME};
pub use limits::{LOOKING, Limits, nodes_part};
pub use lock::NodeLock;
pub use places::{FORKS, Places};
pub use protocol::{Holder, PROTOCOL};
pub use session::{Session, SessionError};
pub use shell::{quote, split};
pub use transport::{Agents, Become, Controller, SshTarget, Target};
