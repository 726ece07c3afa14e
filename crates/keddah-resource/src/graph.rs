//! The resources of all nodes, and what must come before what.

use crate::{Class, Kind, ResourceId, Spec};
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use keddah_core::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

/// The module of the inventory that a resource belongs to; `-m` selects by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Module {
    /// Certificates and trust.
    Ca,
    /// The operating system.
    Node,
    /// The consensus store.
    Etcd,
    /// PostgreSQL and everything of a cluster.
    Pgsql,
    /// What infrastructure nodes do for all others.
    Infra,
}

impl fmt::Display for Module {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Module::Ca => "ca",
            Module::Node => "node",
            Module::Etcd => "etcd",
            Module::Pgsql => "pgsql",
            Module::Infra => "infra",
        })
    }
}

/// What a change of one resource makes another one do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerAction {
    /// Read the configuration again.
    Reload,
    /// Restart.
    Restart,
}

/// "When this resource changes, that unit or postmaster must reload or restart."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The unit or postmaster.
    pub target: ResourceId,
    /// What it must do.
    pub action: TriggerAction,
    /// Only for changes of at least this class; a parameter that reloads must not restart.
    pub from_class: Class,
}

/// One resource of the desired fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub id: ResourceId,
    /// Which module wants it.
    pub module: Module,
    /// The cluster it belongs to, for display and for `-l`.
    pub cluster: Option<String>,
    /// What should be.
    pub spec: Spec,
    /// Resources whose changes must be finished before this one is touched.
    pub after: Vec<ResourceId>,
    /// The same, but only between two restarts: a cluster that is being made starts together,
    /// a cluster that serves restarts one by one.
    pub restart_after: Vec<ResourceId>,
    /// What a change of this one causes.
    pub triggers: Vec<Trigger>,
    /// What it causes outside of what was selected.
    pub outside: Vec<Trigger>,
    /// The resource that it is a part of: when that one is made anew, this one is, too.
    pub inside: Option<ResourceId>,
    /// It is outside of what was selected, and here only for the reload or restart that a selected
    /// one asks of it: whether it starts, stops or differs otherwise is not looked at.
    pub drawn_in: bool,
}

impl Resource {
    /// A resource without order or triggers; the id follows from node and spec.
    pub fn new(node: &NodeName, module: Module, spec: impl Into<Spec>) -> Self {
        let spec = spec.into();
        Self {
            id: ResourceId::new(node, spec.kind(), spec.name()),
            module,
            cluster: None,
            spec,
            after: Vec::new(),
            restart_after: Vec::new(),
            triggers: Vec::new(),
            outside: Vec::new(),
            inside: None,
            drawn_in: false,
        }
    }

    /// Sets the cluster.
    #[must_use]
    pub fn in_cluster(mut self, cluster: &str) -> Self {
        self.cluster = Some(cluster.to_owned());
        self
    }

    /// Adds resources that must come first.
    #[must_use]
    pub fn after(mut self, ids: impl IntoIterator<Item = ResourceId>) -> Self {
        self.after.extend(ids);
        self
    }

    /// Sets what it is a part of, which it then also comes after.
    #[must_use]
    pub fn inside(mut self, whole: &ResourceId) -> Self {
        self.inside = Some(whole.clone());
        self.after([whole.clone()])
    }

    /// Adds "reload that unit when this changes"; the reload then also comes after this.
    #[must_use]
    pub fn reloads(self, target: &ResourceId) -> Self {
        self.triggers(target, TriggerAction::Reload, Class::InPlace)
    }

    /// Adds "restart that unit when this changes".
    #[must_use]
    pub fn restarts(self, target: &ResourceId) -> Self {
        self.triggers(target, TriggerAction::Restart, Class::InPlace)
    }

    /// Adds a trigger that needs at least `from_class`.
    #[must_use]
    pub fn triggers(
        mut self,
        target: &ResourceId,
        action: TriggerAction,
        from_class: Class,
    ) -> Self {
        self.triggers.push(Trigger { target: target.clone(), action, from_class });
        self
    }
}

/// Everything that should be, on all nodes.
#[derive(Debug, Clone, Default)]
pub struct DesiredFleet {
    resources: IndexMap<ResourceId, Resource, FixedState>,
    contradictions: BTreeSet<ResourceId>,
    /// The nodes of each cluster before a selection dropped some of them.
    whole: BTreeMap<String, BTreeSet<NodeName>>,
}

/// A dependency on a resource that nobody declared: a mistake in a compiler module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDependency {
    /// The resource that depends.
    pub from: ResourceId,
    /// What it names.
    pub on: ResourceId,
}

/// Resources that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// The path; the last waits for the first.
    pub path: Vec<ResourceId>,
}

impl fmt::Display for Cycle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<String> = self.path.iter().map(ToString::to_string).collect();
        write!(formatter, "resources wait for each other: {}", path.join(" -> "))
    }
}

