//! What the PostgreSQL instances of this machine are, from their files: they tell it also when
//! nothing runs.

use super::accounts::Accounts;
use super::facts::{CONFIGURATION, patroni_directories};
use super::pgbackrest::{info, not_yet};
use crate::HostError;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::{BackupFacts, DataFacts, InstanceFacts, InstanceProbe, MADE_MARK};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What is kept on this machine.
pub(super) struct Kept {
    pub instances: Vec<InstanceFacts>,
    pub data: Vec<DataFacts>,
    pub backups: Vec<BackupFacts>,
}

/// Reads the configurations below `patroni`, the data that they lead to, all data below the roots
/// that are asked for, and the lists of backups.
pub(super) async fn gather(patroni: &Path, probes: &[InstanceProbe]) -> Result<Kept, HostError> {
    let accounts = Accounts::read()?;
    let mut instances = Vec::new();
    for name in patroni_directories(patroni)? {
        instances.push(instance(patroni, name, &accounts)?);
    }
    let roots: BTreeSet<&str> = probes.iter().map(|probe| probe.data_root.as_str()).collect();
    let mut data = Vec::new();
    for root in roots {
        for directory in below(Path::new(root))? {
            data.extend(data_at(&directory.join("data"), &accounts)?);
        }
    }
    let mut backups = Vec::new();
    for probe in probes.iter().filter(|probe| probe.backups) {
        backups.extend(local_backups(probe)?);
        // The configured repository may be far away. It is asked only where a cluster could be
        // born; whether a living one fits its stanza is looked at with the stanza.
        let born = instances.iter().any(|one| one.scope == probe.cluster && one.data.is_some());
        if !born && probe.repository.is_none() {
            backups.extend(configured_backups(probe).await?);
        }
    }
    Ok(Kept { instances, data, backups })
}

/// `None` where a path is not there.
fn found<T>(path: &Path, result: std::io::Result<T>) -> Result<Option<T>, HostError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

