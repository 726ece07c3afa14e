//! Who belongs to what: the clusters of an inventory with what compilation asks of them again and
//! again.

use crate::compiler::{Problem, problem};
use crate::pgsql::services::Offered;
use keddah_core::{NodeName, Span};
use keddah_inventory::model::{self, PgCluster, PgMember};
use keddah_inventory::{Inventory, Params, parameters};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

/// The clusters of an inventory.
#[derive(Debug, Clone)]
pub(crate) struct Topology<'a> {
    /// PostgreSQL's.
    pub clusters: Vec<PgCluster<'a>>,
    /// The services of each cluster, once somebody has asked for them.
    pub listeners: Vec<OnceLock<Vec<Offered>>>,
    /// The members of the one etcd cluster, by their number.
    pub etcd: Vec<EtcdMember>,
    /// Addresses of the infrastructure nodes.
    pub infra: Vec<String>,
    /// Those of them whose DNS server answers where resolvers ask, on port 53.
    pub name_servers: Vec<String>,
    /// The hosts that share each address of `vip_address`.
    sharing: BTreeMap<String, Vec<NodeName>>,
    /// Virtual router numbers that the inventory gives to shared addresses.
    router_ids: BTreeSet<u8>,
    /// The clusters and members that a node carries, by their places in `clusters`, the lowest port
    /// first.
    instances: HashMap<NodeName, Vec<(usize, usize)>>,
    /// Clusters whose services a group of other nodes provides, with the group's name.
    provided: Vec<(usize, String)>,
}

/// A member of the etcd cluster.
#[derive(Debug, Clone)]
pub(crate) struct EtcdMember {
    /// The host.
    pub node: NodeName,
    /// The cluster's name.
    pub cluster: String,
    /// Its own name, `<cluster>-<seq>`.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Where clients go.
    pub port: u16,
    /// Where the other members go.
    pub peer_port: u16,
    /// Where the inventory says that it is one.
    pub span: Option<Span>,
    /// Its data.
    pub data_directory: String,
    /// Milliseconds without a heartbeat until an election.
    pub election_timeout: i64,
    /// Milliseconds between heartbeats.
    pub heartbeat_interval: i64,
    /// Whether it joins as a learner and stays one.
    pub learner: bool,
}

impl EtcdMember {
    /// The URL by which the other members know it.
    pub fn peer_url(&self) -> String {
        format!("https://{}:{}", self.address, self.peer_port)
    }
}

