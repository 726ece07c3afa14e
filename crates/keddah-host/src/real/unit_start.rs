//! What a unit's next start is told by its files, its variables and systemd itself, beside what Keddah has
//! written. The files are read, because systemd may not have read them again yet; whoever restarts it then
//! has it do so.

use super::process::{DROP_INS, drop_ins};
use crate::HostError;
use crate::command::Command;
use crate::masked::command_line;
use keddah_resource::{Effect, ForeignSetting, OwnSettings, Start, Told};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where units of packages stand.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system/", "/lib/systemd/system/"];

/// Where units stand that take the place of a package's, the first of them winning (systemd.unit(5)).
const BEFORE_PACKAGED: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// Directives that show a program other files than the machine's, or run something before it (systemd.exec(5),
/// "Paths", "Sandboxing"; systemd.service(5)): what it finds in its directories is then not known.
const SURROUNDINGS: [&str; 17] = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DynamicUser",
    "ExecCondition",
    "ExecStartPre",
    "ExtensionDirectories",
    "ExtensionImages",
    "InaccessiblePaths",
    "MountImages",
    "Group",
    "ReadOnlyPaths",
    "RootDirectory",
    "RootImage",
    "StateDirectory",
    "TemporaryFileSystem",
    "User",
    "WorkingDirectory",
];

/// What systemd itself gives to every process (`systemctl set-environment`, `DefaultEnvironment=`).
const MANAGER: &str = "systemctl show-environment";

/// What a unit's next start would be told, and its process was told, that Keddah has not written; secrets
/// masked. Nothing of a unit that systemd does not know.
pub(super) async fn foreign(own: &OwnSettings) -> Result<Vec<ForeignSetting>, HostError> {
    let asks = |words: &[&str]| {
        Command::new("systemctl").asks("systemd").arg("--no-ask-password").args(words)
    };
    let properties = "LoadState,MainPID,FragmentPath,DropInPaths";
    let (shown, manager) =
        (asks(&["show", "--property", properties, "--", &own.unit]), asks(&["show-environment"]));
    let (shown, manager) = tokio::join!(shown.succeed(), manager.succeed());
    let (shown, manager) = (shown?, manager?);
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default()
    };
    if value("LoadState") != "loaded" {
        return Ok(Vec::new());
    }
    let unit = own.unit.as_str();
    let mut instead = BEFORE_PACKAGED.iter().map(|place| Path::new(place).join(unit));
    let fragment =
        instead.find(|path| path.exists()).unwrap_or_else(|| value("FragmentPath").into());
    let loaded = value("DropInPaths").split_whitespace().map(PathBuf::from);
    let drop_ins = drop_ins(loaded, &DROP_INS.map(|place| format!("{place}/{unit}.d")))?;
    let mut texts = Vec::new();
    for path in std::iter::once(fragment).chain(drop_ins) {
        if let Some(text) = read(&path)? {
            texts.push((path.display().to_string(), text));
        }
    }
    let mut start = Unit::of(&texts, unit).start(&own.prefix, &manager, read)?;
    start.running = running(value("MainPID"), &own.prefix);
    Ok(own.foreign(&start).into_iter().map(masked).collect())
}

/// Why a unit must not be started as its files are: it would not be the declared one, or not even itself.
pub(super) async fn refused(own: &OwnSettings) -> Result<Option<HostError>, HostError> {
    let mut found = foreign(own).await?;
    found.retain(|one| one.effect != Effect::UntilRestart);
    if found.is_empty() {
        return Ok(None);
    }
    let words: Vec<String> = found.iter().map(ForeignSetting::in_words).collect();
    let not_itself = found.iter().any(|one| one.effect == Effect::NotItself);
    let why = if not_itself { ", and would not be the member that it is" } else { "" };
    let message = format!(
        "{} is not started: it would have what nobody declared, {}{why}",
        own.unit,
        words.join(", ")
    );
    let hint = "take that away where it stands, then `systemctl daemon-reload`, and apply again; what shall \
                stay belongs into the template of its file, beside the inventory";
    Ok(Some(HostError::new(message).with_hint(hint)))
}

fn read(path: &Path) -> Result<Option<String>, HostError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// A setting that may be shown.
fn masked(mut setting: ForeignSetting) -> ForeignSetting {
    let name = setting.name.trim_start_matches('-').replace('_', "-");
    if let Some(value) = &setting.value {
        let option = format!("--{name}={value}");
        let shown = command_line(std::iter::once(option.as_str())).concat();
        setting.value = shown.split_once('=').map(|(_, value)| value.to_owned());
    }
    setting
}

