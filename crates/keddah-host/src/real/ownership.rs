//! Who made what stands in the places of Keddah's services: units, command lines, configuration.
//!
//! Three kinds of files are told apart: those that only Keddah writes, known by their names or by
//! their first lines, which older versions wrote, too; those that are as a package left them, which
//! dpkg tells; and all others.

use crate::HostError;
use crate::command::Command;
use crate::masked::command_line;
use crate::real::dpkg_digests;
use crate::real::process::command_line_of;
use crate::real::systemd;
use keddah_resource::{OwnershipFacts, ServiceFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What files that Keddah writes say near their beginning.
const HEADER: &str = "Written by Keddah";

/// How much of a file is read for the words of its maker.
const BEGINNING: u64 = 16 * 1024;

/// Words by which other tools mark what they write, in small letters, and the tool's name.
const MAKERS: [(&str, &str); 4] = [
    ("pigsty", "Pigsty"),
    ("autobase", "Autobase"),
    ("postgresql_cluster", "Autobase"),
    ("ansible managed", "Ansible"),
];

/// Files that the NODE module writes, whatever else a node has.
const NODE_MARKS: [&str; 2] =
    ["/etc/sysctl.d/90-keddah.conf", "/etc/security/limits.d/90-keddah.conf"];

/// Debian's packages of the services.
const PACKAGES: [&str; 10] = [
    "dnsmasq",
    "dnsmasq-base",
    "etcd-server",
    "haproxy",
    "keepalived",
    "patroni",
    "pgbouncer",
    "postgresql-common",
    "vip-manager",
    "vip-manager2",
];

/// Where units of this machine stand.
const UNITS: &str = "/etc/systemd/system";

/// One service and where its files stand.
struct Service {
    unit: &'static str,
    /// Files that only Keddah writes, beside the drop-in that most have.
    marks: &'static [&'static str],
    /// A directory any directory of which holds such a file where Keddah has set up an instance.
    instances: Option<(&'static str, &'static str)>,
    /// Single files that it loads.
    files: &'static [&'static str],
    /// Directories all files of which with such an ending may be loaded; an empty one means all.
    directories: &'static [(&'static str, &'static [&'static str])],
}

const SERVICES: [Service; 7] = [
    Service {
        unit: "etcd.service",
        marks: &["/etc/etcd/bootstrap.env"],
        instances: None,
        files: &["/etc/default/etcd"],
        directories: &[("/etc/etcd", &[".conf", ".yml", ".yaml"])],
    },
    Service {
        unit: "patroni.service",
        marks: &[],
        instances: Some(("/etc/patroni", "10-patroni.yml")),
        files: &[],
        directories: &[("/etc/patroni", &[".yml", ".yaml"])],
    },
    Service {
        unit: "haproxy.service",
        marks: &["/etc/haproxy/auth.cfg", "/etc/haproxy/save-state"],
        instances: None,
        files: &["/etc/default/haproxy"],
        directories: &[("/etc/haproxy", &[".cfg"]), ("/etc/haproxy/conf.d", &[".cfg"])],
    },
    Service {
        unit: "pgbouncer.service",
        marks: &[],
        instances: Some(("/etc/pgbouncer", "pgbouncer.ini")),
        files: &["/etc/pgbouncer/pgbouncer.ini", "/etc/pgbouncer/userlist.txt"],
        directories: &[],
    },
    Service {
        unit: "dnsmasq.service",
        marks: &["/etc/dnsmasq.d/keddah.conf"],
        instances: None,
        files: &["/etc/dnsmasq.conf"],
        directories: &[("/etc/dnsmasq.d", &[""])],
    },
    Service {
        unit: "keepalived.service",
        marks: &["/etc/keepalived/keddah.conf"],
        instances: None,
        files: &["/etc/keepalived/keepalived.conf"],
        directories: &[],
    },
    Service {
        unit: "vip-manager.service",
        marks: &[],
        instances: None,
        files: &[],
        directories: &[],
    },
];

/// One unit as systemd has loaded it.
#[derive(Debug, Clone, Default)]
struct Loaded {
    fragment: String,
    drop_ins: Vec<String>,
    command: String,
    running: Option<String>,
    enabled: bool,
}

/// Looks at all services.
pub(super) async fn gather() -> Result<OwnershipFacts, HostError> {
    let root = Path::new("/");
    let loaded = loaded().await?;
    let asked = unmarked_files(root, &loaded)?;
    let packaged = packaged(&asked).await?;
    survey(root, &loaded, &packaged)
}

/// What systemd has loaded, by unit; nothing where systemd does not run.
async fn loaded() -> Result<BTreeMap<String, Loaded>, HostError> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(BTreeMap::new());
    }
    let text = systemd::show(&SERVICES.map(|service| service.unit)).await?.join("\n\n");
    Ok(parse(&text, |pid| Some(command_line_of(pid)?.join(" "))))
}

