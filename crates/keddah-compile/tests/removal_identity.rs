//! A removal takes away what was named, and not what a wrong inventory has in its place.

mod support;

use keddah_compile::Removing;
use keddah_core::{Diagnostic, NodeName};
use keddah_resource::{
    DataFacts, EtcdFacts, EtcdMemberFacts, InstanceFacts, NodeFacts, PatroniFacts, Spec,
};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, node, without};

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts: { 10.10.10.10: { etcd_seq: 1 }, 10.10.10.11: { etcd_seq: 2 }, 10.10.10.12: { etcd_seq: 3 } }
    pg-meta:
      hosts: { 10.10.10.10: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-meta }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
        10.10.10.13: { pg_seq: 3, pg_role: replica }
      vars: { pg_cluster: pg-test }
";

/// What is on the nodes: pg-meta-1, pg-test-1, pg-test-2 and pg-test-3, and members of etcd.
fn nodes() -> BTreeMap<NodeName, NodeFacts> {
    let listed = |last: u8| EtcdMemberFacts {
        id: last.to_string(),
        name: format!("etcd-{}", last - 9),
        peer_urls: vec![format!("https://10.10.10.{last}:2380")],
        learner: false,
    };
    let members: Vec<EtcdMemberFacts> = [10, 11, 12].map(listed).into();
    let one = |(last, cluster, seq, role): (u8, &str, u8, &str)| {
        let data = DataFacts {
            path: format!("/data/postgres/{cluster}-17/data"),
            version: Some(17),
            system_identifier: cluster.len().to_string(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            restored: false,
            ..DataFacts::default()
        };
        let instance = InstanceFacts {
            configuration: "conf.d".to_owned(),
            scope: cluster.to_owned(),
            namespace: "/pg".to_owned(),
            name: format!("{cluster}-{seq}"),
            data_directory: "/pg/data".to_owned(),
            home: Some(format!("/data/postgres/{cluster}-17")),
            data: Some(data.clone()),
            made: true,
            runs: true,
        };
        let patroni = PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: cluster.to_owned(),
            system_identifier: String::new(),
            paused: false,
        };
        let etcd = (last < 13).then(|| EtcdFacts {
            cluster: "1".to_owned(),
            member: last.to_string(),
            members: members.clone(),
        });
        let facts = NodeFacts {
            etcd_has_data: etcd.is_some(),
            etcd,
            instances: vec![instance],
            patroni: vec![patroni],
            patroni_directories: vec!["conf.d".to_owned()],
            data: vec![data],
            ..facts()
        };
        (node(last), facts)
    };
    [
        (10, "pg-meta", 1, "primary"),
        (11, "pg-test", 1, "primary"),
        (12, "pg-test", 2, "replica"),
        (13, "pg-test", 3, "replica"),
    ]
    .map(one)
    .into()
}

fn instances(cluster: &str, hosts: &[u8]) -> Removing {
    let hosts: BTreeSet<NodeName> = hosts.iter().map(|&last| node(last)).collect();
    let pgsql = BTreeMap::from([(cluster.to_owned(), hosts)]);
    Removing { pgsql, without_backup: true, ..Removing::default() }
}

fn members(hosts: &[u8]) -> Removing {
    let etcd = hosts.iter().map(|&last| node(last)).collect();
    Removing { etcd, ..Removing::default() }
}

/// What a removal is refused for, also where only what goes is looked at, as before it is carried out.
fn refused(text: &str, facts: &BTreeMap<NodeName, NodeFacts>, removing: &Removing) -> Diagnostic {
    let alone = Removing { alone: true, ..removing.clone() };
    let again = without(text, facts, &alone).expect_err("it would take another one");
    let problems = without(text, facts, removing).expect_err("it would take another one");
    assert_eq!(again[0].code, "removes-another");
    // Of the whole inventory, another fault of it may be told first.
    assert!(
        matches!(problems[0].code, "removes-another" | "identity-address" | "undeclared-instance"),
        "{problems:?}"
    );
    again[0].clone()
}

