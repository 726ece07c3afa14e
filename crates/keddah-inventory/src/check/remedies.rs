//! What to do about a problem whose message alone does not say it: no error of an inventory is told without a way on.

use crate::registry;
use keddah_core::{Diagnostic, Severity};

/// Codes whose remedy is the same wherever they are found.
const REMEDIES: &[(&str, &str)] = &[
    (
        "bad-address",
        "write an address such as 10.10.10.10, or one of the words that stand for some",
    ),
    ("bad-cluster-name", "cluster names become host names and must be valid there"),
    ("bad-rule", "`keddah params hba_rules` describes what a rule can say"),
    ("bad-service", "`keddah params pg_services` describes what a service can say"),
    ("bad-setting", "leave it out, and it has the value of the template, or PostgreSQL's own"),
    ("bad-upstream", "name another cluster's member or, in the same cluster, another member"),
    ("bad-repository", "`keddah params pgbackrest_repo` describes a repository's fields"),
    ("duplicate-database", "remove one of the two, or give it a name of its own"),
    ("duplicate-service", "remove one of the two, or give it a name of its own"),
    ("duplicate-user", "remove one of the two, or give it a name of its own"),
    ("invalid-date", "`expire_in: 30` counts days from today instead"),
    ("locale-provider", "add it to the database, or take what needs it away"),
    ("missing-vip", "set it, or switch the virtual address off"),
    ("reserved-name", "choose another name"),
    ("template-cycle", "leave out the `template` of one of them: it is then made of template1"),
    ("unknown-locale", "choose one of these, or another `locale_provider`"),
    ("unknown-template", "name a database of `pg_databases`, or template0 or template1"),
    ("upstream-cycle", "take `pg_upstream` away from the one that shall lead"),
    ("upstream-differs", "give both the same `pg_version`"),
];

/// Codes of a parameter, or of its fields: its own description helps.
const DESCRIBED: [&str; 3] = ["wrong-type", "missing-field", "unknown-field"];

/// Gives an error a remedy where it has none.
pub(super) fn complete(diagnostic: &mut Diagnostic) {
    if diagnostic.severity != Severity::Error || !diagnostic.help.is_empty() {
        return;
    }
    if DESCRIBED.contains(&diagnostic.code) {
        diagnostic.help.extend(
            parameter(&diagnostic.message)
                .map(|name| format!("`keddah params {name}` describes it")),
        );
        return;
    }
    let remedy = REMEDIES.iter().find(|(code, _)| *code == diagnostic.code);
    diagnostic.help.extend(remedy.map(|(_, remedy)| (*remedy).to_owned()));
}

/// The parameter that a message is about: the last one that it names.
fn parameter(message: &str) -> Option<&'static str> {
    let quoted = message.split('`').skip(1).step_by(2);
    quoted.filter_map(|word| registry::find(word).map(|parameter| parameter.name)).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CHECK_CODES;

    #[test]
    fn remedies_are_of_codes_that_are_told() {
        for code in REMEDIES.iter().map(|(code, _)| code).chain(&DESCRIBED) {
            assert!(CHECK_CODES.iter().any(|(known, _)| known == code), "{code}");
        }
    }
}
