//! The machine itself: clock, file systems, certificates, units, addresses.

use super::programs::replaced;
use crate::HostError;
use crate::real::systemd;
use futures_util::future::join_all;
use keddah_resource::health::{
    Asked, CertificateHealth, ConfigurationProbe, DiskHealth, UnitHealth, Unloaded,
};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::pem::parse_x509_pem;

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "how the machine's clock stands is observed")]
pub(super) fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The file systems of those directories that exist. One that hangs, such as a network's, answers for
/// itself only: the others are there in time.
pub(super) async fn disks(directories: &[String], patience: Duration) -> Vec<Asked<DiskHealth>> {
    let look = |directory: &String| {
        let path = directory.clone();
        tokio::time::timeout(patience, tokio::task::spawn_blocking(move || disk(&path)))
    };
    let tablespaces = within_data(directories, patience).await;
    let directories: Vec<&String> = directories.iter().chain(&tablespaces).collect();
    let looked = join_all(directories.iter().map(|directory| look(directory))).await;
    let told = directories.iter().zip(looked).filter_map(|(directory, looked)| match looked {
        Ok(Ok(disk)) => disk.map(Asked::Told),
        Ok(Err(error)) => Some(Asked::unknown(format!("{directory}: {error}"))),
        Err(_) => Some(Asked::unknown(format!("the file system of {directory} hangs"))),
    });
    told.collect()
}

/// Where the tablespaces lie of the servers whose data is in these directories: links in `pg_tblspc`
/// ("Database File Layout" in PostgreSQL's manual).
async fn within_data(directories: &[String], patience: Duration) -> Vec<String> {
    let directories = directories.to_owned();
    let links = tokio::task::spawn_blocking(move || {
        let read = |data: &String| std::fs::read_dir(format!("{data}/pg_tblspc")).ok();
        let entries = directories.iter().filter_map(read).flatten().flatten();
        let targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.filter_map(|target| target.into_os_string().into_string().ok()).collect()
    });
    match tokio::time::timeout(patience, links).await {
        Ok(Ok(found)) => found,
        // That a file system hangs is told of the directory itself.
        _ => Vec::new(),
    }
}

fn disk(directory: &str) -> Option<DiskHealth> {
    let found = rustix::fs::stat(directory).ok()?;
    let space = rustix::fs::statvfs(directory).ok()?;
    Some(DiskHealth {
        directory: directory.to_owned(),
        taken: space.f_blocks.saturating_sub(space.f_bfree).saturating_mul(space.f_frsize),
        free: space.f_bavail.saturating_mul(space.f_frsize),
        inodes: inodes(space.f_files, space.f_favail),
        device: found.st_dev,
    })
}

/// Percent of the inodes that an account other than root cannot have any more.
fn inodes(all: u64, free: u64) -> u64 {
    let taken = all.saturating_sub(free).saturating_mul(100);
    taken.checked_div(all).unwrap_or_default()
}

/// When the certificates end that are there. One that cannot be read is the plan's matter.
pub(super) fn certificates(paths: &[String]) -> Vec<CertificateHealth> {
    let ends = |path: &String| {
        let text = std::fs::read(path).ok()?;
        let (_, pem) = parse_x509_pem(&text).ok()?;
        let ends = pem.parse_x509().ok()?.validity().not_after.timestamp();
        Some(CertificateHealth { path: path.clone(), ends })
    };
    paths.iter().filter_map(ends).collect()
}

/// What systemd says of units, and those of them that do not use what their files say now, by one question.
pub(super) async fn units(
    names: &[String],
    probes: &[ConfigurationProbe],
) -> Result<(Vec<UnitHealth>, Vec<Unloaded>), HostError> {
    if names.is_empty() && probes.is_empty() {
        return Ok(Default::default());
    }
    let asked = names.iter().chain(probes.iter().map(|probe| &probe.unit));
    let asked: Vec<&str> = asked.map(String::as_str).collect();
    let text = systemd::show(&asked).await?.join("\n\n");
    let blocks = text.split("\n\n").skip(names.len());
    Ok((parse_units(&text, names), unloaded(blocks, probes)))
}