impl std::error::Error for Cycle {}

/// The nearest resources before something that are not dropped, by one sort of order.
fn beyond<'a>(
    before: &'a [ResourceId],
    dropped: &'a HashMap<ResourceId, Resource>,
    order: impl Fn(&'a Resource) -> &'a [ResourceId],
) -> Vec<ResourceId> {
    let mut found = Vec::new();
    let mut seen: HashSet<&ResourceId> = HashSet::new();
    let mut open: Vec<&ResourceId> = before.iter().rev().collect();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match dropped.get(id) {
            Some(resource) => open.extend(order(resource).iter().rev()),
            None => found.push(id.clone()),
        }
    }
    found
}

impl DesiredFleet {
    /// Adds a resource and returns its id. A second one with the same id replaces nothing: the
    /// first stays, and order and triggers are joined, so that two modules may want one directory.
    pub fn add(&mut self, resource: Resource) -> ResourceId {
        let id = resource.id.clone();
        match self.resources.get_mut(&id) {
            Some(present) => {
                if present.spec != resource.spec {
                    self.contradictions.insert(id.clone());
                }
                present.after.extend(resource.after);
                present.triggers.extend(resource.triggers);
            }
            None => {
                self.resources.insert(id.clone(), resource);
            }
        }
        id
    }

    /// Resources that were declared twice, and not alike: a mistake in a compiler module, on which no
    /// plan may be built, for one of the two would be carried out and never be right for the other.
    pub fn contradictions(&self) -> &BTreeSet<ResourceId> {
        &self.contradictions
    }

    /// Makes room for so many more, where their number is known.
    pub fn reserve(&mut self, more: usize) {
        self.resources.reserve(more);
    }

    /// Adds all resources of another fleet in their order, as [`DesiredFleet::add`] does.
    pub fn join(&mut self, other: Self) {
        self.reserve(other.len());
        self.contradictions.extend(other.contradictions);
        for resource in other.resources.into_values() {
            self.add(resource);
        }
    }

    /// The resource of an id.
    pub fn get(&self, id: &ResourceId) -> Option<&Resource> {
        self.resources.get(id)
    }

    /// The same, to add order or triggers.
    pub fn get_mut(&mut self, id: &ResourceId) -> Option<&mut Resource> {
        self.resources.get_mut(id)
    }

    /// All resources in the order they were declared.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }

