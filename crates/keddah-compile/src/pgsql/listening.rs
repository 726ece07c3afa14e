//! Where an instance listens: an address that its node does not have would take it off the network, and
//! PostgreSQL only warns of it ("Connections and Authentication", `listen_addresses`, in its manual).

use super::{Cluster, Instance};
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::parameters;
use keddah_inventory::registry::Handle;
use std::net::{IpAddr, Ipv4Addr};

/// Words and addresses that stand for all of a node's addresses.
const ALL: &[&str] = &["*", "0.0.0.0", "::"];

impl Compiler<'_> {
    /// Refuses a `pg_listen` with an address that no interface of the node has, and one without the
    /// address that the other members know the instance by.
    pub(super) fn listens_here(
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
    ) -> Result<(), Problem> {
        let (params, node) = (&instance.member.params, &instance.node);
        let own: Vec<&str> = node
            .facts
            .interfaces
            .iter()
            .flat_map(|interface| &interface.addresses)
            .map(|address| address.split('/').next().unwrap_or_default())
            .collect();
        // A node that says nothing of its interfaces cannot be judged by them.
        if own.is_empty() {
            return Ok(());
        }
        let listens = params.get(parameters::PG_LISTEN);
        let listens: Vec<&str> =
            listens.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
        let wrong = |message: String| {
            Err(Box::new(
                problem("listen-address", params.span(parameters::PG_LISTEN), message).help(
                    "${ip} is the node's own address, ${vip} the cluster's virtual one, ${lo} the \
                 loopback one; 0.0.0.0 stands for all",
                ),
            ))
        };
        for address in &listens {
            if address.contains("${") {
                return wrong(format!(
                    "`{address}` in `pg_listen` of {} stands for nothing",
                    instance.name
                ));
            }
            // Only IPv4 addresses of nodes are known.
            let Ok(IpAddr::V4(parsed)) = address.parse::<IpAddr>() else { continue };
            let here = parsed.is_loopback()
                || parsed == Ipv4Addr::UNSPECIFIED
                || own.contains(address)
                || virtual_addresses(instance).iter().any(|one| one == address);
            if !here {
                return wrong(format!(
                    "{} cannot listen on {address}: no interface of {} has that address; it has {}",
                    instance.name,
                    node.name,
                    own.join(", ")
                ));
            }
        }
        let reachable = listens.iter().any(|one| ALL.contains(one) || *one == node.address);
        if cluster.instances.len() > 1 && !reachable {
            return wrong(format!(
                "{} would not listen on {}, the address that the other members know it by",
                instance.name, node.address
            ));
        }
        Ok(())
    }
}

/// Addresses that the node may hold now or later; Keddah lets programs listen on one before that
/// (`net.ipv4.ip_nonlocal_bind`).
fn virtual_addresses(instance: &Instance<'_>) -> Vec<String> {
    let params = &instance.member.params;
    let given = |enabled: Handle<bool>, address: Handle<String>| {
        let address = params.get(address);
        params.get(enabled).then(|| address.split('/').next().unwrap_or_default().to_owned())
    };
    [
        given(parameters::PG_VIP_ENABLED, parameters::PG_VIP_ADDRESS),
        given(parameters::VIP_ENABLED, parameters::VIP_ADDRESS),
    ]
    .into_iter()
    .flatten()
    .collect()
}
