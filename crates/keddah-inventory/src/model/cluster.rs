//! PostgreSQL and etcd clusters as the hosts' variables form them.

use crate::{Inventory, Params, parameters};
use indexmap::IndexMap;
use keddah_core::{ClusterName, NodeName, Span};

/// The part an instance plays when its cluster is first built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PgRole {
    /// Takes writes.
    Primary,
    /// Follows, and serves reads.
    Replica,
    /// Follows, and serves slow analytical queries.
    Offline,
    /// Follows synchronously where the cluster asks for that; otherwise a replica.
    Standby,
    /// Follows at a distance; otherwise a replica.
    Delayed,
}

impl PgRole {
    /// Reads the inventory's word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Primary, Self::Replica, Self::Offline, Self::Standby, Self::Delayed]
            .into_iter()
            .find(|role| role.as_str() == text)
    }

    /// The inventory's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Offline => "offline",
            Self::Standby => "standby",
            Self::Delayed => "delayed",
        }
    }
}

/// A PostgreSQL cluster.
#[derive(Debug, Clone)]
pub struct PgCluster<'inventory> {
    /// Its name.
    pub name: ClusterName,
    /// Its members in the order of the inventory; the ones without a number or role are left out.
    pub members: Vec<PgMember<'inventory>>,
}

/// A member of a PostgreSQL cluster.
#[derive(Debug, Clone)]
pub struct PgMember<'inventory> {
    /// The host.
    pub node: NodeName,
    /// Its number.
    pub seq: i64,
    /// The part it plays first.
    pub role: PgRole,
    /// Address of the server to replicate from, when it is not the cluster's primary.
    pub upstream: Option<String>,
    /// Whether it takes slow analytical queries.
    pub offline_query: bool,
    /// The host's parameters, or those of one of its `pg_instances`.
    pub params: Params<'inventory>,
    /// Where its number is written.
    pub seq_span: Option<Span>,
}

impl PgMember<'_> {
    /// Whether it is one of its host's `pg_instances`, with places and ports of its own.
    pub fn is_one_of_several(&self) -> bool {
        self.params.instance().is_some()
    }

    /// The instance's name, `<cluster>-<seq>`.
    pub fn instance(&self, cluster: &ClusterName) -> String {
        format!("{cluster}-{}", self.seq)
    }

    /// What selectors see of the instance: its scalar parameters, without passwords.
    pub fn facts(&self) -> serde_json::Value {
        let mut facts = serde_json::Map::new();
        for name in ["pg_weight", "pg_port", "pg_version", "pg_conf", "pg_mode"] {
            facts.insert(name.into(), crate::to_json(&self.params.value(name)));
        }
        for (name, sourced) in self.params.vars().iter() {
            let known = crate::registry::find(name);
            if known.is_some_and(|parameter| parameter.kind.is_secret()) {
                continue;
            }
            let value = self.params.value(known.map_or(name, |parameter| parameter.name));
            let value = if value.is_null() { &sourced.value } else { value.as_ref() };
            if crate::registry::scalar_text(value).is_some() {
                facts.insert(name.into(), crate::to_json(value));
            }
        }
        facts.insert("inventory_hostname".into(), self.node.as_str().into());
        facts.insert("pg_seq".into(), self.seq.into());
        facts.insert("pg_role".into(), self.role.as_str().into());
        facts.insert("pg_offline_query".into(), self.offline_query.into());
        serde_json::Value::Object(facts)
    }
}

impl<'inventory> PgCluster<'inventory> {
    /// The member that is primary at first, if there is exactly one.
    pub fn primary(&self) -> Option<&PgMember<'inventory>> {
        let mut primaries = self.members.iter().filter(|member| member.role == PgRole::Primary);
        primaries.next().filter(|_| primaries.next().is_none())
    }

    /// Address of the server this whole cluster follows, when it is a standby cluster.
    pub fn upstream(&self) -> Option<&str> {
        self.primary()?.upstream.as_deref()
    }

    /// The addresses of its members, in their order.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| member.node.as_str().to_owned()).collect()
    }

    /// The instances as selectors see them, in the members' order.
    pub fn facts(&self) -> Vec<serde_json::Value> {
        self.members.iter().map(PgMember::facts).collect()
    }
}

