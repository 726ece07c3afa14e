//! The main process of a unit: how it was started, beside how its unit would start it now.

use crate::HostError;
use crate::masked::command_line;
use keddah_resource::kind::unit::{Process, Spec};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The command line of a process, without secrets; `None` of one that has ended.
pub(super) fn command_line_of(pid: &str) -> Option<Vec<String>> {
    let pid: u32 = pid.parse().ok().filter(|&pid| pid > 0)?;
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(command_line(text.split('\0').map(str::trim).filter(|word| !word.is_empty())))
}

/// What `systemctl show` must be asked for, for [`process`].
pub(super) const PROPERTIES: &str = "MainPID,ExecMainStartTimestamp,FragmentPath,DropInPaths";

/// The process of a unit of which something is declared. It says nothing of one that does not run, or
/// that is no longer the one that was asked for.
pub(super) fn process(
    spec: &Spec,
    properties: &BTreeMap<&str, &str>,
) -> Result<Option<Process>, HostError> {
    let value = |name| properties.get(name).copied().unwrap_or_default();
    if spec.started.is_none() {
        return Ok(None);
    }
    let Some(words) = command_line_of(value("MainPID")) else { return Ok(None) };
    let fragment = Some(value("FragmentPath")).filter(|path| !path.is_empty());
    let files: Vec<&str> =
        fragment.into_iter().chain(value("DropInPaths").split_whitespace()).collect();
    let started = started(value("ExecMainStartTimestamp"));
    let mut changed_since = false;
    let mut texts = Vec::new();
    for file in files {
        let path = Path::new(file);
        let failed = |error| HostError::path("read", path, &error);
        match fs::metadata(path) {
            Ok(about) => changed_since |= started.is_some_and(|started| about.mtime() > started),
            // Whoever has taken it away has changed the unit.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        }
        texts.push(fs::read_to_string(path).map_err(failed)?);
    }
    let start = start_of(&texts);
    let start = changed_since.then(|| command_line(start.iter().map(String::as_str)));
    Ok(Some(Process { words, changed_start: start.filter(|start| !start.is_empty()) }))
}

/// Why a unit, as its files are, would not start its process as declared: a restart would interrupt
/// whoever uses it, every time anew, and mend nothing. Nobody can tell where it starts a script.
pub(super) fn start_that_leads_elsewhere(
    spec: &Spec,
    properties: &BTreeMap<&str, &str>,
) -> Result<Option<HostError>, HostError> {
    let value = |name| properties.get(name).copied().unwrap_or_default();
    let Some(started) = &spec.started else { return Ok(None) };
    let Some(words) = command_line_of(value("MainPID")) else { return Ok(None) };
    let files: Vec<&str> = std::iter::once(value("FragmentPath"))
        .chain(value("DropInPaths").split_whitespace())
        .filter(|path| !path.is_empty())
        .collect();
    let mut texts = Vec::new();
    for file in &files {
        let read = fs::read_to_string(file);
        texts.push(read.map_err(|error| HostError::path("read", Path::new(file), &error))?);
    }
    let start = start_of(&texts);
    let is_literal = !start.iter().any(|word| word.contains(['$', '%', '"', '\'']));
    let starts_it = start.first().is_some_and(|program| words.contains(program));
    let absent = started.with.iter().find(|path| !start.iter().any(|word| word.contains(*path)));
    let Some(absent) = absent.filter(|_| is_literal && starts_it) else { return Ok(None) };
    let shown = command_line(start.iter().map(String::as_str)).join(" ");
    let message =
        format!("{} would start `{shown}`, without {absent}: it is not restarted", spec.unit);
    let hint = format!("somebody's change of the unit stands in the way; see {}", files.join(", "));
    Ok(Some(HostError::new(message).with_hint(hint)))
}

/// Reads `@1732700000`, which systemd tells with `--timestamp=unix`.
fn started(timestamp: &str) -> Option<i64> {
    timestamp.strip_prefix('@')?.parse().ok()
}

/// The words of the command that a unit's files name, the last of them winning (systemd.service(5),
/// `ExecStart=`: an empty one takes back what was said before). Read from the files, because systemd
/// itself may not have read them again yet.
fn start_of(texts: &[String]) -> Vec<String> {
    let mut start = Vec::new();
    for text in texts {
        let text = text.replace("\\\n", " ");
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            } else if let Some(command) = line.strip_prefix("ExecStart=")
                && section == "[Service]"
            {
                start = command.split_whitespace().map(str::to_owned).collect();
            }
        }
    }
    // What stands before the path says how it is called (systemd.service(5), "special executable
    // prefixes").
    if let Some(first) = start.first_mut() {
        *first = first.trim_start_matches(['@', '-', ':', '+', '!', '|']).to_owned();
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_start_command_of_a_unit_s_files_counts() {
        let unit =
            "[Unit]\nExecStart=no\n[Service]\nExecStart=/usr/bin/patroni /etc/patroni/config.yml\n";
        let drop_in =
            "[Service]\nExecStart=\nExecStart=!/usr/bin/patroni \\\n  /etc/patroni/conf.d\n";
        let texts = [unit, drop_in].map(str::to_owned);
        assert_eq!(start_of(&texts[..1]), ["/usr/bin/patroni", "/etc/patroni/config.yml"]);
        assert_eq!(start_of(&texts), ["/usr/bin/patroni", "/etc/patroni/conf.d"]);
        assert_eq!(started("@1732700000"), Some(1_732_700_000));
        assert_eq!(started(""), None);
    }
}
