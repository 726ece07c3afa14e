//! The PGSQL module: highly available PostgreSQL clusters and every way into them.

mod aside;
pub(crate) mod backup;
mod birth;
pub(crate) mod elsewhere;
mod further_packages;
mod hba;
pub(crate) mod identity;
pub(crate) mod layout;
mod led;
mod libraries;
mod listening;
mod moving_ports;
mod objects;
mod patroni;
mod pause;
pub(crate) mod place;
mod pool;
mod pool_auth;
mod privileges;
mod repository;
mod roles;
pub(crate) mod services;
pub(crate) mod settings;
pub(crate) mod standby;
mod stopped;
pub(crate) mod verifier;

use crate::compiler::{Compiler, Node, Problem, problem};
use crate::doors::patroni_secrets;
use crate::etcd::access;
use crate::release::POSTGRESQL_VERSIONS;
use keddah_core::NodeName;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::{ParamOrigin, Params, parameters};
use keddah_resource::kind::PgConnection;
use keddah_resource::kind::postmaster::PatroniApi;
use keddah_resource::{Kind, NodeFacts, ResourceId};
use place::Place;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A cluster as the files of this module see it.
pub(super) struct Cluster<'a> {
    /// Its name.
    pub name: String,
    /// PostgreSQL's major version.
    pub version: u32,
    /// Its instances whose nodes answer, by number.
    pub instances: Vec<Instance<'a>>,
    /// The node that leads now, or that will be made the first primary; while nobody leads who was asked, one
    /// that runs.
    pub leader: NodeName,
    /// Who leads.
    lead: led::Lead,
    /// Whether it exists: some member's Patroni says so, or some member holds its data.
    pub exists: bool,
    /// Who holds its data.
    holders: Vec<stopped::Holder>,
    /// What it follows, when it is a standby cluster.
    follows: Option<standby::Upstream>,
    /// The leader's parameters, for everything that is one for the whole cluster.
    pub params: Params<'a>,
    /// PostgreSQL's parameters: for the first start, and for the DCS ever after.
    pub parameters: BTreeMap<String, String>,
    /// Members whose nodes do not answer, and whose sizes nobody knows.
    pub away: Vec<String>,
    /// The parameters that such a member might not bear; none where every member answers.
    pub sized: BTreeSet<String>,
    /// What it keeps of its roles' passwords.
    stored: verifier::Stored,
}

/// An instance and the node it stands on.
pub(super) struct Instance<'a> {
    /// Its name, `<cluster>-<seq>`.
    pub name: String,
    /// What the inventory says of it.
    pub member: PgMember<'a>,
    /// Its node.
    pub node: Node<'a>,
    /// Where its files and units are.
    pub place: Place,
    /// The cluster's directory on the node, to which the link in its place leads.
    pub directory: String,
    /// How many instances share the node.
    pub neighbours: u64,
}

impl Cluster<'_> {
    /// The smallest of the members' parts in what their nodes have.
    fn least(&self, of: impl Fn(&NodeFacts) -> u64) -> u64 {
        let parts =
            self.instances.iter().map(|instance| of(instance.node.facts) / instance.neighbours);
        parts.min().unwrap_or_default()
    }

    /// Whether it exists and all its members are there, with no server that runs: whoever comes up first leads.
    fn nobody_serves(&self) -> bool {
        let runs = |one: &Instance<'_>| led::serves(one.node.facts, &self.name);
        let alone = self.follows.is_none() && self.away.is_empty();
        self.exists && alone && !self.instances.iter().any(runs)
    }

    /// The instance that leads.
    fn leader(&self) -> &Instance<'_> {
        self.instances
            .iter()
            .find(|instance| instance.node.name == self.leader)
            .unwrap_or(&self.instances[0])
    }

    /// How the leader's agent reaches PostgreSQL.
    fn connection(&self) -> PgConnection {
        connection(&self.params)
    }

    /// The operating system account that runs it, and the role of the same name.
    fn superuser(&self) -> String {
        self.params.get(parameters::PG_DBSU)
    }
}

/// How an agent reaches PostgreSQL on its own node.
pub(crate) fn connection(params: &Params<'_>) -> PgConnection {
    PgConnection {
        socket_directory: params.get(parameters::PG_LOCALHOST),
        port: params.get(parameters::PG_PORT),
        superuser: params.get(parameters::PG_DBSU),
    }
}

