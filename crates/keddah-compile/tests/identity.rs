//! What exists keeps what it is: facts of a cluster that is there, and inventories that would make
//! something else of it.

mod support;

use keddah_compile::Removing;
use keddah_core::Diagnostic;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::{BackupFacts, DataFacts, InstanceFacts, Kind, PatroniFacts};
use support::{Facts, compiled, facts, file, node, of, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-test }
    pg-more: { hosts: { 10.10.10.13: { pg_seq: 1, pg_role: primary } }, vars: { pg_cluster: pg-more } }
";

fn data(version: u32) -> DataFacts {
    DataFacts {
        path: format!("/data/postgres/pg-test-{version}/data"),
        version: Some(version),
        system_identifier: "7300000000000000001".to_owned(),
        timeline: Some(1),
        owner: "postgres".to_owned(),
        restored: false,
        wal: None,
    }
}

fn instance(seq: u32, version: u32) -> InstanceFacts {
    InstanceFacts {
        made: true,
        runs: true,
        configuration: "conf.d".to_owned(),
        scope: "pg-test".to_owned(),
        namespace: "/pg".to_owned(),
        name: format!("pg-test-{seq}"),
        data_directory: "/pg/data".to_owned(),
        home: Some(format!("/data/postgres/pg-test-{version}")),
        data: Some(data(version)),
    }
}

/// Four nodes, pg-test alive on two of them.
fn alive(version: u32) -> Facts {
    let mut nodes: Facts = [10, 11, 12, 13].map(|last| (node(last), facts())).into();
    for (last, seq, role) in [(11, 1, "primary"), (12, 2, "replica")] {
        let facts = nodes.get_mut(&node(last)).expect("it is there");
        facts.instances = vec![instance(seq, version)];
        facts.patroni_directories = vec!["conf.d".to_owned()];
        facts.data = vec![data(version)];
        facts.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7300000000000000001".to_owned(),
            paused: false,
        }];
    }
    nodes
}

/// Down everywhere; what its files say stays.
fn stopped(mut facts: Facts) -> Facts {
    facts.values_mut().for_each(|facts| facts.patroni.clear());
    facts
}

