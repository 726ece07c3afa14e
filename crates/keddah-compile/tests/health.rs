//! What nodes are asked about their health follows from the inventory alone.

use keddah_compile::{HealthQuestions, health};
use keddah_core::{NodeName, SourceMap};
use keddah_resource::health::{HealthProbe, LoginDoor};

fn questions(text: &str) -> HealthQuestions {
    let mut sources = SourceMap::default();
    let (inventory, problems) = keddah_inventory::load(&mut sources, "test.yml", text.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    health(&inventory.expect("it loads"), 1200).expect("one cluster of etcd")
}

fn sandbox() -> HealthQuestions {
    questions(include_str!("../../../conf/sandbox.yml"))
}

fn probe<'a>(questions: &'a HealthQuestions, node: &str) -> &'a HealthProbe {
    &questions.probes[&NodeName::new(node)]
}

fn doors(probe: &HealthProbe) -> Vec<(&str, LoginDoor, u16, &str)> {
    probe
        .logins
        .iter()
        .map(|one| (one.name.as_str(), one.door, one.port, one.database.as_str()))
        .collect()
}

#[test]
fn each_node_is_asked_for_what_it_has() {
    let questions = sandbox();
    let meta = probe(&questions, "10.10.10.10");
    let servers: Vec<&str> = meta.servers.iter().map(|one| one.instance.as_str()).collect();
    assert_eq!(servers, ["pg-meta-1"]);
    assert_eq!(
        meta.etcd.as_ref().map(|etcd| etcd.endpoint.as_str()),
        Some("https://127.0.0.1:2379")
    );
    for unit in [
        "etcd.service",
        "patroni.service",
        "pgbouncer.service",
        "haproxy.service",
        "dnsmasq.service",
    ] {
        assert!(meta.units.iter().any(|one| one == unit), "{unit}: {:?}", meta.units);
    }
    let test = probe(&questions, "10.10.10.12");
    assert!(test.etcd.is_none() && !test.units.contains(&"etcd.service".to_owned()));
    assert!(!test.units.contains(&"keddah-vip.service".to_owned()), "it shares no address");
    for path in ["/pg/cert/server.crt", "/pg/cert/etcd.crt"] {
        assert!(test.certificates.contains(&path.to_owned()), "{:?}", test.certificates);
    }
    assert_eq!(test.patience, 1200);
    assert_eq!(
        doors(test),
        [
            ("pg-test-2", LoginDoor::Server, 5432, "postgres"),
            ("pg-test-2", LoginDoor::Pool, 6432, "pgbouncer"),
            ("pg-test-primary", LoginDoor::PooledService, 5433, "pgbouncer"),
            ("pg-test-replica", LoginDoor::PooledService, 5434, "pgbouncer"),
            ("pg-test-default", LoginDoor::DirectService, 5436, "postgres"),
            ("pg-test-offline", LoginDoor::DirectService, 5438, "postgres"),
        ]
    );
}

#[test]
fn passwords_are_in_the_question_and_in_no_debug_output() {
    let questions = sandbox();
    let test = probe(&questions, "10.10.10.12");
    assert_eq!(test.logins[0].password.reveal(), "DBUser.Monitor");
    assert!(!format!("{test:?}").contains("DBUser.Monitor"));
}

#[test]
fn a_fleet_is_measured_by_what_the_inventory_asks_for() {
    let expected = sandbox().expected;
    let names: Vec<&str> = expected.clusters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["pg-meta", "pg-test"]);
    let test = &expected.clusters[1];
    assert_eq!((test.members.len(), test.synchronous, test.lease), (3, 0, 30));
    assert!(test.backups && test.backups_on_nodes && !test.follows);
    assert_eq!(expected.etcd.len(), 1);
    assert!(expected.shared_addresses.is_empty() && expected.accepted.is_empty());
}

#[test]
fn choices_of_a_cluster_are_expected_of_it() {
    let text = "all:
  children:
    etcd: { hosts: { 10.0.0.1: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd } }
    pg-a:
      hosts:
        10.0.0.1: { pg_seq: 1, pg_role: primary }
        10.0.0.2: { pg_seq: 2, pg_role: replica, pg_delay: 1h, keddah_accept: [lagging] }
      vars:
        pg_cluster: pg-a
        pg_conf: crit.yml
        pg_rto: wide
        pg_vip_enabled: true
        pg_vip_address: 10.0.0.9/24
        pg_listen: '${ip}'
        pgbouncer_enabled: false
        pg_default_roles: [{ name: dbuser_dba, superuser: true }]
";
    let questions = questions(text);
    let cluster = &questions.expected.clusters[0];
    assert_eq!((cluster.synchronous, cluster.lease), (1, 120));
    assert_eq!(cluster.members.iter().map(|one| one.delayed).collect::<Vec<_>>(), [false, true]);
    let shared = &questions.expected.shared_addresses[0];
    assert_eq!((shared.address.as_str(), shared.nodes.len()), ("10.0.0.9", 2));
    assert_eq!(shared.cluster.as_deref(), Some("pg-a"));
    let accepted = &questions.expected.accepted[0];
    assert_eq!((accepted.node.as_str(), accepted.finding.as_str()), ("10.0.0.2", "lagging"));
    let probe = probe(&questions, "10.0.0.2");
    assert!(probe.logins.is_empty(), "there is no monitoring role: {:?}", probe.logins);
    assert!(probe.units.contains(&"keddah-vip.service".to_owned()));
    assert!(!probe.units.iter().any(|unit| unit.starts_with("pgbouncer")));
}
