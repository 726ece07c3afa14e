//! `pg_instances`: two clusters on the same two nodes, compiled.

mod support;

use keddah_compile::{Compiled, Removing};
use keddah_core::NodeName;
use keddah_resource::{Kind, NodeFacts, PatroniFacts, Spec};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, file, without};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1, infra_seq: 1 } } }
    pg-pair:
      hosts:
        10.10.10.10:
          pg_instances:
            5432: { pg_cluster: pg-a, pg_seq: 1, pg_role: primary }
            5442:
              pg_cluster: pg-b
              pg_seq: 1
              pg_role: primary
              pg_users: [{ name: shop, password: unlike-any, pgbouncer: true }]
              pg_databases: [{ name: shop, owner: shop }]
              pg_vip_enabled: true
              pg_vip_address: 10.10.10.3/24
        10.10.10.11:
          pg_instances:
            5442: { pg_cluster: pg-b, pg_seq: 2, pg_role: replica }
            5432: { pg_cluster: pg-a, pg_seq: 2, pg_role: replica }
      vars:
        pg_conf: tiny.yml
        node_id_from_pg: true
        nodename_overwrite: true
        pg_crontab: ['00 01 * * * /pg/bin/pg-backup full']
        pg_dbsu_sudo: limit
";

/// Two nodes, with what Patroni says on them: address, cluster and role.
fn nodes(says: &[(u8, &str, &str)]) -> BTreeMap<NodeName, NodeFacts> {
    let interface = |last| keddah_resource::Interface {
        name: "eth0".to_owned(),
        addresses: vec![format!("10.10.10.{last}/24")],
    };
    let node = |last: u8| {
        let here = says.iter().filter(|(node, _, _)| *node == last);
        let patroni = here.map(|(_, scope, role)| PatroniFacts {
            name: String::new(),
            tls: false,
            role: (*role).to_owned(),
            state: "running".to_owned(),
            scope: (*scope).to_owned(),
            system_identifier: String::new(),
            paused: false,
        });
        let patroni = patroni.collect();
        let facts = NodeFacts { patroni, interfaces: vec![interface(last)], ..facts() };
        (NodeName::new(format!("10.10.10.{last}")), facts)
    };
    [10, 11].map(node).into()
}

