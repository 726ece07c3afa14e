//! The machine itself: clock, file systems, certificates, units, addresses.

use crate::HostError;
use crate::command::Command;
use futures_util::future::join_all;
use keddah_resource::health::{Asked, CertificateHealth, DiskHealth, UnitHealth};
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
    let looked = join_all(directories.iter().map(look)).await;
    let told = directories.iter().zip(looked).filter_map(|(directory, looked)| match looked {
        Ok(Ok(disk)) => disk.map(Asked::Told),
        Ok(Err(error)) => Some(Asked::unknown(format!("{directory}: {error}"))),
        Err(_) => Some(Asked::unknown(format!("the file system of {directory} hangs"))),
    });
    told.collect()
}

fn disk(directory: &str) -> Option<DiskHealth> {
    let found = rustix::fs::stat(directory).ok()?;
    let space = rustix::fs::statvfs(directory).ok()?;
    Some(DiskHealth {
        directory: directory.to_owned(),
        taken: space.f_blocks.saturating_sub(space.f_bfree).saturating_mul(space.f_frsize),
        free: space.f_bavail.saturating_mul(space.f_frsize),
        device: found.st_dev,
    })
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

/// What systemd says of units.
pub(super) async fn units(names: &[String]) -> Result<Vec<UnitHealth>, HostError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let text = Command::new("systemctl")
        .asks("systemd")
        .args(["show", "--timestamp=unix", "--property=Id,ActiveState,StateChangeTimestamp"])
        .args(names)
        .succeed()
        .await?;
    Ok(parse_units(&text, names))
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
        }
    });
    blocks.collect()
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

    #[tokio::test]
    async fn a_directory_that_is_not_there_has_no_file_system() {
        let wanted = ["/".to_owned(), "/nowhere/at/all".to_owned()];
        let found = disks(&wanted, Duration::from_secs(5)).await;
        let Some(Asked::Told(root)) = found.first() else { panic!("/ is there") };
        assert!(found.len() == 1 && root.taken > 0 && root.free > 0);
    }
}
