//! What a fleet's health is measured by, and what each node is asked for it. The inventory alone
//! decides: a node need not answer for the others to be judged.

use crate::node::{CRON, vip};
use crate::pgsql::backup::is_shared;
use crate::pgsql::place::Place;
use crate::pgsql::standby;
use crate::topology::Topology;
use crate::{etcd, infra, pgsql};
use keddah_core::{ClusterName, Diagnostic, NodeName};
use keddah_inventory::model::{
    self, DatabaseState, PgCluster, PgDatabase, PgMember, PgRole, PgService, PgUser, RtoPlan, State,
};
use keddah_inventory::registry::Handle;
use keddah_inventory::{Inventory, Params, parameters, selector};
use keddah_resource::health::{
    Accepted, ConfigurationProbe, Expected, ExpectedCluster, ExpectedEtcd, ExpectedMember,
    ExpectedService, HealthProbe, LoginDoor, LoginProbe, PortProbe, ServerProbe, SharedAddress,
};
use std::collections::{BTreeMap, BTreeSet};

/// What should be, and the questions that tell whether it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthQuestions {
    /// What should be.
    pub expected: Expected,
    /// What each node is asked.
    pub probes: BTreeMap<NodeName, HealthProbe>,
}

/// The questions for all nodes of an inventory; `patience` is the milliseconds that a node's own
/// services have for their answers.
///
/// # Errors
/// When the inventory has two clusters of etcd, which is no fleet that could be judged.
pub fn health(inventory: &Inventory, patience: u64) -> Result<HealthQuestions, Box<Diagnostic>> {
    let topology = Topology::of(inventory)?;
    let mut expected = Expected {
        clusters: clusters(&topology, inventory),
        shared_addresses: addresses(&topology, inventory),
        ..Expected::default()
    };
    let keys = |cluster: &PgCluster<'_>| {
        let params = &cluster.primary().unwrap_or(&cluster.members[0]).params;
        etcd::access::patroni_prefix(params, cluster.name.as_str())
    };
    expected.key_prefixes = topology.clusters.iter().map(keys).collect();
    for member in &topology.etcd {
        let (name, node) = (member.name.clone(), member.node.clone());
        expected.etcd.push(ExpectedEtcd { name, node, peer_url: member.peer_url() });
    }
    let mut probes = BTreeMap::new();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let accepted = params.get(parameters::KEDDAH_ACCEPT).into_iter();
        expected
            .accepted
            .extend(accepted.map(|finding| Accepted { node: host.name.clone(), finding }));
        if params.get(parameters::PATRONI_MODE) == "pause" {
            let (node, finding) = (host.name.clone(), "paused".to_owned());
            expected.accepted.push(Accepted { node, finding });
        }
        let mut probe = probe(&topology, inventory, &host.name, &params);
        if probe.etcd.is_some() {
            probe.namespaces = namespaces(&expected.key_prefixes);
        }
        probe.patience = patience;
        expected.nodes.insert(host.name.clone());
        probes.insert(host.name.clone(), probe);
    }
    Ok(HealthQuestions { expected, probes })
}

/// The names of all clusters of PostgreSQL.
pub fn cluster_names(inventory: &Inventory) -> BTreeSet<String> {
    let topology = Topology::of(inventory).ok();
    let clusters = topology.iter().flat_map(|topology| &topology.clusters);
    clusters.map(|cluster| cluster.name.to_string()).collect()
}

fn clusters(topology: &Topology<'_>, inventory: &Inventory) -> Vec<ExpectedCluster> {
    let named = names_are_served(topology, inventory);
    topology
        .clusters
        .iter()
        .enumerate()
        .map(|(at, cluster)| {
            let name = cluster.name.to_string();
            // Settings of a cluster are those of its first primary, as everywhere.
            let params = &cluster.primary().unwrap_or(&cluster.members[0]).params;
            let member = |member: &model::PgMember<'_>| ExpectedMember {
                instance: member.instance(&cluster.name),
                node: member.node.clone(),
                port: member.params.get(parameters::PG_PORT),
                delayed: member.role == PgRole::Delayed || standby::delay(&member.params).is_some(),
                patroni_unit: Place::of(cluster.name.as_str(), member).patroni_unit(),
                pool_unit: Place::of(cluster.name.as_str(), member).pgbouncer_unit(),
                pool_port: member.params.get(parameters::PGBOUNCER_PORT),
                patroni_directory: Place::of(cluster.name.as_str(), member).patroni_directory(),
                data_directory: member.params.get(parameters::PG_DATA),
                backup_command: Place::of(cluster.name.as_str(), member).below("bin/pg-backup"),
            };
            ExpectedCluster {
                follows: cluster.upstream().is_some(),
                members: cluster.members.iter().map(member).collect(),
                leaving: Vec::new(),
                databases: open_databases(params),
                users: users(params),
                read_only: makes_read_only(params),
                synchronous: synchronous(params),
                most_lag: params.get(parameters::PG_RPO).try_into().unwrap_or(i64::MAX),
                lease: RtoPlan::of(params).ttl,
                backups: params.get(parameters::PGBACKREST_ENABLED) && cluster.upstream().is_none(),
                backups_on_nodes: !is_shared(params),
                services: if balanced(topology, inventory, at) {
                    let service = |(service, _): (PgService, _)| ExpectedService {
                        name: format!("{name}-{}", service.name),
                        port: service.port,
                        primary: matches!(
                            service.check.as_str(),
                            "/primary" | "/leader" | "/master" | "/read-write"
                        ),
                    };
                    leading_somewhere(cluster).into_iter().map(service).collect()
                } else {
                    Vec::new()
                },
                dns_name: if named { infra::dns_name(cluster) } else { None },
                name,
            }
        })
        .collect()
}

