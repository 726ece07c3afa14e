//! What a removal names before it is approved, what stops it and what does not, and that no parameter
//! of an inventory deletes anything.

mod support;

use keddah_compile::{Compiled, Removing, as_if_well, own_changes, without_what_goes};
use keddah_core::{NodeName, SourceMap};
use keddah_resource::{
    BackupFacts, DataFacts, DatabaseSize, EtcdFacts, EtcdMemberFacts, HeldSlot, HoldingsFacts,
    NodeFacts, PatroniFacts, Spec,
};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, node, without};

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts: { 10.10.10.10: { etcd_seq: 1 }, 10.10.10.11: { etcd_seq: 2 }, 10.10.10.12: { etcd_seq: 3 } }
    infra: { hosts: { 10.10.10.10: { infra_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
        10.10.10.13: { pg_seq: 3, pg_role: replica }
      vars:
        pg_cluster: pg-test
        pg_conf: tiny.yml
";

const PATRONI: &str = "/etc/patroni/conf.d/10-patroni.yml";

/// All four nodes; of etcd, those members are listed.
fn nodes(listed: &[u8]) -> BTreeMap<NodeName, NodeFacts> {
    let members: Vec<EtcdMemberFacts> = listed
        .iter()
        .map(|last| EtcdMemberFacts {
            id: last.to_string(),
            name: format!("etcd-{}", last - 9),
            peer_urls: vec![format!("https://10.10.10.{last}:2380")],
            learner: false,
        })
        .collect();
    let says = [(10, None), (11, Some("primary")), (12, Some("replica")), (13, Some("replica"))];
    let one = |(last, role): (u8, Option<&str>)| {
        let patroni = role.map(|role| PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        });
        let data = role.map(|_| DataFacts {
            path: "/data/postgres/pg-test-17/data".to_owned(),
            version: Some(17),
            system_identifier: "7".to_owned(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            restored: false,
            wal: None,
        });
        let etcd = listed.contains(&last).then(|| EtcdFacts {
            cluster: "1".to_owned(),
            member: String::new(),
            members: members.clone(),
        });
        let facts = NodeFacts {
            etcd_has_data: etcd.is_some(),
            etcd,
            patroni: patroni.into_iter().collect(),
            data: data.into_iter().collect(),
            ..facts()
        };
        (node(last), facts)
    };
    says.map(one).into()
}

fn replica(last: u8) -> Removing {
    let pgsql = BTreeMap::from([("pg-test".to_owned(), BTreeSet::from([node(last)]))]);
    Removing { pgsql, ..Removing::default() }
}

fn noted(compiled: &Compiled, words: &str) -> bool {
    compiled.notes.iter().any(|note| note.contains(words))
}

#[test]
fn a_host_that_is_gone_for_ever_is_forgotten_by_the_others() {
    let mut facts = nodes(&[10, 11, 12]);
    facts.remove(&node(13));
    let removing = replica(13);
    let mut gone = without(INVENTORY, &facts, &removing).expect("it is removed all the same");
    own_changes(&mut gone.fleet, &compiled(INVENTORY, &facts).fleet);
    for staying in ["10.10.10.11", "10.10.10.12"] {
        let balancer = file(&gone, staying, "/etc/haproxy/haproxy.cfg").expect("it changes");
        assert!(!balancer.contains("10.10.10.13"), "{balancer}");
    }
    assert!(gone.fleet.iter().all(|one| one.id.node != node(13)), "it cannot be changed");
    for words in ["10.10.10.13 does not answer", "pg_test_3", "member_slots_ttl"] {
        assert!(noted(&gone, words), "{words}: {:#?}", gone.notes);
    }
}

#[test]
fn a_host_that_may_lead_is_not_forgotten() {
    let mut facts = nodes(&[10, 11, 12]);
    facts.remove(&node(11));
    let refused = without(INVENTORY, &facts, &replica(11)).expect_err("it may be the primary");
    assert_eq!(refused[0].code, "removes-primary");
    facts.get_mut(&node(12)).expect("a node").patroni[0].role = "primary".to_owned();
    without(INVENTORY, &facts, &replica(11)).expect("another leads");
}

#[test]
fn every_loss_is_named() {
    let mut facts = nodes(&[10, 11, 12]);
    let kept = |at| BackupFacts {
        stanza: "pg-test".to_owned(),
        place: "/data/backups/pg-test-17".to_owned(),
        backups: 2,
        systems: vec!["7".to_owned()],
        newest: Some(at),
    };
    for last in [12, 13] {
        facts.get_mut(&node(last)).expect("a node").backups = vec![kept(20_000 * 86_400)];
    }
    let aside = without(INVENTORY, &facts, &replica(13)).expect("it compiles");
    for words in [
        "pg-test-3: its data, /data/postgres/pg-test-17/data, is moved aside",
        "pg-test-3: 2 backups in /data/backups/pg-test-17, the newest of 2024-10-04: this is moved aside",
        "pg-test is left with 2 members",
    ] {
        assert!(noted(&aside, words), "{words}: {:#?}", aside.notes);
    }
    let removing = Removing { deletes: true, ..replica(13) };
    let deleted = without(INVENTORY, &facts, &removing).expect("it compiles");
    for words in ["pg-test-17/data, is deleted", "of 2024-10-04: this is deleted"] {
        assert!(noted(&deleted, words), "{words}: {:#?}", deleted.notes);
    }
    let kept =
        INVENTORY.replace("pg_conf: tiny.yml", "pg_conf: tiny.yml\n        pg_rm_data: false");
    let kept = without(&kept, &facts, &removing).expect("it compiles");
    assert!(noted(&kept, "stays in its place (pg_rm_data: false)"), "{:#?}", kept.notes);
    let all = BTreeMap::from([("pg-test".to_owned(), BTreeSet::from([11, 12, 13].map(node)))]);
    let all = Removing { pgsql: all, without_backup: true, ..Removing::default() };
    let all = without(INVENTORY, &facts, &all).expect("it compiles");
    assert!(noted(&all, "pg-test is no more"), "{:#?}", all.notes);
}

#[test]
fn a_refusal_that_the_removal_would_cure_does_not_stop_it() {
    // The member that goes holds another system's data: everything else refuses that.
    let mut facts = nodes(&[10, 11, 12]);
    facts.get_mut(&node(13)).expect("a node").data[0].system_identifier = "8".to_owned();
    let refused = without(INVENTORY, &facts, &Removing::default()).expect_err("two systems");
    assert_eq!(refused[0].code, "identity-system");
    let removing = replica(13);
    without(INVENTORY, &facts, &removing).expect("it goes");
    let mut sources = SourceMap::default();
    let (inventory, _) = keddah_inventory::load(&mut sources, "t.yml", INVENTORY.as_bytes());
    let inventory = inventory.expect("it loads");
    let cured = without_what_goes(as_if_well(facts, &removing), &inventory, &removing);
    without(INVENTORY, &cured, &Removing::default()).expect("without it, nothing is refused");
}

#[test]
fn a_refusal_elsewhere_does_not_stop_a_removal() {
    // Two members that stay differ; the third goes.
    let mut facts = nodes(&[10, 11, 12]);
    facts.get_mut(&node(12)).expect("a node").data[0].system_identifier = "8".to_owned();
    let refused = without(INVENTORY, &facts, &replica(13)).expect_err("they are no cluster");
    assert_eq!(refused[0].code, "identity-system");
    let alone = Removing { alone: true, ..replica(13) };
    let removed = without(INVENTORY, &facts, &alone).expect("what goes is no part of it");
    assert!(removed.fleet.iter().all(|one| one.id.node == node(13)));
    assert!(removed.fleet.iter().any(|one| one.id.name == "patroni.service"));
    // What concerns the removal itself stops it all the same.
    let primary = Removing { alone: true, ..replica(11) };
    let refused = without(INVENTORY, &facts, &primary).expect_err("it leads");
    assert_eq!(refused[0].code, "removes-primary");
}

#[test]
fn a_second_removal_does_not_point_patroni_at_an_etcd_that_the_first_has_struck() {
    // The first has struck etcd-3 on .12, and was interrupted; the second is of an instance.
    let facts = nodes(&[10, 11]);
    let again = |removing: &Removing| {
        let removed = without(INVENTORY, &facts, removing).expect("it compiles");
        file(&removed, "10.10.10.11", PATRONI).expect("it stays")
    };
    for removing in [
        replica(13),
        replica(12),
        Removing { etcd: BTreeSet::from([node(12)]), ..Removing::default() },
        Removing { etcd: BTreeSet::from([node(12)]), ..replica(12) },
    ] {
        let text = again(&removing);
        assert!(!text.contains("10.10.10.12:2379"), "{removing:?}:\n{text}");
        assert!(text.contains("10.10.10.10:2379"), "{text}");
    }
    // One that is listed, and only out of reach, stays known.
    let mut facts = nodes(&[10, 11, 12]);
    facts.get_mut(&node(12)).expect("a node").etcd = None;
    let removed = without(INVENTORY, &facts, &replica(13)).expect("it compiles");
    let text = file(&removed, "10.10.10.11", PATRONI).expect("it stays");
    assert!(text.contains("10.10.10.12:2379"), "{text}");
}

/// What becomes of directories: their paths, and whether they are kept.
fn leaving(compiled: &Compiled) -> BTreeMap<(NodeName, String), bool> {
    let here = compiled.fleet.iter().filter_map(|one| match &one.spec {
        Spec::Directory(spec) if spec.permissions.is_none() => {
            Some(((one.id.node.clone(), spec.path.clone()), spec.kept))
        }
        _ => None,
    });
    here.collect()
}

/// Every parameter that speaks of deleting, and of packages that go.
fn wiping() -> BTreeSet<String> {
    let all = keddah_inventory::registry::all().map(|one| one.name.to_owned());
    let speaks = |name: &String| {
        ["_clean", "_remove"].iter().any(|end| name.ends_with(end)) || name.contains("_rm_")
    };
    all.filter(speaks).chain(["etcd_clean".to_owned()]).collect()
}

#[test]
fn no_parameter_wipes_what_was_there_before() {
    let mut facts = nodes(&[10, 11, 12]);
    for last in [11, 12, 13] {
        facts.get_mut(&node(last)).expect("a node").backups = vec![BackupFacts {
            stanza: "pg-test".to_owned(),
            place: "/data/backups/pg-test-17".to_owned(),
            backups: 1,
            systems: vec!["7".to_owned()],
            newest: None,
        }];
    }
    let parameters = wiping();
    for known in
        ["pgbackrest_clean", "node_repo_remove", "pg_rm_data", "vmetrics_clean", "redis_rm_data"]
    {
        assert!(parameters.contains(known), "{known}: {parameters:?}");
    }
    let without_any = compiled(INVENTORY, &facts);
    let hosts = BTreeSet::from([node(12)]);
    let removing = Removing { etcd: hosts.clone(), ..replica(12) };
    for parameter in &parameters {
        for value in ["true", "false"] {
            let text = format!("{INVENTORY}  vars: {{ {parameter}: {value} }}\n");
            // Whatever it says, an apply wants the very same.
            let applied = compiled(&text, &facts);
            assert_eq!(applied.fleet.len(), without_any.fleet.len(), "{parameter}: {value}");
            for resource in applied.fleet.iter() {
                let same = without_any.fleet.get(&resource.id).map(|one| &one.spec);
                assert_eq!(same, Some(&resource.spec), "{parameter}: {value}, {}", resource.id);
            }
            // And a removal keeps whatever it takes away, or lets it stand.
            let removed = without(&text, &facts, &removing).expect("it compiles");
            let leaving = leaving(&removed);
            let deleted: Vec<_> = leaving.iter().filter(|(_, kept)| !**kept).collect();
            assert_eq!(deleted, [], "{parameter}: {value}");
            let place = |path: &str| leaving.get(&(node(12), path.to_owned())).copied();
            let moved = |name: &str| (parameter != name || value == "true").then_some(true);
            assert_eq!(
                place("/data/postgres/pg-test-17"),
                moved("pg_rm_data"),
                "{parameter}: {value}"
            );
            assert_eq!(
                place("/data/backups/pg-test-17"),
                moved("pg_rm_backup"),
                "{parameter}: {value}"
            );
            assert_eq!(place("/data/etcd"), moved("etcd_rm_data"), "{parameter}: {value}");
        }
    }
}

#[test]
fn what_only_one_member_holds_is_named() {
    let mut facts = nodes(&[10, 11, 12]);
    let slot =
        |name: &str| HeldSlot { name: name.to_owned(), form: "logical".to_owned(), active: false };
    let mut holds = |last: u8, slots: &[&str]| {
        facts.get_mut(&node(last)).expect("a node").holdings = vec![HoldingsFacts {
            cluster: "pg-test".to_owned(),
            databases: vec![DatabaseSize { name: "app".to_owned(), bytes: 20 << 20 }],
            slots: slots.iter().map(|name| slot(name)).collect(),
            unarchived: 3,
            unread: String::new(),
        }];
    };
    holds(11, &["everywhere", "pg_test_3"]);
    holds(13, &["everywhere", "here_only", "pg_test_1"]);
    let removed = without(INVENTORY, &facts, &replica(13)).expect("it compiles");
    for words in
        ["only pg-test-3 has go: here_only (logical, inactive)", "not archived: 3 segments"]
    {
        assert!(noted(&removed, words), "{words}: {:#?}", removed.notes);
    }
    for words in ["everywhere", "pg_test_1", "databases that go"] {
        assert!(!noted(&removed, words), "{words}: {:#?}", removed.notes);
    }
    let all = BTreeMap::from([("pg-test".to_owned(), BTreeSet::from([11, 12, 13].map(node)))]);
    let all = Removing { pgsql: all, without_backup: true, ..Removing::default() };
    let all = without(INVENTORY, &facts, &all).expect("it compiles");
    for words in ["databases that go with pg-test: app (20 MiB)", "everywhere (logical"] {
        assert!(noted(&all, words), "{words}: {:#?}", all.notes);
    }
}
