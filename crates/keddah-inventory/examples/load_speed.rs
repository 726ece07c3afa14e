//! Measures loading and resolving an inventory of many clusters of three instances:
//! `cargo run --release -p keddah-inventory --example load_speed -- 1000`.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "an example may print")]

use keddah_core::SourceMap;
use keddah_inventory::load;
use std::fmt::Write;
use std::time::Instant;

fn main() {
    let clusters: usize =
        std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut text = String::from("all:\n  vars:\n    admin_ip: 10.10.10.10\n");
    for index in 0..100 {
        let _ = writeln!(text, "    variable_{index}: [a, {{ b: {index}, c: \"${{admin_ip}}\" }}]");
    }
    text.push_str("  children:\n");
    for cluster in 0..clusters {
        let _ = writeln!(text, "    pg-{cluster}:\n      hosts:");
        for instance in 1..=3 {
            let role = if instance == 1 { "primary" } else { "replica" };
            let _ = writeln!(
                text,
                "        10.{}.{}.{instance}: {{ pg_seq: {instance}, pg_role: {role} }}",
                cluster / 200,
                cluster % 200
            );
        }
        let _ = writeln!(
            text,
            "      vars:\n        pg_cluster: pg-{cluster}\n        pg_users:\n          \
             - {{ name: app, password: secret, pgbouncer: true, roles: [dbrole_admin] }}\n        \
             pg_databases:\n          - {{ name: app, owner: app, extensions: [{{ name: postgis }}] }}"
        );
    }

    for _ in 0..5 {
        let start = Instant::now();
        let mut sources = SourceMap::default();
        let (inventory, diagnostics) = load(&mut sources, "speed.yml", text.as_bytes());
        let loaded = start.elapsed();
        let inventory = inventory.expect("the inventory is valid");
        assert!(diagnostics.is_empty());
        let variables: usize =
            inventory.hosts().map(|host| inventory.resolve(&host.name).iter().count()).sum();
        println!(
            "{} bytes, {} hosts, {variables} variables: loaded in {loaded:?}, resolved after {:?}",
            text.len(),
            inventory.hosts().count(),
            start.elapsed()
        );
    }
}
