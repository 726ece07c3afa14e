//! Assume: facts of nodes that nobody asks, for compiling an inventory where there are no nodes.

use keddah_core::NodeName;
use keddah_inventory::Inventory;
use keddah_resource::{Distribution, NodeFacts};
use std::collections::BTreeMap;

/// Facts as of fresh machines of a middling size, whose package sources offer every version of
/// PostgreSQL.
pub fn assumed_facts(inventory: &Inventory) -> BTreeMap<NodeName, NodeFacts> {
    let probes = keddah_compile::probes(inventory).into_iter();
    let facts = probes.map(|(node, probe)| {
        let offered = probe.packages.into_iter().map(|name| (name, "assumed".to_owned()));
        let facts = NodeFacts {
            hostname: node.to_string(),
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
            package_candidates: offered.collect(),
            patroni: None,
            etcd: None,
        };
        (node, facts)
    });
    facts.collect()
}
