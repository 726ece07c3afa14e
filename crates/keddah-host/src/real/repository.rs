//! Which repository pgBackRest of this machine is configured for, and what the list of one says that is
//! a directory of this machine, with what is really there.

use super::instance_facts::found;
use super::pgbackrest::{Configured, Info, not_yet};
use super::wal_archive;
use crate::HostError;
use keddah_core::Secret;
use keddah_resource::{
    BackupFacts, InstanceProbe, PLACE_OPTIONS, Place, RepositoryFacts, with_defaults,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where pgBackRest has its configuration (its configuration reference, "config-path").
const CONFIGURATION: &str = "/etc/pgbackrest";

/// What a repository of this machine says of one stanza.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Identifiers of the systems that it has held, the newest last; none where it cannot be read.
    pub systems: Vec<String>,
    /// The backups whose files are there, with all that they are based on.
    pub present: Vec<Backup>,
    /// Labels of the others.
    pub missing: Vec<String>,
    /// The segments of WAL after the newest of those that are there, between which some are missing.
    pub gap: Option<(String, String)>,
}

/// A backup of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backup {
    /// Its name, which is that of its directory.
    pub label: String,
    /// When it ended, in seconds since 1970.
    pub stop: Option<i64>,
    /// The timeline of the WAL that it begins with.
    pub timeline: Option<u32>,
    /// The segment of WAL that it begins with.
    pub start: Option<String>,
    /// The backups that it needs.
    pub needs: Vec<String>,
}

impl List {
    /// How many backups are there.
    pub fn backups(&self) -> u32 {
        u32::try_from(self.present.len()).unwrap_or(u32::MAX)
    }

    /// When the newest of them ended.
    pub fn newest(&self) -> Option<i64> {
        self.present.iter().filter_map(|backup| backup.stop).max()
    }

    /// The timeline of the newest of them.
    pub fn timeline(&self) -> Option<u32> {
        self.present.iter().max_by_key(|backup| backup.stop)?.timeline
    }
}

/// The list of a stanza in a directory of this machine; `None` where there is none. An encrypted list is
/// no text, and still a sign that backups are there.
pub(crate) fn list(repository: &Path, stanza: &str) -> Result<Option<List>, HostError> {
    let directory = repository.join("backup").join(stanza);
    let path = directory.join("backup.info");
    let Some(bytes) = found(&path, fs::read(&path))? else { return Ok(None) };
    let (systems, backups) = parse(&String::from_utf8_lossy(&bytes));
    Ok(Some(sorted(repository, stanza, systems, backups)?))
}

/// Which of the backups that a repository lists are there.
pub(crate) fn sorted(
    repository: &Path,
    stanza: &str,
    systems: Vec<String>,
    backups: Vec<Backup>,
) -> Result<List, HostError> {
    let directory = repository.join("backup").join(stanza);
    // pgBackRest writes a manifest into the directory of each backup, and makes its copy when all is there.
    let is_there = |label: &str| {
        let path = directory.join(label).join("backup.manifest");
        path.try_exists().map_err(|error| HostError::path("look at", &path, &error))
    };
    let mut there = BTreeMap::new();
    for backup in &backups {
        there.insert(backup.label.clone(), is_there(&backup.label)?);
    }
    let complete = |backup: &Backup| {
        let mut all = backup.needs.iter().chain([&backup.label]);
        all.all(|label| there.get(label).copied().unwrap_or_default())
    };
    let (present, missing): (Vec<_>, Vec<_>) = backups.into_iter().partition(complete);
    let missing = missing.into_iter().map(|backup| backup.label).collect();
    // One that was taken after a gap leads on beyond it, an incremental one as well.
    let newest = present.iter().max_by_key(|backup| backup.stop);
    let start = newest.and_then(|backup| backup.start.as_deref());
    let gap = start.map(|start| wal_archive::gap(repository, stanza, start)).transpose()?.flatten();
    Ok(List { systems, present, missing, gap })
}

/// Which of the backups that this machine's pgBackRest lists are there: all of them where the repository is
/// not a directory of its own.
pub(crate) fn own(
    stanza: &str,
    systems: Vec<String>,
    backups: Vec<Backup>,
) -> Result<List, HostError> {
    match local_path(&configured(Path::new(CONFIGURATION), stanza)?) {
        Some(path) => sorted(&path, stanza, systems, backups),
        None => Ok(List { systems, present: backups, ..List::default() }),
    }
}

