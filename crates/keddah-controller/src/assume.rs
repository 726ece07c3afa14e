//! Assume: facts of nodes that nobody asks, for compiling an inventory where there are no nodes.

use keddah_core::NodeName;
use keddah_inventory::{Inventory, Params, parameters};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::{Distribution, Interface, NodeFacts};
use std::collections::BTreeMap;

/// Facts as of fresh machines of a middling size, whose package sources offer every version of
/// PostgreSQL, and that have the network interfaces the inventory speaks of.
pub fn assumed_facts(inventory: &Inventory) -> BTreeMap<NodeName, NodeFacts> {
    let probes = keddah_compile::probes(inventory).into_iter();
    let facts = probes.map(|(node, probe)| {
        let offered = probe.packages.into_iter().chain(probe.beginning_packages);
        let offered = offered.map(|name| (name, "assumed".to_owned()));
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
            interfaces: interfaces(inventory, &node),
            own_units: Vec::new(),
            ownership: keddah_resource::OwnershipFacts::default(),
            resolved: false,
            package_candidates: offered.collect(),
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
            watchdog: Some(Permissions::new("root", "root", 0o666)),
            sandbox: false,
            doors: Vec::new(),
            asides: Vec::new(),
            removed: Vec::new(),
            verifiers: Vec::new(),
            repositories: Vec::new(),
            system: keddah_resource::SystemFacts::default(),
            holdings: Vec::new(),
            ports: Vec::new(),
        };
        (node, facts)
    });
    facts.collect()
}

/// Interfaces with the names that virtual addresses are to be put on, each with the node's own
/// address, and with those that its instances are to listen on.
fn interfaces(inventory: &Inventory, node: &NodeName) -> Vec<Interface> {
    let mut named = vec![Params::new(inventory, node).get(parameters::VIP_INTERFACE)];
    let instances = Params::instances(inventory, node);
    named.extend(instances.iter().map(|instance| instance.get(parameters::PG_VIP_INTERFACE)));
    let mut names: Vec<String> =
        named.into_iter().filter(|name| !name.is_empty() && name != "auto").collect();
    names.push("eth0".to_owned());
    names.sort();
    names.dedup();
    let mut addresses = vec![format!("{node}/24")];
    for instance in &instances {
        let listens = instance.get(parameters::PG_LISTEN);
        let ours = listens.split(',').map(str::trim).filter(|one| *one != node.as_str());
        addresses.extend(ours.map(|one| format!("{one}/24")));
    }
    names.into_iter().map(|name| Interface { name, addresses: addresses.clone() }).collect()
}
