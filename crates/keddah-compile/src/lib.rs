//! Pure compilation: an inventory and the facts of its nodes become the resources of the desired fleet.
//!
//! One folder or file per module of the inventory: `ca`, `node`, `etcd`, `pgsql`, `infra`.
//! Everything is decided here, certificates, ports and sizes included, so that apply has no choices left.

mod accepted;
mod ca;
mod codes;
mod compiler;
mod doors;
mod durations;
mod etcd;
mod health;
mod infra;
mod node;
mod one_by_one;
mod ownership;
mod parallel;
mod pgsql;
mod release;
mod removal;
mod removal_identity;
mod removal_notes;
mod templates;
mod topology;

pub use accepted::check_accepted;
pub use ca::{Authorities, Authority, CA_PATH, CONTROLLER, ETCD_CA_PATH};
pub use codes::CODES;
pub use compiler::{Compiled, Input, Removing};
pub use etcd::{asked_before_etcd, may_begin_etcd};
pub use health::{HealthQuestions, cluster_names, health};
pub use pgsql::settings::check_templates;
pub use removal::{as_if_well, own_changes};
pub use removal_notes::{ask_what_goes, etcd_members, without_what_goes};
pub use templates::{TemplateError, Templates};

use compiler::{Compiler, Node, problem};
use keddah_core::{Diagnostic, NodeName};
use keddah_inventory::{Inventory, Params, model, parameters};
use keddah_resource::{DesiredFleet, Kind, NodeFacts, Probe, ResourceId};
use pgsql::place::PLAIN_PATRONI;
use pgsql::verifier::Verifiers;
use release::{POSTGRESQL_VERSIONS, Release};
use std::collections::{BTreeMap, BTreeSet};
use topology::Topology;

/// What each node of an inventory should be asked when it says hello.
pub fn probes(inventory: &Inventory) -> BTreeMap<NodeName, Probe> {
    let mut doors = doors::probes(inventory);
    inventory
        .hosts()
        .map(|host| {
            let params = Params::new(inventory, &host.name);
            let doors = doors.remove(&host.name).unwrap_or_default();
            let removed_in = removal::kept_in(&params);
            let system = node::system::probe(&params);
            let mut probe = Probe { doors, removed_in, system, ..Probe::default() };
            let mut instances = Params::instances(inventory, &host.name);
            instances.retain(|instance| instance.opt(parameters::PG_CLUSTER).is_some());
            if !instances.is_empty() {
                let ports = instances.iter().map(|instance| instance.get(parameters::PATRONI_PORT));
                probe.patroni_ports = ports.collect();
                // Each candidate costs the node a look at all of its package sources.
                probe.beginning_packages =
                    POSTGRESQL_VERSIONS.map(|version| format!("postgresql-{version}")).collect();
                probe.configurations = instances.iter().map(pgsql::identity::directory).collect();
                if instances.iter().any(pgsql::standby::wants_quorum) {
                    probe.packages.push("patroni".to_owned());
                }
                probe.instances = instances.iter().map(pgsql::identity::probe).collect();
                probe.verifiers = instances.iter().filter_map(pgsql::verifier::probe).collect();
            }
            if params.opt(parameters::ETCD_SEQ).is_some() {
                probe.etcd_port = Some(params.get(parameters::ETCD_PORT));
                probe.etcd_data = Some(params.get(parameters::ETCD_DATA));
                probe.etcd_tls = Some([
                    ETCD_CA_PATH.to_owned(),
                    "/etc/etcd/server.crt".to_owned(),
                    "/etc/etcd/server.key".to_owned(),
                ]);
            }
            (host.name.clone(), probe)
        })
        .collect()
}

/// The nodes whose facts the resources of `selected` nodes depend on, the selected ones included:
/// the members of their PostgreSQL clusters, for who leads is asked of all and sizes follow the
/// smallest, and of the clusters that these follow, for what is no copy is not demoted; and the
/// members of etcd where one of them is selected. All others may be out of reach.
pub fn needed(inventory: &Inventory, selected: &BTreeSet<NodeName>) -> BTreeSet<NodeName> {
    let mut needed = selected.clone();
    let clusters = model::pg_clusters(inventory);
    let members = |cluster: &model::PgCluster<'_>| -> Vec<NodeName> {
        cluster.members.iter().map(|member| member.node.clone()).collect()
    };
    for cluster in &clusters {
        if !cluster.members.iter().any(|member| selected.contains(&member.node)) {
            continue;
        }
        needed.extend(members(cluster));
        let followed = cluster
            .primary()
            .and_then(|primary| model::upstream_of(&clusters, &cluster.name, primary));
        needed.extend(followed.map(|(followed, _)| members(followed)).unwrap_or_default());
    }
    for cluster in model::etcd_clusters(inventory) {
        if cluster.members.iter().any(|member| selected.contains(&member.node)) {
            needed.extend(cluster.members.into_iter().map(|member| member.node));
        }
    }
    needed
}