fn refused(text: &str, facts: &Facts) -> Diagnostic {
    let mut problems = without(text, facts, &Removing::default()).expect_err("refused");
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
fn a_cluster_as_it_is_compiles_whether_it_runs_or_not() {
    for facts in [alive(17), stopped(alive(17))] {
        let compiled = compiled(INVENTORY, &facts);
        assert_eq!(file(&compiled, "10.10.10.11", "/etc/patroni/conf.d/05-bootstrap.yml"), None);
        assert!(file(&compiled, "10.10.10.13", "/etc/patroni/conf.d/05-bootstrap.yml").is_some());
    }
}

#[test]
fn changes_of_identity_are_refused_at_their_line() {
    let vars = "vars: { pg_cluster: pg-test }";
    let with = |option: &str| {
        INVENTORY.replace(vars, &format!("vars: {{ pg_cluster: pg-test, {option} }}"))
    };
    for facts in [alive(17), stopped(alive(17))] {
        for (text, code, words) in [
            (with("pg_fs_main: /elsewhere"), "identity-place", "/elsewhere/pg-test-17"),
            (with("pg_data: /pg/other"), "identity-place", "/pg/other"),
            (with("pg_namespace: /db"), "identity-namespace", "below /pg in etcd"),
            (with("pg_version: 16"), "identity-version", "asks for 16"),
            (with("pg_dbsu: dba"), "identity-account", "account postgres"),
            (
                INVENTORY.replace(vars, "vars: { pg_cluster: pg-new }"),
                "identity-cluster",
                "keeps its name",
            ),
        ] {
            let problem = refused(&text, &facts);
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(problem.message.contains(words), "{problem:?}");
            assert!(line(&problem, &text).starts_with("vars:"), "{}", line(&problem, &text));
            assert!(!problem.help.is_empty(), "the ways that remain: {problem:?}");
        }
        // The same places in another spelling.
        compiled(&with("pg_fs_main: /data//postgres/, pg_data: /pg/data/"), &facts);

        let text = INVENTORY.replace("pg_seq: 2", "pg_seq: 3");
        let problem = refused(&text, &facts);
        assert_eq!(problem.code, "identity-instance");
        assert!(line(&problem, &text).contains("pg_seq: 3"));

        let member = "        10.10.10.12: { pg_seq: 2, pg_role: replica }\n";
        let text = INVENTORY.replace(member, "").replace(
            "10.10.10.13: { pg_seq: 1, pg_role: primary }",
            "10.10.10.13: { pg_seq: 1, pg_role: primary }, 10.10.10.12: { pg_seq: 2, pg_role: replica }",
        );
        let problem = refused(&text, &facts);
        assert_eq!(problem.code, "identity-cluster");
        assert!(problem.message.contains("makes it a member of pg-more"), "{problem:?}");
    }
}

#[test]
fn a_running_instance_without_its_file_is_known_by_what_it_says() {
    let mut facts = alive(17);
    for last in [11, 12] {
        of(&mut facts, last).instances.clear();
    }
    let text = INVENTORY.replace("pg_cluster: pg-test", "pg_cluster: pg-new");
    assert_eq!(refused(&text, &facts).code, "identity-cluster");
}

#[test]
fn a_version_that_nobody_sets_is_the_one_that_is_there() {
    for unconfigured in [false, true] {
        let mut facts = stopped(alive(15));
        for last in [11, 12] {
            let facts = of(&mut facts, last);
            facts.package_candidates.insert("postgresql-18".to_owned(), "18".to_owned());
            if unconfigured {
                facts.instances.clear();
            }
        }
        let compiled = compiled(INVENTORY, &facts);
        let there = |name: &str| {
            compiled.fleet.iter().any(|one| one.id.kind == Kind::Directory && one.id.name == name)
        };
        assert!(there("/data/postgres/pg-test-15"), "unconfigured: {unconfigured}");
        assert!(!there("/data/postgres/pg-test-17") && !there("/data/postgres/pg-test-18"));
    }
}

#[test]
fn members_of_different_systems_are_no_cluster() {
    let mut facts = alive(17);
    let other = of(&mut facts, 12).instances[0].data.as_mut().expect("data");
    other.system_identifier = "7300000000000000002".to_owned();
    let problem = refused(INVENTORY, &facts);
    assert_eq!(problem.code, "identity-system");
    for words in ["7300000000000000001", "7300000000000000002", "pg-test-1 on", "pg-test-2 on"] {
        assert!(problem.message.contains(words), "{problem:?}");
    }
    let mut facts = alive(17);
    of(&mut facts, 12).instances[0].data.as_mut().expect("data").version = Some(16);
    assert_eq!(refused(INVENTORY, &facts).code, "identity-system");
}

#[test]
fn what_is_configured_and_not_made_binds_nobody() {
    let mut facts = stopped(alive(17));
    for last in [11, 12] {
        let facts = of(&mut facts, last);
        facts.instances[0].data = None;
        facts.instances[0].made = false;
        facts.data.clear();
    }
    let text = INVENTORY.replace("pg_cluster: pg-test", "pg_cluster: pg-new, pg_fs_main: /other");
    without(&text, &facts, &Removing::default()).expect("a first apply that failed");
}

#[test]
fn where_nobody_leads_one_with_data_starts_first() {
    let leader = |facts: &Facts| {
        let compiled = compiled(INVENTORY, facts);
        let settings = compiled
            .fleet
            .iter()
            .find(|one| one.id.kind == Kind::PatroniConfig && one.id.name == "pg-test");
        assert_eq!(file(&compiled, "10.10.10.11", "/etc/patroni/conf.d/05-bootstrap.yml"), None);
        settings.expect("pg-test has settings").id.node.clone()
    };
    let mut facts = stopped(alive(17));
    assert_eq!(leader(&facts), node(11));
    of(&mut facts, 11).instances[0].data = None;
    assert_eq!(leader(&facts), node(12), "the first primary has lost its data");
}

#[test]
fn nothing_is_born_over_backups() {
    let mut facts = stopped(alive(17));
    for last in [11, 12] {
        let facts = of(&mut facts, last);
        facts.instances[0].data = None;
        facts.instances[0].made = false;
        facts.data.clear();
    }
    compiled(INVENTORY, &facts);
    of(&mut facts, 12).backups = vec![BackupFacts {
        stanza: "pg-test".to_owned(),
        place: "/data/backups/pg-test-17".to_owned(),
        systems: vec!["7300000000000000001".to_owned()],
        backups: 2,
        newest: Some(1_763_690_000),
    }];
    let problem = refused(INVENTORY, &facts);
    assert_eq!(problem.code, "earlier-backups");
    assert!(
        problem.message.ends_with(
            "/data/backups/pg-test-17 on 10.10.10.12: 2 backups of system 7300000000000000001, \
             the last of 2025-11-21 01:53 UTC"
        ),
        "{}",
        problem.message
    );
    // With the data back, the backups are its own.
    of(&mut facts, 12).instances[0].data = Some(data(17));
    compiled(INVENTORY, &facts);
}

#[test]
fn what_was_made_is_not_made_a_second_time() {
    let mut facts = stopped(alive(17));
    for last in [11, 12] {
        let facts = of(&mut facts, last);
        facts.instances[0].data = None;
        facts.data.clear();
    }
    let problem = refused(INVENTORY, &facts);
    assert_eq!(problem.code, "lost-data");
    assert!(
        problem
            .message
            .contains("pg-test-1 in /pg/data on 10.10.10.11, pg-test-2 in /pg/data on 10.10.10.12"),
        "{problem:?}"
    );
    assert!(problem.help.join(" ").contains("and /etc/patroni/conf.d/made"), "{problem:?}");
    // One member is lost and the other has the data: it is cloned again.
    let mut one = stopped(alive(17));
    of(&mut one, 11).instances[0].data = None;
    compiled(INVENTORY, &one);
    for last in [11, 12] {
        of(&mut facts, last).instances[0].made = false;
    }
    compiled(INVENTORY, &facts);
}

#[test]
fn nothing_is_made_while_a_member_cannot_be_asked() {
    let mut facts = stopped(alive(17));
    for last in [11, 12] {
        let facts = of(&mut facts, last);
        facts.instances.clear();
        facts.data.clear();
    }
    compiled(INVENTORY, &facts);
    facts.remove(&node(12));
    let problem = refused(INVENTORY, &facts);
    assert_eq!(problem.code, "member-unasked");
    assert!(problem.message.contains("10.10.10.12 cannot be asked"), "{problem:?}");
    // What exists is there without it.
    let mut facts = stopped(alive(17));
    facts.remove(&node(12));
    compiled(INVENTORY, &facts);
}

#[test]
fn a_restored_backup_is_recovered_before_patroni_starts_it() {
    let mut facts = alive(17);
    of(&mut facts, 12).instances[0].data = Some(DataFacts { restored: true, ..data(17) });
    // One that is being restored beside a living primary is Patroni's own work.
    compiled(INVENTORY, &facts);
    let problem = refused(INVENTORY, &stopped(facts));
    assert_eq!(problem.code, "unfinished-recovery");
    assert!(problem.message.contains("10.10.10.12"), "{}", problem.message);
    let help = problem.help.join(" ");
    assert!(help.contains("postgres --single -D /data/postgres/pg-test-17/data"), "{help}");
}

#[test]
fn a_watchdog_is_required_only_where_it_can_be_used() {
    let text = INVENTORY
        .replace("pg_cluster: pg-test }", "pg_cluster: pg-test, patroni_watchdog_mode: required }");
    let mut facts = alive(17);
    let problem = refused(&text, &facts);
    assert_eq!(problem.code, "no-watchdog");
    assert!(line(&problem, &text).contains("patroni_watchdog_mode"));
    let devices = [("root", 0o600, false), ("postgres", 0o600, true), ("root", 0o666, true)];
    for (owner, mode, usable) in devices {
        for last in [11, 12] {
            of(&mut facts, last).watchdog = Some(Permissions::new(owner, "root", mode));
        }
        assert_eq!(
            without(&text, &facts, &Removing::default()).is_ok(),
            usable,
            "{owner} {mode:o}"
        );
    }
    of(&mut facts, 12).watchdog = None;
    assert!(refused(&text, &facts).message.contains("10.10.10.12 has no /dev/watchdog"));
    compiled(&text.replace("required", "automatic"), &facts);
}