impl Instance<'_> {
    /// How the agent reaches Patroni on this node.
    fn api(&self) -> PatroniApi {
        let params = &self.member.params;
        PatroniApi {
            unit: self.place.patroni_unit(),
            address: self.node.address.clone(),
            port: params.get(parameters::PATRONI_PORT),
            ca_path: params
                .get(parameters::PATRONI_SSL_ENABLED)
                .then(|| crate::ca::CA_PATH.to_owned()),
            username: params.get(parameters::PATRONI_USERNAME),
            password: params.get(parameters::PATRONI_PASSWORD),
        }
    }

    /// A path below `/pg`, or the link in its place, as the path that it leads to.
    fn real(&self, path: &str) -> String {
        match path.strip_prefix(&self.place.below("")) {
            Some(rest) => format!("{}/{rest}", self.directory),
            None => path.to_owned(),
        }
    }

    fn id(&self, kind: Kind, name: &str) -> ResourceId {
        ResourceId::new(&self.node.name, kind, name)
    }

    fn postmaster(&self) -> ResourceId {
        self.id(Kind::Postmaster, &self.name)
    }

    fn pgbouncer(&self) -> ResourceId {
        self.id(Kind::Unit, &self.place.pgbouncer_unit())
    }

    fn patroni(&self) -> ResourceId {
        self.id(Kind::Unit, &self.place.patroni_unit())
    }
}

impl<'a> Compiler<'a> {
    /// All clusters whose nodes answer.
    pub(crate) fn pgsql(&mut self, nodes: &[Node<'a>], etcd: &[ResourceId]) -> Result<(), Problem> {
        let by_name: HashMap<&NodeName, &Node<'a>> =
            nodes.iter().map(|node| (&node.name, node)).collect();
        self.in_parts(&self.topology.clusters, |part, cluster| {
            match part.cluster(cluster, &by_name)? {
                Some(cluster) => part.pg_cluster(&cluster, etcd),
                None => Ok(()),
            }
        })
    }

    /// A cluster with its version and leader settled; `None` when none of its nodes answers.
    fn cluster(
        &self,
        model: &PgCluster<'a>,
        nodes: &HashMap<&NodeName, &Node<'a>>,
    ) -> Result<Option<Cluster<'a>>, Problem> {
        let mut instances = Vec::new();
        for member in &model.members {
            let Some(&node) = nodes.get(&member.node) else { continue };
            if self.input.removing.instance(&node.name, model.name.as_str()) {
                continue;
            }
            instances.push((member.clone(), node.clone()));
        }
        instances.sort_by_key(|(member, _)| member.seq);
        let Some((first, first_node)) = instances.first() else { return Ok(None) };
        let found = self.identity(model, &instances)?;
        self.not_elsewhere(model)?;
        let version = match found.version {
            Some(version) => version,
            None => version(&first.params, first_node)?,
        };
        if self.topology.etcd.is_empty() {
            return Err(problem(
                "no-etcd",
                first.seq_span,
                format!(
                    "the cluster `{}` needs etcd, and the inventory has none: add a group with \
                     etcd_seq for one or three hosts",
                    model.name
                ),
            ));
        }
        let serves = |node: &Node<'_>| led::serves(node.facts, model.name.as_str());
        let exists = !found.holders.is_empty() || instances.iter().any(|(_, node)| serves(node));
        if !exists {
            self.all_were_asked(model, nodes)?;
        }
        let first_primary = model.primary().map(|member| &member.node);
        let stays = |member: &PgMember<'_>| {
            !self.input.removing.instance(&member.node, model.name.as_str())
        };
        let led = led::find(model, &instances, stays);
        let (now, lead) = led.map_or((None, led::Lead::Begins), |led| (led.node, led.lead));
        let leader = instances
            .iter()
            .find(|(_, node)| Some(&node.name) == now)
            .or_else(|| {
                let first = found.starts_first(first_primary)?;
                instances.iter().find(|(_, node)| node.name == *first)
            })
            .or_else(|| instances.iter().find(|(_, node)| Some(&node.name) == first_primary))
            .unwrap_or(&instances[0]);
        let (leader, params) = (leader.1.name.clone(), leader.0.params.clone());
        let name = model.name.as_str().to_owned();
        let leads_first = instances.iter().filter(|(_, node)| node.name == leader);
        let others = instances.iter().filter(|(_, node)| node.name != leader);
        let facts = leads_first.chain(others).map(|(_, node)| node.facts);
        let stored = verifier::Stored::of(&name, &params, facts);
        let instances = instances
            .into_iter()
            .map(|(member, node)| Instance {
                name: member.instance(&model.name),
                place: Place::of(&name, &member),
                directory: format!(
                    "{}/{name}-{version}",
                    member.params.get(parameters::PG_FS_MAIN)
                ),
                neighbours: self.topology.instances_on(&node.name).count().max(1) as u64,
                member,
                node,
            })
            .collect();
        let follows = self.upstream(model);
        let silent = model.members.iter().filter(|member| {
            !nodes.contains_key(&member.node)
                && !self.input.removing.instance(&member.node, model.name.as_str())
        });
        let away =
            silent.map(|member| format!("{} on {}", member.instance(&model.name), member.node));
        let (away, sized) = (away.collect(), BTreeSet::new());
        let parameters = BTreeMap::new();
        let mut cluster = Cluster {
            name,
            version,
            instances,
            leader,
            lead,
            exists,
            holders: found.holders,
            follows,
            params,
            parameters,
            away,
            sized,
            stored,
        };
        cluster.parameters = self.parameters(&cluster)?;
        if !cluster.away.is_empty() {
            cluster.sized = self.sized(&cluster)?;
        }
        Ok(Some(cluster))
    }

    /// The members of a cluster that stay, those that do not answer now included: nobody is locked
    /// out, or missing in a certificate, for being away.
    fn members(&self, cluster: &Cluster<'_>) -> impl Iterator<Item = &PgMember<'a>> {
        let model = self.topology.instance_of(&cluster.name, &cluster.leader);
        let removing = self.input.removing;
        let members = model.into_iter().flat_map(|(model, _)| &model.members);
        members.filter(|member| !removing.instance(&member.node, &cluster.name))
    }

    fn pg_cluster(&mut self, cluster: &Cluster<'_>, etcd: &[ResourceId]) -> Result<(), Problem> {
        self.following(cluster)?;
        self.not_over_backups(cluster)?;
        Self::not_twice(cluster)?;
        self.lost_members(cluster);
        self.tell_stopped(cluster);
        self.tell_unled(cluster);
        self.repository(cluster)?;
        let mut ready = Vec::new();
        let (mut etcd, mut clients) = (etcd.to_vec(), Vec::new());
        let members = etcd.clone();
        if !cluster.exists {
            // Where a Patroni serves already, etcd knows its user, or asks for none.
            etcd.push(ResourceId::new(&cluster.leader, Kind::EtcdAccess, &cluster.name));
        }
        for instance in &cluster.instances {
            Self::listens_here(cluster, instance)?;
            let files = self.layout(cluster, instance)?;
            self.backup_files(cluster, instance, &files)?;
            let runs = instance.node.facts.patroni_of(&cluster.name).is_some();
            let waits = self.logins_id().filter(|_| !runs);
            let etcd: Vec<ResourceId> = etcd.iter().cloned().chain(waits).collect();
            self.instance(cluster, instance, &files, &etcd)?;
            clients.push(access::Client {
                instance: instance.name.clone(),
                node: instance.node.name.clone(),
                certificate: files.etcd_certificate.clone(),
                certificates: instance.place.certificates(),
                patroni: instance.patroni(),
                secrets: instance.id(Kind::File, &patroni_secrets(&instance.place)),
                patroni_port: instance.member.params.get(parameters::PATRONI_PORT),
                runs,
            });
            self.pool(cluster, instance, &files)?;
            ready.push(instance.postmaster());
        }
        let leader = clients.iter().find(|client| client.node == cluster.leader);
        if let (Some((model, _)), Some(leader)) =
            (self.topology.instance_of(&cluster.name, &cluster.leader), leader)
        {
            let (params, exists) = (&cluster.params, cluster.exists);
            self.etcd_access(model, params, exists, &clients, leader, &members)?;
        }
        let mut settled = match cluster.lead {
            led::Lead::Elsewhere(_) => Vec::new(),
            // Where nobody leads, they may be what keeps somebody from it.
            _ => self.patroni_config(cluster, &ready)?,
        };
        if standby::waits_in_any_case(&cluster.params) {
            // Whatever is written waits until a standby has it: begun before there is one, it would keep
            // a place from those who make it.
            let members = cluster.instances.iter().filter(|one| one.node.name != cluster.leader);
            settled.extend(members.map(|one| one.id(Kind::PgInstance, &one.name)));
        }
        self.cluster_backup(cluster, &settled)?;
        if cluster.follows.is_some() || !cluster.is_led() {
            // What is in it comes from the cluster that it follows, or waits for its leader.
            return Ok(());
        }
        let roles = self.roles(cluster, &settled)?;
        self.objects(cluster, &roles)
    }
}

