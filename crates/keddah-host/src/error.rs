//! Why something on a machine could not be seen or done, told so that a person can act on it.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;
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

    /// Adds the last lines of a log. Empty lines are left out, and of lines that differ in numbers
    /// alone, as times and process numbers do, all but the last: a service that is started again and
    /// again says the same each time. Whatever is quoted of a configuration is told without passwords.
    #[must_use]
    pub fn with_log(mut self, text: &str) -> Self {
        let said = crate::masked::said(text);
        let lines = said.lines().map(str::trim_end).filter(|line| !line.is_empty());
        self.log.extend(lines.map(str::to_owned));
        let mut seen = HashSet::new();
        let mut kept: Vec<String> =
            self.log.drain(..).rev().filter(|line| seen.insert(without_numbers(line))).collect();
        kept.reverse();
        self.log = kept;
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

/// A line with every run of digits as one.
fn without_numbers(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        let character = if character.is_ascii_digit() { '0' } else { character };
        if character != '0' || !text.ends_with('0') {
            text.push(character);
        }
    }
    text
}

/// Services say why they failed in their last few lines, and a report lists several nodes.
const LOG_LINES: usize = 15;

impl fmt::Display for HostError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_is_started_again_and_again_is_quoted_once() {
        let log = "x.service: Main process exited\n\
                   [ALERT] (101) : cannot bind port 5433\n\
                   x.service: Scheduled restart job, restart counter is at 1.\n\n\
                   [ALERT] (1017) : cannot bind port 5433\n\
                   x.service: Scheduled restart job, restart counter is at 12.\n\
                   x.service: Start request repeated too quickly.\n";
        let error = HostError::new("x.service did not start").with_log(log);
        assert_eq!(
            error.log,
            [
                "x.service: Main process exited",
                "[ALERT] (1017) : cannot bind port 5433",
                "x.service: Scheduled restart job, restart counter is at 12.",
                "x.service: Start request repeated too quickly.",
            ]
        );
    }
}
