//! Services that several nodes offer restart on one node after another, so that clients always find one
//! of them, and a restart that fails leaves the others as they are.

use crate::compiler::{Compiler, Node};
use crate::infra::DNS_UNIT;
use crate::node::vip;
use crate::pgsql::place::Place;
use keddah_resource::{Kind, ResourceId};

impl Compiler<'_> {
    /// Puts the restarts of HAProxy, PgBouncer and keepalived in an order along each cluster, and those of the name
    /// servers. Nodes that share no cluster do not wait for each other: a fleet may have thousands.
    pub(crate) fn one_by_one(&mut self, nodes: &[Node<'_>]) {
        let mut chains: Vec<Vec<ResourceId>> = Vec::new();
        for cluster in &self.topology.clusters {
            let name = cluster.name.as_str();
            // Always in the inventory's order of nodes: two clusters on the same nodes must not make
            // these wait for each other.
            let members = nodes.iter().filter_map(|node| {
                let member = cluster.members.iter().find(|member| member.node == node.name)?;
                Some((node, member))
            });
            let (mut proxies, mut pools, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
            for (node, member) in members {
                proxies.push(ResourceId::new(&node.name, Kind::Unit, "haproxy.service"));
                let pool = Place::of(name, member).pgbouncer_unit();
                addresses.push(ResourceId::new(&node.name, Kind::Unit, vip::UNIT));
                pools.push(ResourceId::new(&node.name, Kind::Unit, pool));
            }
            chains.extend([proxies, pools, addresses]);
        }
        chains.push(
            nodes.iter().map(|node| ResourceId::new(&node.name, Kind::Unit, DNS_UNIT)).collect(),
        );
        for mut chain in chains {
            chain.retain(|unit| self.fleet.get(unit).is_some());
            for pair in chain.windows(2) {
                if let [before, unit] = pair
                    && let Some(unit) = self.fleet.get_mut(unit)
                    && !unit.restart_after.contains(before)
                {
                    unit.restart_after.push(before.clone());
                }
            }
        }
    }
}
