//! Logins in etcd: a user per PostgreSQL cluster that reaches that cluster's keys alone, root, and, when
//! every Patroni has its login, that etcd asks for them.
//!
//! The order is the graph's: members of etcd, root, users; then the login of each Patroni that runs; then
//! the demand for logins; then the Patronis that do not run yet: with a login, Patroni 4.0 does not start
//! beside Debian's etcd 3.5 as long as that asks for none (it does not know the answer's form).

use super::learners::serves_clients;
use crate::ca::ETCD_CA_PATH;
use crate::compiler::{Compiler, Node, Problem, problem};
use crate::pgsql::place::Place;
use crate::topology::EtcdMember;
use keddah_core::{NodeName, Secret};
use keddah_inventory::model::{PgCluster, RtoPlan};
use keddah_inventory::{Params, is_public_password, parameters};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::etcd_access::{self, Part};
use keddah_resource::kind::etcd_auth::{self, ROOT, ROOT_PASSWORD_FILE, Servers};
use keddah_resource::kind::etcd_member::EtcdConnection;
use keddah_resource::kind::{etcd_login, file};
use keddah_resource::{Kind, Module, Resource, ResourceId};

/// A Patroni reads its configuration again at its next turn, and needs a moment for that turn.
const TURN_SECONDS: u32 = 5;

/// What a cluster's part of etcd needs of the cluster's instances.
pub(crate) struct Client {
    /// The instance's name.
    pub instance: String,
    /// Its node.
    pub node: NodeName,
    /// Its certificate for etcd.
    pub certificate: ResourceId,
    /// Where its certificates are.
    pub certificates: String,
    /// Its Patroni.
    pub patroni: ResourceId,
    /// The file that has its login.
    pub secrets: ResourceId,
    /// The port of its Patroni's REST API.
    pub patroni_port: u16,
    /// Whether that runs now.
    pub runs: bool,
}

/// A cluster's password for etcd: its own name where none is set.
pub(crate) fn password(params: &Params<'_>, cluster: &str) -> Secret {
    let password = params.get(parameters::PG_ETCD_PASSWORD);
    if password.is_empty() { Secret::new(cluster) } else { password }
}

