//! `-l`, `-m` and `--restart`: which part of the fleet is planned, and what may restart in it.

use crate::{CommandError, counted};
use keddah_compile::CONTROLLER;
use keddah_core::NodeName;
use keddah_inventory::registry::nearest;
use keddah_inventory::{Inventory, model};
use keddah_plan::Restarts;
use keddah_resource::{DesiredFleet, Module, Resource, ResourceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// A part of the fleet, in words.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Choice {
    /// Only these hosts, groups or clusters.
    pub limit: Vec<String>,

    /// Only these modules: ca, node, etcd, pgsql, infra.
    pub modules: Vec<String>,

    /// How PostgreSQL may restart where a change needs that; rolling where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// How PostgreSQL may restart.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Not at all: what needs a restart waits, and the next plan shows it again.
    Never,
    /// Replicas one by one, each streaming again before the next, then the primary.
    Rolling,
    /// All instances of a cluster at once, without service meanwhile; Patronis go one by one.
    Now,
}

impl From<Restart> for Restarts {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::Never => Restarts::Never,
            Restart::Rolling => Restarts::Rolling,
            Restart::Now => Restarts::Now,
        }
    }
}

/// The chosen part.
#[derive(Debug)]
pub struct Selection {
    nodes: Option<BTreeSet<NodeName>>,
    /// Nodes of those that stand here for one of their clusters only.
    in_part: BTreeSet<NodeName>,
    names: BTreeSet<String>,
    modules: Option<BTreeSet<Module>>,
    all_nodes: BTreeSet<NodeName>,
    restarts: Restarts,
}

impl Selection {
    /// Resolves names against an inventory.
    ///
    /// # Errors
    /// When a name is not known.
    pub fn of(args: &Choice, inventory: &Inventory) -> Result<Self, CommandError> {
        let Choice { limit, modules, restart } = args;
        let mut nodes = BTreeSet::new();
        let mut in_part = BTreeSet::new();
        for name in limit {
            if let Some(host) = inventory.host(name) {
                nodes.insert(host.name.clone());
            } else if inventory.group(name).is_some() {
                nodes.extend(inventory.members(name).into_iter().map(|host| host.name.clone()));
            } else if let Some(cluster) = cluster(inventory, name) {
                // A cluster of `pg_instances` has no group of its own, and shares its nodes.
                in_part.extend(cluster);
            } else {
                let hosts = inventory.hosts().map(|host| host.name.as_str());
                let known = hosts.chain(inventory.groups().map(|group| group.name.as_str()));
                let message =
                    format!("`{name}` is neither a host, nor a group or cluster of the inventory");
                let near = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
                let error = CommandError::user(message);
                return Err(near.into_iter().fold(error, CommandError::hint));
            }
        }
        if !limit.is_empty() && nodes.is_empty() && in_part.is_empty() {
            let message = format!("no host is in `{}`", limit.join("`, `"));
            return Err(CommandError::user(message)
                .hint("`keddah inventory --graph` shows which host is in which group"));
        }
        let modules: BTreeSet<Module> =
            modules.iter().map(|name| module(name)).collect::<Result<_, _>>()?;
        in_part.retain(|node| !nodes.contains(node));
        nodes.extend(in_part.iter().cloned());
        Ok(Self {
            in_part,
            nodes: (!limit.is_empty()).then_some(nodes),
            names: limit.iter().cloned().collect(),
            modules: (!modules.is_empty()).then_some(modules),
            all_nodes: inventory.hosts().map(|host| host.name.clone()).collect(),
            restarts: restart.map(Restarts::from).unwrap_or_default(),
        })
    }

    /// All that stands on these nodes.
    pub fn nodes_only(nodes: BTreeSet<NodeName>, restart: Restart) -> Self {
        let all_nodes = nodes.clone();
        Self {
            nodes: Some(nodes),
            in_part: BTreeSet::new(),
            names: BTreeSet::new(),
            modules: None,
            all_nodes,
            restarts: restart.into(),
        }
    }

    /// The nodes of the selection.
    pub fn nodes(&self) -> &BTreeSet<NodeName> {
        self.nodes.as_ref().unwrap_or(&self.all_nodes)
    }

    /// Whether a cluster's member on one of the nodes is meant: where the node stands here for one of
    /// its clusters only, that one.
    pub fn wants_cluster(&self, cluster: &str, node: &NodeName) -> bool {
        !self.in_part.contains(node) || self.names.contains(cluster)
    }

    /// Whether something of a module is meant.
    pub fn wants_module(&self, module: Module) -> bool {
        self.modules.as_ref().is_none_or(|modules| modules.contains(&module))
    }

