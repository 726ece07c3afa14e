//! The inventory that people begin with, conf/three.yml: it is right but for its passwords, of which none
//! that is left as it is passes for a secret.

mod support;

use keddah_compile::Removing;
use keddah_core::{NodeName, Severity, SourceMap};
use keddah_inventory::{check, is_public_password, load};
use keddah_resource::NodeFacts;
use std::collections::BTreeMap;
use support::{compiled, facts, file, without};

const STARTER: &str = include_str!("../../../conf/three.yml");

/// What stands there for each password.
const PLACEHOLDER: &str = "DBUser.ChangeMe";

/// With a password of its own in each place.
fn with_passwords() -> String {
    let mut pieces = STARTER.split(PLACEHOLDER).enumerate().map(|(at, piece)| match at {
        0 => piece.to_owned(),
        // The first stands in the introduction.
        1 => format!("{PLACEHOLDER}{piece}"),
        _ => format!("a-password-of-our-own-{at}{piece}"),
    });
    pieces.by_ref().collect()
}

fn problems(text: &str) -> Vec<keddah_core::Diagnostic> {
    let mut sources = SourceMap::default();
    let (inventory, loading) = load(&mut sources, "three.yml", text.as_bytes());
    assert!(loading.is_empty(), "{loading:?}");
    check(&sources, &inventory.expect("it loads"))
}

#[test]
fn with_passwords_of_ones_own_nothing_is_wrong_with_it() {
    let found = problems(&with_passwords());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_password_that_is_left_as_it_is_is_told_by_name() {
    assert!(is_public_password(&keddah_core::Secret::new(PLACEHOLDER)));
    let found = problems(STARTER);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((one.code, one.severity), ("public-password", Severity::Warning));
    // Each place in which it stands, outside of the introduction.
    let places = STARTER.matches(PLACEHOLDER).count() - 1;
    assert!(one.message.starts_with(&format!("{places} passwords are ones that everyone knows")));
}

/// Three small machines of Debian 13.
fn machines() -> BTreeMap<NodeName, NodeFacts> {
    (10..13).map(|last| (NodeName::new(format!("10.10.10.{last}")), facts())).collect()
}

#[test]
fn it_compiles_on_three_machines() {
    let compiled = compiled(&with_passwords(), &machines());
    assert!(compiled.fleet.iter().count() > 200);
    let table =
        file(&compiled, "10.10.10.12", "/etc/cron.d/keddah-pgsql").expect("a nightly backup");
    assert!(table.contains("/pg/bin/pg-backup full"), "{table}");
}

#[test]
fn a_version_that_no_package_source_offers_is_refused_with_the_way_to_have_it() {
    let text = with_passwords()
        .replace("pg_cluster: pg-shop\n", "pg_cluster: pg-shop\n        pg_version: 18\n");
    let mut machines = machines();
    let refused = without(&text, &machines, &Removing::default()).expect_err("Debian has no 18");
    assert_eq!(refused[0].code, "unavailable-version");
    assert!(refused[0].message.ends_with("do not offer PostgreSQL 18; they offer 17"));
    assert!(refused[0].help[0].contains("/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh"));
    for facts in machines.values_mut() {
        facts.package_candidates.insert("postgresql-18".to_owned(), "18.1-1".to_owned());
    }
    compiled(&text, &machines);
}
