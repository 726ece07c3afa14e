//! The trip of the data as a library: load → check → facts → compile → observe → plan → lint → judge →
//! approve → execute → report.
//!
//! ```text
//!  whoever drives it (the binary, a console, a test)           the trip
//!  Context ── where, who, when, how nodes are reached ──►  plan ──► Proposal
//!          ◄─ Event* ───────────────────────────────────    │
//!  Approver ◄─ Question ── answer ─────────────────────►  apply (that very Proposal) ──► Applied
//!  Wishes ──── stop ───────────────────────────────────►    │
//! ```
//!
//! It never prints, asks a terminal, reads the environment, or ends the process; `clippy.toml` beside this
//! crate holds that. What is wrong is an [`Error`], and what happens meanwhile is an [`Event`].

mod apply;
mod approve;
mod assume;
mod authority;
mod compile;
mod context;
mod doors;
mod error;
mod etcd_birth;
mod etcd_port;
mod event;
mod execute;
mod health;
mod left_out;
mod plan;
mod private;
mod read;
mod removal;
mod remove;
mod review;
mod selection;
mod status;
mod stopped;
mod target;
mod trip;
mod words;

pub use apply::{Applied, ApplyRequest, apply};
pub use approve::{Approver, Question};
pub use context::{Clock, Context, Sink, Surroundings, Wishes};
pub use doors::OPTION as ALLOW_PUBLIC_PASSWORDS;
pub use error::{CommandError, Error, Kind};
pub use event::{Event, Work};
pub use plan::{PlanRequest, Proposal, plan};
pub use read::Read;
pub use remove::{Removal, RemovalRequest, Removed, plan_removal, remove};
pub use review::Reviewed;
pub use selection::{Choice, Restart};
pub use status::{Seen, StatusRequest, Watch};
pub use trip::Planned;
pub use words::counted;

/// The stations of the trip, for who gets off before its end: `check` after loading, `compile` before any
/// node is asked, `cert` at the authorities, `pg` with a plan that is looked at only.
pub mod stations {
    pub use crate::assume::assumed_facts;
    pub use crate::authority::{CA_DIRECTORY, Signer};
    pub use crate::compile::compile;
    pub use crate::private::write_private;
    pub use crate::read::{base_directory, checked, read};
    pub use crate::selection::Selection;
    pub use crate::trip::plan;
}

/// What the files of this crate call each other's steps by.
mod steps {
    pub(crate) use crate::approve::{Approval, approve, known_losses};
    pub(crate) use crate::authority::Signer;
    pub(crate) use crate::compile::{attempt, compile, templates};
    pub(crate) use crate::doors::PublicPasswords;
    pub(crate) use crate::etcd_birth::nobody_waits_for_etcd;
    pub(crate) use crate::etcd_port::etcd_keeps_its_port;
    pub(crate) use crate::execute::carry_out;
    pub(crate) use crate::health::{HealthCheck, known_clusters, not_into_the_sick, refusal};
    pub(crate) use crate::left_out::nobody_is_logged_out;
    pub(crate) use crate::read::{
        Read, base_directory, checked, digest_of, read, tell_what_is_missing,
    };
    pub(crate) use crate::removal;
    pub(crate) use crate::removal::still_allowed;
    pub(crate) use crate::selection::{Choice, Selection};
    pub(crate) use crate::stopped::not_the_wrong_leader;
    pub(crate) use crate::target::{complete, connect, connect_within, observe_facts, some_answer};
    pub(crate) use crate::trip::{Planned, plan};
}
