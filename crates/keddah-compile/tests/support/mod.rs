//! What the tests of compilation share: a small machine, and a compilation for some of them.

#![allow(dead_code, reason = "each test is a program of its own, and uses what it needs")]

use keddah_compile::{Authorities, Authority, Compiled, Input, Removing, Templates, compile};
use keddah_core::{Diagnostic, NodeName, Secret, SourceMap};
use keddah_resource::{DataFacts, Distribution, InstanceFacts, NodeFacts, Spec, WalEnd};
use std::collections::BTreeMap;

/// What is known of a fleet's nodes.
pub type Facts = BTreeMap<NodeName, NodeFacts>;

/// The node 10.10.10.`last`.
pub fn node(last: u8) -> NodeName {
    NodeName::new(format!("10.10.10.{last}"))
}

/// What is known of that node.
pub fn of(facts: &mut Facts, last: u8) -> &mut NodeFacts {
    facts.get_mut(&node(last)).expect("a node")
}

/// An instance of `pg-test` that has been made, with its data: on timeline 1 of one system.
pub fn instance(seq: u8, runs: bool, wal: Option<WalEnd>) -> InstanceFacts {
    InstanceFacts {
        made: true,
        runs,
        configuration: "conf.d".to_owned(),
        scope: "pg-test".to_owned(),
        namespace: "/pg".to_owned(),
        name: format!("pg-test-{seq}"),
        data_directory: "/pg/data".to_owned(),
        home: Some("/data/postgres/pg-test-17".to_owned()),
        data: Some(DataFacts {
            path: "/data/postgres/pg-test-17/data".to_owned(),
            version: Some(17),
            system_identifier: "7300000000000000001".to_owned(),
            timeline: Some(1),
            owner: "postgres".to_owned(),
            wal,
            ..DataFacts::default()
        }),
    }
}

/// A small machine of Debian 13.
pub fn facts() -> NodeFacts {
    NodeFacts {
        hostname: "node".to_owned(),
        distribution: Distribution {
            id: "debian".to_owned(),
            version: "13".to_owned(),
            codename: "trixie".to_owned(),
        },
        architecture: "x86_64".to_owned(),
        cores: 2,
        memory_bytes: 24 << 30,
        sysctl_read_only: true,
        open_files_limit: 20_000,
        interfaces: Vec::new(),
        own_units: Vec::new(),
        ownership: keddah_resource::OwnershipFacts::default(),
        resolved: false,
        package_candidates: BTreeMap::new(),
        patroni: Vec::new(),
        members: Vec::new(),
        patroni_directories: Vec::new(),
        etcd: None,
        etcd_has_data: false,
        etcd_life: None,
        etcd_configured: false,
        instances: Vec::new(),
        data: Vec::new(),
        backups: Vec::new(),
        watchdog: None,
        sandbox: false,
        doors: Vec::new(),
        asides: Vec::new(),
        removed: Vec::new(),
        verifiers: Vec::new(),
        repositories: Vec::new(),
        system: keddah_resource::SystemFacts::default(),
        holdings: Vec::new(),
        ports: Vec::new(),
    }
}

/// Compiles an inventory, whose dependencies must all exist and have an order.
pub fn compiled(text: &str, facts: &BTreeMap<NodeName, NodeFacts>) -> Compiled {
    let compiled = without(text, facts, &Removing::default()).expect("it compiles");
    assert_eq!(compiled.fleet.unknown_dependencies(), []);
    compiled.fleet.ordered().expect("nothing waits for itself");
    compiled
}

/// Compiles an inventory of which something is taken away, or says why it does not compile.
pub fn without(
    text: &str,
    facts: &BTreeMap<NodeName, NodeFacts>,
    removing: &Removing,
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut sources = SourceMap::default();
    let (inventory, problems) =
        keddah_inventory::load(&mut sources, "sandbox.yml", text.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    let inventory = inventory.expect("it loads");
    let authority = Authority {
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        fingerprint: "00".repeat(32),
        fresh_key: Some(Secret::new("key")),
        directory: "files/pki/ca".to_owned(),
        seed: Secret::new("seed"),
    };
    let authorities = Authorities {
        etcd: Authority {
            fingerprint: "11".repeat(32),
            directory: "files/pki/etcd".to_owned(),
            ..authority.clone()
        },
        fleet: authority,
    };
    let input = Input {
        inventory: &inventory,
        facts,
        authorities: &authorities,
        templates: &Templates::new(&BTreeMap::new()).expect("our templates parse"),
        baselines: &BTreeMap::new(),
        public_keys: &[],
        today: 20_000,
        controller_user: "root".to_owned(),
        controller_group: "root".to_owned(),
        removing,
    };
    compile(&input)
}

/// The text of a file on a node.
pub fn file(compiled: &Compiled, node: &str, path: &str) -> Option<String> {
    let resource =
        compiled.fleet.iter().find(|one| one.id.node.as_str() == node && one.id.name == path)?;
    match &resource.spec {
        Spec::File(file) => Some(file.present.as_ref()?.content.reveal().to_owned()),
        other => panic!("{path} is a {}", other.kind()),
    }
}