/// Reads `systemctl show`; units that do not exist, or are masked, are left out.
fn parse(text: &str, running: impl Fn(&str) -> Option<String>) -> BTreeMap<String, Loaded> {
    let mut found = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in paragraph.lines().filter_map(|line| line.split_once('=')) {
            values.entry(name).or_insert(value);
        }
        let value = |name| values.get(name).copied().unwrap_or_default();
        if value("LoadState") != "loaded" {
            continue;
        }
        let unit = Loaded {
            fragment: value("FragmentPath").to_owned(),
            drop_ins: value("DropInPaths").split_whitespace().map(str::to_owned).collect(),
            command: arguments(value("ExecStart")),
            running: running(value("MainPID")),
            enabled: value("UnitFileState") == "enabled",
        };
        found.insert(value("Id").to_owned(), unit);
    }
    found
}

/// From `{ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd $DAEMON_ARGS ; ignore_errors=no ; … }`.
fn arguments(exec_start: &str) -> String {
    let arguments = exec_start.split_once("argv[]=").map_or("", |(_, rest)| rest);
    let arguments = arguments.split(" ; ").next().unwrap_or_default();
    command_line(arguments.split_whitespace()).join(" ")
}

/// Of paths, those that a package brought and nobody has changed since.
async fn packaged(paths: &BTreeSet<String>) -> Result<BTreeSet<String>, HostError> {
    if paths.is_empty() {
        return Ok(BTreeSet::new());
    }
    // Packages of before the merged /usr know their units below /lib.
    let spellings =
        |path: &str| [Some(path.to_owned()), path.strip_prefix("/usr").map(str::to_owned)];
    let mut owned = of_known_packages(Path::new("/var/lib/dpkg/info"), paths)?;
    let known = |path: &String| {
        spellings(path).iter().flatten().any(|path| owned.iter().any(|(_, one)| one == path))
    };
    let others: Vec<String> = paths
        .iter()
        .filter(|path| !known(path))
        .flat_map(|path| spellings(path))
        .flatten()
        .collect();
    if !others.is_empty() {
        // It fails when one of them is nobody's, and reads the lists of all packages.
        let owners = Command::new("dpkg-query").arg("-S").args(others).run().await?;
        owned.extend(owners_of(&owners.stdout));
    }
    let changed = dpkg_digests::changed(&owned)?;
    let same = |path: &str| paths.contains(path).then(|| path.to_owned());
    Ok(owned
        .iter()
        .map(|(_, path)| path.as_str())
        .filter(|path| !changed.contains(*path))
        .filter_map(|path| same(path).or_else(|| same(&format!("/usr{path}"))))
        .collect())
}

/// Those of the paths that belong to the packages that bring the services in Debian, by their lists of files
/// (dpkg's manual, "FILES").
fn of_known_packages(
    lists: &Path,
    paths: &BTreeSet<String>,
) -> Result<Vec<(String, String)>, HostError> {
    let mut found = Vec::new();
    for package in PACKAGES {
        let list = lists.join(format!("{package}.list"));
        let text = match fs::read_to_string(&list) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(HostError::path("read", &list, &error)),
        };
        let own = text
            .lines()
            .filter(|line| paths.contains(*line) || paths.contains(&format!("/usr{line}")));
        found.extend(own.map(|line| (package.to_owned(), line.to_owned())));
    }
    Ok(found)
}

/// Reads `dpkg-query -S`: `package: path`, or `package:amd64: path`.
fn owners_of(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with("diversion "));
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let mut found = Vec::new();
    for (packages, path) in pairs {
        found.extend(packages.split(", ").map(|package| (package.to_owned(), path.to_owned())));
    }
    found
}

