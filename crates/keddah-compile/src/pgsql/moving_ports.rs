//! A cluster whose servers or pools move to another port while it serves: whoever leads clients there
//! follows after them, and the plan says what is interrupted.

use super::place::Place;
use crate::compiler::{Compiler, Node};
use keddah_inventory::parameters;
use keddah_resource::{Kind, ResourceId};
use std::collections::BTreeMap;

/// What moves of one cluster.
#[derive(Debug, Default)]
struct Moving {
    /// Instances, with what moves, from where, and where to.
    moves: BTreeMap<(&'static str, u16, u16), Vec<String>>,
    /// What listens elsewhere when these have changed.
    before: Vec<ResourceId>,
}

impl<'a> Compiler<'a> {
    /// Has HAProxy follow the servers and pools of a cluster that serves when these have moved: led to a
    /// port where nobody listens yet, it would serve nobody until the last of them has restarted. A pool
    /// follows its own server in the same way.
    pub(crate) fn haproxy_after_ports(&mut self, nodes: &[Node<'a>]) {
        let mut moving: BTreeMap<&str, Moving> = BTreeMap::new();
        for node in nodes {
            for (cluster, member) in self.topology.instances_on(&node.name) {
                let name = cluster.name.as_str();
                let Some(ports) = node.facts.ports.iter().find(|ports| ports.cluster == name)
                else {
                    continue;
                };
                // One that does not run moves without anybody's noticing.
                if node.facts.patroni_of(name).is_none() {
                    continue;
                }
                let instance = member.instance(&cluster.name);
                let server = ResourceId::new(&node.name, Kind::Postmaster, &instance);
                let pool = Place::of(name, member).pgbouncer_unit();
                let pool = ResourceId::new(&node.name, Kind::Unit, pool);
                let moved = [
                    ("PostgreSQL", ports.server, parameters::PG_PORT, &server),
                    ("PgBouncer", ports.pool, parameters::PGBOUNCER_PORT, &pool),
                ];
                for (what, is, parameter, resource) in moved {
                    let will = member.params.get(parameter);
                    let Some(is) = is.filter(|is| *is != will) else { continue };
                    let enabled =
                        what != "PgBouncer" || member.params.get(parameters::PGBOUNCER_ENABLED);
                    if !enabled || self.fleet.get(resource).is_none() {
                        continue;
                    }
                    let moving = moving.entry(name).or_default();
                    moving.moves.entry((what, is, will)).or_default().push(instance.clone());
                    moving.before.push(resource.clone());
                    if what == "PostgreSQL"
                        && let Some(pool) = self.fleet.get_mut(&pool)
                    {
                        pool.after.push(server.clone());
                    }
                }
            }
        }
        for (name, Moving { moves, before }) in moving {
            for ((what, is, will), instances) in moves {
                self.notes.push(format!(
                    "{what} of {} moves from port {is} to {will}: clients that name the port have to follow, \
                     and services of {name} that lead there are interrupted from the restart of the server \
                     they lead to until HAProxy has followed, when all have restarted one by one; the primary's, \
                     last, for some seconds",
                    instances.join(", ")
                ));
            }
            for node in nodes {
                let unit = ResourceId::new(&node.name, Kind::Unit, "haproxy.service");
                let served = self.topology.served_by(&node.name, self.input.inventory);
                let leads =
                    served.iter().any(|&at| self.topology.clusters[at].name.as_str() == name);
                if leads && let Some(unit) = self.fleet.get_mut(&unit) {
                    unit.after.extend(before.iter().cloned());
                }
            }
        }
    }
}