/// Whether a node has HAProxy for a cluster.
fn balanced(topology: &Topology<'_>, inventory: &Inventory, cluster: usize) -> bool {
    inventory.hosts().any(|host| {
        Params::new(inventory, &host.name).get(parameters::HAPROXY_ENABLED)
            && topology.served_by(&host.name, inventory).contains(&cluster)
    })
}

/// Whether an infrastructure node has a name server.
fn names_are_served(topology: &Topology<'_>, inventory: &Inventory) -> bool {
    inventory.hosts().any(|host| {
        topology.infra.iter().any(|address| address == host.name.as_str())
            && Params::new(inventory, &host.name).get(parameters::DNS_ENABLED)
    })
}

/// Services of a cluster, each with the first member that it leads to; those that lead nowhere are left out.
fn leading_somewhere(cluster: &PgCluster<'_>) -> Vec<(PgService, usize)> {
    let facts = cluster.facts();
    let chosen = |service: &PgService| {
        let chosen =
            selector::compile(&service.selector).and_then(|selector| selector.select(&facts));
        chosen.unwrap_or_default().first().copied()
    };
    let services = PgService::all(&cluster.members[0].params).into_iter();
    services.filter_map(|service| chosen(&service).map(|first| (service, first))).collect()
}

/// Databases that are declared, and not declared to be shut.
fn open_databases(params: &Params<'_>) -> Vec<String> {
    let open = |one: &PgDatabase| {
        one.state == DatabaseState::Present && one.allowconn && one.connlimit != 0
    };
    PgDatabase::business(params).into_iter().filter(open).map(|one| one.name).collect()
}

/// Users that shall be able to log in to some database: where each database lets everybody in.
fn users(params: &Params<'_>) -> Vec<String> {
    let databases = PgDatabase::business(params);
    if databases.is_empty() || databases.iter().any(|one| one.revokeconn) {
        return Vec::new();
    }
    let can = |one: &PgUser| {
        let expires = one.expire_in.is_some() || one.expire_at.is_some();
        one.state == State::Present && one.login && one.connlimit != 0 && !expires
    };
    PgUser::business(params).into_iter().filter(can).map(|one| one.name).collect()
}

/// Whether the inventory itself makes transactions read-only for somebody.
fn makes_read_only(params: &Params<'_>) -> bool {
    let users = PgUser::business(params).into_iter().map(|one| one.parameters);
    let databases = PgDatabase::business(params).into_iter().map(|one| one.parameters);
    let mut settings = users.chain(databases).flatten();
    settings.any(|(name, _)| name == "default_transaction_read_only")
}

/// Standbys that commits wait for.
fn synchronous(params: &Params<'_>) -> i64 {
    if standby::waits_for_standbys(params) {
        params.get(parameters::PATRONI_SYNCHRONOUS_NODE_COUNT).max(1)
    } else {
        0
    }
}

fn addresses(topology: &Topology<'_>, inventory: &Inventory) -> Vec<SharedAddress> {
    let plain = |text: String| text.split('/').next().unwrap_or_default().to_owned();
    let of_clusters = topology.clusters.iter().filter_map(|cluster| {
        let params = &cluster.members[0].params;
        params.get(parameters::PG_VIP_ENABLED).then(|| SharedAddress {
            address: plain(params.get(parameters::PG_VIP_ADDRESS)),
            nodes: cluster.members.iter().map(|member| member.node.clone()).collect(),
            cluster: Some(cluster.name.to_string()),
        })
    });
    let mut found: Vec<SharedAddress> = of_clusters.collect();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        if !params.get(parameters::VIP_ENABLED) {
            continue;
        }
        let text = params.get(parameters::VIP_ADDRESS);
        let nodes = topology.sharing(&text).to_vec();
        let address = plain(text);
        if !found.iter().any(|one| one.address == address) {
            found.push(SharedAddress { address, nodes, cluster: None });
        }
    }
    found
}

