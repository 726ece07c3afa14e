//! What all modules of the compiler share: the input, the fleet that grows, and small helpers.

use crate::ca::Authorities;
use crate::parallel;
use crate::pgsql::verifier::Verifiers;
use crate::release::Release;
use crate::templates::Templates;
use crate::topology::Topology;
use keddah_core::{Diagnostic, NodeName, Severity, Span};
use keddah_inventory::{Inventory, Params};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::file;
use keddah_resource::{
    DesiredFleet, Door, Module, NodeFacts, Resource, ResourceId, StoppedCluster,
};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that compilation depends on; it reads nothing else.
#[derive(Debug)]
pub struct Input<'a> {
    /// The inventory, already checked.
    pub inventory: &'a Inventory,
    /// What the nodes say of themselves; a node without facts is left out.
    pub facts: &'a BTreeMap<NodeName, NodeFacts>,
    /// The certificate authorities.
    pub authorities: &'a Authorities,
    /// Templates, the user's over ours.
    pub templates: &'a Templates,
    /// SQL files that databases name as their `baseline`, by that name.
    pub baselines: &'a BTreeMap<String, String>,
    /// Public keys of the person at the controller, for `node_admin_pk_current`.
    pub public_keys: &'a [String],
    /// Whole days since 1970-01-01, UTC.
    pub today: i64,
    /// The account that runs Keddah on the controller.
    pub controller_user: String,
    /// Its group.
    pub controller_group: String,
    /// What `keddah remove` takes away.
    pub removing: &'a Removing,
}

/// What is taken away, by module and host: a cluster's name means its own module only.
#[derive(Debug, Clone, Default)]
pub struct Removing {
    /// Of each PostgreSQL cluster, by name, the hosts whose instance goes.
    pub pgsql: BTreeMap<String, BTreeSet<NodeName>>,
    /// Hosts whose etcd member goes.
    pub etcd: BTreeSet<NodeName>,
    /// Of each PostgreSQL cluster, the hosts that lose a copy moved aside, and nothing else.
    pub asides: BTreeMap<String, BTreeSet<NodeName>>,
    /// Whether a cluster that goes as a whole may go without a last backup.
    pub without_backup: bool,
    /// Whether data and backups that go are deleted, and not moved aside.
    pub deletes: bool,
    /// Hosts that lose what earlier removals have moved aside.
    pub removed: BTreeSet<NodeName>,
    /// Whether only what is taken away is compiled, and nothing that the nodes that stay have to learn
    /// of it: something else in the inventory is refused, which must not stop what may be its cure.
    pub alone: bool,
}

impl Removing {
    /// Whether nothing is taken away.
    pub fn is_empty(&self) -> bool {
        self.pgsql.is_empty()
            && self.etcd.is_empty()
            && self.asides.is_empty()
            && self.removed.is_empty()
    }

    /// All hosts that lose something.
    pub fn hosts(&self) -> BTreeSet<NodeName> {
        let postgres = self.pgsql.values().chain(self.asides.values()).flatten();
        postgres.chain(&self.etcd).chain(&self.removed).cloned().collect()
    }

    /// Hosts that lose an instance or a member of etcd: where one of them does not answer, that does
    /// not keep it from being forgotten by the others.
    pub fn leaving(&self) -> BTreeSet<NodeName> {
        self.pgsql.values().flatten().chain(&self.etcd).cloned().collect()
    }

    /// Whether a cluster's instance on a node goes.
    pub fn instance(&self, node: &NodeName, cluster: &str) -> bool {
        self.pgsql.get(cluster).is_some_and(|nodes| nodes.contains(node))
    }
}

/// What compilation yields.
#[derive(Debug, Default)]
pub struct Compiled {
    /// All resources.
    pub fleet: DesiredFleet,
    /// What a person should know although nothing is wrong, such as a kernel that cannot be tuned.
    pub notes: Vec<String>,
    /// Logins by passwords that everyone knows, outside of a sandbox.
    pub doors: Vec<Door>,
    /// Clusters of which nobody runs, and what their members have.
    pub stopped: Vec<StoppedCluster>,
}

/// Why an inventory does not compile for these nodes.
pub(crate) type Problem = Box<Diagnostic>;

/// A problem at a place of the inventory.
pub(crate) fn problem(
    code: &'static str,
    span: Option<Span>,
    message: impl Into<String>,
) -> Problem {
    Box::new(Diagnostic::new(Severity::Error, code, span, message))
}

/// One node, as all modules see it.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    /// The inventory's name for it.
    pub name: NodeName,
    /// Its IP address.
    pub address: String,
    /// The host name it should have.
    pub hostname: String,
    /// What it says of itself.
    pub facts: &'a NodeFacts,
    /// Its distribution.
    pub release: Release,
    /// Its parameters.
    pub params: Params<'a>,
    /// The resource that installs the NODE module's packages.
    pub packages: ResourceId,
    /// The resource that puts the CA's certificate in place.
    pub trust: ResourceId,
}

