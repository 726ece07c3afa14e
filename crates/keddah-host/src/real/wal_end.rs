//! How far the WAL of a server that does not run reaches: from its files alone.
//!
//! A server writes its segments one after another, and each is on disk before the next one is begun
//! (`XLogWrite`, and `XLogWalRcvWrite` on a standby, in PostgreSQL's sources). So the last segment that was
//! begun is the one to look into; `pg_waldump` reads its records until there is no more that is whole.

use super::instance_facts::found;
use crate::HostError;
use crate::command::Command;
use keddah_resource::{DataFacts, WalEnd};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Two segments of 16 MiB take a tenth of a second; facts are waited for.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A file of WAL that was begun, and is no older one that waits under its next name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    timeline: u32,
    start: u64,
    size: u64,
}

/// The segment that a server's WAL ends in, and the timelines that it came by.
struct Last {
    segment: Segment,
    forks: Vec<(u32, u64)>,
}

/// Reads the end of a server's WAL; nothing where it has none that could be read.
///
/// # Errors
/// When a file is there and cannot be read.
pub(super) async fn read(data: &DataFacts) -> Result<Option<WalEnd>, HostError> {
    let wal = Path::new(&data.path).join("pg_wal");
    let Some(Last { segment: last, forks }) = last_segment(&wal, data.timeline.unwrap_or(1))?
    else {
        return Ok(None);
    };
    let Segment { timeline, start, size } = last;
    // A record may fill the last segment from its beginning on, so the one before is read, too.
    let before = start.checked_sub(size).map(|start| Segment { start, ..last });
    let before = before.filter(|before| wal.join(name(*before)).exists());
    let said = dump(data, &wal, before.unwrap_or(last)).await;
    let end = said.as_deref().and_then(|said| end_of(said, size)).filter(|end| *end >= start);
    let (position, exact) = end.map_or((start, false), |end| (end, true));
    Ok(Some(WalEnd { timeline, position, exact, forks }))
}

/// How far a server has come that runs, by its Patroni's word, and the timelines that it came by.
///
/// # Errors
/// When its history is there and cannot be read.
pub(super) fn running(
    data: &DataFacts,
    timeline: Option<u32>,
    position: Option<u64>,
) -> Result<Option<WalEnd>, HostError> {
    let (Some(timeline), Some(position)) = (timeline.or(data.timeline), position) else {
        return Ok(None);
    };
    let forks = history(&Path::new(&data.path).join("pg_wal"), timeline)?;
    Ok(Some(WalEnd { timeline, position, exact: false, forks }))
}

