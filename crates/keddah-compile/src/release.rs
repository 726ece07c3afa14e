//! What a distribution's release offers: PostgreSQL's version and the names of packages.

use keddah_resource::NodeFacts;

/// Distributions whose packages this product knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

/// Versions of PostgreSQL that an inventory may ask for.
pub const POSTGRESQL_VERSIONS: std::ops::RangeInclusive<u32> = 13..=18;

impl Release {
    /// The release of a node; `None` for one whose packages are not known.
    pub fn of(facts: &NodeFacts) -> Option<Self> {
        match facts.distribution.codename.as_str() {
            "bookworm" => Some(Release::Bookworm),
            "trixie" => Some(Release::Trixie),
            _ => None,
        }
    }

    /// The PostgreSQL that the distribution itself carries.
    pub fn postgresql(self) -> u32 {
        match self {
            Release::Bookworm => 15,
            Release::Trixie => 17,
        }
    }

    /// Packages of the NODE module.
    pub fn node_packages(self) -> &'static [&'static str] {
        &["ca-certificates", "chrony", "cron", "haproxy", "openssl", "sudo"]
    }

    /// Packages of the ETCD module.
    pub fn etcd_packages(self) -> &'static [&'static str] {
        &["etcd-client", "etcd-server"]
    }

    /// Packages of the PGSQL module for one version of PostgreSQL.
    pub fn pgsql_packages(self, version: u32) -> Vec<String> {
        // etcdctl and the etcd3 client libraries come with patroni's recommendations, which are
        // not installed; the ones it needs for etcd are named here.
        let mut names: Vec<String> = [
            "patroni",
            "pgbackrest",
            "pgbouncer",
            "python3-etcd",
            "python3-psycopg2",
            "python3-urllib3",
        ]
        .map(str::to_owned)
        .into();
        names.push(format!("postgresql-{version}"));
        names.push(format!("postgresql-client-{version}"));
        names
    }
}

/// The package that brings an extension, `None` for those of PostgreSQL's own contrib package.
///
/// `name` is an extension as `CREATE EXTENSION` spells it, or a package alias as inventories use
/// it (`pgvector`); both occur.
pub fn extension_package(name: &str, version: u32) -> Option<String> {
    let suffix = match name {
        "vector" | "pgvector" => "pgvector",
        "postgis" | "postgis_topology" | "postgis_raster" | "postgis_sfcgal" => "postgis-3",
        "timescaledb" => "timescaledb",
        "pg_cron" => "cron",
        "pg_repack" => "repack",
        "wal2json" => "wal2json",
        "pgaudit" => "pgaudit",
        "hll" | "postgresql_hll" => "hll",
        "ip4r" => "ip4r",
        "pg_partman" => "partman",
        "pg_qualstats" => "pg-qualstats",
        "pg_stat_kcache" => "pg-stat-kcache",
        "pg_hint_plan" => "pg-hint-plan",
        "pglogical" => "pglogical",
        "plpgsql_check" => "plpgsql-check",
        "rum" => "rum",
        "semver" => "semver",
        "similarity" | "pg_similarity" => "similarity",
        "pgtap" => "pgtap",
        "plv8" => "plv8",
        "age" => "age",
        "hypopg" => "hypopg",
        "orafce" => "orafce",
        "pgrouting" => "pgrouting",
        "plr" => "plr",
        "tdigest" => "tdigest",
        "toastinfo" => "toastinfo",
        "unit" => "unit",
        _ => return None,
    };
    Some(format!("postgresql-{version}-{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_their_packages() {
        assert_eq!(extension_package("vector", 17).as_deref(), Some("postgresql-17-pgvector"));
        assert_eq!(extension_package("pg_trgm", 17), None);
    }
}
