//! Settings that a pool runs with, beside those of its file: what somebody `SET` on its console, and what
//! counts from the next start only.

use keddah_resource::health::PoolSetting;
use std::collections::BTreeMap;
use std::fs;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Files that may include each other are followed so far (`MAX_INCLUDE`, PgBouncer's `cfparser.c`).
const DEEP: usize = 10;

/// Settings that are not as the file has them; none where either cannot be read.
pub(super) async fn otherwise(client: &Client, path: &str) -> Vec<PoolSetting> {
    let mut declared = BTreeMap::new();
    let mut section = String::new();
    read(path, &mut section, &mut declared, DEEP);
    let rows = client.simple_query("SHOW CONFIG").await.unwrap_or_default();
    let runs = rows.iter().filter_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        let of = |column: &str| row.try_get(column).ok().flatten();
        Some((of("key")?.to_owned(), of("value").unwrap_or_default().to_owned()))
    });
    apart(&declared, runs)
}

fn apart(
    declared: &BTreeMap<String, String>,
    runs: impl Iterator<Item = (String, String)>,
) -> Vec<PoolSetting> {
    let other = runs.filter_map(|(name, runs)| {
        let file = declared.get(&name)?.clone();
        (!same(&runs, &file)).then_some(PoolSetting { name, runs, file })
    });
    other.collect()
}

/// The section `[pgbouncer]` of a file and of those that it includes; the last word counts.
fn read(path: &str, section: &mut String, found: &mut BTreeMap<String, String>, deep: usize) {
    let text = fs::read_to_string(path).unwrap_or_default();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(section);
        } else if let Some(other) = line.strip_prefix("%include ") {
            if deep > 0 {
                read(other.trim(), section, found, deep - 1);
            }
        } else if section == "pgbouncer"
            && !line.starts_with([';', '#'])
            && let Some((name, value)) = line.split_once('=')
        {
            found.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
}

/// Whether two words mean the same: `1` and `1.0`, `0777` and `777`, `yes` and `1`.
fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "t" => "1".to_owned(),
        "no" | "false" | "off" | "f" => "0".to_owned(),
        plain => plain.to_owned(),
    };
    let numbers = one.parse::<f64>().ok().zip(other.parse::<f64>().ok());
    let equal = numbers.is_some_and(|(one, other)| (one - other).abs() < 1e-6);
    equal || one == other || plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pool_has_from_elsewhere_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let listen = scratch.path().join("listen.ini");
        fs::write(&listen, "listen_port = 6432\n").unwrap();
        let path = scratch.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\nauth_type = x\n[pgbouncer]\n%include {}\n; auth_type = any\nauth_type = hba\n\
             reserve_pool_timeout = 1\nserver_round_robin = no\n",
            listen.display()
        );
        fs::write(&path, text).unwrap();
        let mut declared = BTreeMap::new();
        read(path.to_str().unwrap(), &mut String::new(), &mut declared, DEEP);
        let runs = [
            ("auth_type", "any"),
            ("listen_port", "6432"),
            ("reserve_pool_timeout", "1.0"),
            ("server_round_robin", "0"),
            ("max_prepared_statements", "200"),
        ];
        let runs = runs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = apart(&declared, runs.into_iter());
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (one.name.as_str(), one.runs.as_str(), one.file.as_str()),
            ("auth_type", "any", "hba")
        );
    }
}