/// Logins to an instance and to its pool.
fn own_logins(probe: &mut HealthProbe, member: &PgMember<'_>, cluster: &ClusterName) {
    let params = &member.params;
    let Some(user) = monitor(params) else { return };
    let login = |door, port: Handle<u16>, database: &str| LoginProbe {
        cluster: cluster.to_string(),
        name: member.instance(cluster),
        door,
        address: "127.0.0.1".to_owned(),
        port: params.get(port),
        user: user.clone(),
        password: params.get(parameters::PG_MONITOR_PASSWORD),
        database: database.to_owned(),
        settings: None,
    };
    // A server that does not listen on the loopback address is asked over its socket alone.
    let listens = params.get(parameters::PG_LISTEN);
    let local = |one: &str| matches!(one.trim(), "0.0.0.0" | "*" | "127.0.0.1" | "${lo}");
    if listens.split(',').any(local) {
        probe.logins.push(login(LoginDoor::Server, parameters::PG_PORT, "postgres"));
        if params.get(parameters::PGBOUNCER_ENABLED) {
            let mut pool = login(LoginDoor::Pool, parameters::PGBOUNCER_PORT, "pgbouncer");
            let place = Place::of(cluster.as_str(), member);
            pool.settings = Some(format!("{}/pgbouncer.ini", place.pgbouncer_directory()));
            probe.logins.push(pool);
        }
    }
}

/// Logins through the services of a cluster that lead somewhere and listen on all addresses.
fn services(probe: &mut HealthProbe, cluster: &PgCluster<'_>) {
    let params = &cluster.members[0].params;
    let Some(user) = monitor(params) else { return };
    for (service, first) in leading_somewhere(cluster) {
        if !matches!(service.ip.as_str(), "*" | "0.0.0.0" | "127.0.0.1") {
            continue;
        }
        let port = service.dest.port(&cluster.members[first].params);
        let pooled = port == cluster.members[first].params.get(parameters::PGBOUNCER_PORT);
        probe.logins.push(LoginProbe {
            cluster: cluster.name.to_string(),
            name: format!("{}-{}", cluster.name, service.name),
            door: if pooled { LoginDoor::PooledService } else { LoginDoor::DirectService },
            address: "127.0.0.1".to_owned(),
            port: service.port,
            user: user.clone(),
            password: params.get(parameters::PG_MONITOR_PASSWORD),
            database: if pooled { "pgbouncer" } else { "postgres" }.to_owned(),
            settings: None,
        });
    }
}

/// Where the keys of the clusters are, without the clusters' names: `/pg/` of `/pg/pg-test/`.
fn namespaces(prefixes: &BTreeSet<String>) -> Vec<String> {
    let above = |prefix: &String| {
        let (namespace, _) = prefix.trim_end_matches('/').rsplit_once('/')?;
        Some(format!("{namespace}/"))
    };
    let found: BTreeSet<String> = prefixes.iter().filter_map(above).collect();
    found.into_iter().collect()
}

/// Ports of members on other nodes: those that services of this node lead to, and those that its own
/// members copy from once another one leads.
fn ports(probe: &mut HealthProbe, cluster: &PgCluster<'_>, node: &NodeName, serves: bool) {
    let facts = cluster.facts();
    let others = || cluster.members.iter().filter(|member| member.node != *node);
    let mut add = |member: &PgMember<'_>, port: u16| {
        let pool = port == member.params.get(parameters::PGBOUNCER_PORT);
        let instance = member.instance(&cluster.name);
        let door = if pool { LoginDoor::Pool } else { LoginDoor::Server };
        if !probe.ports.iter().any(|one| one.instance == instance && one.port == port) {
            probe.ports.push(PortProbe { instance, door, address: member.node.to_string(), port });
        }
    };
    if cluster.members.iter().any(|member| member.node == *node) {
        others().for_each(|member| add(member, member.params.get(parameters::PG_PORT)));
    }
    for service in PgService::all(&cluster.members[0].params).iter().filter(|_| serves) {
        let chosen = [Some(&service.selector), service.backup.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|selector| {
                let chosen = selector::compile(selector).and_then(|one| one.select(&facts));
                chosen.unwrap_or_default()
            });
        for at in chosen {
            let member = &cluster.members[at];
            if member.node != *node {
                add(member, service.dest.port(&member.params));
            }
        }
    }
}

