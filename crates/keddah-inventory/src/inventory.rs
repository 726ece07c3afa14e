//! The inventory: groups, hosts, and the variables of each host with where they come from.

use crate::value::{Key, Value};
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use keddah_core::{NodeName, Span};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// A group of hosts, usually a cluster.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Where it is named first; `None` for `all` and `ungrouped` when the file does not name them.
    pub name_span: Option<Span>,
    /// The longest way down from `all`; variables of deeper groups win.
    pub depth: usize,
    /// `ansible_group_priority`: decides between groups of the same depth; the higher wins.
    pub priority: i64,
    /// The groups directly below, in order.
    pub children: Vec<String>,
    /// The groups directly above, in order.
    pub parents: Vec<String>,
    /// The hosts that stand directly in the group, in order.
    pub hosts: Vec<NodeName>,
    /// The group's own variables.
    pub vars: IndexMap<Key, Value>,
}

/// A host with what is written directly at it.
#[derive(Debug, Clone)]
pub struct Host {
    /// The key under `hosts`, after ranges are expanded and a port is split off.
    pub name: NodeName,
    /// Where it is mentioned first.
    pub span: Option<Span>,
    /// The host's own variables, from all places where it stands.
    pub vars: IndexMap<Key, Value>,
    /// The groups in which it stands directly, in order.
    pub groups: Vec<String>,
    /// Where it is mentioned first in each of them.
    pub mentions: HashMap<String, Span>,
}

/// Who sets a variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The group `all`.
    All,
    /// A named group.
    Group(String),
    /// The host itself.
    Host,
    /// One of the host's `pg_instances`, by its port.
    Instance(u16),
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::Group(name) => write!(formatter, "group {name}"),
            Self::Host => formatter.write_str("host"),
            Self::Instance(port) => write!(formatter, "instance {port}"),
        }
    }
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The variable's key in the file.
    pub span: Option<Span>,
    /// Who sets it.
    pub from: Scope,
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub struct Sourced {
    /// The value as written: placeholders are not expanded.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// The variables of one group, one host or one instance.
pub(crate) type Layer = IndexMap<Key, Sourced, FixedState>;

/// A host's merged variables. Holds no copies: hosts of a group share the group's layer.
#[derive(Debug, Clone, Default)]
pub struct HostVars {
    /// From `all` to the group that wins over all others.
    groups: Arc<[Arc<Layer>]>,
    host: Arc<Layer>,
    /// Of one of `pg_instances`, where these are its variables.
    instance: Option<Arc<Layer>>,
}

impl HostVars {
    fn layers(&self) -> impl DoubleEndedIterator<Item = &Arc<Layer>> {
        self.groups.iter().chain(std::iter::once(&self.host)).chain(&self.instance)
    }

    /// The same with an instance's own variables over them.
    pub(crate) fn of_instance(self, layer: Arc<Layer>) -> Self {
        Self { instance: Some(layer), ..self }
    }

    /// What somebody has written for the instance, or at another member for its cluster; nothing
    /// where these are a host's variables.
    pub(crate) fn instance_keys(&self) -> Vec<&Key> {
        let all = self.instance.iter().flat_map(|layer| layer.iter());
        all.filter(|(_, sourced)| sourced.value.span.is_some()).map(|(key, _)| key).collect()
    }

    /// The value that wins, if anyone sets the variable.
    pub fn get(&self, name: &str) -> Option<&Sourced> {
        self.layers().rev().find_map(|layer| layer.get(name))
    }

    /// The value alone.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.get(name).map(|sourced| &sourced.value)
    }

    /// All variables with the values that win, in the order in which `all`, the groups and the
    /// host first name them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Sourced)> {
        let mut merged: IndexMap<&str, &Sourced> = IndexMap::new();
        for layer in self.layers() {
            merged.extend(layer.iter().map(|(key, sourced)| (key.text.as_str(), sourced)));
        }
        merged.into_iter()
    }

    /// Everyone who sets the variable, the winner first.
    pub fn history(&self, name: &str) -> impl Iterator<Item = &Sourced> {
        self.layers().rev().filter_map(move |layer| layer.get(name))
    }
}

/// Groups and hosts of one inventory, with Ansible's meaning.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    groups: IndexMap<String, Group>,
    hosts: IndexMap<String, Host>,
    resolved: HashMap<NodeName, HostVars, FixedState>,
    /// The hosts with `pg_instances`, and each instance's own variables, the lowest port first.
    instances: HashMap<NodeName, Vec<(u16, Arc<Layer>)>, FixedState>,
}