fn below(directory: &Path) -> Result<Vec<PathBuf>, HostError> {
    let mut paths = Vec::new();
    for entry in found(directory, fs::read_dir(directory))?.into_iter().flatten() {
        paths.push(entry.map_err(|error| HostError::path("read", directory, &error))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn instance(
    patroni: &Path,
    configuration: String,
    accounts: &Accounts,
) -> Result<InstanceFacts, HostError> {
    let path = patroni.join(&configuration).join(CONFIGURATION);
    let text = found(&path, fs::read_to_string(&path))?.unwrap_or_default();
    let value = |key| value_of(&text, key).unwrap_or_default();
    let data_directory = value("  data_dir");
    let directory = Path::new(&data_directory);
    let home = match directory.parent() {
        Some(home) if fs::symlink_metadata(home).is_ok_and(|about| about.is_symlink()) => {
            found(home, fs::read_link(home))?.map(|target| target.to_string_lossy().into_owned())
        }
        _ => None,
    };
    let mark = path.with_file_name(MADE_MARK);
    Ok(InstanceFacts {
        made: found(&mark, fs::symlink_metadata(&mark))?.is_some(),
        scope: value("scope"),
        namespace: value("namespace"),
        name: value("name"),
        data: if data_directory.is_empty() { None } else { data_at(directory, accounts)? },
        home,
        data_directory,
        configuration,
    })
}

/// A scalar of a file that Keddah has written: one line, its key with the spaces before it.
fn value_of(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// The server's files at a path, when there are any.
fn data_at(path: &Path, accounts: &Accounts) -> Result<Option<DataFacts>, HostError> {
    let version = path.join("PG_VERSION");
    let version = found(&version, fs::read_to_string(&version))?;
    let control = path.join("global/pg_control");
    let control = found(&control, fs::read(&control))?;
    if version.is_none() && control.is_none() {
        return Ok(None);
    }
    let about = fs::metadata(path).map_err(|error| HostError::path("read", path, &error))?;
    let real = path.canonicalize().map_err(|error| HostError::path("read", path, &error))?;
    let (system_identifier, timeline) = control.as_deref().map(control_file).unwrap_or_default();
    let signal = path.join("recovery.signal");
    let restored = found(&signal, fs::symlink_metadata(&signal))?.is_some();
    Ok(Some(DataFacts {
        restored,
        path: real.to_string_lossy().into_owned(),
        version: version.and_then(|text| text.trim().split('.').next()?.parse().ok()),
        system_identifier,
        timeline,
        owner: accounts.permissions(about.uid(), about.gid(), about.mode()).owner,
    }))
}

/// The system identifier and the last checkpoint's timeline of a control file.
///
/// `struct ControlFileData` in PostgreSQL's `src/include/catalog/pg_control.h`, in the machine's own
/// byte order: the identifier is the first field (u64), then the file's version (u32, at 8). From
/// PostgreSQL 11 on (version 1100) the copy of the checkpoint record starts at 40 with its redo
/// position, and the timeline (u32) follows at 48.
fn control_file(bytes: &[u8]) -> (String, Option<u32>) {
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let system: Option<[u8; 8]> = bytes.get(..8).and_then(|bytes| bytes.try_into().ok());
    let system = system.map(|bytes| u64::from_ne_bytes(bytes).to_string());
    let timeline = number(8).filter(|version| (1100..=1800).contains(version));
    (system.unwrap_or_default(), timeline.and_then(|_| number(48)))
}

/// Backups in directories of this machine, whether pgBackRest is configured for them or not.
fn local_backups(probe: &InstanceProbe) -> Result<Vec<BackupFacts>, HostError> {
    let mut repositories: Vec<PathBuf> = below(Path::new(&probe.backup_root))?
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| of_cluster(name, &probe.cluster)))
        .collect();
    repositories.extend(probe.repository.as_ref().map(PathBuf::from));
    let mut seen = BTreeSet::new();
    let mut backups = Vec::new();
    for repository in repositories {
        let stanza = repository.join("backup").join(&probe.cluster);
        let Some(real) = found(&stanza, stanza.canonicalize())? else { continue };
        if !seen.insert(real) {
            continue;
        }
        let list = stanza.join("backup.info");
        // An encrypted list is no text, and still a sign that backups are there.
        let Some(bytes) = found(&list, fs::read(&list))? else { continue };
        let place = repository.to_string_lossy().into_owned();
        backups.push(backup_list(&String::from_utf8_lossy(&bytes), &probe.cluster, place));
    }
    Ok(backups)
}

/// `<cluster>-<version>`.
fn of_cluster(name: &std::ffi::OsStr, cluster: &str) -> bool {
    let version = name.to_str().and_then(|name| name.strip_prefix(cluster)?.strip_prefix('-'));
    version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// pgBackRest's `backup.info`: a section `backup:current` with a line `label={…}` for each backup,
/// and `db:history` with one for each system (pgBackRest's `src/info/infoBackup.c`, `infoPg.c`).
fn backup_list(text: &str, stanza: &str, place: String) -> BackupFacts {
    let mut facts = BackupFacts { stanza: stanza.to_owned(), place, ..BackupFacts::default() };
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let Some((_, value)) = line.split_once('=') else { continue };
        let Ok(value) = serde_json::from_str::<serde_json::Value>(value) else { continue };
        match section {
            "backup:current" => {
                facts.backups += 1;
                facts.newest = facts.newest.max(value["backup-timestamp-stop"].as_i64());
            }
            "db:history" => {
                facts.systems.extend(value["db-system-id"].as_u64().map(|id| id.to_string()));
            }
            _ => {}
        }
    }
    facts
}

/// What the repository says that pgBackRest is configured for; nothing before it is.
async fn configured_backups(probe: &InstanceProbe) -> Result<Option<BackupFacts>, HostError> {
    let configured = Path::new("/etc/pgbackrest/pgbackrest.conf").exists();
    if !configured || not_yet(&probe.account)?.is_some() {
        return Ok(None);
    }
    let Some(info) = info(&probe.account, &probe.cluster).await? else { return Ok(None) };
    let systems = info.systems();
    Ok((!systems.is_empty()).then(|| BackupFacts {
        stanza: probe.cluster.clone(),
        place: "the configured repository".to_owned(),
        systems,
        backups: info.backups(),
        newest: info.newest(),
    }))
}

/// Who may open the watchdog device.
pub(super) fn watchdog(path: &Path) -> Result<Option<Permissions>, HostError> {
    let Some(about) = found(path, fs::metadata(path))? else { return Ok(None) };
    if !about.file_type().is_char_device() {
        return Ok(None);
    }
    Ok(Some(Accounts::read()?.permissions(about.uid(), about.gid(), about.mode())))
}

#[cfg(test)]
mod tests;
