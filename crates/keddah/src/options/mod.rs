//! Options that several commands share, as the command line says them.

mod forks;
mod patience;
mod selection;

pub use forks::Forks;
pub use patience::PatienceArgs;
pub use selection::{RestartArg, SelectionArgs};