impl Node<'_> {
    /// The directories above a path that Keddah makes when they are missing: all but `/` and those
    /// every Linux system has.
    pub fn parents_of(&self, path: &str) -> Vec<String> {
        const GIVEN: &[&str] = &[
            "/var", "/var/lib", "/var/log", "/var/run", "/etc", "/usr", "/run", "/home", "/opt",
            "/srv", "/tmp",
        ];
        let mut parents = Vec::new();
        let mut at = 0;
        while let Some(next) = path[at + 1..].find('/') {
            at += next + 1;
            let parent = &path[..at];
            if !GIVEN.contains(&parent) {
                parents.push(parent.to_owned());
            }
        }
        parents
    }
}

/// The state of one compilation, or of a part of it: nodes and clusters are compiled beside each
/// other, and what they yield is joined in the inventory's order.
pub(crate) struct Compiler<'a> {
    pub input: &'a Input<'a>,
    pub topology: &'a Topology<'a>,
    /// The resources so far; a part holds its own alone, and joins those that others have, too.
    pub fleet: DesiredFleet,
    pub notes: Vec<String>,
    /// Logins by passwords that everyone knows.
    pub doors: Vec<Door>,
    /// Clusters of which nobody runs.
    pub stopped: Vec<StoppedCluster>,
    /// Nodes whose kernel parameters cannot be changed.
    pub untuned: Vec<String>,
    /// Password verifiers.
    pub verifiers: &'a Verifiers,
    /// Days that certificates of nodes are valid.
    pub certificate_days: u32,
}

impl<'a> Compiler<'a> {
    /// Does the same for each of many nodes or clusters, each time as a part of its own.
    ///
    /// # Errors
    /// The first in their order.
    pub fn in_parts<T: Sync>(
        &mut self,
        items: &[T],
        work: impl Fn(&mut Compiler<'a>, &T) -> Result<(), Problem> + Sync,
    ) -> Result<(), Problem> {
        let Self { input, topology, verifiers, certificate_days, .. } = *self;
        let parts = parallel::in_chunks(items, |chunk| {
            let mut part = Compiler {
                input,
                topology,
                fleet: DesiredFleet::default(),
                notes: Vec::new(),
                doors: Vec::new(),
                stopped: Vec::new(),
                untuned: Vec::new(),
                verifiers,
                certificate_days,
            };
            chunk.iter().try_for_each(|item| work(&mut part, item)).map(|()| part)
        });
        let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.fleet.reserve(parts.iter().map(|part| part.fleet.len()).sum());
        for part in parts {
            let Compiler { fleet, notes, doors, stopped, untuned, .. } = part;
            self.fleet.join(fleet);
            self.notes.extend(notes);
            self.doors.extend(doors);
            self.stopped.extend(stopped);
            self.untuned.extend(untuned);
        }
        Ok(())
    }
}

impl Compiler<'_> {
    /// Renders a template; a failure is a problem without a place in the inventory.
    pub fn render(&self, template: &str, context: serde_json::Value) -> Result<String, Problem> {
        self.input
            .templates
            .render(template, context)
            .map_err(|error| problem("template", None, error.to_string()))
    }

    /// Adds a directory and those above it; returns the last.
    pub fn directories(
        &mut self,
        node: &Node<'_>,
        module: Module,
        path: &str,
        permissions: Permissions,
        after: &[ResourceId],
    ) -> ResourceId {
        let above = self.ways(node, module, &node.parents_of(path));
        self.fleet.add(
            Resource::new(&node.name, module, directory::Spec::present(path, permissions))
                .after(above)
                .after(after.iter().cloned()),
        )
    }

    /// Adds directories that lead to others, from the outermost on; returns the last.
    pub fn ways(
        &mut self,
        node: &Node<'_>,
        module: Module,
        paths: &[String],
    ) -> Option<ResourceId> {
        let mut above = None;
        for path in paths {
            let resource = Resource::new(&node.name, module, directory::Spec::way(path));
            above = Some(self.fleet.add(resource.after(above)));
        }
        above
    }

    /// A drop-in of a unit, `<unit>.d/keddah.conf`; returns what the unit waits for.
    pub fn drop_in(
        &mut self,
        node: &Node<'_>,
        module: Module,
        unit: &str,
        template: &str,
        context: serde_json::Value,
        restarts: Option<&ResourceId>,
    ) -> Result<Vec<ResourceId>, Problem> {
        let text = self.render(template, context)?;
        let path = format!("/etc/systemd/system/{unit}.d");
        let directory = self.fleet.add(Resource::new(
            &node.name,
            module,
            directory::Spec::present(path.clone(), Permissions::root(0o755)),
        ));
        let mut resource = Resource::new(
            &node.name,
            module,
            file::Spec::text(format!("{path}/keddah.conf"), text, Permissions::root(0o644)),
        )
        .after([directory]);
        if let Some(unit) = restarts {
            resource = resource.restarts(unit);
        }
        Ok(vec![self.fleet.add(resource)])
    }
}
