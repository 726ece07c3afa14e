//! Virtual addresses and names, compiled for four nodes of Debian 13.

mod support;

use keddah_compile::Compiled;
use keddah_core::NodeName;
use keddah_resource::{Interface, Kind, NodeFacts, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file};

const SANDBOX: &str = include_str!("../../../conf/sandbox.yml");
const CLUSTER: &str = "        pg_cluster: pg-test\n";

fn four_nodes() -> BTreeMap<NodeName, NodeFacts> {
    let interface =
        |name: &str, address: String| Interface { name: name.to_owned(), addresses: vec![address] };
    (10..14)
        .map(|last| {
            let interfaces = vec![
                interface("lo", "127.0.0.1/8".to_owned()),
                interface("eth0", format!("10.10.10.{last}/24")),
            ];
            (NodeName::new(format!("10.10.10.{last}")), NodeFacts { interfaces, ..facts() })
        })
        .collect()
}

fn with(lines: &str) -> String {
    SANDBOX.replacen(CLUSTER, &format!("{CLUSTER}{lines}"), 1)
}

fn kinds(compiled: &Compiled, node: &str, name: &str) -> Vec<Kind> {
    let named = |id: &&keddah_resource::ResourceId| id.node.as_str() == node && id.name == name;
    compiled.fleet.iter().map(|one| &one.id).filter(named).map(|id| id.kind).collect()
}

#[test]
fn addresses_and_names_as_nodes_read_them() {
    let text = with(
        "        pg_vip_enabled: true\n        pg_vip_address: 10.10.10.3/24\n        \
         pg_dns_target: primary\n        pg_dns_suffix: db\n        vip_enabled: true\n        \
         vip_address: 10.10.10.5\n        vip_vrid: 3\n        node_cluster: test\n        \
         vip_auth_pass: hidden\n        patroni_ssl_enabled: true\n",
    );
    let compiled = compiled(&text, &four_nodes());
    let keepalived = file(&compiled, "10.10.10.13", "/etc/keepalived/keddah.conf");
    insta::assert_snapshot!("keepalived", keepalived.expect("it has addresses"));
    let hosts = file(&compiled, "10.10.10.10", "/etc/hosts.d/keddah");
    insta::assert_snapshot!("hosts", hosts.expect("it tells names"));
    let following = file(&compiled, "10.10.10.10", "/etc/keddah-dns.json");
    insta::assert_snapshot!("following", following.expect("one name follows"));
    // The address must not be let go of everywhere at once.
    let holders = compiled.fleet.iter().filter(|one| one.id.name == "keddah-vip.service");
    let chain: Vec<usize> = holders.map(|one| one.restart_after.len()).collect();
    assert_eq!(chain, [0, 1, 1]);
    let id = keddah_resource::ResourceId::new(
        &NodeName::new("10.10.10.13"),
        Kind::File,
        "/etc/keepalived/keddah-auth.conf",
    );
    match &compiled.fleet.get(&id).expect("it is there").spec {
        Spec::File(spec) => assert!(spec.is_secret()),
        other => panic!("a {}", other.kind()),
    }
}

#[test]
fn an_address_is_a_name_that_does_not_move() {
    let text = with("        pg_vip_enabled: true\n        pg_vip_address: 10.10.10.3/24\n");
    let compiled = compiled(&text, &four_nodes());
    let hosts = file(&compiled, "10.10.10.10", "/etc/hosts.d/keddah").expect("it tells names");
    assert!(hosts.contains("\n10.10.10.3 pg-test\n"), "{hosts}");
    assert_eq!(file(&compiled, "10.10.10.10", "/etc/keddah-dns.json"), None);
}

#[test]
fn what_was_never_there_is_not_looked_for() {
    let unit = "keddah-vip.service";
    let mut nodes = four_nodes();
    assert_eq!(kinds(&compiled(SANDBOX, &nodes), "10.10.10.11", unit), []);
    let node = nodes.get_mut(&NodeName::new("10.10.10.11")).expect("it is there");
    node.own_units = vec![unit.to_owned()];
    assert_eq!(kinds(&compiled(SANDBOX, &nodes), "10.10.10.11", unit), [Kind::Unit]);
}

#[test]
fn an_interface_that_a_node_lacks_is_replaced_by_the_one_in_the_same_network() {
    let text = |interface: &str| {
        with(&format!(
            "        pg_vip_enabled: true\n        pg_vip_address: 10.10.10.3/24\n        \
             pg_vip_interface: {interface}\n"
        ))
    };
    let found = compiled(&text("eth1"), &four_nodes());
    let keepalived = file(&found, "10.10.10.11", "/etc/keepalived/keddah.conf");
    assert!(keepalived.expect("it has an address").contains("interface eth0"));
    assert!(found.notes.iter().any(|note| note.contains("names eth1")), "{:?}", found.notes);
}

#[test]
fn resolvers_ask_only_where_dns_is_run() {
    let resolver = |text: &str| {
        let compiled = compiled(text, &four_nodes());
        let resource = compiled
            .fleet
            .iter()
            .find(|one| one.id.node.as_str() == "10.10.10.11" && one.id.name == "/etc/resolv.conf")
            .expect("it is there")
            .spec
            .clone();
        match resource {
            Spec::Block(block) => block.text,
            other => panic!("a {}", other.kind()),
        }
    };
    assert!(resolver(SANDBOX).starts_with("nameserver 10.10.10.10\n"));
    assert_eq!(resolver(&SANDBOX.replace("infra_seq: 1", "infra_seq: 1, dns_enabled: false")), "");
    assert_eq!(
        resolver(&SANDBOX.replacen(
            "  vars:\n    admin_ip",
            "  vars:\n    node_dns_method: none\n    admin_ip",
            1
        )),
        ""
    );
}
