//! Why something on a machine could not be seen or done, told so that a person can act on it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A failure on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostError {
    /// What failed and why, in one sentence.
    pub message: String,
    /// The last lines of the failing thing's own log.
    pub log: Vec<String>,
    /// What the person may do about it.
    pub hint: Option<String>,
}

impl HostError {
    /// A failure without log or hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), log: Vec::new(), hint: None }
    }

    /// A failed operation on a path: `cannot read /etc/x: Permission denied (os error 13)`.
    pub fn path(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Adds the last lines of a log; empty lines are left out.
    #[must_use]
    pub fn with_log(mut self, text: &str) -> Self {
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        self.log.extend(lines.map(str::to_owned));
        let surplus = self.log.len().saturating_sub(LOG_LINES);
        self.log.drain(..surplus);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Services say why they failed in their last few lines, and a report lists several nodes.
const LOG_LINES: usize = 15;

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for HostError {}
