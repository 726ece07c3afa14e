//! What a plan says of a member whose rewind has failed, although nothing is to be changed.

mod support;

use keddah_compile::{Removing, own_changes};
use keddah_core::NodeName;
use keddah_resource::{AsideFacts, NodeFacts, PatroniFacts, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use support::{compiled, facts, file, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.11: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-test, pg_conf: tiny.yml }
";

fn nodes(states: [(&str, &str); 2], aside: Option<AsideFacts>) -> BTreeMap<NodeName, NodeFacts> {
    let node = |(at, (role, state)): (usize, (&str, &str))| {
        let patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: state.to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: String::new(),
            paused: false,
        }];
        let asides = aside.clone().filter(|_| at == 0).into_iter().collect();
        let facts = NodeFacts { patroni, asides, ..facts() };
        (NodeName::new(format!("10.10.10.1{}", at + 1)), facts)
    };
    states.into_iter().enumerate().map(node).collect()
}

fn notes(states: [(&str, &str); 2], aside: Option<AsideFacts>) -> Vec<String> {
    let notes = compiled(INVENTORY, &nodes(states, aside)).notes;
    notes.into_iter().filter(|note| note.contains("pg-test-1")).collect()
}

fn aside() -> AsideFacts {
    AsideFacts {
        instance: "pg-test-1".to_owned(),
        cluster: "pg-test".to_owned(),
        ..AsideFacts::default()
    }
}

/// Patroni is told of the program, which is on each node, and Python's.
#[test]
fn patroni_calls_a_program_that_is_there() {
    let compiled = compiled(INVENTORY, &nodes(WELL, None));
    let patroni = file(&compiled, "10.10.10.12", "/etc/patroni/conf.d/10-patroni.yml");
    let program = "/usr/local/lib/keddah-rewind";
    let named = format!("  bin_name:\n    pg_rewind: {program}\n");
    assert!(patroni.is_some_and(|text| text.contains(&named)));
    let text = file(&compiled, "10.10.10.12", program).expect("it is there");
    assert!(text.starts_with("#!/usr/bin/python3\n"));
    let read = ["-c", "import sys; compile(sys.argv[1], 'keddah-rewind', 'exec')", &text];
    let read = Command::new("python3").args(read).output().expect("Python is installed");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

#[test]
fn a_member_that_does_not_run_beside_a_leader_is_critical() {
    let down = [("replica", "stopped"), ("primary", "running")];
    let told = notes(down, None);
    assert!(told[0].starts_with("critical: pg-test-1 on 10.10.10.11 does not run"), "{told:?}");
    let stopped = Some("there is no room".to_owned());
    let told = notes(down, Some(AsideFacts { stopped, ..aside() }));
    assert!(told[0].ends_with("its rewind has failed, and there is no room"), "{told:?}");

    assert_eq!(notes([("replica", "running"), ("primary", "running")], None), [""; 0]);
    assert_eq!(notes([("replica", "starting"), ("primary", "running")], None), [""; 0]);
    let whole = [("replica", "stopped"), ("replica", "stopped")];
    assert_eq!(notes(whole, None), [""; 0], "a cluster that is off as a whole");
    // What an earlier failure has left to read says nothing of one that runs.
    let old = AsideFacts { stopped: Some("old".to_owned()), ..aside() };
    assert_eq!(notes([("replica", "running"), ("primary", "running")], Some(old)), [""; 0]);
}

#[test]
fn a_copy_is_named_with_what_it_holds_as_long_as_it_lies_there() {
    let well = [("replica", "running"), ("primary", "running")];
    let copy = Some("/data/postgres/pg-test-17/data.aside".to_owned());
    let told = notes(
        well,
        Some(AsideFacts {
            copy: copy.clone(),
            moved: "2026-01-02 03:04:05 UTC".to_owned(),
            fork: "0/3000108 on timeline 1".to_owned(),
            bytes: Some(4711),
            ..aside()
        }),
    );
    assert_eq!(
        told,
        ["pg-test-1 on 10.10.10.11 keeps the data of a former primary whose rewind has failed in \
          /data/postgres/pg-test-17/data.aside, moved 2026-01-02 03:04:05 UTC, with 4711 bytes of WAL \
          past the fork at 0/3000108 on timeline 1: commits there may be nowhere else; \
          `keddah remove pg-test-1 --aside` takes it away"]
    );
    let told = notes(well, Some(AsideFacts { copy, ..aside() }));
    assert!(told[0].contains("data.aside, of which nothing is known: commits"), "{told:?}");
}

const WELL: [(&str, &str); 2] = [("replica", "running"), ("primary", "running")];

fn with_a_copy() -> BTreeMap<NodeName, NodeFacts> {
    let copy = Some("/data/postgres/pg-test-17/data.aside".to_owned());
    nodes(WELL, Some(AsideFacts { copy, ..aside() }))
}

fn of_pg_test(hosts: &[&str]) -> BTreeMap<String, BTreeSet<NodeName>> {
    let hosts = hosts.iter().copied().map(NodeName::new).collect();
    BTreeMap::from([("pg-test".to_owned(), hosts)])
}

#[test]
fn an_instance_does_not_go_with_a_copy_and_the_copy_goes_alone() {
    let facts = with_a_copy();
    let pgsql = of_pg_test(&["10.10.10.11"]);
    let instance = Removing { pgsql: pgsql.clone(), deletes: true, ..Removing::default() };
    let refused = without(INVENTORY, &facts, &instance).expect_err("the copy would go, too");
    assert_eq!(refused[0].code, "aside-kept");
    let kept = INVENTORY.replace("pg_conf: tiny.yml", "pg_conf: tiny.yml, pg_rm_data: false");
    assert!(without(&kept, &facts, &instance).is_ok(), "its data stays");
    let moved = Removing { pgsql, ..Removing::default() };
    assert!(without(INVENTORY, &facts, &moved).is_ok(), "it is moved aside, and the copy with it");

    let both = ["10.10.10.11", "10.10.10.12"];
    let removing = Removing { asides: of_pg_test(&both), ..Removing::default() };
    let mut removal = without(INVENTORY, &facts, &removing).expect("it compiles").fleet;
    own_changes(&mut removal, &compiled(INVENTORY, &facts).fleet);
    let goes: Vec<String> = removal.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(goes.len(), 2, "{goes:?}");
    assert!(goes.iter().all(|id| id.contains("/data/postgres/pg-test-17/data.aside")), "{goes:?}");
}

/// Patroni 3.0 knows no `bin_name`: all its programs are links, and one leads to ours.
#[test]
fn debian_12s_patroni_is_led_to_it_by_links() {
    let mut facts = nodes(WELL, None);
    for node in facts.values_mut() {
        node.distribution.codename = "bookworm".to_owned();
    }
    let compiled = compiled(INVENTORY, &facts);
    let patroni = file(&compiled, "10.10.10.12", "/etc/patroni/conf.d/10-patroni.yml");
    let directory = "/usr/local/lib/keddah-postgresql-15";
    assert!(patroni.is_some_and(|text| text.contains(&format!("  bin_dir: {directory}\n"))));
    let target = |name: &str| {
        let path = format!("{directory}/{name}");
        compiled.fleet.iter().find_map(|one| match &one.spec {
            Spec::Symlink(link) if link.path == path => Some(link.target.clone()),
            _ => None,
        })
    };
    assert_eq!(target("pg_rewind").as_deref(), Some("/usr/local/lib/keddah-rewind"));
    assert_eq!(target("postgres").as_deref(), Some("/usr/lib/postgresql/15/bin/postgres"));
}
