//! Errors as the user meets them, with those of the sandbox among them.

pub use keddah_controller::{CommandError, Error, Kind};
use std::error::Error as _;

/// What the sandbox says.
pub fn of_sandbox(error: keddah_sandbox::Error) -> CommandError {
    let mut message = CommandError::system(error.to_string());
    if let Some(cause) = error.source() {
        message = message.caused_by(cause);
    }
    message
}
