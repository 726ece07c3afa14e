//! The only place that prints: answers to standard output, everything else to standard error.

pub mod change;
pub mod compile;
pub mod diagnostic;
pub mod findings;
pub mod fold;
pub mod inventory;
pub mod params;
pub mod plan;
pub mod privileges;
pub mod progress;
pub mod report;
pub mod sandbox;
pub mod status;
pub mod theme;
pub mod trip;
#[cfg(test)]
mod view_tests;

use crate::cli::ColorChoice;
use crate::error::{CommandError, Kind};
pub use keddah_controller::counted;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use theme::{Meaning, Theme};

/// Where and how to print.
#[derive(Debug, Clone)]
pub struct Output {
    /// How answers look.
    pub stdout: Theme,
    /// How everything else looks.
    pub stderr: Theme,
    /// Characters of a line of standard output; a fixed number where it is no terminal.
    pub width: usize,
    json: bool,
    live: bool,
}

impl Output {
    /// Decides on colours, once.
    pub fn new(choice: ColorChoice, no_color: bool, json: bool) -> Self {
        let colored = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color,
        };
        let live = std::io::stderr().is_terminal();
        Self {
            stdout: Theme::new(colored(std::io::stdout().is_terminal())),
            stderr: Theme::new(colored(live)),
            width: width(),
            json,
            live,
        }
    }

    /// Whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether standard error is a terminal, on which lines can be drawn over.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Prints an answer. A reader that went away, as `head` does, is no error.
    pub fn answer(&self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// Prints an answer as JSON.
    pub fn data(&self, data: &impl serde::Serialize) {
        let text = serde_json::to_string_pretty(data)
            .expect("answers have only text, numbers, lists and maps with text keys");
        self.answer(&format!("{text}\n"));
    }

    /// Prints what is not the answer.
    pub fn status(&self, text: &str) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Prints a warning.
    pub fn warning(&self, text: &str) {
        let label = self.stderr.paint(Meaning::Warning, "warning:");
        self.status(&format!("{label} {text}\n"));
    }

    /// Prints an error with its causes, log and hints.
    pub fn error(&self, error: &CommandError) {
        self.status(&error_text(error, &self.stderr));
    }
}

fn error_text(error: &CommandError, theme: &Theme) -> String {
    let CommandError { kind, message, causes, log, hints } = error;
    let label = match kind {
        Kind::User | Kind::System => "error:",
        Kind::Internal => "internal error:",
    };
    let mut text = format!("{} {message}\n", theme.paint(Meaning::Error, label));
    for cause in causes {
        let _ = writeln!(text, "  {} {cause}", theme.paint(Meaning::Muted, "because:"));
    }
    for line in log {
        let _ = writeln!(text, "  {} {line}", theme.paint(Meaning::Muted, "|"));
    }
    for hint in hints {
        let _ = writeln!(text, "{} {hint}", theme.paint(Meaning::Hint, "hint:"));
    }
    if *kind == Kind::Internal {
        let hint = "this is a defect in keddah; please report it with what you did";
        let _ = writeln!(text, "{} {hint}", theme.paint(Meaning::Hint, "hint:"));
    }
    text
}

/// A line's width where nothing says how wide one is.
const USUAL_WIDTH: usize = 100;

/// The terminal's width, within what can be read; the same for all where there is none, so that
/// files and logs are alike everywhere.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH } else { columns.clamp(40, 160) }
}

/// A text as lines of at most so many characters, broken at blanks; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let own = word.chars().count();
        match lines.last_mut() {
            Some(line) if length + 1 + own <= width => {
                line.push(' ');
                line.push_str(word);
                length += 1 + own;
            }
            _ => {
                lines.push(word.to_owned());
                length = own;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_causes_and_hints() {
        let io = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "permission denied");
        let error = CommandError::user("cannot read the inventory keddah.yml")
            .caused_by(&io)
            .hint("check who owns it");
        insta::assert_snapshot!(error_text(&error, &Theme::new(false)), @r"
        error: cannot read the inventory keddah.yml
          because: permission denied
        hint: check who owns it
        ");
    }
}