/// Turns an inventory into what should be on every node that has facts.
///
/// # Errors
/// When the inventory asks for something these nodes cannot be, with its place where it has one.
pub fn compile(input: &Input<'_>) -> Result<Compiled, Vec<Diagnostic>> {
    let topology = Topology::of(input.inventory).map_err(|problem| vec![*problem])?;
    let mut nodes = Vec::new();
    let mut problems = Vec::new();
    let leaving = input.removing.hosts();
    for host in input.inventory.hosts() {
        let Some(facts) = input.facts.get(&host.name) else { continue };
        // Of a removal alone, what is wrong with other nodes is no concern.
        let concerned = !input.removing.alone || leaving.contains(&host.name);
        let params = Params::new(input.inventory, &host.name);
        let Some(release) = Release::of(facts) else {
            if !concerned {
                continue;
            }
            problems.push(*problem(
                "unsupported-distribution",
                host.span,
                format!(
                    "{} runs {} {}; Keddah knows the packages of Debian 12 and 13",
                    host.name, facts.distribution.id, facts.distribution.version
                ),
            ));
            continue;
        };
        if concerned {
            let foreign = ownership::foreign(&topology, host, &params, facts);
            problems.extend(foreign.map(|problem| *problem));
            let left = pgsql::elsewhere::left_behind(&topology, host, facts);
            problems.extend(left.map(|problem| *problem));
            problems.extend(second_copy(&topology, &host.name, facts).map(|problem| *problem));
        }
        let hostname = hostname(&topology, &params, facts);
        nodes.push(Node {
            address: host.name.as_str().to_owned(),
            hostname,
            facts,
            release,
            packages: ResourceId::new(&host.name, Kind::Packages, "node"),
            trust: ResourceId::new(&host.name, Kind::File, CA_PATH),
            name: host.name.clone(),
            params,
        });
    }
    let validity = Params::new(
        input.inventory,
        &input.inventory.hosts().next().map_or_else(|| NodeName::new(""), |host| host.name.clone()),
    )
    .get(parameters::CERT_VALIDITY);
    let verifiers = Verifiers::new(input.authorities.fleet.seed.clone());
    let mut compiler = Compiler {
        input,
        topology: &topology,
        fleet: DesiredFleet::default(),
        notes: Vec::new(),
        doors: Vec::new(),
        stopped: Vec::new(),
        untuned: Vec::new(),
        verifiers: &verifiers,
        certificate_days: u32::try_from(validity / 86_400).unwrap_or(u32::MAX).clamp(1, 36_500),
    };
    if problems.is_empty()
        && let Err(problem) = compiler.fleet_of(&nodes)
    {
        problems.push(*problem);
    }
    problems.extend(compiler.fleet.contradictions().iter().map(|id| {
        let message = format!("{id} is wanted in two ways that differ: a defect of Keddah");
        *problem("internal", None, message)
    }));
    if !problems.is_empty() {
        return Err(problems);
    }
    if cfg!(debug_assertions) {
        let unknown = compiler.fleet.unknown_dependencies();
        assert!(unknown.is_empty(), "dependencies on nothing: {unknown:?}");
    }
    if !compiler.untuned.is_empty() {
        compiler.notes.push(format!(
            "kernel parameters that belong to a container's host are not set, and only stand in \
             /etc/sysctl.d/90-keddah.conf, on {}",
            compiler.untuned.join(", ")
        ));
    }
    compiler.notes.sort();
    compiler.notes.dedup();
    let Compiler { fleet, notes, doors, stopped, .. } = compiler;
    Ok(Compiled { fleet, notes, doors, stopped })
}

impl<'a> Compiler<'a> {
    fn fleet_of(&mut self, nodes: &[Node<'a>]) -> Result<(), compiler::Problem> {
        if !self.input.removing.is_empty() {
            self.removals(nodes)?;
        }
        if self.input.removing.alone {
            return Ok(());
        }
        let written = self.authorities();
        self.in_parts(nodes, |part, node| {
            part.trust(node, &written);
            part.node(node)
        })?;
        let etcd = self.etcd(nodes)?;
        self.pgsql(nodes, &etcd)?;
        self.etcd_logins(nodes, &etcd);
        self.infra(nodes)?;
        self.data_directories(nodes);
        self.haproxy_after_patroni(nodes);
        self.haproxy_after_ports(nodes);
        self.one_by_one(nodes);
        self.trust_last();
        Ok(())
    }
}

/// The host name a node should have: its own parameter, or its PostgreSQL instance's name.
fn hostname(topology: &Topology<'_>, params: &Params<'_>, facts: &NodeFacts) -> String {
    if let Some(name) = params.opt(parameters::NODENAME) {
        return name;
    }
    if !params.get(parameters::NODENAME_OVERWRITE) || !params.get(parameters::NODE_ID_FROM_PG) {
        return facts.hostname.clone();
    }
    let first = topology.instances_on(params.node()).next();
    first.map_or_else(|| facts.hostname.clone(), |(cluster, member)| member.instance(&cluster.name))
}

/// Refuses to make a node's instances in other places than those where it has them already: beside a
/// cluster that serves, an empty one of the same name would be made.
fn second_copy(
    topology: &Topology<'_>,
    node: &NodeName,
    facts: &NodeFacts,
) -> Option<compiler::Problem> {
    let (_, member) = topology.instances_on(node).next()?;
    let several = member.is_one_of_several();
    let found = facts.patroni_directories.iter().find(|one| (*one == PLAIN_PATRONI) == several)?;
    let (has, wants) = if several {
        ("one PostgreSQL instance as a whole", "gives it `pg_instances`")
    } else {
        ("instances of `pg_instances`", "gives it one instance as a whole")
    };
    let message = format!(
        "{node} was set up with {has} (/etc/patroni/{found}), and the inventory now {wants}: Keddah \
         does not move data from one to the other"
    );
    Some(Box::new(problem("other-places", member.seq_span, message).help(
        "with the inventory as it was, `keddah remove` the instances on it (members on other hosts \
         keep the data), then apply the new one; docs/operations.md, \"Several instances on one node\"",
    )))
}
