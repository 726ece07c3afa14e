//! Times loading and compiling a fleet of 1,000 clusters of three instances each:
//! `cargo run --release -p keddah-compile --example thousand`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "a measurement, not the product"
)]

use keddah_compile::{Authorities, Authority, Input, Removing, Templates, compile};
use keddah_core::{NodeName, Secret, SourceMap};
use keddah_inventory::Inventory;
use keddah_resource::{Distribution, NodeFacts};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

const CLUSTERS: usize = 1000;

fn text() -> String {
    let mut text = String::from(
        "all:\n  children:\n    etcd:\n      hosts: { 10.255.0.1: { etcd_seq: 1 } }\n",
    );
    for cluster in 0..CLUSTERS {
        let (network, first) = (cluster / 80, cluster % 80 * 3);
        let _ = writeln!(text, "    pg-{cluster}:\n      hosts:");
        for seq in 1..=3 {
            let role = if seq == 1 { "primary" } else { "replica" };
            let host = first + seq;
            let _ = writeln!(
                text,
                "        10.1.{network}.{host}: {{ pg_seq: {seq}, pg_role: {role} }}"
            );
        }
        let _ = writeln!(
            text,
            "      vars:\n        pg_cluster: pg-{cluster}\n        pg_users: [{{ name: app, \
             password: app, pgbouncer: true, roles: [dbrole_readwrite] }}]\n        \
             pg_databases: [{{ name: app, owner: app }}]"
        );
    }
    text
}

fn facts(inventory: &Inventory) -> BTreeMap<NodeName, NodeFacts> {
    let facts = NodeFacts {
        hostname: "node".to_owned(),
        distribution: Distribution {
            id: "debian".to_owned(),
            version: "13".to_owned(),
            codename: "trixie".to_owned(),
        },
        architecture: "x86_64".to_owned(),
        cores: 4,
        memory_bytes: 16 << 30,
        sysctl_read_only: false,
        open_files_limit: 1 << 20,
        interfaces: Vec::new(),
        own_units: Vec::new(),
        resolved: false,
        package_candidates: BTreeMap::new(),
        patroni: None,
        etcd: None,
    };
    inventory.hosts().map(|host| (host.name.clone(), facts.clone())).collect()
}

fn main() {
    let text = text();
    let start = Instant::now();
    let mut sources = SourceMap::default();
    let (inventory, problems) = keddah_inventory::load(&mut sources, "fleet.yml", text.as_bytes());
    let loaded = start.elapsed();
    assert!(problems.is_empty());
    let inventory = inventory.unwrap();
    let facts = facts(&inventory);
    let authority = Authority {
        certificate_pem: String::new(),
        fingerprint: String::new(),
        fresh_key: None,
        directory: "files/pki/ca".to_owned(),
        seed: Secret::new("seed"),
    };
    let authorities = Authorities { etcd: authority.clone(), fleet: authority };
    let templates = Templates::new(&BTreeMap::new()).unwrap();
    let start = Instant::now();
    let compiled = compile(&Input {
        inventory: &inventory,
        facts: &facts,
        authorities: &authorities,
        templates: &templates,
        baselines: &BTreeMap::new(),
        public_keys: &[],
        today: 20_000,
        controller_user: "root".to_owned(),
        controller_group: "root".to_owned(),
        removing: &Removing::default(),
    })
    .unwrap();
    println!(
        "{} hosts loaded in {:.3} s, {} resources compiled in {:.3} s",
        facts.len(),
        loaded.as_secs_f64(),
        compiled.fleet.len(),
        start.elapsed().as_secs_f64()
    );
}