fn parse_units(text: &str, names: &[String]) -> Vec<UnitHealth> {
    let blocks = text.split("\n\n").zip(names).map(|(block, name)| {
        let properties: BTreeMap<&str, &str> =
            block.lines().filter_map(|line| line.split_once('=')).collect();
        let of = |property: &str| properties.get(property).copied().unwrap_or_default();
        UnitHealth {
            unit: name.clone(),
            state: of("ActiveState").to_owned(),
            since: of("StateChangeTimestamp").trim_start_matches('@').parse().unwrap_or_default(),
            replaced: of("MainPID").parse().ok().and_then(replaced),
        }
    });
    blocks.collect()
}

/// Units whose files were changed after they started or were reloaded last: they do not use what stands
/// there. That a file has the declared content does not say that anybody has read it.
fn unloaded<'a>(
    blocks: impl Iterator<Item = &'a str>,
    probes: &[ConfigurationProbe],
) -> Vec<Unloaded> {
    let booted = clock() - uptime();
    let found = blocks.zip(probes).filter_map(|(block, probe)| {
        let loaded = booted + loaded(block)?;
        let files = probe.files.iter().filter(|path| changed(path).is_some_and(|at| at > loaded));
        let files: Vec<String> = files.cloned().collect();
        (!files.is_empty()).then(|| Unloaded { unit: probe.unit.clone(), files })
    });
    found.collect()
}

/// Milliseconds since the machine's start until a unit that runs has started or been reloaded last, after
/// which systemd calls it active anew.
fn loaded(block: &str) -> Option<i64> {
    let of = |property: &str| {
        let mut lines = block.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| *name == property).map(|(_, value)| value)
    };
    let runs = of("ActiveState") == Some("active");
    let at: i64 = of("StateChangeTimestampMonotonic")?.parse().ok()?;
    (runs && at > 0).then_some(at / 1000)
}

/// Milliseconds since the machine's start, as systemd counts them.
fn uptime() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// When a file's content, name or owner last changed, in milliseconds since 1970: a copy that keeps its
/// date does not hide that.
fn changed(path: &str) -> Option<i64> {
    let found = rustix::fs::stat(path).ok()?;
    Some(found.st_ctime.saturating_mul(1000) + i64::try_from(found.st_ctime_nsec).ok()? / 1_000_000)
}

/// The IPv4 addresses of all interfaces.
pub(super) async fn addresses() -> Result<Vec<String>, HostError> {
    let interfaces = crate::real::facts::interfaces().await?;
    let addresses = interfaces.into_iter().flat_map(|interface| interface.addresses);
    Ok(addresses.filter_map(|one| Some(one.split_once('/')?.0.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_in_the_order_of_the_question() {
        let names = ["haproxy.service".to_owned(), "pgbouncer.service".to_owned()];
        let text = "Id=haproxy.service\nActiveState=active\nStateChangeTimestamp=@1700000000\n\n\
                    Id=pgbouncer.service\nActiveState=failed\nStateChangeTimestamp=\n";
        let units = parse_units(text, &names);
        assert_eq!((units[0].state.as_str(), units[0].since), ("active", 1_700_000_000));
        assert_eq!((units[1].state.as_str(), units[1].since), ("failed", 0));
    }

    #[test]
    fn what_a_unit_has_loaded_is_from_when_it_was_active_last() {
        let block = "ActiveState=active\nStateChangeTimestampMonotonic=7000123";
        assert_eq!(loaded(block), Some(7000));
        assert_eq!(loaded("ActiveState=inactive\nStateChangeTimestampMonotonic=7000123"), None);
        let scratch = tempfile::NamedTempFile::new().unwrap();
        let path = scratch.path().to_str().unwrap();
        assert!((clock() - changed(path).unwrap()).abs() < 60_000, "it was made just now");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_has_no_file_system() {
        let wanted = ["/".to_owned(), "/nowhere/at/all".to_owned()];
        let found = disks(&wanted, Duration::from_secs(5)).await;
        let Some(Asked::Told(root)) = found.first() else { panic!("/ is there") };
        assert!(found.len() == 1 && root.taken > 0 && root.free > 0);
    }
}
