//! What there should be, as the inventory says.

use serde::{Deserialize, Serialize};

/// What a fleet is measured by: what the inventory says that there should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// PostgreSQL's clusters, in the inventory's order.
    pub clusters: Vec<ExpectedCluster>,
    /// The members of etcd, by name.
    pub etcd: Vec<ExpectedEtcd>,
    /// What the inventory has of passwords that everyone knows, and whether somebody has allowed that.
    pub public_passwords: Option<PublicPasswordsDeclared>,
    /// Where each cluster of the inventory, selected or not, keeps its keys in etcd.
    pub key_prefixes: std::collections::BTreeSet<String>,
    /// Addresses that several nodes share, one of which holds it.
    pub shared_addresses: Vec<SharedAddress>,
    /// The nodes that are judged for themselves; others are asked for their clusters' sake only.
    pub nodes: std::collections::BTreeSet<keddah_core::NodeName>,
    /// Findings that somebody has declared to be known (`keddah_accept`), and where.
    pub accepted: Vec<Accepted>,
}

/// Passwords that everyone knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicPasswordsDeclared {
    /// Which, in a sentence; never the passwords.
    pub message: String,
    /// Whether it was said for this fleet that they may stay (`--allow-public-passwords`).
    pub allowed: bool,
}

/// A finding that is known and borne.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accepted {
    /// The node whose variables say so.
    pub node: keddah_core::NodeName,
    /// The finding's name.
    pub finding: String,
}

/// A cluster of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedCluster {
    /// Its name.
    pub name: String,
    /// Whether it follows another cluster, so that its leader takes no writes.
    pub follows: bool,
    /// Its members.
    pub members: Vec<ExpectedMember>,
    /// Instances that are about to go: known, and not missed.
    pub leaving: Vec<String>,
    /// Databases that clients shall be able to connect to.
    pub databases: Vec<String>,
    /// Users that shall be able to log in to one of them; none where a database is not for everybody.
    pub users: Vec<String>,
    /// Whether the inventory makes transactions read-only for a user or a database.
    pub read_only: bool,
    /// Standbys that commits wait for; 0 where they wait for none.
    pub synchronous: i64,
    /// Bytes of WAL that a standby may be behind before nobody fails over to it
    /// (`maximum_lag_on_failover`); 0 where there is no such limit.
    pub most_lag: i64,
    /// Seconds that a leader's lease lasts.
    pub lease: i64,
    /// Whether it is backed up.
    pub backups: bool,
    /// Whether its backups are on the nodes' own disks only.
    pub backups_on_nodes: bool,
    /// Its services, in the inventory's order.
    pub services: Vec<ExpectedService>,
    /// The name by which clients find it, where a name server of the fleet has it.
    pub dns_name: Option<String>,
}

/// A service of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedService {
    /// Its name, such as `pg-test-primary`.
    pub name: String,
    /// The port that load balancers listen on.
    pub port: u16,
    /// Whether it leads to the primary alone.
    pub primary: bool,
}

/// A member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedMember {
    /// Its name, `<cluster>-<seq>`.
    pub instance: String,
    /// Its node.
    pub node: keddah_core::NodeName,
    /// Its server's port.
    pub port: u16,
    /// Whether it is to stay behind on purpose.
    pub delayed: bool,
    /// The unit of its Patroni.
    pub patroni_unit: String,
    /// The unit of its pool.
    pub pool_unit: String,
    /// Its pool's port.
    pub pool_port: u16,
    /// Where its Patroni has its configuration.
    pub patroni_directory: String,
    /// Its data.
    pub data_directory: String,
    /// What takes a backup of it.
    pub backup_command: String,
}

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedEtcd {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: keddah_core::NodeName,
    /// Where other members reach it.
    pub peer_url: String,
}

/// An address that one of several nodes holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedAddress {
    /// The address, without its network's length.
    pub address: String,
    /// The nodes that may hold it.
    pub nodes: Vec<keddah_core::NodeName>,
    /// The cluster whose leader it goes with; `None` for a node cluster's own.
    pub cluster: Option<String>,
}
