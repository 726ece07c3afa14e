//! Older names of parameters, so that inventories written for earlier releases keep their meaning.

/// Older name and today's name.
const ALIASES: &[(&str, &str)] = &[
    ("pg_services_extra", "pg_services"),
    ("pg_fs_bkup", "pg_fs_backup"),
    ("patroni_citus_db", "pg_primary_db"),
];

/// All pairs of an older and today's name.
pub fn aliases() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALIASES.iter().copied()
}

/// Today's name of a parameter: the name itself unless it is an older spelling.
pub fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(older, _)| *older == name).map_or(name, |(_, today)| today)
}

/// The older names of a parameter.
pub fn aliases_of(name: &str) -> impl Iterator<Item = &'static str> + use<'_> {
    ALIASES.iter().filter(move |(_, today)| *today == name).map(|(older, _)| *older)
}
