//! What a plan changes to the harm of data or backups, without deleting anything itself: what that costs
//! is said in the plan that does it, not by a warning that stands among others.

use crate::Outcome;
use keddah_core::durability::{archiving_lost, cost};
use keddah_resource::kind::{backup, patroni_config};
use keddah_resource::{DesiredFleet, Observed, ResourceId, Spec};
use std::collections::BTreeMap;

/// One note for each cluster and setting that changes.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    let mut notes = Vec::new();
    for resource in desired.iter() {
        match (&resource.spec, observed.get(&resource.id)) {
            (
                Spec::PatroniConfig(spec),
                Some(Outcome::Observed(Observed::PatroniConfig(stored))),
            ) => {
                notes.extend(changes(spec, stored));
            }
            (Spec::Backup(spec), Some(Outcome::Observed(Observed::Backup(present)))) => {
                notes.extend(expired(spec, present));
            }
            _ => {}
        }
    }
    notes
}

fn changes(spec: &patroni_config::Spec, stored: &patroni_config::Observed) -> Vec<String> {
    let before = stored.parameters();
    let before = |name: &str| before.get(name).map(patroni_config::display);
    let told = |name: &str, value: &str, why: &str| {
        let value = if value.is_empty() { "nothing" } else { value };
        format!("{}: {name} becomes {value}: {why}", spec.cluster)
    };
    let mut notes = Vec::new();
    for (name, value) in &spec.parameters {
        if before(name).as_deref() == Some(value) {
            continue;
        }
        if let Some(why) = cost(name, value) {
            notes.push(told(name, value, why));
        }
        // Where nothing was archived before, nothing is lost by not doing it.
        let archived = before(name).is_some_and(|before| archiving_lost(name, &before).is_none());
        if let Some(why) = archiving_lost(name, value).filter(|_| archived) {
            notes.push(told(name, value, why));
        }
    }
    notes
}

/// Full backups that the next one pushes out of the repository.
fn expired(spec: &backup::Spec, present: &backup::Observed) -> Option<String> {
    let keeps = spec.keeps.filter(|keeps| *keeps < present.full_backups)?;
    Some(format!(
        "{} has {} full backups, and its repository keeps {keeps} from now on: the next backup deletes \
         the others, and the WAL that only they need",
        spec.stanza, present.full_backups
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(parameters: serde_json::Value) -> patroni_config::Spec {
        serde_json::from_value(json!({
            "cluster": "pg-test", "settings": {}, "parameters": parameters, "postgresql": {},
            "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
                    "username": "u", "password": "p"},
            "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
        }))
        .expect("a spec")
    }

    fn stored(parameters: serde_json::Value) -> patroni_config::Observed {
        let document = json!({"postgresql": {"parameters": parameters}});
        serde_json::from_value(json!({"document": document, "known": null}))
            .expect("an observation")
    }

    #[test]
    fn what_a_change_costs_is_told_when_it_is_made_and_not_again() {
        let push = "pgbackrest archive-push %p";
        let declared = json!({"fsync": "off", "archive_command": "/bin/true", "work_mem": "8MB"});
        let before = stored(json!({"archive_command": push}));
        let notes = changes(&spec(declared.clone()), &before);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].starts_with("pg-test: archive_command becomes /bin/true: WAL"),
            "{notes:?}"
        );
        assert!(notes[1].starts_with("pg-test: fsync becomes off: a machine"), "{notes:?}");
        assert!(changes(&spec(declared.clone()), &stored(declared)).is_empty());
        // Nothing was archived before.
        let never = stored(json!({"archive_mode": "off"}));
        let off = spec(json!({"archive_mode": "off", "archive_command": "/bin/true"}));
        assert!(changes(&off, &never).is_empty());
    }

    #[test]
    fn backups_that_go_with_the_next_one_are_counted() {
        let spec = |keeps| backup::Spec {
            stanza: "pg-test".to_owned(),
            account: "postgres".to_owned(),
            patience_seconds: 1,
            not_before: None,
            moves: false,
            keeps,
            configuration: keddah_core::Secret::default(),
            repository: None,
        };
        let present = backup::Observed { full_backups: 3, newest: 1 };
        let note = expired(&spec(Some(1)), &present).expect("two go");
        assert!(
            note.starts_with("pg-test has 3 full backups, and its repository keeps 1"),
            "{note}"
        );
        assert_eq!(expired(&spec(Some(3)), &present), None);
        assert_eq!(expired(&spec(None), &present), None);
    }
}
