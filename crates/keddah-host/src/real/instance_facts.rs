//! What the PostgreSQL instances of this machine are, from their files: they tell it also when
//! nothing runs.

use super::accounts::Accounts;
use super::directory::server_in;
use super::facts::{CONFIGURATION, patroni_directories};
use super::pgbackrest::{Configured, not_yet};
use super::repository;
use super::wal_archive;
use crate::HostError;
use keddah_core::Secret;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::{
    BackupFacts, DataFacts, InstanceFacts, InstanceProbe, MADE_MARK, RepositoryFacts,
};
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
    pub repositories: Vec<RepositoryFacts>,
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
    let (mut backups, mut repositories) = (Vec::new(), Vec::new());
    // Whether the inventory wants more of them or not: what is there is there.
    for probe in probes {
        let mut kept = local_backups(probe)?;
        // The configured repository may be far away. It is asked only where a cluster could be
        // born; whether a living one fits its stanza is looked at with the stanza.
        let born = instances.iter().any(|one| one.scope == probe.cluster && one.data.is_some());
        if !born && probe.repository.is_none() {
            kept.extend(configured_backups(probe).await?);
        }
        let mut about = repository::facts(probe, &kept).await?;
        let own = instances.iter().find(|one| one.scope == probe.cluster);
        if let Some(data) = own.and_then(|one| one.data.as_ref()) {
            about.led_past = wal_archive::led_past(Path::new(&data.path))?;
        }
        repositories.push(about);
        backups.extend(kept);
    }
    Ok(Kept { instances, data, backups, repositories })
}

/// `None` where a path is not there.
pub(super) fn found<T>(path: &Path, result: std::io::Result<T>) -> Result<Option<T>, HostError> {
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
        runs: !data_directory.is_empty()
            && server_in(directory)
                .map_err(|error| HostError::path("look into", directory, &error))?
                .is_some(),
        home,
        data_directory,
        configuration,
    })
}

/// The cluster and the instance that a configuration of Patroni is for; empty where there is none.
pub(super) fn named_by(configuration: &Path) -> Result<(String, String), HostError> {
    let path = configuration.join(CONFIGURATION);
    let text = found(&path, fs::read_to_string(&path))?.unwrap_or_default();
    let value = |key| value_of(&text, key).unwrap_or_default();
    Ok((value("scope"), value("name")))
}

/// A scalar of a file that Keddah has written: one line, its key with the spaces before it.
fn value_of(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// The server's files at a path, when there are any.
pub(super) fn data_at(path: &Path, accounts: &Accounts) -> Result<Option<DataFacts>, HostError> {
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
        wal: None,
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

/// The identifier of the system whose files are at a path.
pub(super) fn system_of(data: &Path) -> Result<Option<String>, HostError> {
    let control = data.join("global/pg_control");
    let bytes = found(&control, fs::read(&control))?;
    let system = bytes.map(|bytes| control_file(&bytes).0);
    Ok(system.filter(|system| !system.is_empty()))
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
        let Some(list) = repository::list(&repository, &probe.cluster)? else { continue };
        backups.push(BackupFacts {
            stanza: probe.cluster.clone(),
            place: repository.to_string_lossy().into_owned(),
            backups: list.backups(),
            newest: list.newest(),
            systems: list.systems,
        });
    }
    Ok(backups)
}

/// `<cluster>-<version>`.
fn of_cluster(name: &std::ffi::OsStr, cluster: &str) -> bool {
    let version = name.to_str().and_then(|name| name.strip_prefix(cluster)?.strip_prefix('-'));
    version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What the repository says that pgBackRest is configured for; nothing before it is.
async fn configured_backups(probe: &InstanceProbe) -> Result<Option<BackupFacts>, HostError> {
    let configured = Path::new("/etc/pgbackrest/pgbackrest.conf").exists();
    if !configured || not_yet(&probe.account)?.is_some() {
        return Ok(None);
    }
    let own = Configured::new(&probe.account, &probe.cluster, &Secret::default())?;
    let kept = BackupFacts {
        stanza: probe.cluster.clone(),
        place: "the configured repository".to_owned(),
        ..BackupFacts::default()
    };
    // One that does not answer may hold everything.
    let Ok(info) = own.info().await else { return Ok(Some(kept)) };
    let Some(info) = info.filter(|info| !info.systems().is_empty()) else { return Ok(None) };
    let systems = info.systems();
    Ok(Some(BackupFacts { systems, backups: info.backups(), newest: info.newest(), ..kept }))
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
