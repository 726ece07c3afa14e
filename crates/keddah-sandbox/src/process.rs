//! Running the machine's own programs, with what they said when they fail.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// How many of the last lines are shown when a long command fails.
const LINES_KEPT: usize = 25;

/// A command with a locale that makes its messages the same everywhere, away from the caller's terminal.
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// The command line for messages.
fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| {
        let word = word.to_string_lossy();
        if word.contains('\n') { "…".to_owned() } else { word.into_owned() }
    }));
    words.join(" ")
}

fn start_error(command: &Command, source: std::io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

/// Runs to the end and returns what was written to standard output.
///
/// # Errors
/// [`Error::Start`], or [`Error::Failed`] with what was written to standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|source| start_error(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        command: describe(command),
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
    })
}

/// Runs to the end with `input` as standard input.
///
/// # Errors
/// As [`output`].
pub(crate) fn output_with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| start_error(command, source))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything says why by its own exit status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|source| start_error(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        command: describe(command),
        status: output.status,
        output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
    })
}

/// Runs to the end and hands over each line as it is written, to either stream.
///
/// # Errors
/// [`Error::Start`], or [`Error::Failed`] with the last lines.
pub(crate) fn stream(mut command: Command, on_line: &mut dyn FnMut(&str)) -> Result<()> {
    let name = describe(&command);
    let wrap = |source| Error::Start { program: name.clone(), source };
    let (reader, writer) = std::io::pipe().map_err(wrap)?;
    command.stdout(writer.try_clone().map_err(wrap)?).stderr(writer);
    let mut child = command.spawn().map_err(|source| start_error(&command, source))?;
    // The command holds the pipe's writing ends; while it lives, reading would never end.
    drop(command);
    let mut kept = VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(wrap)?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        on_line(&line);
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    let status = child.wait().map_err(wrap)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed { command: name, status, output: Vec::from(kept).join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let error = output(tool("sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("because"), "{error}");
    }

    #[test]
    fn both_streams_arrive_line_by_line() {
        let mut command = tool("sh");
        command.args(["-c", "echo one; echo two >&2"]);
        let mut lines = Vec::new();
        stream(command, &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(output_with_input(&mut tool("cat"), "text").unwrap(), "text");
    }
}
