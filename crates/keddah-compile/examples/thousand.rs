//! Times loading and compiling a fleet of 1,000 clusters of three instances each.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::unwrap_used)]
use keddah_compile::{Authority, Input, Templates, compile};
use keddah_core::{NodeName, Secret, SourceMap};
use keddah_resource::{Distribution, NodeFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

fn main() {
    let mut text = String::from(
        "all:\n  children:\n    etcd:\n      hosts: { 10.255.0.1: { etcd_seq: 1 } }\n",
    );
    for cluster in 0..1000 {
        let (high, low) = (cluster / 80, cluster % 80 * 3);
        text += &format!("    pg-{cluster}:\n      hosts:\n");
        for seq in 1..=3 {
            let role = if seq == 1 { "primary" } else { "replica" };
            text += &format!(
                "        10.1.{high}.{}: {{ pg_seq: {seq}, pg_role: {role} }}\n",
                low + seq
            );
        }
        text += &format!(
            "      vars:\n        pg_cluster: pg-{cluster}\n        pg_users: [{{ name: app, password: app, pgbouncer: true, roles: [dbrole_readwrite] }}]\n        pg_databases: [{{ name: app, owner: app }}]\n"
        );
    }
    let start = Instant::now();
    let mut sources = SourceMap::default();
    let (inventory, problems) = keddah_inventory::load(&mut sources, "x.yml", text.as_bytes());
    assert!(problems.is_empty());
    let inventory = inventory.unwrap();
    println!("load {:?}", start.elapsed());
    let facts: BTreeMap<NodeName, NodeFacts> = inventory
        .hosts()
        .map(|host| {
            (
                host.name.clone(),
                NodeFacts {
                    hostname: "node".into(),
                    distribution: Distribution {
                        id: "debian".into(),
                        version: "13".into(),
                        codename: "trixie".into(),
                    },
                    architecture: "x86_64".into(),
                    cores: 4,
                    memory_bytes: 16 << 30,
                    sysctl_read_only: false,
                    open_files_limit: 1 << 20,
                    interfaces: vec![],
                    package_candidates: BTreeMap::new(),
                    patroni: None,
                    etcd: None,
                },
            )
        })
        .collect();
    let authority = Authority {
        certificate_pem: String::new(),
        fingerprint: String::new(),
        fresh_key: None,
        directory: String::new(),
        seed: Secret::new("s"),
    };
    let start = Instant::now();
    let compiled = compile(&Input {
        inventory: &inventory,
        facts: &facts,
        authority: &authority,
        templates: &Templates::new(&BTreeMap::new()).unwrap(),
        baselines: &BTreeMap::new(),
        public_keys: &[],
        today: 20000,
        controller_user: "root".into(),
        controller_group: "root".into(),
        removing: &BTreeSet::new(),
    })
    .unwrap();
    println!("compile {:?}, {} resources", start.elapsed(), compiled.fleet.len());
}