/// What a process was told: its program's variables, and its options.
fn running(
    pid: &str,
    prefix: &str,
) -> Option<(BTreeMap<String, String>, BTreeMap<String, String>)> {
    let pid: u32 = pid.parse().ok().filter(|&pid| pid > 0)?;
    let split = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(text.split('\0').map(str::to_owned).collect::<Vec<_>>())
    };
    let variables = split("environ")?;
    let variables = variables.iter().filter_map(|pair| pair.split_once('='));
    let variables = variables
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let words = split("cmdline")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some((variables.collect(), options(&words).into_iter().collect()))
}

/// Options and their values: `--data-dir=/x`, `-data-dir /x`, `--force-new-cluster` (Go's `flag`).
fn options(words: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let name = word.trim_start_matches('-');
        if name.is_empty() || name.len() == word.len() {
            continue;
        }
        let next = words.get(at + 1).filter(|next| !next.starts_with('-') && !next.is_empty());
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value),
            None => (name, next.copied().unwrap_or("true")),
        };
        found.push((name.to_owned(), value.to_owned()));
    }
    found
}

/// What a unit's files say of its start, each with the file that says it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    variables: Vec<(String, Told)>,
    files: Vec<String>,
    unset: Vec<Told>,
    command: Option<Told>,
    surroundings: Vec<(String, Told)>,
}

