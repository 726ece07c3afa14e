//! What a plan says of a member whose rewind has failed, although nothing is to be changed.

mod support;

use keddah_core::NodeName;
use keddah_resource::{AsideFacts, NodeFacts, PatroniFacts};
use std::collections::BTreeMap;
use support::{compiled, facts};

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
          `keddah remove --aside` takes it away"]
    );
    let told = notes(well, Some(AsideFacts { copy, ..aside() }));
    assert!(told[0].contains("data.aside, of which nothing is known: commits"), "{told:?}");
}