/// The PostgreSQL clusters of an inventory, in the order in which their first members stand. Hosts
/// and instances whose identity is incomplete or whose cluster's name is no name are left out, and
/// so is the second member of a cluster on the same host.
pub fn pg_clusters(inventory: &Inventory) -> Vec<PgCluster<'_>> {
    let mut clusters: IndexMap<ClusterName, Vec<PgMember<'_>>> = IndexMap::new();
    for host in inventory.hosts() {
        for params in Params::instances(inventory, &host.name) {
            let Some(name) = params.opt(parameters::PG_CLUSTER) else { continue };
            let Ok(name) = ClusterName::new(name) else { continue };
            let (Some(seq), Some(role)) =
                (params.opt(parameters::PG_SEQ), PgRole::parse(&params.get(parameters::PG_ROLE)))
            else {
                continue;
            };
            let member = PgMember {
                node: host.name.clone(),
                seq,
                role,
                upstream: params.opt(parameters::PG_UPSTREAM),
                offline_query: params.get(parameters::PG_OFFLINE_QUERY),
                seq_span: params.span(parameters::PG_SEQ),
                params,
            };
            let members = clusters.entry(name).or_default();
            if members.last().is_none_or(|last| last.node != member.node) {
                members.push(member);
            }
        }
    }
    clusters.into_iter().map(|(name, members)| PgCluster { name, members }).collect()
}

/// What a member's `pg_upstream` names. Where several instances share that address: for a replica,
/// the one of its own cluster; for a primary, the one of another cluster, and of several of those
/// the one that listens on the member's own port.
pub fn upstream_of<'c, 'inventory>(
    clusters: &'c [PgCluster<'inventory>],
    own: &ClusterName,
    member: &PgMember<'_>,
) -> Option<(&'c PgCluster<'inventory>, &'c PgMember<'inventory>)> {
    let address = member.upstream.as_deref()?;
    let there = clusters.iter().filter_map(|cluster| {
        let named = cluster.members.iter().find(|one| one.node.as_str() == address)?;
        Some((cluster, named))
    });
    let (mine, others): (Vec<_>, Vec<_>) = there.partition(|(cluster, _)| cluster.name == *own);
    let other = match others.as_slice() {
        [] => None,
        [one] => Some(*one),
        several => {
            let port = member.params.get(parameters::PG_PORT);
            several.iter().find(|(_, one)| one.params.get(parameters::PG_PORT) == port).copied()
        }
    };
    let mine = mine.first().copied();
    if member.role == PgRole::Primary { other.or(mine) } else { mine.or(other) }
}

/// An etcd cluster.
#[derive(Debug, Clone)]
pub struct EtcdCluster<'inventory> {
    /// Its name.
    pub name: String,
    /// Its members in the order of the inventory.
    pub members: Vec<EtcdMember<'inventory>>,
}

/// A member of an etcd cluster.
#[derive(Debug, Clone)]
pub struct EtcdMember<'inventory> {
    /// The host.
    pub node: NodeName,
    /// Its number.
    pub seq: i64,
    /// The host's parameters.
    pub params: Params<'inventory>,
    /// Where its number is written.
    pub seq_span: Option<Span>,
}

/// The etcd clusters of an inventory: all hosts with an `etcd_seq`, by `etcd_cluster`.
pub fn etcd_clusters(inventory: &Inventory) -> Vec<EtcdCluster<'_>> {
    let mut clusters: IndexMap<String, Vec<EtcdMember<'_>>> = IndexMap::new();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let Some(seq) = params.opt(parameters::ETCD_SEQ) else { continue };
        let member = EtcdMember {
            node: host.name.clone(),
            seq,
            seq_span: params.span(parameters::ETCD_SEQ),
            params: params.clone(),
        };
        clusters.entry(params.get(parameters::ETCD_CLUSTER)).or_default().push(member);
    }
    clusters.into_iter().map(|(name, members)| EtcdCluster { name, members }).collect()
}

/// The addresses of the infrastructure nodes: the hosts with an `infra_seq`.
pub fn infra_addresses(inventory: &Inventory) -> Vec<String> {
    inventory
        .hosts()
        .filter(|host| inventory.resolve(&host.name).get("infra_seq").is_some())
        .map(|host| host.name.as_str().to_owned())
        .collect()
}
