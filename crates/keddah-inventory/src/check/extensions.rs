//! Extensions whose names are a slip of the finger away from one that is known.

use super::{Report, warning};
use crate::model::{DatabaseState, PgDatabase};
use std::collections::HashSet;

/// PostgreSQL's own (its manual, appendix F, 13 to 18), and those that Keddah knows Debian's package of
/// (`extension_package` in keddah-compile). Others are fine: any package may bring some.
const KNOWN: &[&str] = &[
    "adminpack",
    "age",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dblink",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "hll",
    "hstore",
    "hypopg",
    "insert_username",
    "intagg",
    "intarray",
    "ip4r",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "old_snapshot",
    "orafce",
    "pageinspect",
    "pg_buffercache",
    "pg_cron",
    "pg_freespacemap",
    "pg_hint_plan",
    "pg_logicalinspect",
    "pg_partman",
    "pg_prewarm",
    "pg_qualstats",
    "pg_repack",
    "pg_similarity",
    "pg_stat_kcache",
    "pg_stat_statements",
    "pg_surgery",
    "pg_trgm",
    "pg_visibility",
    "pg_walinspect",
    "pgaudit",
    "pgcrypto",
    "pglogical",
    "pgrouting",
    "pgrowlocks",
    "pgstattuple",
    "pgtap",
    "pgvector",
    "plpgsql",
    "plpgsql_check",
    "plr",
    "plv8",
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "postgis_topology",
    "postgres_fdw",
    "postgresql_hll",
    "refint",
    "rum",
    "seg",
    "semver",
    "similarity",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tdigest",
    "timescaledb",
    "toastinfo",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "unit",
    "uuid-ossp",
    "vector",
    "wal2json",
    "xml2",
];

/// Shorter names are one letter away from too much.
const LONG: usize = 5;

pub(super) fn check(report: &mut Report<'_>) {
    let mut told = HashSet::new();
    for cluster in report.clusters.clone() {
        let Some(member) = cluster.members.first() else { continue };
        let databases = PgDatabase::business(&member.params);
        for database in databases.iter().filter(|one| one.state != DatabaseState::Absent) {
            for extension in &database.extensions {
                let name = extension.name.as_str();
                if name.len() < LONG || KNOWN.contains(&name) {
                    continue;
                }
                let Some(near) = KNOWN.iter().find(|known| one_slip(known, name)) else { continue };
                if told.insert((extension.span, name.to_owned())) {
                    let message = format!(
                        "no extension `{name}` is known, and the plan will look for it on the nodes"
                    );
                    report.add(
                        warning("unknown-extension", extension.span, message)
                            .help(format!("did you mean `{near}`?")),
                    );
                }
            }
        }
    }
}

/// Whether one letter too many, too few, another, or two that changed places, make the one the other.
fn one_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() < LONG || one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let start = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (rest, others) = (&one[start..], &other[start..]);
    let same = |a: usize, b: usize| rest.get(a..).is_some_and(|tail| Some(tail) == others.get(b..));
    let swapped = rest.len() >= 2
        && others.len() >= 2
        && rest[0] == others[1]
        && rest[1] == others[0]
        && same(2, 2);
    same(1, 0) || same(0, 1) || same(1, 1) || swapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_seen_and_two_are_another_name() {
        for slip in ["pg_trgmm", "pg_trg", "pg_tgrm", "pg_trgn"] {
            assert!(one_slip("pg_trgm", slip), "{slip}");
        }
        for other in ["pg_trgm", "pg_tram2", "pg_net", "trgm", "pgmq"] {
            assert!(!one_slip("pg_trgm", other), "{other}");
        }
    }
}
