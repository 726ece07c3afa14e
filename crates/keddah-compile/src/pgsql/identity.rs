//! What an instance that exists *is*, compared with what the inventory says: Keddah changes what
//! instances do, never what they are.
//!
//! An instance exists where its data is; its identity is what its configuration, which Keddah wrote
//! when it was made, and its data say. A configuration without data binds nobody.

use super::birth::not_before_recovery;
use super::stopped::Holder;
use crate::compiler::{Compiler, Node, Problem, problem};
use crate::pgsql::backup::{is_shared, local_repository};
use crate::pgsql::{Instance, place, repository};
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::{ParamOrigin, Params, parameters};
use keddah_resource::{DataFacts, InstanceFacts, InstanceProbe, NodeFacts, Place};
use std::path::Path;

/// What is there of a cluster.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The version of its data.
    pub version: Option<u32>,
    /// The nodes that hold its data.
    pub holders: Vec<Holder>,
}

/// What a node is asked about one of its instances.
pub(crate) fn probe(params: &Params<'_>) -> InstanceProbe {
    InstanceProbe {
        cluster: params.get(parameters::PG_CLUSTER),
        account: params.get(parameters::PG_DBSU),
        data_root: params.get(parameters::PG_FS_MAIN),
        backup_root: params.get(parameters::PG_FS_BACKUP),
        repository: (!is_shared(params)).then(|| local_repository(params)).flatten(),
        place: if params.get(parameters::PGBACKREST_ENABLED) {
            repository::place(params)
        } else {
            Place::new()
        },
    }
}

/// A member's data: what its configuration leads to, or, without one, what stands in its place.
fn data_of<'f>(
    facts: &'f NodeFacts,
    cluster: &str,
    member: &PgMember<'_>,
) -> Result<Option<&'f DataFacts>, Problem> {
    let directory = configuration(cluster, member);
    let configured = facts.instances.iter().find(|one| one.configuration == directory);
    if let Some(configured) = configured {
        return Ok(configured.data.as_ref());
    }
    let params = &member.params;
    let beginning = format!("{}/{cluster}-", params.get(parameters::PG_FS_MAIN));
    let mut there = facts.data.iter().filter(|data| {
        let rest = data.path.strip_prefix(&beginning).and_then(|rest| rest.split('/').next());
        rest.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
    });
    match (there.next(), there.next()) {
        (Some(one), Some(other)) => {
            let message = format!(
                "{} holds data of {cluster} twice and no configuration that says which is its own: \
                 {} and {}",
                member.node, one.path, other.path
            );
            Err(Box::new(
                problem("identity-version", member.seq_span, message)
                    .help("move away the directory that is not needed any more, then plan again"),
            ))
        }
        (one, _) => Ok(one),
    }
}

