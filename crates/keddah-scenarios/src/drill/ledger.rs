//! docs/drill.md: what trials have come to, the newest at the end.

use crate::failure::{Failure, Outcome};
use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// The ledger, from the repository's root.
const LEDGER: &str = "docs/drill.md";

/// One trial's line.
pub(super) struct Row {
    /// What was done.
    pub(super) what: String,
    /// What was seen.
    pub(super) measured: String,
    /// What must hold.
    pub(super) promise: String,
    /// Why it was not kept, or nothing.
    pub(super) kept: Option<String>,
}

impl Row {
    fn promise(&self) -> String {
        match &self.kept {
            None => format!("kept: {}", self.promise),
            Some(why) => format!("**not kept** ({why}): {}", self.promise),
        }
    }
}

/// What a cell may hold: one line, without the sign that ends it.
fn cell(text: &str) -> String {
    text.replace('|', "/").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// For the terminal.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | measured | promise |\n| --- | --- | --- |\n");
    for row in rows {
        let [what, measured, promise] =
            [&row.what, &row.measured, &row.promise()].map(|text| cell(text));
        let _ = writeln!(text, "| {what} | {measured} | {promise} |");
    }
    text
}

/// Adds lines to the ledger; returns where it is.
pub(super) fn append(rows: &[Row]) -> Outcome<PathBuf> {
    let here = std::env::current_dir()?;
    let path = here.ancestors().map(|up| up.join(LEDGER)).find(|path| path.is_file());
    let path = path.ok_or_else(|| {
        Failure::new(format!("{LEDGER} is not found from {} upwards", here.display()))
    })?;
    let (date, commit) = (said("date", &["-u", "+%F"]), commit());
    let mut file = std::fs::OpenOptions::new().append(true).open(&path)?;
    for row in rows {
        let [what, measured, promise] =
            [&row.what, &row.measured, &row.promise()].map(|text| cell(text));
        writeln!(file, "| {date} | {commit} | {what} | {measured} | {promise} |")?;
    }
    Ok(path)
}

/// The commit that is tried; marked where files differ from it.
fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
    if commit.is_empty() {
        // As the Makefile knows it: git refuses another user's checkout.
        return std::env::var("KEDDAH_COMMIT").unwrap_or_else(|_| "unknown".to_owned());
    }
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
    // The ledger itself may have lines already.
    let changed = changed.lines().any(|line| !line.ends_with(LEDGER));
    if changed { format!("{commit} and changes") } else { commit }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(cell("a | b\nc"), "a / b c");
        let row = Row {
            what: "x".into(),
            measured: "y".into(),
            promise: "z".into(),
            kept: Some("3 are lost".into()),
        };
        assert!(table(&[row]).ends_with("| x | y | **not kept** (3 are lost): z |\n"));
    }
}
