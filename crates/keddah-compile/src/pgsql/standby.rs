//! Where instances and whole clusters replicate from, and what that asks of Patroni.

use super::led::Lead;
use super::{Cluster, Instance};
use crate::compiler::{Compiler, Problem, problem};
use crate::durations;
use keddah_core::NodeName;
use keddah_inventory::model::{PgCluster, PgMember, PgRole, upstream_of};
use keddah_inventory::parameters;
use serde_json::{Map, Value, json};

/// PostgreSQL's setting for how far to stay behind.
pub(super) const DELAY: &str = "recovery_min_apply_delay";

/// What a standby cluster follows.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    /// The other cluster.
    pub cluster: String,
    /// Addresses of its instances, the one that `pg_upstream` names first: the next ones are tried
    /// when it is gone.
    pub addresses: Vec<String>,
    /// Where they listen.
    pub port: u16,
    /// The node of its leader, which must serve before it can be copied.
    pub leader: Option<NodeName>,
    /// How far to stay behind, such as `1h`.
    pub delay: Option<String>,
}

impl Upstream {
    /// Patroni's `standby_cluster` section.
    pub fn section(&self) -> Value {
        let mut section = json!({
            "host": self.addresses.join(","),
            "port": self.port,
            "create_replica_methods": ["basebackup"],
        });
        if let Some(delay) = &self.delay {
            section[DELAY] = delay.as_str().into();
        }
        section
    }
}

/// `pg_delay` where it says that an instance stays behind.
pub(crate) fn delay(params: &keddah_inventory::Params<'_>) -> Option<String> {
    let text = params.get(parameters::PG_DELAY);
    let behind = text.chars().any(|character| matches!(character, '1'..='9'));
    behind.then(|| durations::span(&text))
}

/// How far a member stays behind its leader on purpose; Patroni never lets it lead then (`nofailover`). The
/// primary of a standby cluster has its delay in the cluster's settings.
pub(super) fn delayed(member: &PgMember<'_>) -> Option<String> {
    delay(&member.params).filter(|_| member.role != PgRole::Primary)
}

impl<'a> Compiler<'a> {
    /// What a cluster follows as a whole; `None` for one that takes writes.
    pub(super) fn upstream(&self, model: &PgCluster<'a>) -> Option<Upstream> {
        let primary = model.primary()?;
        let address = primary.upstream.clone()?;
        let (other, named) = upstream_of(&self.topology.clusters, &model.name, primary)?;
        if other.name == model.name {
            return None;
        }
        let leads = |node: &NodeName| {
            let facts = self.input.facts.get(node);
            facts.and_then(|facts| facts.patroni_of(other.name.as_str())).is_some_and(|patroni| {
                matches!(patroni.role.as_str(), "primary" | "master" | "standby_leader")
            })
        };
        let leader = other
            .members
            .iter()
            .find(|member| leads(&member.node))
            .or_else(|| other.primary())
            .map(|member| member.node.clone());
        // Patroni takes one port for all of them.
        let port = named.params.get(parameters::PG_PORT);
        let alike =
            other.members.iter().filter(|member| member.params.get(parameters::PG_PORT) == port);
        let rest = alike.map(|member| member.node.as_str().to_owned());
        let mut addresses = vec![address.clone()];
        addresses.extend(rest.filter(|one| *one != address));
        Some(Upstream {
            cluster: other.name.as_str().to_owned(),
            addresses,
            port,
            leader,
            delay: delay(&primary.params),
        })
    }

    /// Says what promotion means, and refuses to make a copy of what holds data of its own.
    pub(super) fn following(&mut self, cluster: &Cluster<'_>) -> Result<(), Problem> {
        let now = cluster.leader().node.facts.patroni_of(&cluster.name);
        // A replica's word is not its leader's; the leader's settings are not written either.
        let elsewhere = matches!(cluster.lead, Lead::Elsewhere(_));
        let now = now.filter(|_| cluster.exists && !elsewhere);
        let (Some(now), leader) = (now, cluster.leader()) else { return Ok(()) };
        let name = &cluster.name;
        match &cluster.follows {
            None if now.role == "standby_leader" => self.notes.push(format!(
                "{name} is a standby cluster now, and the inventory no longer gives it a \
                 pg_upstream: it will be PROMOTED and take writes of its own. What it followed is \
                 not touched: if that one still takes writes, the two differ from then on, and no \
                 client is led from one to the other; stop or remove it if {name} takes its place"
            )),
            Some(upstream) if now.role != "standby_leader" => {
                let theirs = upstream
                    .leader
                    .as_ref()
                    .and_then(|node| self.input.facts.get(node)?.patroni_of(&upstream.cluster));
                let Some(theirs) = theirs.filter(|theirs| !theirs.system_identifier.is_empty())
                else {
                    let message = format!(
                        "{name} holds data and shall follow {}, whose leader cannot be asked: \
                         whether {name} is a copy of it cannot be said, so nothing is demoted",
                        upstream.cluster
                    );
                    let span = leader.member.params.span(parameters::PG_UPSTREAM);
                    return Err(Box::new(
                        problem("not-a-copy", span, message)
                            .help(format!("bring {} up, and plan again", upstream.cluster)),
                    ));
                };
                let other = theirs.system_identifier != now.system_identifier;
                if other {
                    return Err(problem(
                        "not-a-copy",
                        leader.member.params.span(parameters::PG_UPSTREAM),
                        format!(
                            "{name} cannot follow {}: it is no copy of it, but holds data of its \
                             own. `keddah remove {name}` takes that away; the next apply then \
                             makes it anew as a copy",
                            upstream.cluster
                        ),
                    ));
                }
                self.notes.push(format!(
                    "{name} will be DEMOTED to a standby cluster of {}: whatever was written to \
                     it and not to {} is lost",
                    upstream.cluster, upstream.cluster
                ));
            }
            _ => {}
        }
        if let Some(upstream) = &cluster.follows
            && [parameters::PG_USERS, parameters::PG_DATABASES]
                .into_iter()
                .any(|list| cluster.params.opt(list).is_some())
        {
            self.notes.push(format!(
                "{name} follows {}: its roles and databases are those of {}; its own pg_users and \
                 pg_databases only tell its connection pool whom to let in",
                upstream.cluster, upstream.cluster
            ));
        }
        Ok(())
    }
}

