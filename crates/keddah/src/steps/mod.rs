//! The steps that plan, apply and remove share, one function each, in the order of the trip.

mod approve;
mod assume;
mod authority;
mod compile;
mod doors;
mod etcd_birth;
mod etcd_port;
mod execute;
mod forks;
mod health;
mod patience;
mod read;
mod removal;
mod review;
mod selection;
mod stopped;
mod target;
mod trip;

pub use approve::{Approval, approve, known_losses};
pub use assume::assumed_facts;
pub use authority::{CA_DIRECTORY, Signer};
pub use compile::{attempt, compile, templates};
pub use doors::{OPTION as ALLOW_PUBLIC_PASSWORDS, PublicPasswords};
pub use etcd_birth::nobody_waits_for_etcd;
pub use etcd_port::etcd_keeps_its_port;
pub use execute::carry_out;
pub use forks::Forks;
pub use health::{HealthCheck, foretell_the_refusal, known_clusters, not_into_the_sick};
pub use patience::PatienceArgs;
pub use read::{Read, base_directory, checked, digest_of, read, refuse, tell_what_is_missing};
pub use removal::still_allowed;
pub use review::Reviewed;
pub use selection::{Restart, Selection, SelectionArgs};
pub use stopped::not_the_wrong_leader;
pub use target::{complete, connect, connect_within, observe_facts, some_answer};
pub use trip::{Planned, plan};