impl Inventory {
    /// Settles precedence once, so that [`Inventory::resolve`] only looks up.
    pub(crate) fn new(groups: IndexMap<String, Group>, hosts: IndexMap<String, Host>) -> Self {
        let layers: HashMap<&str, Arc<Layer>> = groups
            .values()
            .map(|group| {
                let from = match group.name.as_str() {
                    "all" => Scope::All,
                    name => Scope::Group(name.to_owned()),
                };
                (group.name.as_str(), Arc::new(layer(&group.vars, &from)))
            })
            .collect();
        let mut chains: HashMap<&[String], Arc<[Arc<Layer>]>> = HashMap::new();
        let mut resolved = HashMap::with_capacity_and_hasher(hosts.len(), FixedState::default());
        for host in hosts.values() {
            let chain = chains.entry(&host.groups).or_insert_with(|| {
                precedence(&groups, &host.groups)
                    .into_iter()
                    .filter_map(|name| layers.get(name))
                    .filter(|layer| !layer.is_empty())
                    .cloned()
                    .collect()
            });
            let vars = HostVars {
                groups: Arc::clone(chain),
                host: Arc::new(layer(&host.vars, &Scope::Host)),
                instance: None,
            };
            resolved.insert(host.name.clone(), vars);
        }
        let mut inventory = Self { groups, hosts, resolved, instances: HashMap::default() };
        inventory.instances = crate::instances::settle(&inventory);
        inventory
    }

    /// The ports of a host's `pg_instances` with each instance's own variables; `None` for a host
    /// without.
    pub(crate) fn instances(&self, host: &NodeName) -> Option<&[(u16, Arc<Layer>)]> {
        self.instances.get(host).map(Vec::as_slice)
    }

    /// All groups in Ansible's order: `all`, `ungrouped`, then as the file names them.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A group by its name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// All hosts in the order in which the file names them.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// A host by its name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// The hosts of a group and of the groups below it: its own first, then level by level.
    /// Empty for an unknown group.
    pub fn members(&self, group: &str) -> Vec<&Host> {
        let mut seen_hosts = HashSet::new();
        self.descendants(group)
            .into_iter()
            .flat_map(|group| &group.hosts)
            .filter(|host| seen_hosts.insert(host.as_str()))
            .filter_map(|host| self.hosts.get(host.as_str()))
            .collect()
    }

    /// A group and the groups below it, level by level. Empty for an unknown group.
    pub fn descendants(&self, group: &str) -> Vec<&Group> {
        let mut seen = HashSet::new();
        let mut result: Vec<&Group> = self.groups.get(group).into_iter().collect();
        seen.extend(result.iter().map(|group| group.name.as_str()));
        let mut next = 0;
        while let Some(group) = result.get(next).copied() {
            for child in &group.children {
                if seen.insert(child.as_str())
                    && let Some(child) = self.groups.get(child)
                {
                    result.push(child);
                }
            }
            next += 1;
        }
        result
    }

    /// All groups that a host belongs to, `all` first, then from the weakest to the strongest.
    pub fn groups_of(&self, host: &NodeName) -> Vec<&Group> {
        let Some(host) = self.hosts.get(host.as_str()) else {
            return Vec::new();
        };
        precedence(&self.groups, &host.groups)
            .into_iter()
            .filter_map(|name| self.groups.get(name))
            .collect()
    }

    /// A host's variables, merged by Ansible's precedence: `all`, then groups by depth, priority
    /// and name, then the host. Values replace each other whole, as with `hash_behaviour=replace`.
    /// Empty for an unknown host.
    pub fn resolve(&self, host: &NodeName) -> HostVars {
        self.resolved.get(host).cloned().unwrap_or_default()
    }
}

pub(crate) fn layer(vars: &IndexMap<Key, Value>, from: &Scope) -> Layer {
    vars.iter()
        .map(|(key, value)| {
            let origin = Origin { span: key.span, from: from.clone() };
            (key.clone(), Sourced { value: value.clone(), origin })
        })
        .collect()
}

/// The groups of a host that stands directly in `direct`, in the order of growing precedence.
fn precedence<'inventory>(
    groups: &'inventory IndexMap<String, Group>,
    direct: &[String],
) -> Vec<&'inventory str> {
    // Every host belongs to `all`, whatever else it stands in.
    let mut pending: Vec<&str> = vec!["all"];
    pending.extend(direct.iter().map(String::as_str));
    let mut found: Vec<&Group> = Vec::new();
    let mut seen = HashSet::new();
    while let Some(name) = pending.pop() {
        if let Some(group) = groups.get(name)
            && seen.insert(group.name.as_str())
        {
            found.push(group);
            pending.extend(group.parents.iter().map(String::as_str));
        }
    }
    found.sort_by_key(|group| (group.name != "all", group.depth, group.priority, &group.name));
    found.into_iter().map(|group| group.name.as_str()).collect()
}
