//! Members that live where the inventory does not have them: facts of clusters that run, and inventories
//! with a line lost, or with one address changed.

mod support;

use keddah_compile::Removing;
use keddah_core::Diagnostic;
use keddah_resource::{DataFacts, InstanceFacts, MemberFacts, PatroniFacts};
use std::collections::BTreeSet;
use support::{Facts, compiled, facts, file, node, without};

const THIRD: &str = "        10.10.10.13: { pg_seq: 3, pg_role: replica }\n";

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
        10.10.10.13: { pg_seq: 3, pg_role: replica }
      vars: { pg_cluster: pg-test }
";

fn member(seq: u8, state: &str) -> MemberFacts {
    MemberFacts {
        scope: "pg-test".to_owned(),
        name: format!("pg-test-{seq}"),
        host: format!("10.10.10.{}", seq + 10),
        state: state.to_owned(),
        leads: seq == 1,
    }
}

/// Five nodes; pg-test is alive on three of them, and each member knows these.
fn alive(members: &[MemberFacts]) -> Facts {
    let mut nodes: Facts = [10, 11, 12, 13, 14].map(|last| (node(last), facts())).into();
    for seq in 1..=3_u8 {
        let facts = nodes.get_mut(&node(seq + 10)).expect("it is there");
        let data = DataFacts {
            path: "/data/postgres/pg-test-17/data".to_owned(),
            version: Some(17),
            system_identifier: "7300000000000000001".to_owned(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            restored: false,
            ..DataFacts::default()
        };
        facts.instances = vec![InstanceFacts {
            made: true,
            runs: true,
            configuration: "conf.d".to_owned(),
            scope: "pg-test".to_owned(),
            namespace: "/pg".to_owned(),
            name: format!("pg-test-{seq}"),
            data_directory: "/pg/data".to_owned(),
            home: Some("/data/postgres/pg-test-17".to_owned()),
            data: Some(data),
        }];
        facts.patroni_directories = vec!["conf.d".to_owned()];
        facts.members = members.to_vec();
        facts.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: if seq == 1 { "primary" } else { "replica" }.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7300000000000000001".to_owned(),
            paused: false,
        }];
    }
    nodes
}

fn all() -> [MemberFacts; 3] {
    [member(1, "running"), member(2, "streaming"), member(3, "streaming")]
}