/// What a cluster's user reaches, sorted.
fn prefixes(params: &Params<'_>, cluster: &str) -> Vec<String> {
    let mut prefixes = vec![etcd_auth::own_prefix(cluster), patroni_prefix(params, cluster)];
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// Where Patroni keeps a cluster's state. The slash at its end keeps `pg-test2` apart from `pg-test`.
pub(crate) fn patroni_prefix(params: &Params<'_>, cluster: &str) -> String {
    match params.get(parameters::PG_NAMESPACE).trim_matches('/') {
        "" => format!("/{cluster}/"),
        namespace => format!("/{namespace}/{cluster}/"),
    }
}

fn turn(params: &Params<'_>) -> u32 {
    u32::try_from(RtoPlan::of(params).loop_wait).unwrap_or(u32::MAX / 4)
}

impl Compiler<'_> {
    /// The member through which what is one for all of etcd is seen to. One that is about to go is not
    /// left out, so that a removal finds it as it was.
    fn speaker(&self) -> Option<&EtcdMember> {
        self.asked_in_turn().find(|member| self.input.facts.contains_key(&member.node))
    }

    /// The members in the order in which they are asked: a learner refuses whoever wants to act in etcd.
    fn asked_in_turn(&self) -> impl Iterator<Item = &EtcdMember> {
        let serves =
            |member: &EtcdMember| serves_clients(member, &self.topology.etcd, self.input.facts);
        let (first, last): (Vec<_>, Vec<_>) =
            self.topology.etcd.iter().partition(|member| serves(member));
        first.into_iter().chain(last)
    }

    /// How root is known, and where etcd's members are, for an agent with a client's certificate.
    pub(crate) fn etcd_servers(&self, certificates: &str, params: &Params<'_>) -> Servers {
        let connection = |member: &EtcdMember| EtcdConnection {
            endpoint: format!("https://{}:{}", member.address, member.port),
            ca_path: ETCD_CA_PATH.to_owned(),
            certificate_path: format!("{certificates}/etcd.crt"),
            key_path: format!("{certificates}/etcd.key"),
        };
        Servers {
            connections: self.asked_in_turn().map(connection).collect(),
            root: params.get(parameters::ETCD_ROOT_PASSWORD),
        }
    }

    /// The same for an agent on a member's own node.
    fn servers_beside(&self, speaker: &EtcdMember, params: &Params<'_>) -> Servers {
        let others = self.asked_in_turn().filter(|other| other.node != speaker.node);
        let own = super::connection(format!("https://127.0.0.1:{}", speaker.port));
        let others =
            others.map(|one| super::connection(format!("https://{}:{}", one.address, one.port)));
        Servers {
            connections: std::iter::once(own).chain(others).collect(),
            root: params.get(parameters::ETCD_ROOT_PASSWORD),
        }
    }

    fn root_id(&self) -> Option<ResourceId> {
        let speaker = self.speaker()?;
        Some(ResourceId::new(&speaker.node, Kind::EtcdAuth, ROOT))
    }

    /// etcd's root user, and its password beside each member, for what only root may do there.
    pub(super) fn etcd_root(&mut self, nodes: &[Node<'_>], units: &[ResourceId]) {
        let Some(speaker) = self.speaker().cloned() else { return };
        let Some(node) = nodes.iter().find(|node| node.name == speaker.node) else { return };
        let spec = etcd_auth::Spec {
            part: etcd_auth::Part::Root { password_file: ROOT_PASSWORD_FILE.to_owned() },
            servers: self.servers_beside(&speaker, &node.params),
        };
        let password = spec.servers.root.clone();
        let root = self.fleet.add(
            Resource::new(&node.name, Module::Etcd, spec)
                .in_cluster(&speaker.cluster)
                .after(units.iter().cloned()),
        );
        if is_public_password(&password) {
            let members = self.topology.etcd.iter().map(|member| &member.node);
            let members: Vec<&NodeName> = members.collect();
            let presumed = self.has_postgres();
            self.door("`etcd_root_password`", &root, &members, presumed);
        }
        for unit in units {
            // After root itself: with the file, a password that is changed is known from before.
            let owner = Permissions::root(0o600);
            let file = file::Spec::secret(ROOT_PASSWORD_FILE, password.clone(), owner);
            self.fleet.add(
                Resource::new(&unit.node, Module::Etcd, file)
                    .in_cluster(&speaker.cluster)
                    .after([root.clone(), unit.clone()]),
            );
        }
    }

    /// A cluster's user, and what says that its Patronis have their logins. Returns what the first of
    /// them waits for.
    ///
    /// # Errors
    /// For a cluster whose user would be root.
    pub(crate) fn etcd_access(
        &mut self,
        cluster: &PgCluster<'_>,
        params: &Params<'_>,
        exists: bool,
        clients: &[Client],
        leader: &Client,
        etcd: &[ResourceId],
    ) -> Result<ResourceId, Problem> {
        let name = cluster.name.as_str();
        if name == ROOT {
            let span = cluster.members.first().and_then(|member| member.seq_span);
            let message = "a cluster called `root` would have etcd's root user as its own";
            return Err(problem("etcd-root", span, message).help("give it another name").into());
        }
        let resource = |node: &NodeName, spec: keddah_resource::Spec| {
            Resource::new(node, Module::Pgsql, spec).in_cluster(name)
        };
        let spec = |part: Part, settled_seconds: u32, servers: Servers| etcd_access::Spec {
            user: name.to_owned(),
            password: password(params, name),
            prefixes: prefixes(params, name),
            part,
            settled_seconds,
            patroni_port: (part == Part::Password).then_some(leader.patroni_port),
            servers,
        };
        let servers = self.etcd_servers(&leader.certificates, params);
        let access = self.fleet.add(
            resource(&leader.node, spec(Part::Role, 0, servers.clone()).into())
                .after(etcd.iter().cloned())
                .after(self.root_id())
                .after([leader.certificate.clone()]),
        );
        let mut patronis = Vec::new();
        for client in clients {
            patronis.push(client.patroni.clone());
            if !client.runs {
                continue;
            }
            let login = etcd_login::Spec {
                cluster: name.to_owned(),
                instance: client.instance.clone(),
                connections: self.etcd_servers(&client.certificates, params).connections,
                unit: client.patroni.name.clone(),
                settled_seconds: turn(params) + TURN_SECONDS,
            };
            self.fleet.add(
                resource(&client.node, login.into())
                    .after([client.secrets.clone(), client.certificate.clone(), access.clone()])
                    .after(etcd.iter().cloned()),
            );
        }
        let mut by = access.clone();
        if exists {
            // Every Patroni has it before etcd ends the logins by the old one.
            let password = spec(Part::Password, turn(params) + TURN_SECONDS, servers);
            by = self.fleet.add(
                resource(&leader.node, password.into()).after([access.clone()]).after(patronis),
            );
        }
        self.etcd_door(cluster, params, &access, exists);
        if by != access {
            self.etcd_door(cluster, params, &by, true);
        }
        Ok(access)
    }

    /// The login by a password that everyone knows: the cluster's name is one.
    fn etcd_door(
        &mut self,
        cluster: &PgCluster<'_>,
        params: &Params<'_>,
        by: &ResourceId,
        presumed: bool,
    ) {
        let name = cluster.name.as_str();
        let password = password(params, name);
        let called = if password.reveal() == name {
            "`pg_etcd_password` (the cluster's name)"
        } else if is_public_password(&password) {
            "`pg_etcd_password`"
        } else {
            return;
        };
        let nodes: Vec<&NodeName> = cluster.members.iter().map(|member| &member.node).collect();
        self.door(called, by, &nodes, presumed);
    }

    /// That etcd asks for logins: what a Patroni that does not run waits for.
    pub(crate) fn logins_id(&self) -> Option<ResourceId> {
        let speaker = self.speaker()?;
        Some(ResourceId::new(&speaker.node, Kind::EtcdAuth, "logins"))
    }

    /// That etcd asks for logins, once nobody who is alive in it is cut off by that.
    pub(crate) fn etcd_logins(&mut self, nodes: &[Node<'_>], etcd: &[ResourceId]) {
        let Some(speaker) = self.speaker().cloned() else { return };
        let Some(node) = nodes.iter().find(|node| node.name == speaker.node) else { return };
        let (mut served, mut longest) = (Vec::new(), 0);
        for cluster in &self.topology.clusters {
            for member in &cluster.members {
                served.extend(prefixes(&member.params, cluster.name.as_str()));
                longest = longest.max(turn(&member.params));
            }
        }
        served.sort();
        served.dedup();
        let before = |resource: &&Resource| match &resource.spec {
            keddah_resource::Spec::EtcdAccess(spec) => spec.part == Part::Role,
            keddah_resource::Spec::EtcdLogin(_) => true,
            _ => resource.id.kind == Kind::EtcdAuth,
        };
        let before: Vec<ResourceId> =
            self.fleet.iter().filter(before).map(|one| one.id.clone()).collect();
        let spec = etcd_auth::Spec {
            part: etcd_auth::Part::Required {
                served,
                patience_seconds: 2 * longest + TURN_SECONDS,
            },
            servers: self.servers_beside(&speaker, &node.params),
        };
        self.fleet.add(
            Resource::new(&node.name, Module::Pgsql, spec)
                .in_cluster(&speaker.cluster)
                .after(before)
                .after(etcd.iter().cloned()),
        );
    }

    /// The user and role of a cluster that goes as a whole, taken away last.
    pub(crate) fn no_etcd_access(
        &mut self,
        cluster: &PgCluster<'_>,
        params: &Params<'_>,
        node: &NodeName,
        place: &Place,
        after: ResourceId,
    ) -> ResourceId {
        let name = cluster.name.as_str();
        let spec = etcd_access::Spec {
            user: name.to_owned(),
            password: Secret::default(),
            prefixes: Vec::new(),
            part: Part::Absent,
            settled_seconds: 0,
            patroni_port: None,
            servers: self.etcd_servers(&place.certificates(), params),
        };
        let resource = Resource::new(node, Module::Pgsql, spec).in_cluster(name);
        self.fleet.add(resource.after([after]))
    }
}
