//! The registry against the reference table, row for row, both ways.

use keddah_inventory::registry::{self, ParameterType, Support};
use std::collections::HashSet;

/// The reference table: module, section, name, type, level, default as JSON.
const TABLE: &str = include_str!("parameters.tsv");

#[test]
fn the_registry_equals_the_reference_table() {
    let rows: Vec<String> = registry::all()
        .map(|parameter| {
            let default = parameter.default.to_json();
            [
                parameter.module.name(),
                parameter.section,
                parameter.name,
                parameter.kind.name(),
                parameter.levels.as_str(),
                &default.map(|json| canonical(&json)).unwrap_or_default(),
            ]
            .join("\t")
        })
        .collect();
    let expected: Vec<String> = TABLE
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields: Vec<&str> = line.split('\t').collect();
            let default = match fields.pop().expect("six columns") {
                "" => String::new(),
                text => canonical(&serde_json::from_str(text).expect("defaults are JSON")),
            };
            fields.push(&default);
            fields.join("\t")
        })
        .collect();
    assert_eq!(expected.len(), 322);
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}

fn canonical(json: &serde_json::Value) -> String {
    json.to_string()
}

#[test]
fn every_parameter_is_described_and_named_once() {
    let mut names = HashSet::new();
    for parameter in registry::all().chain(registry::extra()) {
        assert!(names.insert(parameter.name), "{} twice", parameter.name);
        let text = parameter.description;
        assert!(text.len() > 12 && text.ends_with(['.', '!']), "{}: {text}", parameter.name);
        assert!(!text.contains('\n') && !text.contains("  "), "{}: {text}", parameter.name);
    }
}

#[test]
fn every_default_fits_its_own_type() {
    for parameter in registry::all().chain(registry::extra()) {
        if let Some(value) = parameter.default_value() {
            let problems = parameter.kind.check(&value, parameter.name);
            assert_eq!(problems, [], "{}", parameter.name);
        }
    }
}

#[test]
fn names_are_found_by_older_spellings_and_suggested_when_misspelt() {
    assert_eq!(registry::find("pg_services_extra").expect("an older name").name, "pg_services");
    assert_eq!(registry::find("pg_fs_bkup").expect("an older name").name, "pg_fs_backup");
    assert_eq!(registry::suggest("pg_verison"), Some("pg_version"));
    assert_eq!(registry::suggest("pg_user"), Some("pg_users"));
    assert_eq!(registry::suggest("frobnicate"), None);
    for (older, today) in registry::aliases() {
        assert!(registry::all().any(|parameter| parameter.name == today), "{older} → {today}");
        assert!(registry::all().all(|parameter| parameter.name != older), "{older} is current");
    }
}

#[test]
fn modules_that_are_not_managed_say_so() {
    let support = |name| registry::find(name).expect("a known name").support;
    assert_eq!(support("redis_mode"), Support::Unmanaged);
    assert_eq!(support("grafana_port"), Support::Unmanaged);
    assert_eq!(support("pg_port"), Support::Managed);
    assert_eq!(support("pg_exporter_port"), Support::Accepted);
}

#[test]
fn the_words_of_choices_are_not_secrets_and_passwords_are() {
    for parameter in registry::all() {
        let secret = parameter.name.ends_with("_password")
            || parameter.name.ends_with("secret_key")
            || parameter.name.ends_with("auth_pass");
        assert!(!secret || matches!(parameter.kind, ParameterType::Password), "{}", parameter.name);
    }
}