/// The timelines whose history files are in this machine's own archive. A server archives that of a timeline
/// which it begins, and not one that it gets from another (PostgreSQL's manual, `archive_mode`).
pub(crate) fn begun(stanza: &str) -> Result<Vec<i64>, HostError> {
    match local_path(&configured(Path::new(CONFIGURATION), stanza)?) {
        Some(path) => histories(&path.join("archive").join(stanza)),
        None => Ok(Vec::new()),
    }
}

/// Below it is a directory for each system, such as `17-1`.
fn histories(archive: &Path) -> Result<Vec<i64>, HostError> {
    let Some(systems) = found(archive, fs::read_dir(archive))? else { return Ok(Vec::new()) };
    let mut begun = Vec::new();
    for system in systems.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let files = found(&system, fs::read_dir(&system))?.into_iter().flatten().flatten();
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        begun.extend(
            names.filter_map(|name| timeline(name.strip_suffix(".history")?).map(i64::from)),
        );
    }
    begun.sort_unstable();
    Ok(begun)
}

/// pgBackRest's `backup.info`: a section `backup:current` with a line `label={…}` for each backup,
/// and `db:history` with one for each system (pgBackRest's `src/info/infoBackup.c`, `infoPg.c`).
fn parse(text: &str) -> (Vec<String>, Vec<Backup>) {
    let (mut systems, mut backups) = (Vec::new(), Vec::new());
    let mut section = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let Ok(value) = serde_json::from_str::<serde_json::Value>(value) else { continue };
        match section {
            "backup:current" => {
                let needs = value["backup-reference"].as_array().into_iter().flatten();
                backups.push(Backup {
                    label: key.to_owned(),
                    stop: value["backup-timestamp-stop"].as_i64(),
                    timeline: value["backup-archive-start"].as_str().and_then(timeline),
                    start: value["backup-archive-start"].as_str().map(str::to_owned),
                    needs: needs.filter_map(|one| Some(one.as_str()?.to_owned())).collect(),
                });
            }
            "db:history" => {
                systems.extend(value["db-system-id"].as_u64().map(|id| id.to_string()));
            }
            _ => {}
        }
    }
    (systems, backups)
}

/// The timeline of a WAL segment: the first eight of its name's hexadecimal digits.
pub(crate) fn timeline(segment: &str) -> Option<u32> {
    u32::from_str_radix(segment.get(..8)?, 16).ok()
}

/// What the machine has for a cluster, beside the backups that were found for it.
///
/// # Errors
/// When files cannot be read. A repository elsewhere that does not answer is no error: the plan of a
/// change that leads away from it must not depend on it.
pub(crate) async fn facts(
    probe: &InstanceProbe,
    backups: &[BackupFacts],
) -> Result<RepositoryFacts, HostError> {
    let mut facts = RepositoryFacts {
        stanza: probe.cluster.clone(),
        configured: configured(Path::new(CONFIGURATION), &probe.cluster)?,
        ..RepositoryFacts::default()
    };
    let chosen = probe.repository.as_ref().map(PathBuf::from);
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    facts.moves = moves(&facts.configured, &probe.place);
    if facts.moves {
        let path = local_path(&facts.configured);
        let listed = path.map(|path| list(&path, &probe.cluster)).transpose()?.flatten();
        // One that is encrypted, or elsewhere, is read by pgBackRest alone.
        match listed.filter(|list| !list.systems.is_empty()) {
            Some(list) => (facts.backups, facts.newest) = (list.backups(), list.newest()),
            None => {
                let info = asked(probe).await;
                facts.backups = info.as_ref().map_or(0, Info::backups);
                facts.newest = info.and_then(|info| info.newest());
            }
        }
    }
    if let Some(path) = &chosen
        && let Some(mut list) = list(path, &probe.cluster)?
    {
        if list.systems.is_empty()
            && !facts.moves
            && let Some(info) = asked(probe).await
        {
            list = sorted(path, &probe.cluster, info.systems(), info.listed())?;
        }
        facts.latest = list.newest();
        facts.missing = list.missing;
        facts.gap = list.gap;
    }
    let apart = backups.iter().filter(|kept| match &chosen {
        Some(chosen) => real(chosen) != real(Path::new(&kept.place)),
        None => facts.moves || kept.place.starts_with('/'),
    });
    facts.apart = apart.map(|kept| kept.place.clone()).collect();
    Ok(facts)
}