#[test]
fn another_member_in_the_place_of_the_one_named_stays() {
    let swapped = INVENTORY
        .replace("10.10.10.12: { pg_seq: 2", "10.10.10.12: { pg_seq: 9")
        .replace("10.10.10.13: { pg_seq: 3", "10.10.10.13: { pg_seq: 2")
        .replace("pg_seq: 9", "pg_seq: 3");
    let facts = nodes();
    for deletes in [false, true] {
        let removing = Removing { deletes, ..instances("pg-test", &[12]) };
        let problem = refused(&swapped, &facts, &removing);
        for words in ["pg-test-3 is to go", "10.10.10.12, is pg-test-2 (/etc/patroni/conf.d)"] {
            assert!(problem.message.contains(words), "{words}: {}", problem.message);
        }
    }
    // A stopped one, and one whose data is not there, are no others.
    let mut facts = nodes();
    let away = facts.get_mut(&node(12)).expect("a node");
    away.patroni.clear();
    away.data.clear();
    away.instances[0].data = None;
    refused(&swapped, &facts, &instances("pg-test", &[12]));
    // As it is, it goes; and again, after a removal that was broken off.
    let facts = nodes();
    without(INVENTORY, &facts, &instances("pg-test", &[12])).expect("it is the one");
    let mut facts = nodes();
    let begun = facts.get_mut(&node(12)).expect("a node");
    begun.patroni.clear();
    begun.instances.clear();
    without(INVENTORY, &facts, &instances("pg-test", &[12])).expect("it was the one");
}

#[test]
fn one_whose_patroni_runs_under_another_name_stays() {
    let mut facts = nodes();
    facts.get_mut(&node(12)).expect("a node").patroni[0].name = "pg-test-2".to_owned();
    without(INVENTORY, &facts, &instances("pg-test", &[12])).expect("it is the one");
    facts.get_mut(&node(12)).expect("a node").patroni[0].name = "pg-test-9".to_owned();
    let problem = refused(INVENTORY, &facts, &instances("pg-test", &[12]));
    assert!(problem.message.contains("is pg-test-9, as its Patroni says"), "{}", problem.message);
}

#[test]
fn another_clusters_member_in_the_place_of_the_one_named_stays() {
    let typed = INVENTORY
        .replace("        10.10.10.13: { pg_seq: 3, pg_role: replica }\n", "")
        .replace("10.10.10.10: { pg_seq: 1", "10.10.10.13: { pg_seq: 1");
    let facts = nodes();
    let problem = refused(&typed, &facts, &instances("pg-meta", &[13]));
    for words in ["pg-meta-1 is to go", "pg-test-3 of the cluster pg-test"] {
        assert!(problem.message.contains(words), "{words}: {}", problem.message);
    }
    // Somebody has taken the configuration away, and the process runs on.
    let mut facts = nodes();
    facts.get_mut(&node(13)).expect("a node").instances.clear();
    let problem = refused(&typed, &facts, &instances("pg-meta", &[13]));
    assert!(problem.message.contains("a member of pg-test, whose Patroni runs there"));
}

#[test]
fn keys_of_another_namespace_stay() {
    let other = INVENTORY.replace("pg_cluster: pg-meta", "pg_cluster: pg-meta, pg_namespace: /db");
    let problem = refused(&other, &nodes(), &instances("pg-meta", &[10]));
    assert!(problem.message.contains("below /pg in etcd"), "{}", problem.message);
}

#[test]
fn keys_go_only_with_those_who_live_by_them() {
    let removed = without(INVENTORY, &nodes(), &instances("pg-meta", &[10])).expect("it goes");
    let going = removed.fleet.iter().find_map(|one| match &one.spec {
        Spec::EtcdKeys(keys) => Some((keys.going.clone(), keys.lease_seconds)),
        _ => None,
    });
    let (going, lease) = going.expect("keys go");
    let going: Vec<_> = going.iter().map(|one| (one.name.as_str(), one.address.as_str())).collect();
    assert_eq!((going, lease), (vec![("pg-meta-1", "10.10.10.10")], 30));
    // Of a host that does not answer, nobody is stopped.
    let mut facts = nodes();
    facts.remove(&node(13));
    let removed =
        without(INVENTORY, &facts, &instances("pg-test", &[11, 12, 13])).expect("it goes");
    let names: Vec<String> = removed
        .fleet
        .iter()
        .filter_map(|one| match &one.spec {
            Spec::EtcdKeys(keys) => Some(&keys.going),
            _ => None,
        })
        .flatten()
        .map(|one| one.name.clone())
        .collect();
    assert_eq!(names, ["pg-test-1", "pg-test-2"]);
}