impl Unit {
    /// Reads a unit and its drop-ins, in the order in which they count. An empty value takes back what was
    /// said before (systemd.exec(5), systemd.service(5)).
    fn of(texts: &[(String, String)], unit: &str) -> Self {
        let mut found = Self::default();
        for (place, text) in texts {
            let packaged = PACKAGED.iter().any(|packaged| place.starts_with(packaged));
            let told = |value: &str| {
                let (value, place) = (value.to_owned(), place.clone());
                Told { value, place, packaged }
            };
            let text = text.replace("\\\n", " ");
            let mut section = "";
            for line in text.lines().map(str::trim) {
                if line.starts_with('[') {
                    section = line;
                }
                let Some((name, value)) = line.split_once('=') else { continue };
                if section != "[Service]" || line.starts_with(['#', ';']) {
                    continue;
                }
                let value = value.trim();
                match name.trim() {
                    "Environment" if value.is_empty() => found.variables.clear(),
                    "Environment" => {
                        for word in quoted(value) {
                            if let Some((name, value)) = word.split_once('=') {
                                found.variables.push((name.to_owned(), told(value)));
                            }
                        }
                    }
                    "EnvironmentFile" if value.is_empty() => found.files.clear(),
                    "EnvironmentFile" => {
                        let path = value.strip_prefix('-').unwrap_or(value);
                        found.files.push(specified(path, unit));
                    }
                    "UnsetEnvironment" if value.is_empty() => found.unset.clear(),
                    "UnsetEnvironment" => {
                        found.unset.extend(quoted(value).iter().map(|it| told(it)))
                    }
                    "ExecStart" if value.is_empty() => found.command = None,
                    "ExecStart" => found.command = Some(told(value)),
                    name if SURROUNDINGS.contains(&name) && value.is_empty() => {
                        found.surroundings.retain(|(other, _)| other != name);
                    }
                    name if SURROUNDINGS.contains(&name) => {
                        found.surroundings.push((name.to_owned(), told(value)));
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// What counts of it: files win over the unit's own words, and these over systemd's own.
    fn start(
        &self,
        prefix: &str,
        manager: &str,
        read: impl Fn(&Path) -> Result<Option<String>, HostError>,
    ) -> Result<Start, HostError> {
        let mut all: BTreeMap<String, Told> = BTreeMap::new();
        for (name, value) in assignments(manager) {
            let place = MANAGER.to_owned();
            all.insert(name, Told { value, place, packaged: false });
        }
        all.extend(self.variables.iter().cloned());
        for file in &self.files {
            let text = read(Path::new(file))?.unwrap_or_default();
            for (name, value) in assignments(&text) {
                all.insert(name, Told { value, place: file.clone(), packaged: false });
            }
        }
        for unset in &self.unset {
            // A name, or a name with the value that it must have.
            let (name, of_value) = match unset.value.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (unset.value.as_str(), None),
            };
            let goes = all.get(name).is_some_and(|it| of_value.is_none_or(|of| of == it.value));
            if goes {
                all.remove(name);
            }
        }
        let mut found = Vec::new();
        let mut runs = None;
        if let Some(command) = &self.command {
            let program = command.value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
            let first = quoted(program).into_iter().next().unwrap_or_default();
            runs = Some(Told { value: first, ..command.clone() });
            // Each word with where it comes from.
            let mut words: Vec<(String, &Told)> = Vec::new();
            for word in quoted(program) {
                let whole = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
                match (whole, word.strip_prefix('$')) {
                    (Some(name), _) => {
                        words.extend(all.get(name).map(|told| (told.value.clone(), told)));
                    }
                    (None, Some(name)) => {
                        if let Some(told) = all.get(name) {
                            words.extend(quoted(&told.value).into_iter().map(|it| (it, told)));
                        }
                    }
                    (None, None) => words.push((word, command)),
                }
            }
            for (at, (_, told)) in words.iter().enumerate() {
                // One at a time, with the word behind it, which may be its value.
                let pair: Vec<&str> =
                    words.iter().skip(at).take(2).map(|(word, _)| word.as_str()).collect();
                if let Some((name, value)) = options(&pair).into_iter().next()
                    && pair[0].starts_with('-')
                {
                    found.push((name, Told { value, ..(*told).clone() }));
                }
            }
        }
        let unset = self.unset.iter().filter(|told| told.value.starts_with(prefix)).cloned();
        all.retain(|name, _| name.starts_with(prefix));
        Ok(Start {
            variables: all,
            options: found,
            unset: unset.collect(),
            program: runs,
            surroundings: self.surroundings.clone(),
            running: None,
        })
    }
}

/// `%p` and its like in a path (systemd.unit(5), "Specifiers"), as far as they depend on the unit's name alone.
fn specified(path: &str, unit: &str) -> String {
    let name = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
    path.replace("%p", name).replace("%N", name).replace("%n", unit)
}

/// The lines of a file of variables (systemd.exec(5), `EnvironmentFile=`).
fn assignments(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\\\n", "");
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| {
            let value = value.trim();
            // systemctl shows what is not plain as the shell's `$'…'`.
            let value = value.strip_prefix('$').filter(|it| it.starts_with('\'')).unwrap_or(value);
            (name.trim().to_owned(), value.trim_matches(['"', '\'']).to_owned())
        })
        .collect()
}

/// Words that quotes hold together (systemd.syntax(7), "Quoting").
fn quoted(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let (mut quote, mut escaped) = (None, false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                word.get_or_insert_default().push(character);
            }
            '\\' => escaped = true,
            _ if quote == Some(character) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            _ if quote.is_none() && character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGE: &str = "/usr/lib/systemd/system/etcd.service";

    /// Debian's own unit.
    const DEBIAN: &str = "[Unit]\nDescription=etcd\n[Service]\nEnvironment=DAEMON_ARGS=\n\
                          Environment=ETCD_NAME=%H\nEnvironment=ETCD_DATA_DIR=/var/lib/etcd/default\n\
                          EnvironmentFile=-/etc/default/%p\nExecStart=/usr/bin/etcd $DAEMON_ARGS\n";

    const OWN: &str = "# Written by Keddah\nETCD_NAME=etcd-1\nETCD_DATA_DIR=/data/etcd\n";

    /// Who is told what by the package, Keddah's drop-in, another one, and the file of variables.
    fn found(another: &str, variables: &str, manager: &str) -> Start {
        let texts = [
            (PACKAGE, DEBIAN),
            (
                "/etc/systemd/system/etcd.service.d/keddah.conf",
                "[Service]\nEnvironmentFile=-/gone\n",
            ),
            ("/run/systemd/system/etcd.service.d/x.conf", another),
        ];
        let texts = texts.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let read = |path: &Path| match path.to_str() {
            Some("/etc/default/etcd") => Ok(Some(variables.to_owned())),
            Some("/etc/more") => Ok(Some("ETCD_DATA_DIR='/more'\n".to_owned())),
            _ => Ok(None),
        };
        Unit::of(&texts, "etcd.service").start("ETCD_", manager, read).expect("it is read")
    }

    fn value<'a>(start: &'a Start, name: &str) -> Option<(&'a str, &'a str)> {
        start.variables.get(name).map(|told| (told.value.as_str(), told.place.as_str()))
    }

    #[test]
    fn debians_unit_with_keddahs_file_has_nothing_else() {
        let start = found("", OWN, "PATH=/bin\nLANG=C.UTF-8\n");
        assert_eq!(value(&start, "ETCD_DATA_DIR"), Some(("/data/etcd", "/etc/default/etcd")));
        assert_eq!((start.variables.len(), start.options.len()), (2, 0), "{start:?}");
        // Without it, the package's own words count.
        let bare = found("", "", "");
        assert_eq!(value(&bare, "ETCD_NAME"), Some(("%H", PACKAGE)));
        assert!(bare.variables["ETCD_NAME"].packaged);
    }

    #[test]
    fn whoever_comes_later_wins_and_is_named() {
        let place = "/run/systemd/system/etcd.service.d/x.conf";
        let forced = found(
            "[Service]\n# Environment=ETCD_NO=1\nEnvironment=\"ETCD_FORCE_NEW_CLUSTER=true\" 'ETCD_B=a b'\n",
            OWN,
            "",
        );
        assert_eq!(value(&forced, "ETCD_FORCE_NEW_CLUSTER"), Some(("true", place)));
        assert_eq!(value(&forced, "ETCD_B"), Some(("a b", place)));
        assert_eq!(value(&forced, "ETCD_NO"), None);
        // A file wins over the unit's own words, a later one over an earlier one.
        let own = found("[Service]\nEnvironment=ETCD_DATA_DIR=/x\n", OWN, "ETCD_DATA_DIR=/y\n");
        assert_eq!(value(&own, "ETCD_DATA_DIR"), Some(("/data/etcd", "/etc/default/etcd")));
        let more = found("[Service]\nEnvironmentFile=/etc/more\n", OWN, "");
        assert_eq!(value(&more, "ETCD_DATA_DIR"), Some(("/more", "/etc/more")));
        // What is taken back.
        let reset = found("[Service]\nEnvironmentFile=\n", OWN, "");
        assert_eq!(value(&reset, "ETCD_DATA_DIR"), Some(("/var/lib/etcd/default", PACKAGE)));
        let unset = found("[Service]\nUnsetEnvironment=ETCD_DATA_DIR HOME\n", OWN, "");
        assert_eq!(value(&unset, "ETCD_DATA_DIR"), None);
        assert_eq!(unset.unset.len(), 1);
        let manager = found("", OWN, "PATH=/bin\nETCD_FORCE_NEW_CLUSTER=true\n");
        assert_eq!(value(&manager, "ETCD_FORCE_NEW_CLUSTER"), Some(("true", MANAGER)));
    }

    #[test]
    fn another_program_and_other_files_are_found() {
        let place = "/run/systemd/system/etcd.service.d/x.conf";
        let other = found(
            "[Service]\nExecStart=\nExecStart=-/opt/etcdw --x\nTemporaryFileSystem=/data/etcd\nLimitNOFILE=9\n\
             ExecStartPre=\nExecStartPre=/bin/rm -rf /data/etcd/member\n",
            OWN,
            "",
        );
        let program = other.program.expect("there is one");
        assert_eq!((program.value.as_str(), program.place.as_str()), ("/opt/etcdw", place));
        let named: Vec<(&str, &str)> = other
            .surroundings
            .iter()
            .map(|(name, told)| (name.as_str(), told.value.as_str()))
            .collect();
        let expected = [
            ("TemporaryFileSystem", "/data/etcd"),
            ("ExecStartPre", "/bin/rm -rf /data/etcd/member"),
        ];
        assert_eq!(named, expected);
        let own = found("[Service]\nMemoryMax=1G\n", OWN, "");
        assert!(own.surroundings.is_empty() && own.program.is_some_and(|it| it.packaged));
    }

    #[test]
    fn options_are_found_with_the_file_that_brings_them() {
        let named = |start: &Start| -> Vec<(String, String, String)> {
            let options = start.options.iter();
            options
                .map(|(name, told)| (name.clone(), told.value.clone(), told.place.clone()))
                .collect()
        };
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let by_file =
            found("", &format!("{OWN}DAEMON_ARGS=\"--force-new-cluster --data-dir /x\"\n"), "");
        assert_eq!(
            named(&by_file),
            [
                text("force-new-cluster", "true", "/etc/default/etcd"),
                text("data-dir", "/x", "/etc/default/etcd"),
            ]
        );
        let place = "/run/systemd/system/etcd.service.d/x.conf";
        let by_unit =
            found("[Service]\nExecStart=\nExecStart=-/usr/bin/etcd -config-file=/e.yml\n", OWN, "");
        assert_eq!(named(&by_unit), [text("config-file", "/e.yml", place)]);
    }

    #[test]
    fn values_that_may_be_secrets_are_not_shown() {
        let shown = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), Some(value.to_owned()));
            let place = String::new();
            masked(ForeignSetting { effect: Effect::Undeclared, name, value, place }).in_words()
        };
        assert_eq!(shown("ETCD_FORCE_NEW_CLUSTER", "true"), "ETCD_FORCE_NEW_CLUSTER=true");
        assert_eq!(shown("ETCD_PASSWORD", "hunter2"), "ETCD_PASSWORD=********");
        assert_eq!(shown("--auth-token", "jwt,sign=a=b"), "--auth-token=********");
        assert_eq!(
            shown("ETCD_DISCOVERY_PROXY", "http://me:mine@proxy:80"),
            "ETCD_DISCOVERY_PROXY=http://********@proxy:80"
        );
        assert_eq!(shown("ETCD_KEY_FILE", "/x=y"), "ETCD_KEY_FILE=/x=y");
    }
}