/// What pgBackRest says of the repository that the node is configured for, where it can be asked.
async fn asked(probe: &InstanceProbe) -> Option<Info> {
    if not_yet(&probe.account).ok()?.is_some() {
        return None;
    }
    let own = Configured::new(&probe.account, &probe.cluster, &Secret::default()).ok()?;
    own.info().await.ok()?
}

/// The directory of a repository that is this machine's own.
fn local_path(place: &Place) -> Option<PathBuf> {
    let is = |option: &str, values: &[&str]| {
        values.contains(&place.get(option).map_or("", String::as_str))
    };
    let own = is("host", &[""]) && is("type", &["", "posix", "cifs"]);
    own.then(|| place.get("path").map(PathBuf::from)).flatten()
}

/// Whether the configured place is another one than the wanted. A cluster that keeps no backups, or has
/// kept none, moves nothing; neither does another name of the same directory, nor another cipher.
fn moves(configured: &Place, wanted: &Place) -> bool {
    if configured.is_empty() || wanted.is_empty() {
        return false;
    }
    if let (Some(here), Some(there)) = (local_path(configured), local_path(wanted)) {
        return match (here.canonicalize(), there.canonicalize()) {
            (Ok(here), Ok(there)) => here != there,
            _ => here != there,
        };
    }
    let without_cipher = |place: &Place| {
        let mut place = place.clone();
        place.remove("cipher-type");
        place
    };
    without_cipher(configured) != without_cipher(wanted)
}

/// The place that pgBackRest's files name for a stanza; nothing where they do not know it. Keddah writes
/// the options into `[global]`, or into the stanza's own section, of the file or of one in `conf.d`.
fn configured(directory: &Path, stanza: &str) -> Result<Place, HostError> {
    let files = [
        directory.join("pgbackrest.conf"),
        directory.join("conf.d").join(format!("{stanza}.conf")),
    ];
    let (mut place, mut own, mut known) = (Place::new(), Place::new(), false);
    for path in files {
        let text = found(&path, fs::read_to_string(&path))?.unwrap_or_default();
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
                known |= name == stanza;
                continue;
            }
            let Some((option, value)) = line.split_once('=') else { continue };
            let Some(option) = option.trim().strip_prefix("repo1-") else { continue };
            let into = match section {
                "global" => &mut place,
                name if name == stanza => &mut own,
                _ => continue,
            };
            if PLACE_OPTIONS.contains(&option) {
                into.insert(option.to_owned(), value.trim().to_owned());
            }
        }
    }
    place.extend(own);
    Ok(if known { with_defaults(place) } else { Place::new() })
}

/// The options of a whole configuration that say where its repository is; nothing of an empty one.
fn place_of(text: &str) -> Place {
    let option = |line: &str| {
        let (option, value) = line.trim().strip_prefix("repo1-")?.split_once('=')?;
        PLACE_OPTIONS.contains(&option).then(|| (option.to_owned(), value.trim().to_owned()))
    };
    let place: Place = text.lines().filter_map(option).collect();
    if place.is_empty() { place } else { with_defaults(place) }
}

/// Where a configuration's repository is, in the words of the configuration: no secret is among them.
pub(crate) fn told(text: &str) -> String {
    let options = place_of(text).into_iter().map(|(option, value)| format!("{option} {value}"));
    options.collect::<Vec<_>>().join(", ")
}

/// The directory of this machine in which a server has archived before: it is configured for that, under
/// the configuration that is to be as well, and its archiver has taken a backup's end away.
pub(crate) fn archived_in(
    stanza: &str,
    text: &str,
    data: &Path,
) -> Result<Option<String>, HostError> {
    archived_under(Path::new(CONFIGURATION), stanza, text, data)
}