/// The last segment of the newest timeline that the server's last checkpoint is of, or went on to; and the
/// timelines before.
fn last_segment(wal: &Path, checkpoint: u32) -> Result<Option<Last>, HostError> {
    let mut names = Vec::new();
    for entry in found(wal, fs::read_dir(wal))?.into_iter().flatten() {
        let entry = entry.map_err(|error| HostError::path("read", wal, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            names.push(name);
        }
    }
    names.sort();
    let mut refused = None;
    for name in names.iter().rev() {
        let timeline = u32::from_str_radix(&name[..8], 16).unwrap_or_default();
        if timeline < checkpoint || refused == Some(timeline) {
            continue;
        }
        let Some(segment) = begun(wal, name)? else { continue };
        let forks = history(wal, timeline)?;
        if timeline != checkpoint && !forks.iter().any(|(before, _)| *before == checkpoint) {
            refused = Some(timeline);
            continue;
        }
        return Ok(Some(Last { segment, forks }));
    }
    Ok(None)
}

/// Reads a file's first page: `XLogLongPageHeaderData` in PostgreSQL's `access/xlog_internal.h`, in the
/// machine's own byte order. One that is kept to be written again says where it was before.
fn begun(wal: &Path, name: &str) -> Result<Option<Segment>, HostError> {
    let path = wal.join(name);
    let mut page = Vec::with_capacity(40);
    let Some(file) = found(&path, File::open(&path))? else { return Ok(None) };
    file.take(40).read_to_end(&mut page).map_err(|error| HostError::path("read", &path, &error))?;
    let four = |at: usize| Some(u32::from_ne_bytes(page.get(at..at + 4)?.try_into().ok()?));
    let address =
        page.get(8..16).and_then(|bytes| Some(u64::from_ne_bytes(bytes.try_into().ok()?)));
    let (Some(address), Some(size)) = (address, four(32)) else { return Ok(None) };
    let written = page[..2] != [0, 0] && size.is_power_of_two() && size >= 1 << 20;
    let segment = start_of(name, size.into()).filter(|segment| written && segment.start == address);
    Ok(segment)
}

/// What a file's name says: timeline, and the number of the segment in two parts, of which the first counts
/// 4 GiB.
fn start_of(name: &str, size: u64) -> Option<Segment> {
    let part = |from: usize| u64::from_str_radix(name.get(from..from + 8)?, 16).ok();
    let (timeline, high, low) = (part(0)?, part(8)?, part(16)?);
    let start = (high << 32).checked_add(low.checked_mul(size)?)?;
    Some(Segment { timeline: u32::try_from(timeline).ok()?, start, size })
}

fn name(Segment { timeline, start, size }: Segment) -> String {
    format!("{timeline:08X}{:08X}{:08X}", start >> 32, (start & 0xffff_ffff) / size)
}

/// The timelines before one, as its history file has them.
fn history(wal: &Path, timeline: u32) -> Result<Vec<(u32, u64)>, HostError> {
    let path = wal.join(format!("{timeline:08X}.history"));
    let text = found(&path, fs::read_to_string(&path))?.unwrap_or_default();
    let forks = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, position(words.next()?)?))
    });
    Ok(forks.collect())
}

/// A position as PostgreSQL writes it, `1/A0000028`.
fn position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u64::from_str_radix(high, 16).ok().filter(|high| *high <= 0xffff_ffff)?;
    let low = u64::from_str_radix(low, 16).ok().filter(|low| *low <= 0xffff_ffff)?;
    Some(high << 32 | low)
}

/// What `pg_waldump` says where it ends; it runs as the owner, for the files are not root's.
async fn dump(data: &DataFacts, wal: &Path, from: Segment) -> Option<String> {
    let program = format!("/usr/lib/postgresql/{}/bin/pg_waldump", data.version?);
    let start = format!("{:X}/{:X}", from.start >> 32, from.start & 0xffff_ffff);
    let timeline = from.timeline.to_string();
    let wal = wal.to_string_lossy();
    let arguments = ["--quiet", "--path", &*wal, "--timeline", &timeline, "--start", &start];
    let command = if rustix::process::getuid().is_root() {
        Command::new("runuser").args(["-u", &data.owner, "--", &program])
    } else {
        Command::new(&program)
    };
    let output = command.args(arguments).patience(PATIENCE).run().await.ok()?;
    Some(output.stderr)
}

/// Where the last whole record ends. What is there behind it says why it is none:
/// `error in WAL record at 0/3000110: invalid record length at 0/3000148: wanted 24, got 0`.
///
/// Where the message has no second position, the first one, of a record that is whole, is all there is to
/// go by; and where the next file is missing, the end is the last one's.
fn end_of(said: &str, size: u64) -> Option<u64> {
    const LAST: &str = "error in WAL record at ";
    if let Some((_, rest)) = said.split_once(LAST) {
        let (last, why) = rest.split_once(": ")?;
        let last = position(last).filter(|last| *last > 0)?;
        let next = why.split(" at ").skip(1).filter_map(|part| {
            let end = part.find(|letter: char| !letter.is_ascii_hexdigit() && letter != '/');
            position(&part[..end.unwrap_or(part.len())])
        });
        // One more than its beginning: it is there, unlike what another server may be about to write.
        return next.filter(|next| *next > last).max().or(Some(last + 1));
    }
    let (_, rest) = said.split_once("could not find file \"")?;
    let segment = rest.split_once('"').map(|(name, _)| name)?;
    start_of(segment, size).map(|segment| segment.start)
}

#[cfg(test)]
mod tests;
