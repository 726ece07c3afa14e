//! The steps that plan, apply and remove share, one function each, in the order of the trip.

mod authority;
mod compile;
mod execute;
mod read;
mod review;
mod selection;
mod target;

pub use authority::{CA_DIRECTORY, Signer};
pub use compile::compile;
pub use execute::{Approval, approve, carry_out};
pub use read::{Read, base_directory, checked, read, refuse};
pub use review::Reviewed;
pub use selection::{Selection, SelectionArgs};
pub use target::{complete, connect, observe_facts};
