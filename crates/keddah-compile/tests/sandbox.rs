//! The sandbox's inventory, compiled for four nodes of Debian 13.

mod support;

use keddah_compile::{Compiled, needed};
use keddah_core::{NodeName, SourceMap};
use keddah_resource::{EtcdFacts, EtcdMemberFacts, Kind, NodeFacts, PatroniFacts, Spec};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file};

const INVENTORY: &str = include_str!("../../../conf/sandbox.yml");

fn four_nodes() -> BTreeMap<NodeName, NodeFacts> {
    (10..14).map(|last| (NodeName::new(format!("10.10.10.{last}")), facts())).collect()
}

/// What `-l` relies on: nodes that are not needed may be out of reach.
#[test]
fn a_node_is_compiled_the_same_when_only_the_nodes_it_needs_answer() {
    let mut facts = four_nodes();
    for (last, role) in [(10, "primary"), (11, "replica"), (12, "primary"), (13, "replica")] {
        let node = facts.get_mut(&NodeName::new(format!("10.10.10.{last}"))).expect("it is there");
        node.memory_bytes = last << 30;
        node.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: if last == 10 { "pg-meta" } else { "pg-test" }.to_owned(),
            system_identifier: String::new(),
            paused: false,
        }];
    }
    let mut sources = SourceMap::default();
    let (inventory, _) = keddah_inventory::load(&mut sources, "sandbox.yml", INVENTORY.as_bytes());
    let inventory = inventory.expect("it loads");
    let whole = compiled(INVENTORY, &facts);
    for node in facts.keys() {
        let needed = needed(&inventory, &BTreeSet::from([node.clone()]));
        assert_eq!(needed.len(), if node.as_str() == "10.10.10.10" { 1 } else { 3 }, "{node}");
        let mut fewer = facts.clone();
        fewer.retain(|node, _| needed.contains(node));
        let part = compiled(INVENTORY, &fewer);
        let of_node = |compiled: &Compiled| -> BTreeMap<_, Spec> {
            let resources = compiled.fleet.iter().filter(|one| one.id.node == *node);
            resources.map(|one| (one.id.clone(), one.spec.clone())).collect()
        };
        assert_eq!(of_node(&part), of_node(&whole), "{node}");
    }
}

#[test]
fn every_resource_settles() {
    for resource in compiled(INVENTORY, &four_nodes()).fleet.iter() {
        let settled = resource.spec.settled();
        assert_eq!(resource.spec.diff(&settled), None, "{}", resource.id);
    }
}

#[test]
fn what_a_replica_of_pg_test_reads() {
    let compiled = compiled(INVENTORY, &four_nodes());
    for path in [
        "/etc/patroni/conf.d/10-patroni.yml",
        "/etc/patroni/conf.d/20-listen.yml",
        "/pg/conf/pg_hba.conf",
        "/etc/pgbouncer/pgbouncer.ini",
        "/etc/pgbouncer/database.txt",
        "/etc/pgbouncer/pgb_hba.conf",
        "/etc/haproxy/haproxy.cfg",
        "/etc/pgbackrest/pgbackrest.conf",
        "/pg/bin/pg-backup",
    ] {
        let name = path.trim_start_matches('/').replace('/', "-");
        insta::assert_snapshot!(name, file(&compiled, "10.10.10.13", path).expect(path));
    }
}

/// Who may write through Patroni's REST API: members, administration nodes, the node itself.
#[test]
fn the_rest_api_takes_writes_from_members_and_administration_nodes() {
    let path = "/etc/patroni/conf.d/10-patroni.yml";
    let allowed = |text: &str, facts: &BTreeMap<_, _>| -> Vec<String> {
        let written = file(&compiled(text, facts), "10.10.10.13", path).expect(path);
        let lines = written.lines().skip_while(|line| line.trim() != "allowlist:").skip(1);
        let entries = lines.map_while(|line| line.trim().strip_prefix("- "));
        entries.map(|entry| entry.trim_matches('"').to_owned()).collect()
    };
    let all = ["10.10.10.10", "10.10.10.11", "10.10.10.12", "10.10.10.13", "127.0.0.1"];
    assert_eq!(allowed(INVENTORY, &four_nodes()), all);
    let mut fewer = four_nodes();
    fewer.get_mut(&NodeName::new("10.10.10.11")).expect("it is there").patroni =
        vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: "primary".to_owned(),
            state: "running".to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        }];
    fewer.remove(&NodeName::new("10.10.10.12"));
    assert_eq!(allowed(INVENTORY, &fewer), all, "whoever is away now is still a member");
    let managed = INVENTORY.replace("admin_ip: 10.10.10.10", "admin_ip: 10.10.10.77");
    assert!(allowed(&managed, &four_nodes()).contains(&"10.10.10.77".to_owned()));
}