/// An instance's tags, and the parameters that are its own.
pub(super) fn part(cluster: &Cluster<'_>, instance: &Instance<'_>) -> (Value, Map<String, Value>) {
    let mut tags = Map::new();
    let mut parameters = Map::new();
    let delayed = delayed(&instance.member);
    tags.insert("clonefrom".to_owned(), delayed.is_none().into());
    if let Some(delay) = delayed {
        parameters.insert(DELAY.to_owned(), delay.into());
        // It lacks what was written lately: no place to read from, to promote, or to wait for.
        for tag in ["nofailover", "noloadbalance", "nosync"] {
            tags.insert(tag.to_owned(), true.into());
        }
    }
    let offline = |instance: &Instance<'_>| instance.member.role == PgRole::Offline;
    if cluster.instances.iter().any(offline) {
        // Among equals, one that serves ordinary clients is promoted first (Patroni 3.1 and later).
        let priority = if offline(instance) { 1 } else { 2 };
        tags.insert("failover_priority".to_owned(), priority.into());
    }
    if let Some(source) = cascades_from(cluster, instance) {
        tags.insert("replicatefrom".to_owned(), source.into());
    }
    (Value::Object(tags), parameters)
}

/// The member of the same cluster that an instance replicates from, when it is not the leader.
fn cascades_from(cluster: &Cluster<'_>, instance: &Instance<'_>) -> Option<String> {
    let upstream = instance.member.upstream.as_deref()?;
    cluster
        .instances
        .iter()
        .find(|other| other.node.address == upstream && other.name != instance.name)
        .map(|other| other.name.clone())
}

/// Patroni's synchronous mode: what the inventory asks for, or what loses nothing where the
/// workload's template or `pg_rpo` says that nothing may be lost.
pub(super) fn synchronous(cluster: &Cluster<'_>) -> Result<Vec<(&'static str, Value)>, Problem> {
    let params = &cluster.params;
    let mode = if wants_quorum(params) {
        quorum_is_known(cluster)?;
        json!("quorum")
    } else {
        json!(waits_for_standbys(params))
    };
    let count = params.get(parameters::PATRONI_SYNCHRONOUS_NODE_COUNT);
    let strict = params.get(parameters::PATRONI_SYNCHRONOUS_MODE_STRICT);
    Ok(vec![
        ("synchronous_mode", mode),
        // Patroni's own defaults need no line.
        ("synchronous_node_count", if count > 1 { json!(count) } else { Value::Null }),
        ("synchronous_mode_strict", if strict { json!(true) } else { Value::Null }),
    ])
}

/// Whether commits wait for standbys, by `patroni_synchronous_mode`.
pub(crate) fn waits_for_standbys(params: &keddah_inventory::Params<'_>) -> bool {
    match params.get(parameters::PATRONI_SYNCHRONOUS_MODE).as_str() {
        "on" | "quorum" => true,
        "off" => false,
        _ => {
            params.get(parameters::PG_CONF).starts_with("crit")
                || params.get(parameters::PG_RPO) == 0
        }
    }
}

/// Whether commits wait for a standby although there is none (`synchronous_mode_strict` in Patroni's
/// documentation, "Replication modes").
pub(super) fn waits_in_any_case(params: &keddah_inventory::Params<'_>) -> bool {
    waits_for_standbys(params) && params.get(parameters::PATRONI_SYNCHRONOUS_MODE_STRICT)
}

/// Whether the inventory asks for quorum commit.
pub(crate) fn wants_quorum(params: &keddah_inventory::Params<'_>) -> bool {
    params.get(parameters::PATRONI_SYNCHRONOUS_MODE) == "quorum"
}

/// Quorum commit came with Patroni 4.0; older ones take the word for plain `true`.
fn quorum_is_known(cluster: &Cluster<'_>) -> Result<(), Problem> {
    for instance in &cluster.instances {
        let Some(version) = instance.node.facts.package_candidates.get("patroni") else { continue };
        let major: u32 =
            version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
        if major < 4 {
            return Err(problem(
                "needs-patroni-4",
                cluster.params.span(parameters::PATRONI_SYNCHRONOUS_MODE),
                format!(
                    "quorum commit needs Patroni 4.0 or later on every member, and {} has {version}: \
                     use Debian 13 or a package source with a newer one, or \
                     `patroni_synchronous_mode: on`",
                    instance.name
                ),
            ));
        }
    }
    Ok(())
}
