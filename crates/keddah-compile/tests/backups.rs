//! The place of a living cluster's backups: what another one leaves behind, what must be there before
//! WAL goes to it, and what a repository cannot bring back although its list says so.

mod support;

use keddah_compile::{Compiled, Removing};
use keddah_core::Diagnostic;
use keddah_resource::{
    BackupFacts, DataFacts, InstanceFacts, Kind, PatroniFacts, Place, RepositoryFacts, ResourceId,
    Spec, with_defaults,
};
use std::collections::{BTreeMap, BTreeSet};
use support::{Facts, compiled, facts, file, node, of, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars:
        pg_cluster: pg-test
";

const S3: &str = "        pgbackrest_method: minio\n";
const ELSEWHERE: &str = "        pgbackrest_repo: { local: { path: /mnt/backups } }\n";

fn place(options: &[(&str, &str)]) -> Place {
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    with_defaults(options.iter().map(own).collect())
}

/// pg-test lives on two nodes, with a repository on each.
fn alive() -> Facts {
    let mut nodes: Facts = [10, 11, 12].map(|last| (node(last), facts())).into();
    for (last, seq, role) in [(11, 1, "primary"), (12, 2, "replica")] {
        let facts = of(&mut nodes, last);
        let data = DataFacts {
            path: "/data/postgres/pg-test-17/data".to_owned(),
            version: Some(17),
            system_identifier: "7".to_owned(),
            timeline: Some(3),
            owner: "postgres".to_owned(),
            restored: false,
            wal: None,
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
        facts.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        }];
        facts.repositories = vec![RepositoryFacts {
            stanza: "pg-test".to_owned(),
            configured: place(&[("path", "/pg/backup")]),
            ..RepositoryFacts::default()
        }];
    }
    nodes
}

fn repository(facts: &mut Facts, last: u8) -> &mut RepositoryFacts {
    &mut of(facts, last).repositories[0]
}

/// As the nodes say it once the inventory names another place.
fn moving() -> Facts {
    let mut facts = alive();
    for (last, backups) in [(11, 2), (12, 0)] {
        let facts = repository(&mut facts, last);
        facts.moves = true;
        facts.backups = backups;
        facts.newest = (backups > 0).then_some(1_763_690_000);
    }
    facts
}

fn notes(compiled: &Compiled) -> Vec<&String> {
    compiled.notes.iter().filter(|note| note.starts_with("pg-test")).collect()
}

