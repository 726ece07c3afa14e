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

/// A gap in the archive of a stanza of a repository that is a directory of this machine, on the way that a
/// restore of a backup takes: from the segment with which it begins along the history of timelines to the
/// newest. The segments between which some are missing; twice the first one where that is missing itself.
///
/// # Errors
/// When the directories cannot be read.
pub(super) fn gap(
    repository: &Path,
    stanza: &str,
    start: &str,
) -> Result<Option<(String, String)>, HostError> {
    let Some((timeline, from)) = parts(start) else { return Ok(None) };
    // `<version>-<number>`, one for each system that the stanza has held; each has timelines of its own.
    for system in below(&repository.join("archive").join(stanza))? {
        let Some(timelines) = segments(&system, timeline, from)? else { return Ok(None) };
        if timelines.get(&timeline).is_some_and(|own| own.contains_key(&from)) {
            return along(&system, timelines, timeline, from);
        }
    }
    Ok(Some((start.to_owned(), start.to_owned())))
}

/// The segments of each timeline.
type Timelines = BTreeMap<u32, BTreeMap<At, PathBuf>>;

/// The segments of a system from a place on; `None` where they are too many to be listed.
fn segments(system: &Path, timeline: u32, from: At) -> Result<Option<Timelines>, HostError> {
    let (mut timelines, mut count) = (Timelines::new(), 0);
    for group in below(system)? {
        let Some((its, high)) = group_of(&group) else { continue };
        if its < timeline || high < from.0 {
            continue;
        }
        for file in below(&group)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // `<segment>-<checksum>`, with an ending where it is compressed. A timeline's last one,
            // `<segment>.partial-…`, and the notes of backups are none.
            let segment = name.split_once('-').map_or(&*name, |(segment, _)| segment);
            if let Some((_, at)) = parts(segment).filter(|(_, at)| *at >= from) {
                timelines.entry(its).or_default().insert(at, file);
                count += 1;
            }
        }
        if count > MOST {
            return Ok(None);
        }
    }
    Ok(Some(timelines))
}

/// The first gap on the way from a segment that is there.
fn along(
    system: &Path,
    mut timelines: Timelines,
    timeline: u32,
    from: At,
) -> Result<Option<(String, String)>, HostError> {
    let mut way: BTreeMap<At, (u32, PathBuf)> = BTreeMap::new();
    let forks = forks(system, timeline, from)?;
    for its in std::iter::once(timeline).chain(forks.keys().copied()) {
        let own = timelines.remove(&its).unwrap_or_default();
        if let Some(position) = forks.get(&its) {
            let first = own.first_key_value().map(|(at, _)| *at);
            // What the earlier timeline went on to write is of no use beyond the fork.
            if let Some(fork) = fork_at(*position, first) {
                way.split_off(&fork);
            }
        }
        way.extend(own.into_iter().map(|(at, file)| (at, (its, file))));
    }
    let name = |(high, low): At, its: u32| format!("{its:08X}{high:08X}{low:08X}");
    let settled = |file: &Path| {
        let about = fs::metadata(file).and_then(|about| about.modified());
        about.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= SETTLED))
    };
    let pairs = way.iter().zip(way.iter().skip(1));
    let mut apart = pairs.filter(|((one, _), (next, _))| !follows(**one, **next));
    let apart = apart.find(|(_, (_, (_, file)))| settled(file));
    Ok(apart.map(|((one, (its, _)), (next, (other, _)))| (name(*one, *its), name(*next, *other))))
}

/// A position in WAL: its upper and its lower half.
type Position = (u32, u32);

/// The timelines that a restore follows beyond the one on which a backup begins, with the position at which
/// each begins. The newest one's history file tells all of them (PostgreSQL manual, "Timelines"): a line for
/// each earlier one, with its number and the position at which it was left. The newest whose history leads
/// by the backup counts; one that was left before the backup began leads elsewhere.
fn forks(
    system: &Path,
    timeline: u32,
    from: At,
) -> Result<BTreeMap<u32, Option<Position>>, HostError> {
    let mut histories = BTreeMap::new();
    for path in below(system)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_suffix(".history").and_then(|id| u32::from_str_radix(id, 16).ok());
        if let Some(number) = number.filter(|number| *number > timeline) {
            histories.insert(number, path);
        }
    }
    let mut unreadable = BTreeMap::new();
    for (&newest, path) in histories.iter().rev() {
        let bytes = found(path, fs::read(path))?.unwrap_or_default();
        let left = left(&String::from_utf8_lossy(&bytes));
        if left.is_empty() {
            // An encrypted one: its timeline is taken to begin with its first segment.
            unreadable.insert(newest, None);
            continue;
        }
        let own = left.iter().position(|(its, _)| *its == timeline);
        let Some(own) = own.filter(|own| left[*own].1.0 >= from.0) else { continue };
        let next = left.iter().skip(own + 1).map(|(its, _)| *its).chain([newest]);
        let begun = left.iter().skip(own).map(|(_, position)| Some(*position));
        return Ok(next.zip(begun).collect());
    }
    Ok(unreadable)
}