/// The service's files that Keddah alone writes.
fn marks(root: &Path, service: &Service) -> Result<Vec<String>, HostError> {
    let drop_in = format!("{UNITS}/{}.d/keddah.conf", service.unit);
    let named = std::iter::once(drop_in.as_str()).chain(service.marks.iter().copied());
    let mut found = Vec::new();
    for path in named {
        if exists(root, path)? {
            found.push(path.to_owned());
        }
    }
    if let Some((directory, file)) = service.instances {
        for name in names(root, directory)? {
            let path = format!("{directory}/{name}/{file}");
            if exists(root, &path)? {
                found.push(path);
            }
        }
    }
    for path in files(root, service)? {
        if beginning(root, &path)?.contains(HEADER) && !found.contains(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The files of services without a mark of Keddah's, which packages may have brought.
fn unmarked_files(
    root: &Path,
    loaded: &BTreeMap<String, Loaded>,
) -> Result<BTreeSet<String>, HostError> {
    let mut found = BTreeSet::new();
    for service in &SERVICES {
        if !marks(root, service)?.is_empty() {
            continue;
        }
        found.extend(files(root, service)?);
        if let Some(unit) = loaded.get(service.unit) {
            found.extend(unit.drop_ins.iter().cloned());
            found.extend(Some(unit.fragment.clone()).filter(|path| !path.is_empty()));
        }
    }
    Ok(found)
}

/// What is there, given what systemd has loaded and which files are as packages left them.
fn survey(
    root: &Path,
    loaded: &BTreeMap<String, Loaded>,
    packaged: &BTreeSet<String>,
) -> Result<OwnershipFacts, HostError> {
    let mut facts = OwnershipFacts { marks: node_marks(root)?, services: Vec::new() };
    for service in &SERVICES {
        let unit = loaded.get(service.unit).cloned().unwrap_or_default();
        let marks = marks(root, service)?;
        let mut found = ServiceFacts {
            unit: service.unit.to_owned(),
            command: unit.command,
            running: unit.running,
            enabled: unit.enabled,
            ..ServiceFacts::default()
        };
        // What Keddah has set up stays Keddah's, whatever somebody has done to it since.
        if marks.is_empty() {
            let foreign = |path: &str| !packaged.contains(path);
            // systemd makes units itself, of scripts in /etc/init.d.
            let made = unit.fragment.is_empty() || unit.fragment.starts_with("/run/systemd/");
            found.foreign_unit = (!made && foreign(&unit.fragment)).then_some(unit.fragment);
            for path in unit.drop_ins.into_iter().filter(|path| foreign(path)) {
                if changes_the_start(&beginning(root, &path)?) {
                    found.foreign_drop_ins.push(path);
                }
            }
            found.foreign_files = files(root, service)?;
            found.foreign_files.retain(|path| foreign(path));
            found.makers = makers(root, &found)?;
        }
        let nothing = found.foreign_files.is_empty() && !loaded.contains_key(service.unit);
        if !nothing || !marks.is_empty() {
            found.marks = marks;
            facts.services.push(found);
        }
    }
    Ok(facts)
}

/// Whether a drop-in decides what is started or with which configuration, not only limits.
fn changes_the_start(text: &str) -> bool {
    let starts = ["ExecStart=", "Environment=", "EnvironmentFile="];
    text.lines().any(|line| starts.iter().any(|start| line.trim_start().starts_with(start)))
}

/// Those who name themselves in the files that are neither a package's nor Keddah's.
fn makers(root: &Path, found: &ServiceFacts) -> Result<Vec<String>, HostError> {
    let paths = found.foreign_unit.iter().chain(&found.foreign_drop_ins);
    let mut makers = BTreeSet::new();
    for path in paths.chain(&found.foreign_files) {
        let text = format!("{path}\n{}", beginning(root, path)?).to_lowercase();
        let named = MAKERS.iter().filter(|(word, _)| text.contains(word));
        makers.extend(named.map(|(_, maker)| (*maker).to_owned()));
    }
    Ok(makers.into_iter().collect())
}

/// What shows that Keddah has set up anything on this node, services apart.
fn node_marks(root: &Path) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    for path in NODE_MARKS {
        if exists(root, path)? {
            found.push(path.to_owned());
        }
    }
    for name in names(root, UNITS)? {
        let drop_in = format!("{UNITS}/{name}/keddah.conf");
        if name.starts_with("keddah-") {
            found.push(format!("{UNITS}/{name}"));
        } else if name.ends_with(".d") && exists(root, &drop_in)? {
            found.push(drop_in);
        }
    }
    Ok(found)
}

/// The configuration files of a service that are there.
fn files(root: &Path, service: &Service) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    for &path in service.files {
        if below(root, path).is_file() {
            found.push(path.to_owned());
        }
    }
    for (directory, endings) in service.directories {
        for name in names(root, directory)? {
            let path = format!("{directory}/{name}");
            if endings.iter().any(|ending| name.ends_with(ending)) && below(root, &path).is_file() {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn exists(root: &Path, path: &str) -> Result<bool, HostError> {
    let path = below(root, path);
    match path.try_exists() {
        // A path below what is no directory is not there.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
        found => found.map_err(|error| HostError::path("look for", &path, &error)),
    }
}

/// The names in a directory, sorted; none where there is no such directory.
fn names(root: &Path, directory: &str) -> Result<Vec<String>, HostError> {
    let directory = below(root, directory);
    let failed = |error: std::io::Error| HostError::path("read", &directory, &error);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The beginning of a file; nothing of one that is gone. It never leaves this machine, for it may
/// hold passwords.
fn beginning(root: &Path, path: &str) -> Result<String, HostError> {
    let path = below(root, path);
    let failed = |error: std::io::Error| HostError::path("read", &path, &error);
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(BEGINNING).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