    /// The same, to change what a user's wish changes. Ids must stay what they are.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Resource> {
        self.resources.values_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// All resources of a kind on a node.
    pub fn of_kind<'a>(
        &'a self,
        node: &'a NodeName,
        kind: Kind,
    ) -> impl Iterator<Item = &'a Resource> {
        self.iter().filter(move |resource| resource.id.node == *node && resource.id.kind == kind)
    }

    /// Drops resources that the selection leaves out. Those that stay keep their order: what waited
    /// for one that is dropped waits for whatever that one waited for; what they would have asked of
    /// those that go is kept as a debt outside.
    pub fn retain(&mut self, mut keep: impl FnMut(&Resource) -> bool) {
        let whole = self.clusters();
        let mut dropped: HashMap<ResourceId, Resource> = HashMap::new();
        for (id, resource) in std::mem::take(&mut self.resources) {
            if keep(&resource) {
                self.resources.insert(id, resource);
            } else {
                dropped.insert(id, resource);
            }
        }
        if dropped.is_empty() {
            return;
        }
        self.whole = whole;
        for resource in self.resources.values_mut() {
            resource.after = beyond(&resource.after, &dropped, |one| &one.after);
            resource.restart_after =
                beyond(&resource.restart_after, &dropped, |one| &one.restart_after);
            let (outside, triggers): (Vec<Trigger>, Vec<Trigger>) =
                std::mem::take(&mut resource.triggers)
                    .into_iter()
                    .partition(|trigger| dropped.contains_key(&trigger.target));
            resource.triggers = triggers;
            resource.outside.extend(outside);
            resource.inside = resource.inside.take().filter(|id| !dropped.contains_key(id));
        }
    }

    /// The nodes of each cluster, those included that a selection has left out.
    pub fn clusters(&self) -> BTreeMap<String, BTreeSet<NodeName>> {
        let mut clusters = self.whole.clone();
        for resource in self.resources.values() {
            let Some(cluster) = &resource.cluster else { continue };
            match clusters.get_mut(cluster) {
                Some(nodes) if nodes.contains(&resource.id.node) => {}
                Some(nodes) => {
                    nodes.insert(resource.id.node.clone());
                }
                None => {
                    clusters.insert(cluster.clone(), BTreeSet::from([resource.id.node.clone()]));
                }
            }
        }
        clusters
    }

    /// What changes of the chosen resources ask to reload or restart, on these nodes, and was not
    /// chosen itself: left out, a debt would be lost that nobody else knows of.
    pub fn draw_in(&mut self, chosen: &HashSet<ResourceId>, nodes: &BTreeSet<NodeName>) {
        let targets: HashSet<ResourceId> = chosen
            .iter()
            .filter_map(|id| self.resources.get(id))
            .flat_map(|resource| &resource.triggers)
            .map(|trigger| &trigger.target)
            .filter(|target| !chosen.contains(*target) && nodes.contains(&target.node))
            .cloned()
            .collect();
        for target in &targets {
            if let Some(resource) = self.resources.get_mut(target) {
                resource.drawn_in = true;
            }
        }
    }

    /// Everything a resource waits for: declared order, and whatever triggers it.
    pub fn predecessors(&self) -> IndexMap<ResourceId, Vec<ResourceId>> {
        let mut map: IndexMap<ResourceId, Vec<ResourceId>> = self
            .resources
            .iter()
            .map(|(id, resource)| (id.clone(), resource.after.clone()))
            .collect();
        for resource in self.resources.values() {
            for trigger in &resource.triggers {
                if let Some(before) = map.get_mut(&trigger.target) {
                    before.push(resource.id.clone());
                }
            }
        }
        for before in map.values_mut() {
            before.sort();
            before.dedup();
        }
        map
    }

    /// Dependencies on resources that do not exist.
    pub fn unknown_dependencies(&self) -> Vec<UnknownDependency> {
        let mut unknown = Vec::new();
        for resource in self.resources.values() {
            let targets = resource.triggers.iter().map(|trigger| &trigger.target);
            for on in resource.after.iter().chain(&resource.restart_after).chain(targets) {
                if !self.resources.contains_key(on) {
                    unknown.push(UnknownDependency { from: resource.id.clone(), on: on.clone() });
                }
            }
        }
        unknown
    }

    /// The resources in an order in which each comes after everything it waits for.
    ///
    /// # Errors
    /// When resources wait for each other; the path is named.
    pub fn ordered(&self) -> Result<Vec<ResourceId>, Cycle> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            Open,
            Done,
        }
        let predecessors = self.predecessors();
        let mut marks: IndexMap<&ResourceId, Mark> = IndexMap::new();
        let mut order = Vec::with_capacity(self.resources.len());
        for root in self.resources.keys() {
            if marks.contains_key(root) {
                continue;
            }
            let mut stack: Vec<(&ResourceId, usize)> = vec![(root, 0)];
            marks.insert(root, Mark::Open);
            while let Some((id, next)) = stack.last_mut() {
                let before = predecessors.get(*id).map(Vec::as_slice).unwrap_or_default();
                let Some(child) = before.get(*next) else {
                    marks.insert(*id, Mark::Done);
                    order.push((*id).clone());
                    stack.pop();
                    continue;
                };
                *next += 1;
                match marks.get(child) {
                    None if self.resources.contains_key(child) => {
                        marks.insert(child, Mark::Open);
                        stack.push((child, 0));
                    }
                    Some(Mark::Open) => {
                        let from =
                            stack.iter().position(|(open, _)| *open == child).unwrap_or_default();
                        let path = stack[from..].iter().map(|(id, _)| (*id).clone()).collect();
                        return Err(Cycle { path });
                    }
                    _ => {}
                }
            }
        }
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::directory;

    fn named(name: &str) -> Resource {
        let path = format!("/a/{name}");
        Resource::new(&NodeName::new("node"), Module::Node, directory::Spec::absent(path))
    }

    #[test]
    fn what_a_selection_leaves_out_loses_no_order() {
        let mut fleet = DesiredFleet::default();
        let first = fleet.add(named("first"));
        let middle = fleet.add(named("middle").after([first.clone()]));
        let other = fleet.add(named("other").after([middle.clone()]));
        let mut last = named("last").after([middle.clone(), other.clone()]);
        last.restart_after = vec![other.clone()];
        let last = fleet.add(last);
        fleet.get_mut(&other).expect("it is there").restart_after = vec![first.clone()];
        fleet.retain(|resource| resource.id != middle && resource.id != other);
        let last = fleet.get(&last).expect("it stays");
        assert_eq!(last.after, std::slice::from_ref(&first));
        assert_eq!(last.restart_after, [first], "a restart of another member waits all the same");
        assert_eq!(fleet.unknown_dependencies(), []);
    }

    #[test]
    fn two_wishes_for_one_thing_are_told_apart() {
        let mut fleet = DesiredFleet::default();
        let id = fleet.add(named("one"));
        fleet.add(named("one"));
        assert!(fleet.contradictions().is_empty(), "alike is no contradiction");
        let node = NodeName::new("node");
        let present = directory::Spec::present("/a/one", directory::Permissions::root(0o755));
        let mut other = DesiredFleet::default();
        other.add(Resource::new(&node, Module::Node, present));
        fleet.join(other);
        assert_eq!(fleet.contradictions().iter().collect::<Vec<_>>(), [&id]);
    }
}