/// The monitoring role, where the cluster has it.
fn monitor(params: &Params<'_>) -> Option<String> {
    let name = params.get(parameters::PG_MONITOR_USERNAME);
    let there = PgUser::all(params)
        .iter()
        .any(|user| user.name == name && user.state == State::Present && user.login);
    there.then_some(name)
}

fn probe(
    topology: &Topology<'_>,
    inventory: &Inventory,
    node: &NodeName,
    params: &Params<'_>,
) -> HealthProbe {
    let mut probe = HealthProbe { directories: vec!["/".to_owned()], ..HealthProbe::default() };
    for (cluster, member) in topology.instances_on(node) {
        let place = Place::of(cluster.name.as_str(), member);
        let certificates = place.certificates();
        probe.servers.push(ServerProbe {
            instance: member.instance(&cluster.name),
            cluster: cluster.name.to_string(),
            patroni_port: member.params.get(parameters::PATRONI_PORT),
            connection: pgsql::connection(&member.params),
            data_directory: member.params.get(parameters::PG_DATA),
            patroni_directory: place.patroni_directory(),
            backups: member.params.get(parameters::PGBACKREST_ENABLED),
        });
        for directory in [parameters::PG_DATA, parameters::PG_FS_MAIN, parameters::PG_FS_BACKUP] {
            probe.directories.push(member.params.get(directory));
        }
        probe.directories.push(format!("{}/pg_wal", member.params.get(parameters::PG_DATA)));
        for name in ["server.crt", "etcd.crt"] {
            probe.certificates.push(format!("{certificates}/{name}"));
        }
        probe.units.push(place.patroni_unit());
        own_logins(&mut probe, member, &cluster.name);
        if member.params.get(parameters::PGBOUNCER_ENABLED) {
            probe.units.push(place.pgbouncer_unit());
            probe.configurations.push(ConfigurationProbe {
                unit: place.pgbouncer_unit(),
                files: place.pgbouncer_files(),
            });
        }
        if member.params.get(parameters::PG_VIP_ENABLED) {
            probe.units.push(vip::UNIT.to_owned());
        }
    }
    if let Some(member) = topology.etcd.iter().find(|member| member.node == *node) {
        probe.etcd = Some(etcd::connection(format!("https://127.0.0.1:{}", member.port)));
        probe.etcd_settings = Some(etcd::own_settings(member));
        probe.directories.push(member.data_directory.clone());
        probe.certificates.push("/etc/etcd/server.crt".to_owned());
        probe.units.push("etcd.service".to_owned());
    }
    for at in topology.served_by(node, inventory) {
        if params.get(parameters::HAPROXY_ENABLED) {
            services(&mut probe, &topology.clusters[at]);
            ports(&mut probe, &topology.clusters[at], node, true);
        }
    }
    for (cluster, _) in topology.instances_on(node) {
        ports(&mut probe, cluster, node, false);
    }
    if params.get(parameters::HAPROXY_ENABLED) && !topology.served_by(node, inventory).is_empty() {
        probe.units.push("haproxy.service".to_owned());
        let files = ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg"].map(str::to_owned);
        let unit = "haproxy.service".to_owned();
        probe.configurations.push(ConfigurationProbe { unit, files: files.to_vec() });
    }
    if params.get(parameters::VIP_ENABLED) {
        probe.units.push(vip::UNIT.to_owned());
    }
    let infra = topology.infra.iter().any(|address| address == node.as_str());
    if infra && params.get(parameters::DNS_ENABLED) {
        probe.units.push(infra::DNS_UNIT.to_owned());
    }
    let tables = |params: &Params<'_>, lines| params.opt(lines).is_some();
    let mut instances = topology.instances_on(node);
    if tables(params, parameters::NODE_CRONTAB)
        || params.opt(parameters::NODE_TIMEZONE).is_some()
        || instances.any(|(_, member)| tables(&member.params, parameters::PG_CRONTAB))
    {
        probe.units.push(CRON.to_owned());
    }
    if params.get(parameters::NODE_NTP_ENABLED) {
        probe.units.push("chrony.service".to_owned());
    }
    probe.unattended = !probe.servers.is_empty()
        || probe.units.iter().any(|unit| unit == "etcd.service" || unit == "haproxy.service");
    for list in [&mut probe.directories, &mut probe.certificates, &mut probe.units] {
        list.sort();
        list.dedup();
    }
    probe
}
