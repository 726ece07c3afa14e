//! Who may do what in etcd: a user per cluster, and in which order a fleet comes to ask for logins.

mod support;

use keddah_compile::Compiled;
use keddah_core::NodeName;
use keddah_resource::kind::etcd_access::Part;
use keddah_resource::{Kind, NodeFacts, PatroniFacts, ResourceId, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-test:
      hosts:
        10.10.10.11: { pg_seq: 1, pg_role: primary }
        10.10.10.12: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-test, pg_conf: tiny.yml, pg_namespace: /db/ }
    pg-test2:
      hosts: { 10.10.10.13: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-test2, pg_conf: tiny.yml, pg_etcd_password: of-its-own }
";

fn nodes() -> BTreeMap<NodeName, NodeFacts> {
    (10..14).map(|last| (NodeName::new(format!("10.10.10.{last}")), facts())).collect()
}

/// The same with every Patroni at work.
fn serving() -> BTreeMap<NodeName, NodeFacts> {
    let mut nodes = nodes();
    for (last, role, scope) in
        [(11, "primary", "pg-test"), (12, "replica", "pg-test"), (13, "primary", "pg-test2")]
    {
        let node = nodes.get_mut(&NodeName::new(format!("10.10.10.{last}"))).expect("it is there");
        node.patroni = vec![PatroniFacts {
            name: String::new(),
            tls: false,
            role: role.to_owned(),
            state: "running".to_owned(),
            scope: scope.to_owned(),
            system_identifier: String::new(),
            paused: false,
        }];
    }
    nodes
}

fn id(last: u8, kind: Kind, name: &str) -> ResourceId {
    ResourceId::new(&NodeName::new(format!("10.10.10.{last}")), kind, name)
}

/// Whether these come in this order.
fn in_order(compiled: &Compiled, ids: &[ResourceId]) {
    let order = compiled.fleet.ordered().expect("an order");
    let place = |id: &ResourceId| order.iter().position(|one| one == id);
    let places: Vec<_> =
        ids.iter().map(|id| place(id).unwrap_or_else(|| panic!("no {id}"))).collect();
    assert!(places.is_sorted(), "{ids:?}: {places:?}");
}

#[test]
fn a_clusters_user_reaches_its_own_prefixes_which_end_with_a_slash() {
    let fleet = compiled(INVENTORY, &nodes()).fleet;
    let access = |last, name| {
        let resource = fleet.get(&id(last, Kind::EtcdAccess, name)).expect(name);
        let Spec::EtcdAccess(spec) = &resource.spec else { panic!("{resource:?}") };
        assert_eq!(spec.part, Part::Role);
        (spec.prefixes.clone(), spec.password.reveal().to_owned())
    };
    let (prefixes, password) = access(11, "pg-test");
    // Sorted, as they are compared with what etcd says.
    assert_eq!(prefixes, ["/db/pg-test/", "/keddah/pg-test/"]);
    assert_eq!(password, "pg-test", "its name, where it has none");
    let (prefixes, password) = access(13, "pg-test2");
    assert_eq!(prefixes, ["/keddah/pg-test2/", "/pg/pg-test2/"]);
    assert_eq!(password, "of-its-own");
    let secrets =
        file(&compiled(INVENTORY, &nodes()), "10.10.10.13", "/etc/patroni/conf.d/90-secrets.yml");
    let secrets = secrets.expect("it is there");
    assert!(secrets.contains("username: pg-test2") && secrets.contains("of-its-own"), "{secrets}");
}

#[test]
fn whoever_speaks_to_etcds_gateway_shows_no_common_name() {
    let fleet = compiled(INVENTORY, &nodes()).fleet;
    for (last, path) in [(10, "/etc/etcd/server.crt"), (11, "/pg/cert/etcd.crt")] {
        let resource = fleet.get(&id(last, Kind::Certificate, path)).expect(path);
        let Spec::Certificate(spec) = &resource.spec else { panic!("{resource:?}") };
        assert_eq!(spec.common_name, "", "{path}");
    }
}

#[test]
fn who_runs_gets_its_login_before_etcd_asks_and_who_does_not_starts_afterwards() {
    let (root, logins) = (id(10, Kind::EtcdAuth, "root"), id(10, Kind::EtcdAuth, "logins"));
    let access = id(11, Kind::EtcdAccess, "pg-test");
    for last in [11, 12] {
        let login = id(last, Kind::EtcdLogin, &format!("pg-test-{}", last - 10));
        let patroni = id(last, Kind::Unit, "patroni.service");
        let etcd = id(10, Kind::Unit, "etcd.service");
        let made = compiled(INVENTORY, &nodes());
        in_order(&made, &[etcd, root.clone(), access.clone(), logins.clone(), patroni.clone()]);
        assert!(made.fleet.get(&login).is_none(), "nobody is connected");

        let serves = compiled(INVENTORY, &serving());
        let certificate = id(last, Kind::Certificate, "/pg/cert/etcd.crt");
        let secrets = id(last, Kind::File, "/etc/patroni/conf.d/90-secrets.yml");
        in_order(&serves, &[certificate, login.clone(), logins.clone()]);
        in_order(&serves, &[secrets, login, logins.clone()]);
        in_order(&serves, &[root.clone(), access.clone(), logins.clone()]);
        // Another password: Patronis first.
        in_order(&serves, &[patroni.clone(), id(11, Kind::EtcdAccess, "pg-test password")]);
        // Where etcd is out of order, whatever else there is to do on a cluster that serves goes on.
        let before = &serves.fleet.get(&patroni).expect("it is there").after;
        let of_etcd = [Kind::EtcdAccess, Kind::EtcdAuth];
        assert!(!before.iter().any(|id| of_etcd.contains(&id.kind)), "{before:?}");
    }
    // One that runs beside a leader that does not: nobody waits for himself.
    let mut facts = serving();
    facts.get_mut(&NodeName::new("10.10.10.11")).expect("it is there").patroni.clear();
    let half = compiled(INVENTORY, &facts);
    in_order(&half, &[id(12, Kind::EtcdLogin, "pg-test-2"), logins.clone()]);
    in_order(&half, &[logins, id(11, Kind::Unit, "patroni.service")]);
}

#[test]
fn no_cluster_gets_the_root_user() {
    let text = INVENTORY.replace("pg_cluster: pg-test2", "pg_cluster: root");
    let problems = support::without(&text, &nodes(), &keddah_compile::Removing::default());
    let problems = problems.expect_err("it would be root");
    assert_eq!(problems[0].code, "etcd-root");
}