impl<'a> Topology<'a> {
    /// Reads the clusters.
    ///
    /// # Errors
    /// When there is more than one etcd cluster: Patroni would not know which to use.
    pub fn of(inventory: &'a Inventory) -> Result<Self, Problem> {
        let mut etcd_clusters = model::etcd_clusters(inventory);
        if let Some(second) = etcd_clusters.get(1) {
            let span = second.members.first().and_then(|member| member.seq_span);
            return Err(problem(
                "second-etcd-cluster",
                span,
                format!(
                    "`{}` is a second etcd cluster beside `{}`; one serves all PostgreSQL clusters",
                    second.name, etcd_clusters[0].name
                ),
            ));
        }
        let mut etcd: Vec<EtcdMember> = etcd_clusters
            .drain(..)
            .flat_map(|cluster| {
                let name = cluster.name;
                cluster.members.into_iter().map(move |member| {
                    let params = &member.params;
                    EtcdMember {
                        name: format!("{name}-{}", member.seq),
                        cluster: name.clone(),
                        span: member.seq_span,
                        address: member.node.as_str().to_owned(),
                        port: params.get(parameters::ETCD_PORT),
                        peer_port: params.get(parameters::ETCD_PEER_PORT),
                        data_directory: params.get(parameters::ETCD_DATA),
                        election_timeout: params.get(parameters::ETCD_ELECTION_TIMEOUT),
                        heartbeat_interval: params.get(parameters::ETCD_HEARTBEAT_INTERVAL),
                        learner: params.get(parameters::ETCD_LEARNER),
                        node: member.node,
                    }
                })
            })
            .collect();
        etcd.sort_by(|one, other| one.name.cmp(&other.name));
        let infra = model::infra_addresses(inventory);
        let name_servers = infra
            .iter()
            .filter(|address| {
                let params = Params::new(inventory, &NodeName::new(address.as_str()));
                params.get(parameters::DNS_ENABLED) && params.get(parameters::DNS_PORT) == 53
            })
            .cloned()
            .collect();
        let (mut sharing, mut router_ids) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
        for host in inventory.hosts() {
            if inventory.resolve(&host.name).get("vip_enabled").is_none() {
                continue;
            }
            let params = Params::new(inventory, &host.name);
            if params.get(parameters::VIP_ENABLED) {
                sharing
                    .entry(params.get(parameters::VIP_ADDRESS))
                    .or_default()
                    .push(host.name.clone());
                router_ids.extend(u8::try_from(params.get(parameters::VIP_VRID)));
            }
        }
        let clusters = model::pg_clusters(inventory);
        let mut instances: HashMap<NodeName, Vec<(usize, usize)>> = HashMap::new();
        let mut provided = Vec::new();
        for (at, cluster) in clusters.iter().enumerate() {
            for (place, member) in cluster.members.iter().enumerate() {
                instances.entry(member.node.clone()).or_default().push((at, place));
            }
            let provider = cluster.members[0].params.get(parameters::PG_SERVICE_PROVIDER);
            if let Some(group) = provider.split(':').next().filter(|group| !group.is_empty()) {
                provided.push((at, group.to_owned()));
            }
        }
        for there in instances.values_mut().filter(|there| there.len() > 1) {
            there.sort_by_key(|&(at, place)| {
                clusters[at].members[place].params.get(parameters::PG_PORT)
            });
        }
        let listeners = clusters.iter().map(|_| OnceLock::new()).collect();
        Ok(Self {
            clusters,
            listeners,
            etcd,
            infra,
            name_servers,
            sharing,
            router_ids,
            instances,
            provided,
        })
    }

    /// Whether a node has an etcd member, or something that asks etcd.
    pub fn uses_etcd(&self, node: &NodeName) -> bool {
        self.instances.contains_key(node) || self.etcd.iter().any(|member| member.node == *node)
    }

    /// The PostgreSQL instances on a node with their clusters, the lowest port first.
    pub fn instances_on(
        &self,
        node: &NodeName,
    ) -> impl Iterator<Item = (&PgCluster<'a>, &PgMember<'a>)> {
        self.instances.get(node).into_iter().flatten().map(|&(cluster, member)| {
            let cluster = &self.clusters[cluster];
            (cluster, &cluster.members[member])
        })
    }

    /// A cluster and its instance on a node.
    pub fn instance_of(
        &self,
        cluster: &str,
        node: &NodeName,
    ) -> Option<(&PgCluster<'a>, &PgMember<'a>)> {
        self.instances_on(node).find(|(here, _)| here.name.as_str() == cluster)
    }

    /// The hosts that share an address of `vip_address`, in the inventory's order.
    pub fn sharing(&self, address: &str) -> &[NodeName] {
        self.sharing.get(address).map_or(&[], Vec::as_slice)
    }

    /// A virtual router number for the address that follows a primary: its last byte, or the next
    /// number that no `vip_vrid` has. The routers talk to their peers alone, so that numbers need
    /// to differ only on one node.
    pub fn router_id(&self, address: &str) -> u8 {
        let last = address.rsplit('.').next().and_then(|last| last.parse().ok());
        let first: u8 = last.unwrap_or(1);
        (first..=u8::MAX)
            .chain(1..first)
            .find(|id| *id != 0 && !self.router_ids.contains(id))
            .unwrap_or(u8::MAX)
    }

    /// Places of the clusters whose services a node's HAProxy offers: those it has a member of, unless
    /// other nodes provide for them, and those that name a group the node stands in.
    pub fn served_by(&self, node: &NodeName, inventory: &Inventory) -> Vec<usize> {
        let own = self.instances.get(node).into_iter().flatten().map(|&(cluster, _)| cluster);
        let own = own.filter(|own| !self.provided.iter().any(|(cluster, _)| cluster == own));
        let provided = self
            .provided
            .iter()
            .filter(|(_, group)| inventory.members(group).iter().any(|host| host.name == *node));
        own.chain(provided.map(|&(cluster, _)| cluster)).collect()
    }
}
