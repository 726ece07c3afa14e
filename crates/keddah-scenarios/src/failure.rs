//! Why a step failed, with the evidence a person needs to find the cause.

use std::fmt;

/// A broken expectation, or something that could not be done.
#[derive(Debug)]
pub struct Failure {
    /// What was expected and did not happen.
    pub message: String,
    /// What programs said.
    pub evidence: String,
}

/// What most things here return.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure without evidence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), evidence: String::new() }
    }

    /// Adds what was said or seen.
    #[must_use]
    pub fn with(mut self, evidence: impl fmt::Display) -> Self {
        if !self.evidence.is_empty() {
            self.evidence.push('\n');
        }
        self.evidence.push_str(&evidence.to_string());
        self
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Fails with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::failure::Failure::new(format!($($message)+)));
        }
    };
}