/// The directory below `/etc/patroni` of a member's configuration.
fn configuration(cluster: &str, member: &PgMember<'_>) -> String {
    let directory = place::Place::of(cluster, member).patroni_directory();
    directory.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The same of an instance whose cluster is not compiled yet.
pub(crate) fn directory(params: &Params<'_>) -> String {
    let cluster = params.instance().map(|_| params.get(parameters::PG_CLUSTER));
    cluster.unwrap_or_else(|| place::PLAIN_PATRONI.to_owned())
}

/// Whether a configuration of the node is an instance's own.
pub(super) fn is_at(instance: &Instance<'_>, configured: &InstanceFacts) -> bool {
    let directory = instance.place.patroni_directory();
    directory.rsplit('/').next() == Some(configured.configuration.as_str())
}

impl<'a> Compiler<'a> {
    /// What is there of a cluster; refuses what would make something else of it.
    pub(super) fn identity(
        &self,
        model: &PgCluster<'a>,
        members: &[(PgMember<'a>, Node<'a>)],
    ) -> Result<Found, Problem> {
        let cluster = model.name.as_str();
        let mut found = Vec::new();
        for (member, node) in members {
            watchdog(member, node)?;
            self.same_cluster(model, member, node)?;
            if let Some(data) = data_of(node.facts, cluster, member)? {
                found.push((member, node, data));
            }
        }
        let differs = |(_, _, data): &&(&PgMember<'_>, &Node<'_>, &DataFacts)| {
            let first = found[0].2;
            let known = !data.system_identifier.is_empty() && !first.system_identifier.is_empty();
            (known && data.system_identifier != first.system_identifier)
                || data.version != first.version
        };
        if let Some((member, _, _)) = found.iter().find(differs) {
            let each: Vec<String> = found
                .iter()
                .map(|(member, node, data)| {
                    format!(
                        "{} on {}: system {}, version {}, timeline {} ({})",
                        member.instance(&model.name),
                        node.name,
                        data.system_identifier,
                        text(data.version),
                        text(data.timeline),
                        data.path
                    )
                })
                .collect();
            let message = format!(
                "the members of {cluster} hold data of different systems: {}",
                each.join("; ")
            );
            return Err(Box::new(problem("identity-system", member.seq_span, message).help(
                "find out which data is the cluster's, and on each node that holds other data, stop \
                 Patroni and move that directory away; the next apply clones the member anew",
            )));
        }
        let version = found.first().and_then(|(_, _, data)| data.version);
        for (member, node, data) in &found {
            same_version(model, member, node, data)?;
            same_place(model, member, node, version)?;
            same_account(model, member, node, data)?;
        }
        let runs = members.iter().any(|(_, node)| node.facts.patroni_of(cluster).is_some());
        not_before_recovery(model, &found, runs)?;
        let holders =
            found.iter().map(|(member, node, data)| Holder::of(member, node, data)).collect();
        Ok(Found { version, holders })
    }

    /// Whether what the node has in a member's place is that member.
    fn same_cluster(
        &self,
        model: &PgCluster<'a>,
        member: &PgMember<'a>,
        node: &Node<'a>,
    ) -> Result<(), Problem> {
        let cluster = model.name.as_str();
        let directory = configuration(cluster, member);
        let configured = node.facts.instances.iter().find(|one| one.configuration == directory);
        let configured = configured.filter(|one| one.data.is_some());
        let several = member.is_one_of_several();
        // Of several instances, another cluster's has its own place; a renamed one is known by
        // its name, which no cluster of the node bears any more.
        let declared = |scope: &str| {
            self.topology.instance_of(scope, &node.name).is_some() || scope.is_empty()
        };
        let runs = node.facts.patroni.iter().map(|patroni| patroni.scope.as_str());
        let left = node.facts.instances.iter().filter(|one| several && one.data.is_some());
        let stranger = configured
            .map(|one| one.scope.as_str())
            .filter(|scope| *scope != cluster && !scope.is_empty())
            .or_else(|| runs.chain(left.map(|one| one.scope.as_str())).find(|one| !declared(one)));
        if let Some(is) = stranger {
            let moved = self.topology.clusters.iter().any(|one| one.name.as_str() == is);
            let message = if moved {
                format!(
                    "{} holds an instance of {is}, and the inventory now makes it a member of \
                     {cluster}: its data would be taken for that of {cluster}",
                    node.name
                )
            } else {
                format!(
                    "{} holds an instance of {is}, and the inventory now calls the cluster \
                     {cluster}: a cluster that exists keeps its name",
                    node.name
                )
            };
            let span = member.params.span(parameters::PG_CLUSTER).or(member.seq_span);
            return Err(Box::new(problem("identity-cluster", span, message).help(format!(
                "leave it in {is}; or, with the inventory as it was, `keddah remove` the instance \
                 and then add the host to {cluster}; or make {cluster} on other hosts, copy the \
                 data (`pg_upstream`), and remove {is} then"
            ))));
        }
        let Some(is) = configured else { return Ok(()) };
        let name = member.instance(&model.name);
        if is.name != name {
            let message = format!(
                "the instance on {} is {}, and the inventory now calls it {name}: Patroni, slots \
                 and backups know it by its name",
                node.name, is.name
            );
            return Err(Box::new(problem("identity-instance", member.seq_span, message).help(
                "give it back its pg_seq; or, with the inventory as it was, `keddah remove` the \
                 instance, then add it with the new number: it is cloned from the others",
            )));
        }
        let namespace = member.params.get(parameters::PG_NAMESPACE);
        if is.namespace != namespace {
            let message = format!(
                "the keys of {cluster} are below {} in etcd, and the inventory now puts them below \
                 {namespace}: each member would find an empty place there, and none the others",
                is.namespace
            );
            let span = member.params.span(parameters::PG_NAMESPACE).or(member.seq_span);
            return Err(Box::new(
                problem("identity-namespace", span, message)
                    .help(format!("set `pg_namespace: {}` for this cluster", is.namespace)),
            ));
        }
        let wanted = member.params.get(parameters::PG_DATA);
        // One place may be written in several ways: `/pg/data/` is `/pg/data`.
        if Path::new(&is.data_directory) != Path::new(&wanted) {
            let message = format!(
                "the data of {name} is at {}, and the inventory now says {wanted}: Keddah does not \
                 move it, and Patroni would make the instance anew in the other place",
                is.data_directory
            );
            let span = member.params.span(parameters::PG_DATA).or(member.seq_span);
            return Err(Box::new(
                problem("identity-place", span, message)
                    .help(ways(&format!("set `pg_data: {}` for it", is.data_directory))),
            ));
        }
        Ok(())
    }
}

/// How an instance gets other places.
fn ways(back: &str) -> String {
    format!(
        "{back}; or, with the inventory as it was, `keddah remove` the members one by one and add \
         each with the new value: it is cloned from those that stay"
    )
}

fn text(number: Option<u32>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

/// A version that nobody sets is the one that is there.
fn same_version(
    model: &PgCluster<'_>,
    member: &PgMember<'_>,
    node: &Node<'_>,
    data: &DataFacts,
) -> Result<(), Problem> {
    let params = &member.params;
    let wanted = u32::try_from(params.get(parameters::PG_VERSION)).unwrap_or_default();
    let Some(version) = data.version.filter(|version| *version != wanted) else { return Ok(()) };
    if params.origin(parameters::PG_VERSION) == ParamOrigin::Default {
        return Ok(());
    }
    let message = format!(
        "{} holds data of PostgreSQL {version} ({}), and the inventory asks for {wanted}: another \
         major version cannot read it, and {} would be born empty beside it",
        node.name, data.path, model.name
    );
    Err(Box::new(problem("identity-version", params.span(parameters::PG_VERSION), message).help(
        format!(
            "set `pg_version: {version}`, or leave it out; a cluster of {wanted} can be made under \
         another name on other hosts, and the data be brought there by a dump or by logical \
         replication"
        ),
    )))
}

fn same_place(
    model: &PgCluster<'_>,
    member: &PgMember<'_>,
    node: &Node<'_>,
    version: Option<u32>,
) -> Result<(), Problem> {
    let (cluster, params) = (model.name.as_str(), &member.params);
    let directory = configuration(cluster, member);
    let configured = node.facts.instances.iter().find(|one| one.configuration == directory);
    let (Some(version), Some(is)) = (version, configured) else { return Ok(()) };
    let below = place::Place::of(cluster, member).below("");
    let Some(home) = is.home.as_ref().filter(|_| is.data_directory.starts_with(&below)) else {
        return Ok(());
    };
    let wanted = format!("{}/{cluster}-{version}", params.get(parameters::PG_FS_MAIN));
    if Path::new(home) == Path::new(&wanted) {
        return Ok(());
    }
    let message = format!(
        "the data of {} is in {home}, and the inventory now puts it in {wanted}: Keddah does not \
         move it, and the running server would lose its files",
        is.name
    );
    let span = params.span(parameters::PG_FS_MAIN).or(member.seq_span);
    let root = home.strip_suffix(&format!("/{cluster}-{version}")).unwrap_or(home);
    Err(Box::new(
        problem("identity-place", span, message)
            .help(ways(&format!("set `pg_fs_main: {root}` for it"))),
    ))
}

fn same_account(
    model: &PgCluster<'_>,
    member: &PgMember<'_>,
    node: &Node<'_>,
    data: &DataFacts,
) -> Result<(), Problem> {
    let wanted = member.params.get(parameters::PG_DBSU);
    if data.owner.is_empty() || data.owner == wanted {
        return Ok(());
    }
    let message = format!(
        "the data of {} on {} ({}) belongs to the account {}, and the inventory now runs PostgreSQL \
         as {wanted}, which may not read it",
        model.name, node.name, data.path, data.owner
    );
    let span = member.params.span(parameters::PG_DBSU).or(member.seq_span);
    Err(Box::new(problem("identity-account", span, message).help(format!(
        "set `pg_dbsu: {}`; a directory that was copied by hand with the wrong owner: `chown -R \
         {wanted}: {}`",
        data.owner, data.path
    ))))
}

/// Patroni does not let an instance lead that requires a watchdog and cannot open it: such a cluster
/// is without a primary (Patroni's documentation, "Watchdog support").
fn watchdog(member: &PgMember<'_>, node: &Node<'_>) -> Result<(), Problem> {
    let params = &member.params;
    if params.get(parameters::PATRONI_WATCHDOG_MODE) != "required" {
        return Ok(());
    }
    let account = params.get(parameters::PG_DBSU);
    let why = match &node.facts.watchdog {
        None => "has no /dev/watchdog".to_owned(),
        Some(device) => {
            let bits = if device.owner == account {
                device.mode >> 6
            } else if device.group == account {
                device.mode >> 3
            } else {
                device.mode
            };
            if bits & 0o6 == 0o6 {
                return Ok(());
            }
            format!(
                "has a /dev/watchdog that {account} may not open ({}:{}, mode {:o})",
                device.owner, device.group, device.mode
            )
        }
    };
    let message = format!(
        "`patroni_watchdog_mode: required`, and {} {why}: Patroni would let no instance there lead",
        node.name
    );
    let span = params.span(parameters::PATRONI_WATCHDOG_MODE).or(member.seq_span);
    Err(Box::new(problem("no-watchdog", span, message).help(format!(
        "`automatic` uses a watchdog where there is one; or load a driver on every member (such as \
         `softdog`) and give the device to {account} by a rule of udev: KERNEL==\"watchdog\", \
         OWNER=\"{account}\""
    ))))
}