#[test]
fn the_first_primary_alone_is_told_how_to_make_the_cluster() {
    let path = "/etc/patroni/conf.d/05-bootstrap.yml";
    let bare = compiled(INVENTORY, &four_nodes());
    insta::assert_snapshot!("bootstrap", file(&bare, "10.10.10.11", path).expect("it is told"));
    assert_eq!(file(&bare, "10.10.10.12", path), None);
    let mut nodes = four_nodes();
    let node = nodes.get_mut(&NodeName::new("10.10.10.12")).expect("it is there");
    node.patroni = vec![PatroniFacts {
        name: String::new(),
        tls: false,
        role: "primary".to_owned(),
        state: "running".to_owned(),
        scope: "pg-test".to_owned(),
        system_identifier: String::new(),
        paused: false,
    }];
    let failed_over = compiled(INVENTORY, &nodes);
    assert_eq!(file(&failed_over, "10.10.10.11", path), None, "the cluster exists");
    let roles: BTreeSet<String> = failed_over
        .fleet
        .iter()
        .filter(|one| one.id.kind == Kind::PgRole && one.cluster.as_deref() == Some("pg-test"))
        .map(|one| one.id.node.to_string())
        .collect();
    assert_eq!(roles, BTreeSet::from(["10.10.10.12".to_owned()]), "roles are made by the leader");
}

#[test]
fn secrets_stand_in_secret_files_only() {
    let poisoned = INVENTORY
        .replace("password: test", "password: P0ison")
        .replace("admin_ip: 10.10.10.10", "admin_ip: 10.10.10.10\n    pg_replication_password: P0ison\n    pg_dbsu_password: P0ison\n    patroni_password: P0ison\n    haproxy_admin_password: P0ison");
    let compiled = compiled(&poisoned, &four_nodes());
    let mut secret_files = 0;
    for resource in compiled.fleet.iter() {
        let difference = match &resource.spec {
            Spec::File(file) if file.is_secret() => {
                secret_files += 1;
                let mode = file.present.as_ref().map(|present| present.permissions.mode);
                assert_eq!(mode.map(|mode| mode & 0o007), Some(0), "{}", resource.id);
                continue;
            }
            spec => format!("{spec:?}"),
        };
        assert!(!difference.contains("P0ison"), "{}", resource.id);
    }
    assert!(secret_files > 8, "{secret_files}");
}

#[test]
fn a_member_joins_an_etcd_cluster_that_serves() {
    let text = INVENTORY.replace(
        "hosts: { 10.10.10.10: { etcd_seq: 1 } }",
        "hosts: { 10.10.10.10: { etcd_seq: 1 }, 10.10.10.11: { etcd_seq: 2 } }",
    );
    let together = compiled(&text, &four_nodes());
    let bootstrap = "/etc/etcd/bootstrap.env";
    let first = file(&together, "10.10.10.10", bootstrap).expect("both start together");
    assert!(
        first.contains("etcd-1=https://10.10.10.10:2380,etcd-2=https://10.10.10.11:2380"),
        "{first}"
    );
    assert!(first.contains("STATE=new"), "{first}");

    let mut nodes = four_nodes();
    let node = nodes.get_mut(&NodeName::new("10.10.10.10")).expect("it is there");
    node.etcd_has_data = true;
    node.etcd = Some(EtcdFacts {
        member: String::new(),
        cluster: "7".to_owned(),
        members: vec![EtcdMemberFacts {
            id: "1".to_owned(),
            name: "etcd-1".to_owned(),
            peer_urls: vec!["https://10.10.10.10:2380".to_owned()],
            learner: false,
        }],
    });
    let joining = compiled(&text, &nodes);
    assert_eq!(file(&joining, "10.10.10.10", bootstrap), None, "it is a member already");
    let second = file(&joining, "10.10.10.11", bootstrap).expect("it joins");
    assert!(second.contains("STATE=existing"), "{second}");
    let announced = joining.fleet.iter().find(|one| one.id.kind == Kind::EtcdMember);
    assert_eq!(announced.map(|one| one.id.node.as_str()), Some("10.10.10.10"));
}