fn refused(text: &str, facts: &Facts) -> Diagnostic {
    let mut problems = without(text, facts, &Removing::default()).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

/// Everything that is done before a resource.
fn before(compiled: &Compiled, id: &ResourceId) -> BTreeSet<ResourceId> {
    let mut found = BTreeSet::new();
    let mut open = vec![id.clone()];
    while let Some(id) = open.pop() {
        for one in compiled.fleet.get(&id).expect("it is there").after.iter().cloned() {
            if found.insert(one.clone()) {
                open.push(one);
            }
        }
    }
    found
}

#[test]
fn the_new_place_knows_a_living_cluster_before_its_wal_goes_there() {
    for (text, makers) in [
        (INVENTORY.to_owned() + ELSEWHERE, BTreeMap::from([(11, 11), (12, 12)])),
        (INVENTORY.to_owned() + S3, BTreeMap::from([(11, 11), (12, 11)])),
    ] {
        let compiled = compiled(&text, &moving());
        for (last, maker) in makers {
            let stanza = ResourceId::new(&node(maker), Kind::Stanza, "pg-test");
            for path in ["/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest/conf.d/secrets.conf"] {
                let path = ResourceId::new(&node(last), Kind::File, path);
                assert!(before(&compiled, &path).contains(&stanza), "{path}: {text}");
            }
            let Some(Spec::Stanza(spec)) = compiled.fleet.get(&stanza).map(|one| &one.spec) else {
                panic!("there is no stanza on {maker}");
            };
            let wanted = spec.configuration.reveal();
            let plain =
                file(&compiled, &node(maker).to_string(), "/etc/pgbackrest/pgbackrest.conf");
            assert!(wanted.starts_with(&plain.expect("it is written")), "{wanted}");
            assert_eq!(wanted.contains("repo1-s3-key-secret="), text.contains("minio"), "{wanted}");
            assert!(!spec.online, "the port may change with it");
        }
        let backup = ResourceId::new(&node(11), Kind::Backup, "pg-test");
        let first = ResourceId::new(&node(11), Kind::File, "/etc/pgbackrest/pgbackrest.conf");
        assert!(before(&compiled, &backup).contains(&first), "it archives to the new place");
        assert!(due(&text, &moving()).is_some(), "what is there already does not lead on");
    }
    // A cluster that is being made has no WAL to lose, and its configuration helps to see what is wrong.
    let fresh: Facts = [10, 11, 12].map(|last| (node(last), facts())).into();
    let compiled = compiled(INVENTORY, &fresh);
    let stanza = ResourceId::new(&node(11), Kind::Stanza, "pg-test");
    let path = ResourceId::new(&node(11), Kind::File, "/etc/pgbackrest/pgbackrest.conf");
    assert!(before(&compiled, &stanza).contains(&path));
}

/// How new the newest backup must be.
fn due(text: &str, facts: &Facts) -> Option<i64> {
    let compiled = compiled(text, facts);
    let backup = ResourceId::new(&node(11), Kind::Backup, "pg-test");
    let Some(Spec::Backup(spec)) = compiled.fleet.get(&backup).map(|one| &one.spec) else {
        panic!("no backup is wanted");
    };
    spec.not_before
}

#[test]
fn a_place_that_was_left_and_comes_back_needs_another_backup() {
    let mut facts = moving();
    repository(&mut facts, 11).latest = Some(1_763_690_000);
    assert_eq!(due(&(INVENTORY.to_owned() + ELSEWHERE), &facts), Some(1_763_690_001));
    repository(&mut facts, 11).moves = false;
    assert_eq!(due(&(INVENTORY.to_owned() + ELSEWHERE), &facts), None);
}

#[test]
fn what_another_place_leaves_behind_is_told() {
    let compiled = compiled(&(INVENTORY.to_owned() + S3), &moving());
    let [note] = notes(&compiled)[..] else { panic!("{:?}", compiled.notes) };
    for words in [
        "pg-test: its backups go to /pgbackrest in S3 bucket pgsql at sss.pigsty from now on",
        "What is in /pg/backup (2 backups, the last of 2025-11-21 01:53 UTC on 10.10.10.11; no backup on \
         10.10.10.12) stays there",
        "then a full backup is taken",
    ] {
        assert!(note.contains(words), "{words}: {note}");
    }
    let without_backup = INVENTORY.to_owned() + S3 + "        pgbackrest_init_backup: false\n";
    let due = support::compiled(&without_backup, &moving());
    assert!(notes(&due)[0].contains("a full backup is due then"), "{:?}", due.notes);
    let stays = support::compiled(INVENTORY, &alive());
    assert!(notes(&stays).is_empty(), "{:?}", stays.notes);
    let off = INVENTORY.to_owned() + "        pgbackrest_enabled: false\n";
    let off = support::compiled(&off, &alive());
    assert!(notes(&off).is_empty(), "{:?}", off.notes);
}

#[test]
fn a_repository_keeps_its_cipher() {
    let ciphered = "        pgbackrest_repo: { local: { path: /pg/backup, cipher_type: aes-256-cbc, \
                    cipher_pass: x } }\n";
    let text = INVENTORY.to_owned() + ciphered;
    let problem = refused(&text, &alive());
    assert_eq!(problem.code, "repository-cipher");
    assert!(problem.message.contains("was made with cipher_type none"), "{problem:?}");
    let at = problem.primary.as_ref().expect("a place").span.start;
    assert!(text[at..].starts_with("{ local") || text[at..].starts_with("pgbackrest_repo"));
    // In another place it is another repository.
    compiled(&text, &moving());
    let mut same = alive();
    for last in [11, 12] {
        repository(&mut same, last).configured =
            place(&[("path", "/pg/backup"), ("cipher-type", "aes-256-cbc")]);
    }
    compiled(&text, &same);
}

#[test]
fn what_a_list_promises_and_nobody_can_restore_is_told() {
    let mut facts = alive();
    repository(&mut facts, 12).missing = vec!["20261120-010000F".to_owned()];
    let compiled = compiled(INVENTORY, &facts);
    let [note] = notes(&compiled)[..] else { panic!("{:?}", compiled.notes) };
    assert!(note.contains("on 10.10.10.12") && note.contains("gone"), "{note}");
    assert!(note.contains("20261120-010000F"), "{note}");
}

/// No data anywhere, and backups of an earlier system on one node.
fn lost(kept: &str, apart: bool) -> Facts {
    let mut facts: Facts = [10, 11, 12].map(|last| (node(last), support::facts())).into();
    let there = of(&mut facts, 12);
    there.backups = vec![BackupFacts {
        stanza: "pg-test".to_owned(),
        place: kept.to_owned(),
        systems: vec!["7".to_owned()],
        backups: 1,
        newest: None,
    }];
    there.repositories = vec![RepositoryFacts {
        stanza: "pg-test".to_owned(),
        apart: apart.then(|| kept.to_owned()).into_iter().collect(),
        ..RepositoryFacts::default()
    }];
    facts
}

#[test]
fn nothing_is_born_over_backups_that_are_switched_off() {
    let off = INVENTORY.to_owned() + "        pgbackrest_enabled: false\n";
    let problem = refused(&off, &lost("/data/backups/pg-test-17", true));
    assert_eq!(problem.code, "earlier-backups");
    let help = problem.help.join(" ");
    assert!(help.contains("to begin anew: move the directories away"), "{help}");
}

#[test]
fn a_new_beginning_is_chosen_by_a_place_of_its_own() {
    // The usual place leads elsewhere since the version changed: nobody has chosen anything.
    let apart = lost("/data/backups/pg-test-16", true);
    assert_eq!(refused(INVENTORY, &apart).code, "earlier-backups");
    for chosen in [ELSEWHERE, S3] {
        let text = INVENTORY.to_owned() + chosen;
        let compiled = compiled(&text, &apart);
        let [note] = notes(&compiled)[..] else { panic!("{:?}", compiled.notes) };
        assert!(note.contains("stay where they are: /data/backups/pg-test-16 on"), "{note}");
    }
    let mut gone = lost("/data/backups/pg-test-17", false);
    assert!(refused(INVENTORY, &gone).help.join(" ").contains("pgbackrest --stanza=pg-test"));
    of(&mut gone, 12).backups[0].backups = 0;
    let help = refused(INVENTORY, &gone).help.join(" ");
    assert!(help.starts_with("nothing can be restored from what is there"), "{help}");
    let text = INVENTORY.to_owned() + ELSEWHERE;
    assert_eq!(refused(&text, &lost("/mnt/backups", false)).code, "earlier-backups");
}

#[test]
fn a_disk_that_may_not_be_mounted_is_named_before_anything_is_restored() {
    let mut facts = lost("/data/backups/pg-test-17", false);
    let help = |facts: &Facts| refused(INVENTORY, facts).help.join(" ");
    assert!(!help(&facts).contains("mount"), "it was never made here");
    let mut made = alive().remove(&node(12)).expect("a node").instances;
    made[0].data = None;
    of(&mut facts, 12).instances = made;
    assert!(help(&facts).contains("if a disk is not mounted, mount it"), "{}", help(&facts));
}

#[test]
fn wal_that_is_in_no_archive_makes_a_backup_due() {
    let mut facts = alive();
    assert_eq!(due(INVENTORY, &facts), None);
    // On the replica, it is not the cluster's.
    repository(&mut facts, 12).led_past = Some("archive_command = '/bin/true'".to_owned());
    assert_eq!(due(INVENTORY, &facts), None);
    let leads = repository(&mut facts, 11);
    leads.latest = Some(1_700_000_000);
    leads.led_past = Some("archive_command = '/bin/true'".to_owned());
    assert_eq!(due(INVENTORY, &facts), Some(1_700_000_001));
    let fleet = compiled(INVENTORY, &facts);
    let told = |fleet: &Compiled, words: &str| fleet.notes.iter().any(|note| note.contains(words));
    assert!(told(&fleet, "pg-test-1 leads its WAL past the archive"), "{:?}", notes(&fleet));
    assert!(told(&fleet, "when that is reset, a full backup is taken"));
    let leader = node(11);
    let backup = fleet.fleet.of_kind(&leader, Kind::Backup).next().expect("there is one");
    let reset = ResourceId::new(&leader, Kind::Postmaster, "pg-test-1");
    assert!(before(&fleet, &backup.id).contains(&reset), "the reset comes first");
    // This one waits for a restart, and so does the backup.
    repository(&mut facts, 11).led_past = Some("archive_mode = 'off'".to_owned());
    assert_eq!(due(INVENTORY, &facts), None);
    assert!(told(
        &compiled(INVENTORY, &facts),
        "due once that is reset and the server has restarted"
    ));
    let leads = repository(&mut facts, 11);
    leads.led_past = None;
    leads.gap =
        Some(("00000001000000000000001A".to_owned(), "00000001000000000000001D".to_owned()));
    let words = "between 00000001000000000000001A and 00000001000000000000001D";
    assert!(told(&compiled(INVENTORY, &facts), words));
}
