//! Libraries that PostgreSQL loads when it starts: those that an inventory names, and those without
//! which an extension that it declares cannot be made.

use keddah_inventory::model::{DatabaseState, PgDatabase, PgExtension, State};
use keddah_inventory::{Params, parameters};

/// Extensions that `CREATE EXTENSION` refuses, or whose functions do, until the library of the same
/// name was loaded at the server's start (each project's installation notes).
const NEEDED_AT_START: &[&str] =
    &["citus", "pg_cron", "pg_stat_kcache", "pgaudit", "pglogical", "timescaledb"];

/// Citus hooks the planner before anybody else, and does not start otherwise.
const FIRST: &str = "citus";

/// `shared_preload_libraries` of a cluster: `pg_libs`, and what its extensions need beside that.
pub(super) fn preloaded(params: &Params<'_>) -> String {
    let named = params.get(parameters::PG_LIBS);
    let mut libraries: Vec<&str> =
        named.split(',').map(str::trim).filter(|library| !library.is_empty()).collect();
    let mut needed: Vec<String> = PgDatabase::business(params)
        .into_iter()
        .filter(|database| database.state != DatabaseState::Absent)
        .flat_map(|database| database.extensions)
        .chain(PgExtension::defaults(params))
        .filter(|extension| {
            extension.state == State::Present && NEEDED_AT_START.contains(&extension.name.as_str())
        })
        .map(|extension| extension.name)
        .collect();
    needed.sort();
    needed.dedup();
    for name in &needed {
        if libraries.iter().any(|library| library.trim_start_matches("$libdir/") == name) {
            continue;
        }
        let place = if name == FIRST { 0 } else { libraries.len() };
        libraries.insert(place, name);
    }
    libraries.join(", ")
}

#[cfg(test)]
mod tests {
    use super::preloaded;
    use keddah_core::SourceMap;
    use keddah_inventory::Params;

    fn of(vars: &str) -> String {
        let text = format!("all: {{ hosts: {{ h: {{ {vars} }} }} }}\n");
        let mut sources = SourceMap::default();
        let (inventory, problems) = keddah_inventory::load(&mut sources, "t.yml", text.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        preloaded(&Params::new(&inventory.unwrap(), &"h".into()))
    }

    #[test]
    fn extensions_bring_the_libraries_they_need() {
        assert_eq!(of(""), "pg_stat_statements, auto_explain");
        let two = "pg_databases: [ { name: a, extensions: [ timescaledb, postgis, citus ] } ]";
        assert_eq!(of(two), "citus, pg_stat_statements, auto_explain, timescaledb");
        assert_eq!(
            of(&format!("pg_libs: 'timescaledb, $libdir/citus', {two}")),
            "timescaledb, $libdir/citus",
            "an inventory that names them has its own order"
        );
        let gone = "pg_databases: [ { name: a, state: absent, extensions: [ citus ] }, \
                    { name: b, extensions: [ { name: pg_cron, state: absent } ] } ]";
        assert_eq!(of(gone), "pg_stat_statements, auto_explain");
        assert_eq!(of("pg_libs: '', pg_default_extensions: [ pgaudit ]"), "pgaudit");
    }
}