/// A reload cannot give a process another command line, so what runs is compared with what is declared;
/// and where Patronis have to restart for it, the cluster goes on: replicas first, the leader last.
#[test]
fn what_a_daemon_runs_with_is_declared_and_patronis_restart_one_by_one() {
    let mut facts = four_nodes();
    for (last, role) in [(11, "replica"), (12, "primary"), (13, "replica")] {
        let node = facts.get_mut(&NodeName::new(format!("10.10.10.{last}"))).expect("it is there");
        node.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: if role == "primary" { "running" } else { "streaming" }.to_owned(),
            scope: "pg-test".to_owned(),
            system_identifier: "7".to_owned(),
            paused: false,
        }];
    }
    let compiled = compiled(INVENTORY, &facts);
    let unit = |node: &str, unit: &str| {
        let found = compiled.fleet.iter().find(|one| {
            one.id.node.as_str() == node && one.id.kind == Kind::Unit && one.id.name == unit
        });
        found.unwrap_or_else(|| panic!("no {unit} on {node}"))
    };
    let started = |node: &str, name: &str| match &unit(node, name).spec {
        Spec::Unit(unit) => unit.started.clone().unwrap_or_else(|| panic!("{name}")),
        other => panic!("{}", other.kind()),
    };
    let replica = "10.10.10.13";
    assert_eq!(started(replica, "patroni.service").with, ["/etc/patroni/conf.d"]);
    assert_eq!(started(replica, "pgbouncer.service").with, ["/etc/pgbouncer/pgbouncer.ini"]);
    assert_eq!(
        started(replica, "haproxy.service").with,
        ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg"]
    );
    assert_eq!(started("10.10.10.10", "etcd.service").without, ["--config-file"]);
    let after = |node: &str| -> Vec<String> {
        let before = &unit(node, "patroni.service").restart_after;
        before.iter().map(|id| id.node.to_string()).collect()
    };
    assert_eq!(after("10.10.10.11"), [""; 0]);
    assert_eq!(after("10.10.10.13"), ["10.10.10.11"]);
    assert_eq!(after("10.10.10.12"), ["10.10.10.11", "10.10.10.13"], "the leader is last");
    // Nothing that a replica waits for may wait for the leader, or none of them could restart.
    let waits_for_the_leader = |node: &str| {
        let before = &unit(node, "patroni.service").after;
        before.iter().any(|id| id.kind == Kind::PgInstance && id.node.as_str() == "10.10.10.12")
    };
    assert!(!waits_for_the_leader("10.10.10.13"));
}

/// Each of a cluster's proxies and pools restarts after the one before it, and no order of restarts
/// contradicts the order of everything else.
#[test]
fn services_of_several_nodes_restart_one_by_one() {
    let compiled = compiled(INVENTORY, &four_nodes());
    for unit in ["haproxy.service", "pgbouncer.service"] {
        let chain: Vec<(&str, Vec<&str>)> = compiled
            .fleet
            .iter()
            .filter(|one| one.id.kind == Kind::Unit && one.id.name == unit)
            .map(|one| {
                let before = one.restart_after.iter().map(|id| id.node.as_str());
                (one.id.node.as_str(), before.collect())
            })
            .collect();
        assert_eq!(
            chain,
            [
                ("10.10.10.10", vec![]),
                ("10.10.10.11", vec![]),
                ("10.10.10.12", vec!["10.10.10.11"]),
                ("10.10.10.13", vec!["10.10.10.12"]),
            ],
            "{unit}"
        );
    }
    let mut fleet = compiled.fleet;
    for resource in fleet.iter_mut() {
        let before = resource.restart_after.clone();
        resource.after.extend(before);
    }
    fleet.ordered().expect("no restart waits for itself");
}

/// What a program finds wrong is of use only where it is said.
#[test]
fn programs_that_test_configuration_say_what_they_find() {
    let compiled = compiled(INVENTORY, &four_nodes());
    let mut tested = BTreeSet::new();
    for resource in compiled.fleet.iter() {
        let Spec::File(file) = &resource.spec else { continue };
        let Some(check) = file.present.as_ref().and_then(|present| present.check.as_ref()) else {
            continue;
        };
        assert!(!check.iter().any(|word| word == "-q"), "{check:?}");
        tested.insert(check[0].clone());
    }
    assert_eq!(tested.into_iter().collect::<Vec<_>>(), ["chronyd", "dnsmasq", "haproxy", "visudo"]);
}

