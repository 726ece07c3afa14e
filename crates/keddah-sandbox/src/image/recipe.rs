//! What images are made of, and the keys that change when a recipe does.

use sha2::{Digest, Sha256};

use crate::image::Suite;

/// Builds the bare root file system.
pub(super) const BARE_SCRIPT: &str = include_str!("../scripts/build-bare.sh");

/// Builds the warm one from it.
pub(super) const WARM_SCRIPT: &str = include_str!("../scripts/build-warm.sh");

/// Raised when the layout of the repository changes.
const REPOSITORY_FORMAT: &str = "1";

/// What a small server has from the start, beyond Debian's essential packages.
pub(super) const BARE_PACKAGES: [&str; 10] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "sudo",
    "ca-certificates",
    "procps",
    "netbase",
];

/// Packages with the same name in every suite.
const COMMON_PACKAGES: [&str; 24] = [
    "patroni",
    "python3-etcd",
    "etcd-server",
    "etcd-client",
    "haproxy",
    "pgbouncer",
    "pgbackrest",
    "keepalived",
    "dnsmasq",
    "chrony",
    "cron",
    "logrotate",
    "openssl",
    "jq",
    "curl",
    "rsync",
    "acl",
    "less",
    "vim-tiny",
    "nftables",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-pgbouncer-exporter",
    "postgresql-common",
];

/// PostgreSQL's major version in a suite.
fn postgresql_version(suite: Suite) -> &'static str {
    match suite {
        Suite::Trixie => "17",
        Suite::Bookworm => "15",
    }
}

/// What a warm image has installed.
pub(super) fn packages(suite: Suite) -> Vec<String> {
    let version = postgresql_version(suite);
    let mut packages: Vec<String> =
        COMMON_PACKAGES.iter().map(|package| (*package).to_owned()).collect();
    packages.push(format!("postgresql-{version}"));
    packages.push(format!("postgresql-client-{version}"));
    let extensions: &[&str] = match suite {
        Suite::Trixie => &["pgvector", "repack", "cron", "wal2json"],
        // Debian 12 has no pgvector.
        Suite::Bookworm => &["repack", "cron", "wal2json"],
    };
    packages.extend(extensions.iter().map(|name| format!("postgresql-{version}-{name}")));
    packages.push(
        match suite {
            Suite::Trixie => "vip-manager2",
            Suite::Bookworm => "vip-manager",
        }
        .to_owned(),
    );
    packages
}

/// What the repository serves with all its dependencies: what a warm image has, and extensions that
/// inventories often name and that are too large for an image.
pub(super) fn served(suite: Suite) -> Vec<String> {
    let version = postgresql_version(suite);
    let extensions: &[&str] = match suite {
        Suite::Trixie => &["postgis-3", "timescaledb"],
        // Debian 12 has no timescaledb.
        Suite::Bookworm => &["postgis-3"],
    };
    let mut packages = packages(suite);
    packages.extend(extensions.iter().map(|name| format!("postgresql-{version}-{name}")));
    packages
}

/// The first twelve digits of the hash over all parts: enough to tell one person's recipes apart.
fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// The key of the bare image.
pub(super) fn bare_key(suite: Suite) -> String {
    key(&[&suite.to_string(), BARE_SCRIPT, &BARE_PACKAGES.join(" ")])
}

/// The key of the repository.
pub(super) fn repository_key(suite: Suite) -> String {
    key(&[&bare_key(suite), REPOSITORY_FORMAT, &served(suite).join(" ")])
}

/// The key of the warm image.
pub(super) fn warm_key(suite: Suite) -> String {
    key(&[&bare_key(suite), REPOSITORY_FORMAT, &packages(suite).join(" "), WARM_SCRIPT])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_kinds_never_share_a_key() {
        let mut keys: Vec<String> = [Suite::Trixie, Suite::Bookworm]
            .into_iter()
            .flat_map(|suite| [bare_key(suite), repository_key(suite), warm_key(suite)])
            .collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
        assert!(keys.iter().all(|key| key.len() == 12));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }

    /// The record of Debian's versions must not miss a package that nodes get.
    #[test]
    fn the_record_of_package_versions_names_what_an_image_has() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../scripts/debian-packages.lock");
        let lock = std::fs::read_to_string(path).unwrap();
        let recorded: Vec<&str> = lock
            .lines()
            .filter_map(|line| line.strip_prefix("trixie "))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let mut wanted = packages(Suite::Trixie);
        wanted.extend(BARE_PACKAGES.iter().map(|package| (*package).to_owned()));
        // It tells Debian's point release.
        wanted.push("base-files".to_owned());
        wanted.sort();
        let mut sorted = recorded.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted, wanted,
            "scripts/debian-packages.lock: write `trixie NAME -` for a new package, and run \
             `make compare-packages`"
        );
    }
}
