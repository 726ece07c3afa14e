//! Which values PostgreSQL's own parameters take, as real servers say it.
//!
//! `data/pg_settings_VERSION.tsv` is what a server of that version (Debian's package) answers to
//!
//! ```sql
//! select name, vartype, coalesce(unit, ''), coalesce(min_val, ''), coalesce(max_val, ''),
//!        coalesce(array_to_string(enumvals, ','), ''), context
//! from pg_settings where name not like '%.%' order by lower(name)
//! ```

use crate::patroni_rules;
use crate::registry::nearest;
use crate::{Data, Value, to_json};
use keddah_core::Setting;
use std::collections::BTreeMap;
use std::sync::OnceLock;

type Table = BTreeMap<String, Setting>;

/// Major versions and their tables.
const SOURCES: [(u32, &str); 2] = [
    (15, include_str!("../data/pg_settings_15.tsv")),
    (17, include_str!("../data/pg_settings_17.tsv")),
];

/// Parameters that follow from others in an inventory: Patroni would leave them as they are.
/// Those of recovery it does not even look for there (`recovery_parameters` in its `validator.py`).
const ELSEWHERE: &[(&str, &str)] = &[
    ("archive_cleanup_command", RECOVERY),
    ("cluster_name", "pg_cluster sets it"),
    ("config_file", "Patroni writes that file"),
    ("data_directory", "pg_data sets it"),
    ("hba_file", "pg_hba_rules and pg_default_hba_rules make that file"),
    ("ident_file", "Patroni writes that file"),
    ("listen_addresses", "pg_listen sets it"),
    ("port", "pg_port sets it"),
    ("primary_conninfo", "Patroni sets it; pg_upstream says what an instance follows"),
    ("primary_slot_name", "Patroni sets it"),
    ("promote_trigger_file", RECOVERY),
    ("recovery_end_command", RECOVERY),
    ("recovery_min_apply_delay", "pg_delay sets it"),
    ("recovery_target", RECOVERY),
    ("recovery_target_action", RECOVERY),
    ("recovery_target_inclusive", RECOVERY),
    ("recovery_target_lsn", RECOVERY),
    ("recovery_target_name", RECOVERY),
    ("recovery_target_time", RECOVERY),
    ("recovery_target_timeline", RECOVERY),
    ("recovery_target_xid", RECOVERY),
    ("restore_command", RECOVERY),
    ("synchronous_standby_names", "patroni_synchronous_mode has Patroni set it"),
    ("unix_socket_directories", "pg_localhost sets it"),
];

const RECOVERY: &str = "Patroni drops it from a cluster's parameters: leave it out";

/// Why a parameter cannot be as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, without the parameter's name.
    pub why: String,
    /// Whether that is sure: without the server's version, a name may belong to a newer one.
    pub certain: bool,
    remedy: Remedy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    None,
    /// What sets it instead.
    Elsewhere(&'static str),
    /// A name, in lower case, that PostgreSQL does not have.
    Spelling(String, Option<u32>),
}

impl Refusal {
    /// What to do. Looks for the name that was meant only now: most refusals are never shown.
    pub fn help(&self) -> Option<String> {
        match &self.remedy {
            Remedy::None => None,
            Remedy::Elsewhere(instead) => Some((*instead).to_owned()),
            Remedy::Spelling(name, version) => {
                let tables = chosen(*version);
                let names = tables.iter().flat_map(|table| table.keys().map(String::as_str));
                nearest(name, names).map(|near| format!("did you mean `{near}`?"))
            }
        }
    }
}

fn tables() -> &'static [(u32, Table)] {
    static TABLES: OnceLock<Vec<(u32, Table)>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let table = |text: &str| {
            let settings = text.lines().filter_map(Setting::parse);
            settings.map(|setting| (setting.name.to_ascii_lowercase(), setting)).collect()
        };
        SOURCES.iter().map(|(version, text)| (*version, table(text))).collect()
    })
}

/// The table of a version, or all where that one is not known.
fn chosen(version: Option<u32>) -> Vec<&'static Table> {
    match tables().iter().find(|(of, _)| Some(*of) == version) {
        Some((_, table)) => vec![table],
        None => tables().iter().map(|(_, table)| table).collect(),
    }
}

/// Why PostgreSQL of a major version would not take a parameter, or never get it from Patroni; `None`
/// when all is well, as far as is known. Names with a dot belong to extensions, which say themselves what they take.
pub fn refusal(version: Option<u32>, name: &str, value: &str) -> Option<Refusal> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(known, _)| *known == lower) {
        return Some(Refusal {
            why: "it cannot be set here".to_owned(),
            certain: true,
            remedy: Remedy::Elsewhere(instead),
        });
    }
    if name.contains('.') {
        return None;
    }
    let exact = tables().iter().find(|(of, _)| Some(*of) == version);
    let known: Vec<&Setting> =
        chosen(version).iter().filter_map(|table| table.get(&lower)).collect();
    if known.is_empty() {
        let why = match exact {
            Some((version, _)) => format!("PostgreSQL {version} has no parameter of this name"),
            None => "PostgreSQL has no parameter of this name that is known here".to_owned(),
        };
        let remedy = Remedy::Spelling(lower, version);
        return Some(Refusal { why, certain: exact.is_some(), remedy });
    }
    let refusals: Vec<String> = known.iter().filter_map(|one| one.refuses(value)).collect();
    let all = refusals.len() == known.len();
    let refused = refusals.into_iter().next_back().filter(|_| all);
    let why = refused.map(|why| format!("PostgreSQL does not take `{value}`: {why}"));
    let why = why.or_else(|| patroni_rules::refusal(&lower, value))?;
    Some(Refusal { why, certain: true, remedy: Remedy::None })
}

/// A value as PostgreSQL's configuration spells it; `None` for null, lists and mappings.
pub fn setting_text(value: &Value) -> Option<String> {
    match &value.data {
        Data::Bool(true) => Some("on".to_owned()),
        Data::Bool(false) => Some("off".to_owned()),
        Data::String(text) | Data::Unsafe(text) => Some(text.clone()),
        Data::Int(_) | Data::Float(_) | Data::BigInt(_) => Some(to_json(value).to_string()),
        Data::Null | Data::List(_) | Data::Map(_) | Data::Vault(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        for (version, table) in tables() {
            assert!(table.len() > 340, "{version} has {}", table.len());
            assert_eq!(table["shared_buffers"].context, "postmaster");
            assert_eq!(table["work_mem"].unit, "kB");
        }
    }

    #[test]
    fn versions_differ() {
        // 17 has it, 15 does not.
        assert!(refusal(Some(15), "transaction_timeout", "1min").unwrap().certain);
        assert_eq!(refusal(Some(17), "transaction_timeout", "1min"), None);
        assert_eq!(refusal(None, "transaction_timeout", "1min"), None);
        assert!(!refusal(None, "io_method", "worker").unwrap().certain);
        assert!(!refusal(Some(18), "io_method", "worker").unwrap().certain);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let wrong = refusal(Some(17), "wrok_mem", "8MB").unwrap();
        assert_eq!(wrong.help().as_deref(), Some("did you mean `work_mem`?"));
        assert!(refusal(None, "work_mem", "8 apples").unwrap().certain);
        let elsewhere = refusal(None, "port", "5433").unwrap();
        assert_eq!(elsewhere.help().as_deref(), Some("pg_port sets it"));
        assert_eq!(refusal(Some(17), "cron.database_name", "meta"), None);
        assert_eq!(refusal(Some(17), "TimeZone", "Europe/Berlin"), None);
    }
}