fn names(compiled: &Compiled, node: &str, kind: Kind) -> Vec<String> {
    let found = compiled.fleet.iter().filter(|one| one.id.kind == kind);
    let found = found.filter(|one| one.id.node.as_str() == node);
    let mut names: Vec<String> = found.map(|one| one.id.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn each_instance_has_places_units_and_ports_of_its_own() {
    let compiled = compiled(INVENTORY, &nodes(&[]));
    let units = names(&compiled, "10.10.10.11", Kind::Unit);
    insta::assert_snapshot!("units", units.join("\n"));
    let places: Vec<String> = [Kind::Symlink, Kind::Directory, Kind::File, Kind::Certificate]
        .into_iter()
        .flat_map(|kind| names(&compiled, "10.10.10.11", kind))
        .filter(|path| {
            ["pg-", "patroni", "pgbouncer", "pgbackrest"].iter().any(|part| path.contains(part))
        })
        .collect();
    insta::assert_snapshot!("places", places.join("\n"));
    for path in [
        "/etc/patroni/pg-b/10-patroni.yml",
        "/etc/patroni/pg-b/20-listen.yml",
        "/etc/pgbouncer/pg-b/pgbouncer.ini",
        "/etc/pgbouncer/pg-b/listen.ini",
        "/etc/pgbouncer/pg-b/database.txt",
        "/etc/pgbackrest/conf.d/pg-b.conf",
        "/etc/cron.d/keddah-pgsql-pg-b",
        "/etc/systemd/system/patroni-pg-b.service",
        "/etc/systemd/system/pgbouncer-pg-b.service",
        "/etc/haproxy/haproxy.cfg",
        "/etc/sudoers.d/keddah-postgres",
    ] {
        let text = file(&compiled, "10.10.10.11", path).unwrap_or_else(|| panic!("no {path}"));
        let name = path.trim_start_matches('/').replace('/', "-");
        insta::assert_snapshot!(name, text);
    }
    let keepalived = file(&compiled, "10.10.10.11", "/etc/keepalived/keddah.conf");
    let keepalived = keepalived.expect("pg-b has an address");
    assert!(keepalived.contains("http://10.10.10.11:8018/leader"), "{keepalived}");
    let hosts = file(&compiled, "10.10.10.10", "/etc/hosts.d/keddah").expect("it tells names");
    for name in ["10.10.10.11 pg-a-2", "10.10.10.11 pg-b-2", "10.10.10.3 pg-b"] {
        assert!(hosts.contains(name), "{name} in {hosts}");
    }
}

#[test]
fn every_resource_settles() {
    for resource in compiled(INVENTORY, &nodes(&[])).fleet.iter() {
        let settled = resource.spec.settled();
        assert_eq!(resource.spec.diff(&settled), None, "{}", resource.id);
    }
}

#[test]
fn the_node_is_named_after_the_instance_with_the_lowest_port() {
    let compiled = compiled(INVENTORY, &nodes(&[]));
    let called = compiled.fleet.iter().any(|one| {
        matches!(&one.spec, Spec::Hostname(spec) if spec.hostname == "pg-a-2")
            && one.id.node.as_str() == "10.10.10.11"
    });
    assert!(called);
}

#[test]
fn each_cluster_is_led_by_who_leads_it() {
    let says = [
        (10, "pg-a", "primary"),
        (10, "pg-b", "replica"),
        (11, "pg-a", "replica"),
        (11, "pg-b", "primary"),
    ];
    let compiled = compiled(INVENTORY, &nodes(&says));
    for (node, cluster) in [("10.10.10.10", "pg-a"), ("10.10.10.11", "pg-b")] {
        assert_eq!(names(&compiled, node, Kind::PatroniConfig), [cluster]);
    }
    let databases = names(&compiled, "10.10.10.11", Kind::PgDatabase);
    assert_eq!(databases, ["5442/shop"], "said at the other member only");
    assert!(file(&compiled, "10.10.10.10", "/etc/patroni/pg-a/05-bootstrap.yml").is_none());
}

fn parameter(compiled: &Compiled, name: &str) -> String {
    let settings = compiled.fleet.iter().find_map(|one| match &one.spec {
        Spec::PatroniConfig(spec) if spec.cluster == "pg-a" => Some(spec),
        _ => None,
    });
    settings.expect("pg-a has settings").parameters[name].clone()
}

#[test]
fn instances_share_the_memory_of_their_node() {
    let both = compiled(INVENTORY, &nodes(&[]));
    let (from, to) =
        (INVENTORY.find("            5442:\n"), INVENTORY.find("        10.10.10.11:"));
    let (from, to) = (from.expect("an instance"), to.expect("a host"));
    let alone = format!("{}{}", &INVENTORY[..from], &INVENTORY[to..]);
    let b = "            5442: { pg_cluster: pg-b, pg_seq: 2, pg_role: replica }\n";
    let alone = compiled(&alone.replace(b, ""), &nodes(&[]));
    assert_eq!(parameter(&alone, "shared_buffers"), "6144MB", "a quarter of 24 GB");
    assert_eq!(parameter(&both, "shared_buffers"), "3072MB");
    assert_eq!(
        parameter(&alone, "ssl_cert_file"),
        "/pg-pg-a/cert/server.crt",
        "a place of its own"
    );
}

#[test]
fn one_of_them_goes_and_the_other_stays() {
    let says = [(10, "pg-a", "primary"), (10, "pg-b", "primary"), (11, "pg-b", "replica")];
    let hosts: BTreeSet<NodeName> = ["10.10.10.10", "10.10.10.11"].map(NodeName::new).into();
    let pgsql = BTreeMap::from([("pg-b".to_owned(), hosts)]);
    let removing = Removing { pgsql, without_backup: true, ..Removing::default() };
    let compiled = without(INVENTORY, &nodes(&says), &removing).expect("it compiles");
    assert_eq!(compiled.fleet.unknown_dependencies(), []);
    let runs = |unit: &str| {
        let unit = compiled.fleet.iter().find(|one| one.id.name == unit).expect("a unit");
        matches!(&unit.spec, Spec::Unit(unit) if unit.running)
    };
    assert!(runs("patroni-pg-a.service") && runs("pgbouncer-pg-a.service"));
    assert!(!runs("patroni-pg-b.service") && !runs("pgbouncer-pg-b.service"));
    let services = file(&compiled, "10.10.10.10", "/etc/haproxy/haproxy.cfg").expect("it is there");
    assert!(services.contains("listen pg-a-primary") && !services.contains("pg-b"), "{services}");
    for path in ["/etc/patroni/pg-b/10-patroni.yml", "/etc/systemd/system/patroni-pg-b.service"] {
        assert_eq!(file(&compiled, "10.10.10.10", path), None, "{path}");
    }
    assert!(
        names(&compiled, "10.10.10.10", Kind::Directory)
            .contains(&"/data/postgres/pg-b-17".to_owned())
    );
}

#[test]
fn only_what_goes_as_a_whole_is_forgotten_in_etcd() {
    let says = [(10, "pg-b", "primary"), (11, "pg-b", "replica")];
    let without_nodes = |last: &[u8]| {
        let hosts = last.iter().map(|last| NodeName::new(format!("10.10.10.{last}"))).collect();
        let pgsql = BTreeMap::from([("pg-b".to_owned(), hosts)]);
        let removing = Removing { pgsql, without_backup: true, ..Removing::default() };
        without(INVENTORY, &nodes(&says), &removing).expect("it compiles")
    };
    let keys = |compiled: &Compiled| -> Vec<String> {
        let found = compiled.fleet.iter().filter(|one| one.id.kind == Kind::EtcdKeys);
        found.map(|one| one.id.name.clone()).collect()
    };
    assert!(keys(&without_nodes(&[11])).is_empty(), "a member is left");

    let whole = without_nodes(&[10, 11]);
    assert_eq!(keys(&whole), ["/pg/pg-b/"]);
    let order = whole.fleet.ordered().expect("an order");
    let at = |kind: Kind, node: &str, name: &str| {
        let found = order
            .iter()
            .position(|id| id.kind == kind && id.node.as_str() == node && id.name == name);
        found.unwrap_or_else(|| panic!("no {kind} {name} on {node}"))
    };
    let forgotten = at(Kind::EtcdKeys, "10.10.10.10", "/pg/pg-b/");
    for node in ["10.10.10.10", "10.10.10.11"] {
        assert!(at(Kind::Unit, node, "patroni-pg-b.service") < forgotten, "Patroni writes on");
    }
    let user = at(Kind::EtcdAccess, "10.10.10.10", "pg-b");
    assert!(forgotten < user, "nobody may delete its keys any more");
    let data = at(Kind::Directory, "10.10.10.10", "/data/postgres/pg-b-17");
    assert!(user < data, "the certificate that etcd lets in is gone");
}

#[test]
fn no_second_copy_is_made_beside_the_first() {
    let mut facts = nodes(&[]);
    let node = facts.get_mut(&NodeName::new("10.10.10.11")).expect("it is there");
    node.patroni_directories = vec!["conf.d".to_owned()];
    let problems = without(INVENTORY, &facts, &Removing::default()).expect_err("refused");
    assert_eq!(problems[0].code, "other-places");
    assert!(problems[0].message.starts_with("10.10.10.11 was set up with one"), "{problems:?}");

    let node = facts.get_mut(&NodeName::new("10.10.10.11")).expect("it is there");
    node.patroni_directories = vec!["pg-a".to_owned()];
    without(INVENTORY, &facts, &Removing::default()).expect("its own places");
    let plain = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-a: { hosts: { 10.10.10.11: { pg_seq: 1, pg_role: primary } }, vars: { pg_cluster: pg-a } }
";
    let problems = without(plain, &facts, &Removing::default()).expect_err("refused");
    assert_eq!(problems[0].code, "other-places");
}