/// The timelines of a history file, with the position at which each was left.
fn left(text: &str) -> Vec<(u32, Position)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let (high, low) = words.next()?.split_once('/')?;
        let half = |text| u32::from_str_radix(text, 16).ok();
        Some((number, (half(high)?, half(low)?)))
    };
    text.lines().filter_map(line).collect()
}

/// The segment with which a timeline begins. The size of segments is told by no name: it is the one by which
/// the timeline's first segment is the right one, and else PostgreSQL's own, 16 MB.
fn fork_at(position: Option<Position>, first: Option<At>) -> Option<At> {
    let Some((high, low)) = position else { return first };
    let mut sizes = (20..=30).map(|bits| (high, low >> bits));
    sizes.find(|at| Some(*at) == first).or(Some((high, low >> 24)))
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
        let start = "000000010000000000000018".to_owned();
        let itself = Some((start.clone(), start));
        assert_eq!(gap("000000010000000000000018"), itself, "there is no archive");
        for last in ["16", "18", "19", "1A", "FE", "FF"] {
            put(&format!("0000000100000000000000{last}"));
        }
        put("000000010000000100000000");
        put("000000020000000000000040");
        assert_eq!(gap("000000010000000000000020").unwrap().0, "000000010000000000000020");
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
    fn the_way_of_a_restore_leads_over_timelines() {
        let scratch = tempfile::tempdir().unwrap();
        let system = scratch.path().join("archive/pg-test/17-1");
        let path = |segment: &str| system.join(&segment[..16]).join(format!("{segment}-01.lz4"));
        let put = |timeline: u32, last: u32| {
            let path = path(&format!("{timeline:08X}00000000{last:08X}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        let take = |timeline: u32, last: u32| {
            fs::remove_file(path(&format!("{timeline:08X}00000000{last:08X}"))).unwrap();
        };
        let gap = || gap(scratch.path(), "pg-test", "00000001000000000000000C").unwrap();
        let pair = |one: (u32, u32), next: (u32, u32)| {
            let name = |(its, last)| format!("{its:08X}00000000{last:08X}");
            Some((name(one), name(next)))
        };
        // The old leader wrote on beyond the fork.
        for (timeline, last) in [(1, 0x0C), (1, 0x0D), (1, 0x0E), (1, 0x0F), (2, 0x0E), (2, 0x0F)] {
            put(timeline, last);
        }
        fs::write(system.join("00000002.history"), "1\t0/E000028\tno recovery target\n").unwrap();
        assert_eq!(gap(), None);
        take(2, 0x0E);
        assert_eq!(gap(), pair((1, 0x0D), (2, 0x0F)), "the first one after the fork");
        put(2, 0x0E);
        take(1, 0x0D);
        assert_eq!(gap(), pair((1, 0x0C), (2, 0x0E)), "the last one before it");
        put(1, 0x0D);
        let history = "1\t0/E000028\tno\n\n2\t0/10000028\tno\n";
        fs::write(system.join("00000003.history"), history).unwrap();
        assert_eq!(gap(), None, "nothing of the newest has come yet");
        put(3, 0x11);
        assert_eq!(gap(), pair((2, 0x0F), (3, 0x11)));
        put(3, 0x10);
        assert_eq!(gap(), None);
        // What is encrypted tells where it begins by its first segment.
        fs::write(system.join("00000002.history"), b"Salted__\xff\x00").unwrap();
        fs::write(system.join("00000003.history"), b"Salted__\xff\x00").unwrap();
        assert_eq!(gap(), None);
        take(1, 0x0D);
        assert_eq!(gap(), pair((1, 0x0C), (2, 0x0E)));
        put(1, 0x0D);
        take(1, 0x0C);
        assert_eq!(gap(), pair((1, 0x0C), (1, 0x0C)), "the backup's own first one");
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