    /// Drops everything else from what should be, but for what must reload or restart with it, and puts in how PostgreSQL may restart.
    pub fn restrict(&self, desired: &mut DesiredFleet) {
        self.restarts.arrange(desired);
        if self.nodes.is_some() || self.modules.is_some() {
            let chosen: HashSet<ResourceId> = desired
                .iter()
                .filter(|resource| self.keeps(resource))
                .map(|resource| resource.id.clone())
                .collect();
            desired.draw_in(&chosen, self.nodes());
            desired.retain(|resource| resource.drawn_in || chosen.contains(&resource.id));
        }
    }

    /// Refuses a selection of nothing: of what was not looked at, nothing can be said.
    ///
    /// # Errors
    /// When nothing on a node is left.
    pub fn not_nothing(&self, desired: &DesiredFleet) -> Result<(), CommandError> {
        if desired.iter().any(|resource| resource.id.node.as_str() != CONTROLLER) {
            return Ok(());
        }
        let nodes = counted(self.nodes().len(), "node");
        let modules: Vec<String> =
            self.modules.iter().flatten().map(|module| format!("`{module}`")).collect();
        Err(CommandError::user(match modules.as_slice() {
            [] => format!("nothing is declared of {nodes}, so there is nothing to look at"),
            _ => format!("nothing of {} is declared on {nodes}", modules.join(", ")),
        })
        .hint("`keddah inventory --graph` shows which host is in which group"))
    }

    fn keeps(&self, resource: &Resource) -> bool {
        // What stands on the controller is the authority: whatever is signed needs it written down.
        if resource.id.node.as_str() == CONTROLLER {
            return true;
        }
        let by_module =
            self.modules.as_ref().is_none_or(|modules| modules.contains(&resource.module));
        let node = &resource.id.node;
        let by_node = self
            .nodes
            .as_ref()
            .is_none_or(|nodes| nodes.contains(node) && !self.in_part.contains(node));
        let by_cluster =
            resource.cluster.as_ref().is_some_and(|cluster| self.names.contains(cluster));
        by_module && (by_node || by_cluster)
    }
}

/// The nodes of a PostgreSQL cluster.
fn cluster(inventory: &Inventory, name: &str) -> Option<BTreeSet<NodeName>> {
    let clusters = model::pg_clusters(inventory);
    let found = clusters.into_iter().find(|cluster| cluster.name.as_str() == name)?;
    Some(found.members.into_iter().map(|member| member.node).collect())
}

fn module(name: &str) -> Result<Module, CommandError> {
    let parsed = serde_json::from_value(serde_json::Value::String(name.to_lowercase()));
    parsed.map_err(|_| {
        CommandError::user(format!("there is no module `{name}`"))
            .hint("the modules are ca, node, etcd, pgsql and infra")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_resource::Kind;
    use keddah_resource::kind::directory::Permissions;
    use keddah_resource::kind::{file, unit};

    fn selection(modules: &[Module], nodes: Option<&[&str]>) -> Selection {
        let set = |names: &[&str]| names.iter().map(|name| NodeName::new(*name)).collect();
        Selection {
            nodes: nodes.map(set),
            in_part: BTreeSet::new(),
            names: BTreeSet::new(),
            modules: (!modules.is_empty()).then(|| modules.iter().copied().collect()),
            all_nodes: set(&["a", "b"]),
            restarts: Restarts::default(),
        }
    }

    /// A certificate's file of the module `ca` on each node, which etcd there must read again.
    fn fleet() -> DesiredFleet {
        let mut fleet = DesiredFleet::default();
        for name in ["a", "b"] {
            let node = NodeName::new(name);
            let etcd = ResourceId::new(&node, Kind::Unit, "etcd.service");
            let certificate =
                file::Spec::text("/etc/etcd/server.crt", "x", Permissions::root(0o644));
            fleet.add(Resource::new(&node, Module::Ca, certificate).reloads(&etcd));
            fleet.add(Resource::new(&node, Module::Etcd, unit::Spec::running("etcd.service")));
            fleet.add(Resource::new(&node, Module::Etcd, unit::Spec::running("other.service")));
        }
        fleet
    }

    fn left(fleet: &DesiredFleet) -> Vec<String> {
        let drawn = |resource: &Resource| if resource.drawn_in { " (drawn in)" } else { "" };
        fleet.iter().map(|one| format!("{} {}{}", one.id.node, one.id.name, drawn(one))).collect()
    }

    #[test]
    fn what_must_reload_with_the_selection_is_drawn_in() {
        let mut desired = fleet();
        selection(&[Module::Ca], Some(&["a"])).restrict(&mut desired);
        assert_eq!(left(&desired), ["a /etc/etcd/server.crt", "a etcd.service (drawn in)"]);
        let certificate = desired.iter().next().map(|resource| resource.triggers.len());
        assert_eq!(certificate, Some(1), "the reload is still asked for");
        let mut desired = fleet();
        selection(&[Module::Etcd], Some(&["b"])).restrict(&mut desired);
        assert_eq!(left(&desired), ["b etcd.service", "b other.service"]);
    }
}