fn archived_under(
    directory: &Path,
    stanza: &str,
    text: &str,
    data: &Path,
) -> Result<Option<String>, HostError> {
    let configured = configured(directory, stanza)?;
    let Some(path) = local_path(&configured).filter(|_| !moves(&configured, &place_of(text)))
    else {
        return Ok(None);
    };
    let made = made(&directory.join(format!("{stanza}.made")))?;
    if !made.is_empty() && !moves(&made, &configured) {
        return Ok(Some(path.to_string_lossy().into_owned()));
    }
    // Before there was such a mark: a server writes `<segment>.<offset>.backup` when a backup of it ends, and keeps the newest; it is done
    // when `archive_command` has succeeded. A copy gets none, and what a standby only receives is no such
    // file (PostgreSQL's `xlogarchive.c`; its manual, "Making a Base Backup Using the Low Level API").
    let status = data.join("pg_wal/archive_status");
    for entry in found(&status, fs::read_dir(&status))?.into_iter().flatten() {
        let entry = entry.map_err(|error| HostError::path("read", &status, &error))?;
        if entry.file_name().to_string_lossy().ends_with(".backup.done") {
            return Ok(Some(path.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The place that a stanza was made in, by its mark ([`keddah_resource::kind::stanza::mark`]); nothing where
/// there is none.
fn made(mark: &Path) -> Result<Place, HostError> {
    let text = found(mark, fs::read_to_string(mark))?.unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let options = lines.filter_map(|line| line.split_once('='));
    Ok(options.map(|(option, value)| (option.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_server_has_archived_is_known_without_the_repository() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("not-mounted");
        let text =
            format!("[global]\nrepo1-path={}\nrepo1-cipher-pass=x\n[pg-test]\n", path.display());
        let data = scratch.path().join("data");
        let status = data.join("pg_wal/archive_status");
        let archived = |text: &str| archived_under(scratch.path(), "pg-test", text, &data).unwrap();
        fs::create_dir_all(&status).unwrap();
        fs::write(status.join("000000010000000000000004.done"), "").unwrap();
        fs::write(status.join("000000010000000000000004.00000028.backup.ready"), "").unwrap();
        fs::write(scratch.path().join("pgbackrest.conf"), &text).unwrap();
        assert_eq!(
            archived(&text),
            None,
            "a standby receives segments; a backup's end still waits"
        );
        fs::write(status.join("000000010000000000000002.00000028.backup.done"), "").unwrap();
        assert_eq!(archived(&text).map(PathBuf::from), Some(path));
        assert!(archived("").is_some(), "the node's own configuration");
        assert_eq!(archived("[global]\nrepo1-path=/elsewhere\n"), None, "it is declared elsewhere");
        assert!(!told(&text).contains("cipher-pass"));
        assert!(
            told("repo1-type=s3\nrepo1-s3-endpoint=sss.pigsty\n")
                .contains("s3-endpoint sss.pigsty")
        );
        // What a server knows of its archive may be gone after a crash; the mark of the stanza stays.
        fs::remove_file(status.join("000000010000000000000002.00000028.backup.done")).unwrap();
        assert_eq!(archived(&text), None);
        let mark = |path: &Path| {
            let text = format!("# Written\npath={}\ntype=posix\n", path.display());
            fs::write(scratch.path().join("pg-test.made"), text).unwrap();
        };
        mark(Path::new("/elsewhere"));
        assert_eq!(archived(&text), None, "it has moved since, and was not made yet");
        mark(&scratch.path().join("not-mounted"));
        assert!(archived(&text).is_some());
        fs::remove_file(scratch.path().join("pgbackrest.conf")).unwrap();
        assert_eq!(archived(&text), None, "it was never configured");
    }

    const INFO: &str = "[backup:current]\n\
        20261120-010000F={\"backup-archive-start\":\"0000000100000000000000FF\",\
        \"backup-timestamp-stop\":5,\"backup-type\":\"full\"}\n\
        20261120-010000F_20261121-010000I={\"backup-archive-start\":\"000000020000000000000003\",\
        \"backup-reference\":[\"20261120-010000F\"],\"backup-timestamp-stop\":7,\"backup-type\":\"incr\"}\n\
        20261122-010000F={\"backup-archive-start\":\"0000001A0000000000000007\",\
        \"backup-timestamp-stop\":9,\"backup-type\":\"full\"}\n\n\
        [db:history]\n1={\"db-system-id\":7300000000000000001}\n";

    #[test]
    fn backups_count_where_their_files_are() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("backup/pg-test");
        assert_eq!(list(scratch.path(), "pg-test").unwrap(), None);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("backup.info"), INFO).unwrap();
        let manifest = |label: &str| directory.join(label).join("backup.manifest");
        let labels = ["20261120-010000F", "20261120-010000F_20261121-010000I", "20261122-010000F"];
        for label in labels {
            fs::create_dir(directory.join(label)).unwrap();
            fs::write(manifest(label), "").unwrap();
        }
        let read = || list(scratch.path(), "pg-test").unwrap().unwrap();
        let all = read();
        assert_eq!((all.backups(), all.newest(), all.timeline()), (3, Some(9), Some(26)));
        assert!(all.missing.is_empty());
        assert_eq!(all.systems, ["7300000000000000001"]);
        // WAL after the newest of them counts, and no other.
        let first = "0000001A0000000000000007".to_owned();
        assert_eq!(all.gap, Some((first.clone(), first)), "its own WAL is not there");
        for (timeline, last) in [("02", "03"), ("02", "05"), ("1A", "07"), ("1A", "09")] {
            let group =
                scratch.path().join(format!("archive/pg-test/17-1/000000{timeline}00000000"));
            fs::create_dir_all(&group).unwrap();
            let name = format!("000000{timeline}00000000000000{last}-5a1e");
            let file = fs::File::create(group.join(name)).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
        let between = |timeline: &str, one: &str, next: &str| {
            let name = |last: &str| format!("000000{timeline}00000000000000{last}");
            Some((name(one), name(next)))
        };
        assert_eq!(read().gap, between("1A", "07", "09"));

        fs::remove_dir_all(directory.join(labels[2])).unwrap();
        let two = read();
        assert_eq!((two.backups(), two.newest(), two.timeline()), (2, Some(7), Some(2)));
        assert_eq!(two.missing, [labels[2]]);
        assert_eq!(two.gap, between("02", "03", "05"));
        // An incremental one is nothing without what it is based on.
        fs::remove_file(manifest(labels[0])).unwrap();
        let none = read();
        assert_eq!((none.backups(), none.newest(), none.timeline()), (0, None, None));
        assert_eq!(none.missing, labels);
    }

    #[test]
    fn timelines_that_were_begun_here_have_their_history_in_the_archive() {
        let scratch = tempfile::tempdir().unwrap();
        let archive = scratch.path().join("pg-test");
        assert_eq!(histories(&archive).unwrap(), [] as [i64; 0]);
        std::fs::create_dir_all(archive.join("17-1/0000000100000000")).unwrap();
        for name in ["0000000B.history", "00000002.history"] {
            std::fs::write(archive.join("17-1").join(name), "").unwrap();
        }
        assert_eq!(histories(&archive).unwrap(), [2, 11]);
    }

    #[test]
    fn the_configured_place_is_read_without_secrets() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        assert_eq!(configured(scratch.path(), "pg-test").unwrap(), Place::new());
        fs::write(
            at("pgbackrest.conf"),
            "[pg-test]\npg1-path=/pg/data\n\n[global]\nrepo1-path=/pg/backup\nrepo1-type=posix\n\
             repo1-cipher-pass=secret\nrepo1-retention-full=2\n",
        )
        .unwrap();
        let place = configured(scratch.path(), "pg-test").unwrap();
        let expected = [("path", "/pg/backup"), ("type", "posix"), ("cipher-type", "none")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(place, Place::from(expected));
        assert_eq!(configured(scratch.path(), "pg-other").unwrap(), Place::new(), "not its own");
        fs::create_dir(at("conf.d")).unwrap();
        fs::write(at("conf.d/pg-b.conf"), "[pg-b]\nrepo1-path=/b\n").unwrap();
        let place = configured(scratch.path(), "pg-b").unwrap();
        assert_eq!(place.get("path").map(String::as_str), Some("/b"));
    }

    #[test]
    fn another_name_of_the_same_directory_is_no_other_place() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();
        fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        let of = |pairs: &[(&str, &str)]| -> Place {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let (link, real) = (of(&[("path", &at("link"))]), of(&[("path", &at("real"))]));
        assert!(!moves(&link, &real));
        let ciphered = of(&[("path", &at("real")), ("cipher-type", "aes-256-cbc")]);
        assert!(!moves(&link, &ciphered), "that is refused elsewhere");
        assert!(moves(&link, &of(&[("path", &at("new"))])));
        let s3 = |bucket| of(&[("type", "s3"), ("s3-bucket", bucket), ("path", &at("real"))]);
        assert!(moves(&real, &s3("a")) && moves(&s3("a"), &s3("b")) && !moves(&s3("a"), &s3("a")));
        assert!(!moves(&Place::new(), &real) && !moves(&real, &Place::new()));
    }
}
