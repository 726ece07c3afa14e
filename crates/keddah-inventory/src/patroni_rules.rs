//! Parameters that Patroni hands to PostgreSQL on its command line, and the values that it takes for
//! them: any other it drops without a word, and the server goes on with Patroni's own.
//!
//! The rules are `CMDLINE_OPTIONS` in Patroni's `postgresql/config.py` (3.0 to 4.0), which
//! `_process_postgresql_parameters` in its `config.py` applies to the dynamic configuration.

/// What Patroni takes for a parameter.
enum Takes {
    /// A plain whole number from this one on: Python's `int` reads no hexadecimal and no fraction, and
    /// a value that it cannot read keeps Patroni from loading the whole configuration.
    From(i64),
    /// A size from so many megabytes on.
    Megabytes(f64),
    /// One of some words, in whatever case.
    Word(&'static [&'static str]),
    /// On, whatever is asked for.
    On,
}

/// Name, what Patroni takes, and what it goes on with otherwise.
const RULES: &[(&str, Takes, &str)] = &[
    ("hot_standby", Takes::On, "on"),
    ("max_connections", Takes::From(25), "100"),
    ("max_locks_per_transaction", Takes::From(32), "64"),
    ("max_prepared_transactions", Takes::From(0), "0"),
    ("max_replication_slots", Takes::From(4), "10"),
    ("max_wal_senders", Takes::From(3), "10"),
    ("max_worker_processes", Takes::From(2), "8"),
    ("track_commit_timestamp", Takes::Word(TRUTH), "off"),
    ("wal_keep_size", Takes::Megabytes(16.0), "128MB"),
    ("wal_level", Takes::Word(&["hot_standby", "replica", "logical"]), "replica"),
    ("wal_log_hints", Takes::On, "on"),
];

/// The words that Patroni's `parse_bool` knows; PostgreSQL takes beginnings of them, too.
const TRUTH: &[&str] = &["on", "off", "true", "false", "yes", "no", "1", "0"];

/// The fewest connections that Patroni lets a server have.
pub const LEAST_CONNECTIONS: i64 = 25;

/// Why Patroni would not hand a value on to PostgreSQL, which itself takes it; `None` when it does.
pub(crate) fn refusal(name: &str, value: &str) -> Option<String> {
    let (_, takes, instead) = RULES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
    let word = value.trim().to_ascii_lowercase();
    let wants = match takes {
        Takes::From(least) if word.parse::<i64>().is_ok_and(|number| number >= *least) => {
            return None;
        }
        Takes::From(least) => format!("a plain whole number, at least {least}"),
        Takes::Megabytes(least) if megabytes(&word).is_some_and(|size| size >= *least) => {
            return None;
        }
        Takes::Megabytes(least) => format!("at least {least}MB"),
        Takes::Word(words) if words.contains(&word.as_str()) => return None,
        Takes::Word(words) => format!("one of {}", words.join(", ")),
        Takes::On if matches!(word.as_str(), "on" | "true" | "yes" | "1") => return None,
        Takes::On => "on, whatever is declared".to_owned(),
    };
    Some(format!(
        "Patroni does not hand `{value}` on to PostgreSQL, which would silently go on with \
         {instead}: it wants {wants}"
    ))
}

/// A size in megabytes; a bare number is that already (`wal_keep_size` counts in them).
fn megabytes(text: &str) -> Option<f64> {
    let end = text.find(|one: char| !one.is_ascii_digit() && one != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let factor = match text[end..].trim() {
        "b" => 1.0 / 1_048_576.0,
        "kb" => 1.0 / 1024.0,
        "" | "mb" => 1.0,
        "gb" => 1024.0,
        "tb" => 1_048_576.0,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patroni_drops_is_told_from_what_it_hands_on() {
        for (name, good, bad) in [
            ("max_connections", "25", "24"),
            ("Max_Wal_Senders", "3", "2"),
            ("max_replication_slots", "4", "3"),
            ("max_worker_processes", "2", "1"),
            ("max_locks_per_transaction", "32", "31"),
            ("max_prepared_transactions", "0", "-1"),
            // PostgreSQL reads both.
            ("max_connections", "100", "0x64"),
            ("max_connections", "100", "100.0"),
            ("wal_keep_size", "16MB", "15MB"),
            ("wal_keep_size", "1GB", "1024kB"),
            ("wal_keep_size", "16", "0"),
            ("wal_level", "Replica", "minimal"),
            ("hot_standby", "on", "off"),
            ("wal_log_hints", "true", "off"),
            ("track_commit_timestamp", "On", "t"),
        ] {
            assert_eq!(refusal(name, good), None, "{name} = {good}");
            assert!(refusal(name, bad).is_some(), "{name} = {bad}");
        }
        assert_eq!(refusal("work_mem", "1"), None, "it goes to the file");
        let said = refusal("max_connections", "5").unwrap_or_default();
        assert!(said.contains("at least 25") && said.contains("go on with 100"), "{said}");
        let least = |value: i64| refusal("max_connections", &value.to_string());
        assert_eq!(least(LEAST_CONNECTIONS), None);
        assert!(least(LEAST_CONNECTIONS - 1).is_some());
    }
}
