//! Where instances listen, compared with the addresses that their nodes have.

mod support;

use keddah_compile::Removing;
use keddah_core::NodeName;
use keddah_resource::{Interface, NodeFacts};
use std::collections::BTreeMap;
use support::{facts, without};

const INVENTORY: &str = include_str!("../../../conf/sandbox.yml");

/// The fleet of the sandbox, each node with its own address and one of a second network.
fn nodes() -> BTreeMap<NodeName, NodeFacts> {
    let interface =
        |name: &str, address: String| Interface { name: name.to_owned(), addresses: vec![address] };
    let node = |last: u8| {
        let interfaces = vec![
            interface("lo", "127.0.0.1/8".to_owned()),
            interface("eth0", format!("10.10.10.{last}/24")),
            interface("eth1", format!("192.0.2.{last}/24")),
        ];
        (NodeName::new(format!("10.10.10.{last}")), NodeFacts { interfaces, ..facts() })
    };
    [10, 11, 12, 13].map(node).into()
}

/// What is said of pg-test with this `pg_listen`; nothing where it compiles.
fn said(listen: &str) -> Vec<String> {
    let vip = "pg_vip_enabled: true\n    pg_vip_address: 10.10.10.3/24";
    let set = format!("pg_conf: tiny.yml\n    {vip}\n    pg_listen: '{listen}'");
    let inventory = INVENTORY.replace("pg_conf: tiny.yml", &set);
    assert_ne!(inventory, INVENTORY);
    match without(&inventory, &nodes(), &Removing::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            let told = |one: &keddah_core::Diagnostic| {
                assert!(one.primary.is_some(), "it stands at its line: {one:?}");
                format!("{}: {}", one.code, one.message)
            };
            problems.iter().map(told).collect()
        }
    }
}

#[test]
fn an_instance_listens_on_addresses_of_its_node() {
    for good in
        ["0.0.0.0", "*", "${ip},${lo}", "${ip},${vip},127.0.0.1", "${ip}, localhost", "0.0.0.0,::"]
    {
        assert_eq!(said(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn an_address_that_no_interface_has_is_refused() {
    let found = said("10.10.10.99,127.0.0.1");
    let first = found.first().expect("it is refused");
    assert!(first.starts_with("listen-address: ") && first.contains("10.10.10.99"), "{found:?}");
    assert!(first.contains("192.0.2."), "what the node has is named: {found:?}");
    for (bad, why) in [
        ("${ip},192.0.2.99", "no interface of"),
        ("${ip},${nothing}", "stands for nothing"),
        ("127.0.0.1", "the address that the other members know it by"),
    ] {
        let found = said(bad);
        assert!(found.iter().any(|one| one.contains(why)), "{bad}: {found:?}");
    }
}