#[test]
fn what_is_stopped_is_looked_at_once_more_on_its_node() {
    let removed = without(INVENTORY, &nodes(), &instances("pg-test", &[12])).expect("it goes");
    let stopped: Vec<(String, String)> = removed
        .fleet
        .iter()
        .filter(|one| one.id.node == node(12))
        .filter_map(|one| match &one.spec {
            Spec::Unit(unit) if !unit.running => {
                let belongs = unit.belongs.as_ref()?;
                Some((unit.unit.clone(), format!("{} {}", belongs.configuration, belongs.name)))
            }
            _ => None,
        })
        .collect();
    let wanted = ["pgbouncer.service", "patroni.service"];
    let wanted = wanted.map(|unit| (unit.to_owned(), "/etc/patroni/conf.d pg-test-2".to_owned()));
    assert_eq!(stopped, wanted);
    // What the node compares with is what Keddah has written there.
    let fleet = compiled(INVENTORY, &nodes());
    let text =
        file(&fleet, "10.10.10.12", "/etc/patroni/conf.d/10-patroni.yml").expect("it has one");
    for line in ["scope: pg-test", "name: pg-test-2"] {
        let bare = |one: &str| one.replace('"', "") == line;
        assert!(text.lines().any(bare), "{line}:\n{text}");
    }
}

#[test]
fn a_member_of_etcd_that_the_others_know_elsewhere_is_not_stopped_unstruck() {
    let mut facts = nodes();
    let moved = "https://10.10.10.13:2380";
    for node in facts.values_mut() {
        let lists = node.etcd.iter_mut().flat_map(|etcd| &mut etcd.members);
        lists.filter(|one| one.name == "etcd-3").for_each(|one| one.peer_urls = vec![moved.into()]);
    }
    let problem = refused(INVENTORY, &facts, &members(&[12]));
    assert!(problem.message.contains(moved), "{}", problem.message);
    let help = problem.help.join(" ");
    assert!(help.contains("member update c --peer-urls=https://10.10.10.12:2380"), "{help}");
    without(INVENTORY, &nodes(), &members(&[12])).expect("it is the one");
}

#[test]
fn a_member_of_etcd_with_anothers_name_stays() {
    let swapped = INVENTORY
        .replace("10.10.10.11: { etcd_seq: 2 }", "10.10.10.11: { etcd_seq: 9 }")
        .replace("10.10.10.12: { etcd_seq: 3 }", "10.10.10.12: { etcd_seq: 2 }")
        .replace("etcd_seq: 9", "etcd_seq: 3");
    let problem = refused(&swapped, &nodes(), &members(&[12]));
    assert!(problem.message.contains("10.10.10.12 is etcd-3"), "{}", problem.message);
}

#[test]
fn a_member_of_somebody_elses_etcd_stays() {
    let mut facts = nodes();
    let etcd = facts.get_mut(&node(12)).expect("a node").etcd.as_mut().expect("a member");
    etcd.cluster = "2".to_owned();
    for (one, url) in
        etcd.members.iter_mut().zip(["https://a:2380", "https://b:2380", "https://c:2380"])
    {
        one.peer_urls = vec![url.to_owned()];
    }
    let problem = refused(INVENTORY, &facts, &members(&[12]));
    assert!(problem.message.contains("a member of another cluster"), "{}", problem.message);
}

#[test]
fn what_was_removed_and_is_still_declared_is_named() {
    let named = |facts: &BTreeMap<NodeName, NodeFacts>| {
        let notes = compiled(INVENTORY, facts).notes;
        notes.iter().any(|note| note.starts_with("pg-test-3 is declared, and `keddah remove`"))
    };
    let mut facts = nodes();
    let gone = facts.get_mut(&node(13)).expect("a node");
    gone.removed = vec!["/data/postgres/pg-test-17.removed".to_owned()];
    assert!(!named(&facts), "it has been made anew since");
    let gone = facts.get_mut(&node(13)).expect("a node");
    gone.instances.clear();
    gone.patroni.clear();
    gone.patroni_directories.clear();
    gone.data.clear();
    assert!(named(&facts));
    facts.get_mut(&node(13)).expect("a node").removed =
        vec!["/data/postgres/pg-a-17.removed".to_owned()];
    assert!(!named(&facts), "another cluster's");
}