fn refused(text: &str, facts: &Facts) -> Diagnostic {
    let compiled = without(text, facts, &Removing::default()).map(drop);
    let mut problems = compiled.expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

/// The line that a problem points at, without the spaces before it.
fn line(problem: &Diagnostic, text: &str) -> String {
    let at = problem.primary.as_ref().expect("a place").span.start;
    let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
    text[from..].lines().next().unwrap_or_default().trim().to_owned()
}

#[test]
fn a_cluster_whose_members_are_all_declared_compiles() {
    compiled(INVENTORY, &alive(&all()));
    // It grows: the new member is on nobody's list yet.
    let more = INVENTORY.replace(
        THIRD,
        &format!("{THIRD}        10.10.10.14: {{ pg_seq: 4, pg_role: replica }}\n"),
    );
    let grown = compiled(&more, &alive(&all()));
    assert!(file(&grown, "10.10.10.14", "/etc/patroni/conf.d/10-patroni.yml").is_some());
}

#[test]
fn a_living_member_that_the_inventory_lost_is_not_taken_out_of_the_services() {
    let text = INVENTORY.replace(THIRD, "");
    let mut facts = alive(&all());
    facts.remove(&node(13));
    let problem = refused(&text, &facts);
    assert_eq!(problem.code, "undeclared-member");
    for words in ["pg-test-3 on 10.10.10.13", "may lead it at any time", "streaming"] {
        assert!(problem.message.contains(words), "{problem:?}");
    }
    assert_eq!(line(&problem, &text), "vars: { pg_cluster: pg-test }");
    assert!(problem.help.join(" ").contains("keddah remove 10.10.10.13"), "{problem:?}");
    // The leader's own line.
    let leader = "        10.10.10.11: { pg_seq: 1, pg_role: primary }\n";
    let text = INVENTORY
        .replace(leader, "")
        .replace("pg_seq: 2, pg_role: replica", "pg_seq: 2, pg_role: primary");
    let mut facts = alive(&all());
    facts.remove(&node(11));
    let problem = refused(&text, &facts);
    assert!(
        problem.message.contains("pg-test-1 on 10.10.10.11")
            && problem.message.contains("leads it")
    );
}

#[test]
fn one_that_is_dead_or_was_removed_refuses_nothing() {
    let text = INVENTORY.replace(THIRD, "");
    for state in ["stopped", "start failed", "crashed", ""] {
        let [first, second, _] = all();
        let mut facts = alive(&[first, second, member(3, state)]);
        facts.remove(&node(13));
        compiled(&text, &facts);
    }
    let [first, second, _] = all();
    let mut facts = alive(&[first, second]);
    facts.remove(&node(13));
    compiled(&text, &facts);
}

#[test]
fn a_removal_is_no_reason_against_itself() {
    let nodes = BTreeSet::from([node(13)]);
    let removing =
        Removing { pgsql: [("pg-test".to_owned(), nodes)].into(), ..Removing::default() };
    without(INVENTORY, &alive(&all()), &removing).expect("it goes");
    // Of one that does not answer, too.
    let mut facts = alive(&all());
    facts.remove(&node(13));
    without(INVENTORY, &facts, &removing).expect("it goes");
}

#[test]
fn a_name_is_not_given_to_another_host_while_its_bearer_lives() {
    let text = INVENTORY.replace("10.10.10.13:", "10.10.10.14:");
    let mut facts = alive(&all());
    facts.remove(&node(13));
    let problem = refused(&text, &facts);
    assert_eq!(problem.code, "identity-address");
    assert!(problem.message.contains("pg-test-3 of pg-test lives on 10.10.10.13"), "{problem:?}");
    assert!(line(&problem, &text).starts_with("10.10.10.14:"), "{}", line(&problem, &text));
    // Whether the new host answers or not.
    facts.remove(&node(14));
    assert_eq!(refused(&text, &facts).code, "identity-address");
    // It is dead: the new host takes its place.
    let [first, second, _] = all();
    let mut facts = alive(&[first, second, member(3, "stopped")]);
    facts.remove(&node(13));
    compiled(&text, &facts);
}

#[test]
fn a_machine_that_got_another_address_is_still_itself() {
    let text = INVENTORY.replace("10.10.10.13:", "10.10.10.14:");
    let mut facts = alive(&all());
    let itself = facts.remove(&node(13)).expect("it is there");
    facts.insert(node(14), itself);
    compiled(&text, &facts);
}

#[test]
fn an_instance_that_runs_where_the_inventory_wants_none_stops_everything() {
    // A slip in the group: `host:` for `hosts:`, or the group is gone.
    let group = &INVENTORY[INVENTORY.find("    pg-test:").expect("it")..];
    let without_it = "    others: { hosts: { 10.10.10.11:, 10.10.10.12:, 10.10.10.13: } }\n";
    let text = INVENTORY.replace(group, without_it);
    let refused = without(&text, &alive(&all()), &Removing::default()).map(drop);
    let problems = refused.expect_err("refused");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|one| one.code == "undeclared-instance"), "{problems:?}");
    assert!(problems[0].message.starts_with("pg-test-1 runs on 10.10.10.11"), "{problems:?}");
    assert!(problems[0].message.contains("has no cluster pg-test"), "{problems:?}");
    assert!(line(&problems[0], &text).starts_with("others:"));
    // What was stopped, or removed, is nobody's any more.
    let mut facts = alive(&all());
    for last in [11, 12, 13] {
        let facts = facts.get_mut(&node(last)).expect("it is there");
        facts.instances[0].runs = false;
        facts.patroni.clear();
        facts.members.clear();
    }
    compiled(&text, &facts);
}
