//! PostgreSQL settings that trade data for something else: what each can cost.

/// What a setting of PostgreSQL can cost, where its value gives up what the server promises; `None`
/// for one that keeps it. Names and values as in `postgresql.conf`.
///
/// PostgreSQL manual, "Write Ahead Log" (settings), "Developer Options" and "Error Handling".
pub fn cost(name: &str, value: &str) -> Option<&'static str> {
    let off = || matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0" | "f");
    let on = || matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t");
    match name.to_ascii_lowercase().as_str() {
        "fsync" if off() => {
            Some("a machine that crashes can leave a cluster that no recovery repairs")
        }
        "full_page_writes" if off() => {
            Some("a machine that crashes can leave half-written pages that no recovery repairs")
        }
        "zero_damaged_pages" if on() => {
            Some("rows of a damaged page are thrown away when it is read")
        }
        "ignore_checksum_failure" if on() => Some(
            "damaged pages are taken for good ones, written back, and sent to replicas and backups",
        ),
        "ignore_invalid_pages" if on() => Some("recovery goes on over pages that are lost"),
        "data_sync_retry" if on() => {
            Some("a write that the disk has refused can be taken for one that it has done")
        }
        _ => None,
    }
}

/// What it costs that WAL no longer goes where the backups are, where a setting does that; `None` for
/// others. Only for a cluster that keeps backups.
///
/// PostgreSQL manual, "Continuous Archiving and Point-in-Time Recovery".
pub fn archiving_lost(name: &str, value: &str) -> Option<&'static str> {
    let replaced = !value.contains("pgbackrest");
    match name.to_ascii_lowercase().as_str() {
        "archive_mode"
            if matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0") =>
        {
            Some(
                "no WAL is archived from then on, and no backup can be taken or brought back to a later moment",
            )
        }
        "archive_command" if replaced => Some(
            "WAL no longer goes to pgBackRest's repository, and no backup can be taken or brought back to a later moment",
        ),
        "archive_library" if !value.is_empty() => Some(
            "WAL no longer goes to pgBackRest's repository, and no backup can be taken or brought back to a later moment",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{archiving_lost, cost};

    #[test]
    fn only_what_gives_something_up_has_a_cost() {
        for (name, risky, safe) in [
            ("fsync", "OFF", "on"),
            ("full_page_writes", "false", "true"),
            ("zero_damaged_pages", "on", "off"),
            ("ignore_checksum_failure", "yes", "no"),
            ("ignore_invalid_pages", "1", "0"),
            ("data_sync_retry", "t", "f"),
        ] {
            assert!(cost(name, risky).is_some(), "{name} = {risky}");
            assert!(cost(name, safe).is_none(), "{name} = {safe}");
        }
        assert!(cost("work_mem", "off").is_none());
        let push = "pgbackrest --stanza=pg-test archive-push %p";
        for (name, lost, kept) in [
            ("archive_mode", "off", "on"),
            ("archive_mode", "no", "always"),
            ("archive_command", "/bin/true", push),
            ("archive_command", "", push),
            ("archive_library", "basic_archive", ""),
        ] {
            assert!(archiving_lost(name, lost).is_some(), "{name} = {lost}");
            assert!(archiving_lost(name, kept).is_none(), "{name} = {kept}");
        }
    }
}
