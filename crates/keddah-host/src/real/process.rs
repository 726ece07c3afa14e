//! The main process of a unit: how it was started, beside how its unit would start it now.

use crate::HostError;
use crate::command::Command;
use crate::masked::command_line;
use keddah_resource::kind::unit::{Process, Spec};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The command line of a process, without secrets; `None` of one that has ended.
pub(super) fn command_line_of(pid: &str) -> Option<Vec<String>> {
    let pid: u32 = pid.parse().ok().filter(|&pid| pid > 0)?;
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(command_line(text.split('\0').map(str::trim).filter(|word| !word.is_empty())))
}

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
    let fragment = Some(PathBuf::from(value("FragmentPath"))).filter(|path| path.is_absolute());
    let loaded = value("DropInPaths").split_whitespace().map(PathBuf::from);
    let drop_ins = drop_ins(loaded, &DROP_INS.map(|place| format!("{place}/{}.d", spec.unit)))?;
    let files: Vec<PathBuf> = fragment.into_iter().chain(drop_ins).collect();
    let started = started(value("ExecMainStartTimestamp"));
    let mut changed_since = false;
    let mut texts = Vec::new();
    for path in files {
        let failed = |error| HostError::path("read", &path, &error);
        match fs::metadata(&path) {
            Ok(about) => changed_since |= started.is_some_and(|started| about.mtime() > started),
            // Whoever has taken it away has changed the unit.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        }
        texts.push(fs::read_to_string(&path).map_err(failed)?);
    }
    let start = start_of(&texts);
    let start = changed_since.then(|| command_line(start.iter().map(String::as_str)));
    Ok(Some(Process { words, changed_start: start.filter(|start| !start.is_empty()) }))
}

/// Where drop-ins of units stand.
pub(super) const DROP_INS: [&str; 3] =
    ["/usr/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system"];

/// The drop-ins of a unit in the order in which they count, by name: those that systemd has loaded, and
/// those that it will load when it is told to look again.
pub(super) fn drop_ins(
    loaded: impl Iterator<Item = PathBuf>,
    places: &[String],
) -> Result<Vec<PathBuf>, HostError> {
    let mut found: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    let mut add = |path: PathBuf| {
        if let Some(name) = path.file_name() {
            found.insert(name.to_owned(), path);
        }
    };
    loaded.for_each(&mut add);
    for place in places {
        let failed = |error| HostError::path("read", Path::new(place), &error);
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "conf") {
                add(path);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Why a unit, as systemd has loaded it, would not start its process as declared: a restart would
/// interrupt whoever uses it, every time anew, and mend nothing; HAProxy, without the file that the other
/// one needs, would not even come back. Nobody can tell where a unit starts a script.
pub(super) async fn start_that_leads_elsewhere(
    spec: &Spec,
) -> Result<Option<HostError>, HostError> {
    let Some(started) = &spec.started else { return Ok(None) };
    let Some(shown) = shown(&spec.unit).await? else { return Ok(None) };
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default()
    };
    let Some(words) = command_line_of(value("MainPID")) else { return Ok(None) };
    let start = start_with_variables(&shown)?;
    let starts_it = start.first().is_some_and(|program| words.contains(program));
    let Some(absent) = started.absent(&start).filter(|_| starts_it) else { return Ok(None) };
    let line = command_line(start.iter().map(String::as_str)).join(" ");
    let message =
        format!("{} would start `{line}`, without {absent}: it is not restarted", spec.unit);
    let files = [value("FragmentPath"), value("DropInPaths")].join(" ");
    let hint =
        format!("somebody's change of the unit or its variables stands in the way; see {files}");
    Ok(Some(HostError::new(message).with_hint(hint)))
}

/// What systemd says of a unit's command; `None` where it does not run, or does not know the unit.
pub(super) async fn shown(unit: &str) -> Result<Option<String>, HostError> {
    let output = Command::new("systemctl")
        .asks("systemd")
        .args(["--no-ask-password", "show", "--property"])
        .arg("LoadState,MainPID,FragmentPath,DropInPaths,ExecStart,Environment,EnvironmentFiles")
        .args(["--", unit])
        .run()
        .await?;
    let loaded = output.stdout.lines().any(|line| line == "LoadState=loaded");
    Ok((output.code == 0 && loaded).then_some(output.stdout))
}

/// The words with which a unit starts its program, its variables put in.
pub(super) fn start_with_variables(shown: &str) -> Result<Vec<String>, HostError> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut command = "";
    let mut files = Vec::new();
    for (name, value) in shown.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "ExecStart" if command.is_empty() => {
                let rest = value.split_once("argv[]=").map_or("", |(_, rest)| rest);
                command = rest.split(" ; ").next().unwrap_or_default();
            }
            "Environment" => {
                let words = quoted_words(value);
                let pairs = words.iter().filter_map(|word| word.split_once('='));
                variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            "EnvironmentFiles" => files.extend(value.rsplit_once(" (").map(|(path, _)| path)),
            _ => {}
        }
    }
    // Files win over what the unit itself says (systemd.exec(5), `EnvironmentFile=`).
    for file in files {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(HostError::path("read", Path::new(file), &error)),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some((name, value)) = line.split_once('=') {
                let value = value.trim().trim_matches(['"', '\'']);
                variables.insert(name.trim().to_owned(), value.to_owned());
            }
        }
    }
    let mut words = Vec::new();
    for word in command.split_whitespace() {
        let whole = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match (whole, word.strip_prefix('$')) {
            (Some(name), _) => words.extend(variables.get(name).cloned()),
            (None, Some(name)) => {
                let value = variables.get(name).map(String::as_str).unwrap_or_default();
                words.extend(value.split_whitespace().map(str::to_owned));
            }
            (None, None) => words.push(word.to_owned()),
        }
    }
    Ok(words)
}

/// Words in which double quotes hold blanks together.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                words.last_mut().into_iter().for_each(|word| word.push(character));
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(character)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
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

    /// A restart of HAProxy without the file of its passwords would be its end.
    #[test]
    fn what_a_file_of_variables_says_wins_over_the_unit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# more\nEXTRAOPTS=\"-de -m 16\"\n").unwrap();
        let shown = |files: &str| {
            format!(
                "ExecStart={{ path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -f $CONFIG $EXTRAOPTS ; pid=0 }}\n\
                 Environment=CONFIG=/etc/haproxy/haproxy.cfg \"EXTRAOPTS=-f /etc/haproxy/auth.cfg\"\n{files}"
            )
        };
        let spec = Spec::running("haproxy.service")
            .started_with(&["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg"]);
        let started = spec.started.unwrap();
        let start = start_with_variables(&shown("")).unwrap();
        assert_eq!(started.absent(&start), None);
        let files = format!("EnvironmentFiles={} (ignore_errors=yes)\n", file.path().display());
        let start = start_with_variables(&shown(&files)).unwrap();
        assert_eq!(start[3..], ["-de", "-m", "16"]);
        assert_eq!(started.absent(&start).as_deref(), Some("/etc/haproxy/auth.cfg"));
    }

    #[test]
    fn drop_ins_that_systemd_has_not_read_yet_are_found() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["keddah.conf", "other.conf", "other.conf.old"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let place = directory.path().display().to_string();
        let loaded = [directory.path().join("keddah.conf"), PathBuf::from("/run/gone.conf")];
        let places = [place, "/nowhere/at/all".to_owned()];
        let found = drop_ins(loaded.into_iter(), &places).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["gone.conf", "keddah.conf", "other.conf"]);
    }

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
