//! What is one for a whole cluster is planned on the member that is known to lead: by its own word, or by
//! that of those who follow it.

mod support;

use keddah_compile::Compiled;
use keddah_resource::{
    EtcdFacts, EtcdMemberFacts, Kind, MemberFacts, NodeFacts, PatroniFacts, Spec, WalEnd,
};
use std::collections::BTreeMap;
use support::{Facts, compiled, facts, instance, node, of};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
        10.10.10.13: { pg_seq: 3, pg_role: replica }
      vars:
        pg_cluster: pg-test
        pg_users: [{ name: dbuser_test, password: Secret.Word, pgbouncer: true }]
        pg_databases: [{ name: test, owner: dbuser_test }]
";

/// A cluster that runs: its first member leads, and each Patroni knows that.
fn running() -> Facts {
    let member = EtcdMemberFacts {
        id: "1".to_owned(),
        name: "etcd-1".to_owned(),
        peer_urls: vec!["https://10.10.10.10:2380".to_owned()],
        learner: false,
    };
    let etcd = EtcdFacts { cluster: "1".into(), member: "1".into(), members: vec![member] };
    let etcd = NodeFacts { etcd: Some(etcd), etcd_has_data: true, ..facts() };
    let mut nodes: Facts = BTreeMap::from([(node(10), etcd)]);
    for seq in 1_u8..=3 {
        let mut about = facts();
        let wal = WalEnd { timeline: 1, position: 900, exact: false, forks: Vec::new() };
        about.instances = vec![instance(seq, true, Some(wal))];
        about.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: if seq == 1 { "primary" } else { "replica" }.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7300000000000000001".to_owned(),
            paused: false,
        }];
        let member = |seq: u8| MemberFacts {
            scope: "pg-test".to_owned(),
            name: format!("pg-test-{seq}"),
            host: format!("10.10.10.1{seq}"),
            state: "running".to_owned(),
            leads: seq == 1,
        };
        about.members = (1..=3).map(member).collect();
        nodes.insert(node(10 + seq), about);
    }
    nodes
}

/// Where what is one for the whole cluster is planned, by kind.
fn planned(compiled: &Compiled, kind: Kind) -> Vec<String> {
    let mut nodes: Vec<String> = compiled
        .fleet
        .iter()
        .filter(|one| one.id.kind == kind)
        .map(|one| one.id.node.to_string())
        .collect();
    nodes.dedup();
    nodes
}

/// What only a leader takes.
const ITS_OWN: [Kind; 4] = [Kind::PgRole, Kind::PgDatabase, Kind::PgPrivileges, Kind::Backup];

fn lists(compiled: &Compiled) -> usize {
    let is_list = |id: &str| id.ends_with("/userlist.txt");
    compiled.fleet.iter().filter(|one| is_list(&one.id.name)).count()
}

#[test]
fn all_is_planned_where_the_leader_says_that_it_leads() {
    let told = compiled(INVENTORY, &running());
    for kind in [Kind::PgRole, Kind::PgDatabase, Kind::Backup, Kind::PatroniConfig] {
        assert_eq!(planned(&told, kind), ["10.10.10.11"], "{kind}");
    }
    assert_eq!(lists(&told), 3);
    assert!(!told.notes.iter().any(|note| note.contains("leads")), "{:?}", told.notes);
}

#[test]
fn nothing_of_the_kind_is_planned_elsewhere_while_the_leader_cannot_be_asked() {
    let mut facts = running();
    facts.remove(&node(11));
    let told = compiled(INVENTORY, &facts);
    for kind in ITS_OWN.into_iter().chain([Kind::PatroniConfig]) {
        assert_eq!(planned(&told, kind), Vec::<String>::new(), "{kind}");
    }
    let units = told.fleet.iter().filter(|one| one.id.name == "patroni.service");
    for unit in units {
        assert!(!unit.after.iter().any(|id| id.kind == Kind::PgInstance), "{:?}", unit.after);
    }
    assert_eq!(lists(&told), 0, "a list ahead of the roles shuts pools");
    let note = told.notes.iter().find(|note| note.contains("cannot be asked")).expect("a note");
    assert!(
        note.starts_with("pg-test-1 on 10.10.10.11 leads pg-test and cannot be asked"),
        "{note}"
    );
    // Each member still has its stanza, and whoever does not run is started.
    assert_eq!(planned(&told, Kind::Stanza), ["10.10.10.12", "10.10.10.13"]);
    of(&mut facts, 13).patroni.clear();
    let told = compiled(INVENTORY, &facts);
    assert_eq!(planned(&told, Kind::PgRole), Vec::<String>::new());
    let starts = told.fleet.iter().any(|one| {
        one.id.node == node(13) && matches!(&one.spec, Spec::Unit(unit) if unit.running)
    });
    assert!(starts);
}

#[test]
fn a_leader_whose_patroni_is_silent_leads_by_the_word_of_the_others() {
    let mut facts = running();
    of(&mut facts, 11).patroni.clear();
    let told = compiled(INVENTORY, &facts);
    assert_eq!(planned(&told, Kind::PgRole), ["10.10.10.11"]);
    // Unless it says itself that it does not any more.
    let mut facts = running();
    of(&mut facts, 11).patroni[0].role = "replica".to_owned();
    assert_eq!(planned(&compiled(INVENTORY, &facts), Kind::PgRole), Vec::<String>::new());
}

#[test]
fn where_members_run_and_nobody_leads_roles_and_backups_wait() {
    let mut facts = running();
    for last in 11..=13 {
        let about = of(&mut facts, last);
        about.patroni[0].role = "replica".to_owned();
        about.members.iter_mut().for_each(|one| one.leads = false);
    }
    let told = compiled(INVENTORY, &facts);
    for kind in ITS_OWN {
        assert_eq!(planned(&told, kind), Vec::<String>::new(), "{kind}");
    }
    assert_eq!(planned(&told, Kind::PatroniConfig).len(), 1, "it may be what keeps them from it");
    assert!(told.notes.iter().any(|note| note.contains("nobody leads")), "{:?}", told.notes);
}

#[test]
fn a_standby_cluster_is_not_demoted_a_second_time_while_its_leader_is_silent() {
    let text = INVENTORY.replace(
        "    pg-test:\n",
        "    pg-other:
      hosts: { 10.10.10.20: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-other }
    pg-test:\n",
    );
    let text = text.replace(
        "pg_role: primary }\n        10.10.10.12",
        "pg_role: primary, pg_upstream: 10.10.10.20 }\n        10.10.10.12",
    );
    let mut facts = running();
    let mut other = support::facts();
    other.patroni = vec![PatroniFacts {
        name: String::new(),
        scope: "pg-other".to_owned(),
        ..of(&mut facts, 11).patroni[0].clone()
    }];
    facts.insert(node(20), other);
    let demoted = |facts: &Facts| {
        let notes = compiled(&text, facts).notes;
        notes.iter().any(|note| note.contains("DEMOTED"))
    };
    assert!(demoted(&facts), "its leader takes writes");
    facts.remove(&node(11));
    assert!(!demoted(&facts));
}