/// PostgreSQL's major version for a cluster: what the inventory asks for, or, where it asks for
/// nothing, the newest that the node's package sources are known to offer.
fn version(params: &Params<'_>, node: &Node<'_>) -> Result<u32, Problem> {
    let wanted = u32::try_from(params.get(parameters::PG_VERSION)).unwrap_or_default();
    let offered = |version: u32| {
        version == node.release.postgresql()
            || node.facts.package_candidates.contains_key(&format!("postgresql-{version}"))
    };
    if offered(wanted) {
        return Ok(wanted);
    }
    if params.origin(parameters::PG_VERSION) == ParamOrigin::Default {
        let newest = POSTGRESQL_VERSIONS.rev().find(|&version| offered(version));
        return Ok(newest.unwrap_or(node.release.postgresql()));
    }
    let own = node.release.postgresql();
    let there: Vec<String> = POSTGRESQL_VERSIONS
        .filter(|&version| offered(version))
        .map(|one| one.to_string())
        .collect();
    let problem = problem(
        "unavailable-version",
        params.span(parameters::PG_VERSION),
        format!(
            "the package sources of {} do not offer PostgreSQL {wanted}; they offer {}",
            node.name,
            there.join(" and ")
        ),
    );
    Err(Box::new(problem.help(format!(
        "ask for one of these, or leave `pg_version` out and take the newest of them; Debian itself has \
         {own}. Package sources are yours to set up on each node of the cluster; PostgreSQL's own has \
         every version: `apt-get install postgresql-common`, then \
         `/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh`"
    ))))
}