/// The same password, set by somebody else, has another salt: it is kept, in PostgreSQL and in the pools'
/// lists, for one that is exchanged locks everybody out until the last list is written.
#[test]
fn a_stored_verifier_that_fits_the_declared_password_is_kept_everywhere() {
    use keddah_core::Secret;
    use keddah_resource::{RoleVerifier, VerifierFacts, scram};
    let verifier = |password: &str| scram::verifier(&Secret::new(password), &[9; 16]);
    let with = |inventory: &str, verifier: Secret| {
        let mut facts = four_nodes();
        let node = facts.get_mut(&NodeName::new("10.10.10.12")).expect("it is there");
        let roles = vec![RoleVerifier { role: "test".to_owned(), verifier }];
        node.verifiers = vec![VerifierFacts { cluster: "pg-test".to_owned(), roles }];
        compiled(inventory, &facts)
    };
    let stored_of = |compiled: &Compiled| {
        let role = compiled.fleet.iter().find_map(|one| match &one.spec {
            Spec::PgRole(role)
                if role.role == "test" && one.cluster.as_deref() == Some("pg-test") =>
            {
                role.present.as_ref()?.verifier.clone()
            }
            _ => None,
        });
        role.expect("there is a role")
    };
    let listed = |compiled: &Compiled, node: &str, verifier: &Secret| {
        let list = file(compiled, node, "/etc/pgbouncer/userlist.txt").expect("there is a list");
        list.contains(&format!("\"test\" \"{}\"", verifier.reveal()))
    };
    let fits = verifier("test");
    let compiled = with(INVENTORY, fits.clone());
    assert_eq!(stored_of(&compiled), fits);
    for node in ["10.10.10.11", "10.10.10.12", "10.10.10.13"] {
        assert!(listed(&compiled, node, &fits), "{node}");
    }
    // Another password's is not kept, and neither is an MD5 hash where SCRAM is asked for.
    // It is `md5` and the MD5 of "testtest".
    let md5 = Secret::new("md505a671c66aefea124cc08b76ea6d30bb");
    let weak = INVENTORY.replace("    admin_ip:", "    pg_pwd_enc: md5\n    admin_ip:");
    assert_eq!(stored_of(&with(&weak, md5.clone())), md5);
    for other in [verifier("Another.Password"), md5] {
        let compiled = with(INVENTORY, other.clone());
        let stored = stored_of(&compiled);
        assert_ne!(stored, other);
        assert!(scram::matches(stored.reveal(), "test"));
        assert!(listed(&compiled, "10.10.10.12", &stored));
    }
}

#[test]
fn the_pools_lists_come_after_the_roles_that_they_are_about() {
    let compiled = compiled(INVENTORY, &four_nodes());
    let lists = compiled.fleet.iter().filter(|one| one.id.name == "/etc/pgbouncer/userlist.txt");
    let mut seen = 0;
    for list in lists.filter(|one| one.cluster.as_deref() == Some("pg-test")) {
        for role in ["test", "dbuser_meta", "dbuser_view", "dbuser_monitor"] {
            let waits = list.after.iter().any(|id| {
                id.kind == Kind::PgRole
                    && id.name == format!("5432/{role}")
                    && id.node.as_str() == "10.10.10.11"
            });
            assert!(waits, "{} does not wait for {role}", list.id);
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// A program that reads the whole directory leaves out the old file, or every change is refused by it.
#[test]
fn new_content_is_not_judged_beside_the_old() {
    let compiled = compiled(INVENTORY, &four_nodes());
    let mut judged = BTreeSet::new();
    for resource in compiled.fleet.iter() {
        let Spec::File(spec) = &resource.spec else { continue };
        let Some(words) = spec.present.as_ref().and_then(|one| one.check.as_ref()) else {
            continue;
        };
        judged.insert(spec.path.clone());
        let (directory, name) = spec.path.rsplit_once('/').expect("an absolute path");
        assert!(!words.contains(&spec.path), "{}: {words:?}", resource.id);
        for word in words {
            let Some((_, given)) = word.split_once("--conf-dir=") else { continue };
            let mut given = given.split(',');
            let whole = given.next() == Some(directory);
            // dnsmasq leaves out names that are longer than the ending.
            let left_out = given.any(|end| name.len() > end.len() && name.ends_with(end));
            assert!(!whole || left_out, "{}: {word} reads the old file, too", resource.id);
        }
    }
    assert!(judged.contains("/etc/dnsmasq.d/keddah.conf") && judged.len() > 3, "{judged:?}");
}
