//! Whether WAL is in the archive without a gap: a backup is rolled forward to the first segment that is
//! missing, and no further, whatever comes after it. Names of files are enough to see that.

use super::instance_facts::found;
use crate::HostError;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More segments than this (3 TiB of WAL) are not listed: a plan does not wait for that.
const MOST: usize = 200_000;

/// How long what comes after a missing segment must have been there: of those that wait, pgBackRest pushes
/// some at the same time (`archive-async`), and one of them may be done before an earlier one.
const SETTLED: Duration = Duration::from_secs(300);

/// A segment's place in its timeline: the upper half of its position and the number within it, which are
/// the last two of the three numbers in its name (PostgreSQL manual, "WAL Internals").
type At = (u32, u32);

/// A gap in the archive of a stanza of a repository that is a directory of this machine, on the timeline
/// of the segment with which a backup begins: the segments between which some are missing.
///
/// # Errors
/// When the directories cannot be read.
pub(super) fn gap(
    repository: &Path,
    stanza: &str,
    start: &str,
) -> Result<Option<(String, String)>, HostError> {
    let Some((timeline, from)) = parts(start) else { return Ok(None) };
    let archive = repository.join("archive").join(stanza);
    let mut segments: BTreeMap<At, PathBuf> = BTreeMap::new();
    for system in below(&archive)? {
        // `<version>-<number>`, one for each system that the stanza has held.
        for group in below(&system)? {
            let Some((its, high)) = group_of(&group) else { continue };
            if its != timeline || high < from.0 {
                continue;
            }
            for file in below(&group)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // `<segment>-<checksum>`, with an ending where it is compressed. A timeline's last one,
                // `<segment>.partial-…`, and the notes of backups are none.
                let segment = name.split_once('-').map_or(&*name, |(segment, _)| segment);
                if let Some((_, at)) = parts(segment).filter(|(_, at)| *at >= from) {
                    segments.insert(at, file);
                }
            }
            if segments.len() > MOST {
                return Ok(None);
            }
        }
    }
    let name = |(high, low): At| format!("{timeline:08X}{high:08X}{low:08X}");
    let settled = |file: &Path| {
        let about = fs::metadata(file).and_then(|about| about.modified());
        about.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= SETTLED))
    };
    let pairs = segments.keys().zip(segments.iter().skip(1));
    let mut apart = pairs.filter(|(one, (next, _))| !follows(**one, **next));
    let apart = apart.find(|(_, (_, file))| settled(file));
    Ok(apart.map(|(one, (next, _))| (name(*one), name(*next))))
}

/// Whether one segment is the next after another. How many there are in four gigabytes depends on their
/// size (1 MB to 1 GB, a power of two), which no name tells: the last one is one less than such a number.
fn follows((high, low): At, next: At) -> bool {
    let last = (low + 1).is_power_of_two() && (4..=4096).contains(&(low + 1));
    next == (high, low + 1) || (last && next == (high + 1, 0))
}

/// The timeline and the place of a segment's name.
fn parts(name: &str) -> Option<(u32, At)> {
    let number = |from: usize| u32::from_str_radix(name.get(from..from + 8)?, 16).ok();
    (name.len() == 24).then(|| Some((number(0)?, (number(8)?, number(16)?)))).flatten()
}

/// The timeline and the upper half of what a directory of the archive holds.
fn group_of(path: &Path) -> Option<(u32, u32)> {
    let name = path.file_name()?.to_str().filter(|name| name.len() == 16)?;
    let number = |part: &str| u32::from_str_radix(part, 16).ok();
    Some((number(name.get(..8)?)?, number(name.get(8..)?)?))
}

fn below(directory: &Path) -> Result<Vec<PathBuf>, HostError> {
    let mut paths = Vec::new();
    for entry in found(directory, fs::read_dir(directory))?.into_iter().flatten() {
        paths.push(entry.map_err(|error| HostError::path("read", directory, &error))?.path());
    }
    Ok(paths)
}

/// A setting by which somebody has led WAL past the archive with ALTER SYSTEM: its line, or nothing.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn led_past(data: &Path) -> Result<Option<String>, HostError> {
    let path = data.join("postgresql.auto.conf");
    let text = found(&path, fs::read_to_string(&path))?.unwrap_or_default();
    let past = text.lines().rev().map(str::trim).find(|line| {
        let Some((name, value)) = line.split_once('=') else { return false };
        let (name, value) = (name.trim(), value.trim().trim_matches('\''));
        match name {
            "archive_command" => !value.contains("pgbackrest"),
            "archive_library" => !value.is_empty(),
            "archive_mode" => value == "off",
            _ => false,
        }
    });
    Ok(past.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_segment_that_is_missing_is_seen_by_names() {
        let scratch = tempfile::tempdir().unwrap();
        let put_now = |segment: &str| {
            let group = scratch.path().join("archive/pg-test/17-1").join(&segment[..16]);
            fs::create_dir_all(&group).unwrap();
            fs::File::create(group.join(format!("{segment}-0123456789abcdef.lz4"))).unwrap()
        };
        let put = |segment: &str| put_now(segment).set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let gap = |start: &str| gap(scratch.path(), "pg-test", start).unwrap();
        assert_eq!(gap("000000010000000000000018"), None, "there is no archive");
        for last in ["16", "18", "19", "1A", "FE", "FF"] {
            put(&format!("0000000100000000000000{last}"));
        }
        put("000000010000000100000000");
        put("000000020000000000000040");
        let group = scratch.path().join("archive/pg-test/17-1/0000000100000000");
        fs::write(group.join("00000001000000000000001B.partial-0123"), "").unwrap();
        fs::write(group.join("000000010000000000000019.00000028.backup"), "").unwrap();
        let pair = |one: &str, next: &str| {
            let name = |low: &str| format!("0000000100000000000000{low}");
            Some((name(one), name(next)))
        };
        assert_eq!(gap("000000010000000000000018"), pair("1A", "FE"));
        assert_eq!(gap("000000010000000000000016"), pair("16", "18"));
        // What was there before the backup, or is on another timeline, is no gap of its own.
        assert_eq!(gap("0000000100000000000000FE"), None, "over four gigabytes");
        assert_eq!(gap("000000020000000000000040"), None);
        // What has just come may have overtaken what it follows.
        put_now("000000010000000100000002");
        assert_eq!(gap("0000000100000000000000FE"), None);
        put("000000010000000100000002");
        let beyond = gap("0000000100000000000000FE").unwrap();
        assert_eq!(beyond.1, "000000010000000100000002");
    }

    #[test]
    fn wal_that_somebody_leads_past_the_archive_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("postgresql.auto.conf");
        let past = |text: &str| {
            fs::write(&file, text).unwrap();
            led_past(scratch.path()).unwrap()
        };
        assert_eq!(led_past(scratch.path()).unwrap(), None);
        let line = "archive_command = '/bin/true'";
        assert_eq!(past(&format!("# no\nwork_mem = '1MB'\n{line}\n")).as_deref(), Some(line));
        assert!(past("archive_mode = 'off'\n").is_some());
        assert!(past("archive_library = 'basic_archive'\n").is_some());
        assert_eq!(past("archive_command = 'pgbackrest --stanza=x archive-push %p'\n"), None);
        assert_eq!(past("archive_mode = 'on'\narchive_library = ''\n"), None);
    }
}
