//! What a node says about itself before anything is compiled for it.

use crate::kind::directory::Permissions;
use crate::{AsideFacts, DoorProbe};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which Linux distribution a node runs, from `/etc/os-release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `13`.
    pub version: String,
    /// `VERSION_CODENAME`, such as `trixie`.
    pub codename: String,
}

/// A network interface and its IPv4 addresses in CIDR notation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Addresses such as `10.10.10.11/24`.
    pub addresses: Vec<String>,
}

/// What the controller asks a node to look at when it says hello.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The ports of the REST API of each Patroni that the node should have.
    pub patroni_ports: Vec<u16>,
    /// The port etcd serves clients on, when the node should be a member.
    pub etcd_port: Option<u16>,
    /// The data directory of the node's etcd.
    #[serde(default)]
    pub etcd_data: Option<String>,
    /// The CA, certificate and key by which the node's etcd is asked for its members.
    pub etcd_tls: Option<[String; 3]>,
    /// Names of packages whose candidate version is wanted.
    pub packages: Vec<String>,
    /// Names of further ones, whose candidates decide what version an instance begins with. Nothing depends on
    /// them where the instances of all [`Probe::configurations`] have data, which keeps its version.
    #[serde(default)]
    pub beginning_packages: Vec<String>,
    /// The directories below `/etc/patroni` of the instances that the node should have.
    #[serde(default)]
    pub configurations: Vec<String>,
    /// Where the instances that the node should have keep what must not be lost.
    #[serde(default)]
    pub instances: Vec<InstanceProbe>,
    /// Directories in which removals may have moved others aside ([`crate::REMOVED`]).
    #[serde(default)]
    pub removed_in: Vec<String>,
    /// Lines of files by which services let in whoever knows a public password.
    #[serde(default)]
    pub doors: Vec<DoorProbe>,
    /// Roles whose password verifiers are wanted.
    #[serde(default)]
    pub verifiers: Vec<crate::VerifierProbe>,
    /// What its system is asked for.
    #[serde(default)]
    pub system: crate::SystemProbe,
    /// Instances that are asked what they hold; before a removal only.
    #[serde(default)]
    pub holdings: Vec<crate::HoldingsProbe>,
}

/// Where an instance that a node should have keeps data and backups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProbe {
    /// Its cluster, which is the stanza of its backups, too.
    pub cluster: String,
    /// The account that runs it, and pgBackRest.
    pub account: String,
    /// The directory that holds one directory for each cluster's data.
    pub data_root: String,
    /// The directory that holds one directory for each cluster's local backups.
    pub backup_root: String,
    /// The chosen repository where it is a directory of the node.
    pub repository: Option<String>,
    /// Where its backups belong: the options of the chosen repository that say so; nothing where it keeps
    /// none.
    #[serde(default)]
    pub place: crate::Place,
}

/// A directory with the files of a PostgreSQL server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFacts {
    /// The directory, without links in it.
    pub path: String,
    /// PostgreSQL's major version, from `PG_VERSION`.
    pub version: Option<u32>,
    /// The system identifier from `global/pg_control`; empty where that cannot be read.
    pub system_identifier: String,
    /// The timeline of the last checkpoint.
    pub timeline: Option<u32>,
    /// The account that owns it.
    pub owner: String,
    /// Whether it is a backup that was restored and whose recovery has not ended: `recovery.signal`
    /// is there (PostgreSQL manual, "Continuous Archiving and Point-in-Time Recovery").
    #[serde(default)]
    pub restored: bool,
    /// How far its WAL reaches: by its files where no Patroni of the instance answers, and else as that says,
    /// and it goes on.
    #[serde(default)]
    pub wal: Option<crate::WalEnd>,
}

impl DataFacts {
    /// Whether a removal has moved it aside ([`crate::REMOVED`]).
    pub fn was_removed(&self) -> bool {
        self.path.split('/').any(|part| part.ends_with(crate::REMOVED))
    }
}

/// What a configuration of Patroni that Keddah has written says of its instance, and the data that
/// it leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    /// The directory below `/etc/patroni` that holds the configuration.
    pub configuration: String,
    /// The cluster's name.
    pub scope: String,
    /// The prefix of the cluster's keys in etcd.
    pub namespace: String,
    /// The instance's name.
    pub name: String,
    /// The data directory as the configuration names it.
    pub data_directory: String,
    /// Where the link above the data directory leads, such as `/pg`; absent where it is none.
    pub home: Option<String>,
    /// The data; absent before the instance is made, or when it is lost.
    pub data: Option<DataFacts>,
    /// Whether it has been made, which the mark beside its configuration says ([`MADE_MARK`]).
    #[serde(default)]
    pub made: bool,
    /// Whether a server runs in its data directory.
    #[serde(default)]
    pub runs: bool,
}

/// The file that tells a member of etcd how its cluster is made, and stays when that is done.
pub const ETCD_BOOTSTRAP: &str = "/etc/etcd/bootstrap.env";

/// The file beside a configuration of Patroni that tells an instance whose data is lost from one that
/// was never made. It lies on another disk than the data, as a rule.
pub const MADE_MARK: &str = "made";

/// The files of an instance's configuration that Keddah writes; Patroni reads all of its directory that end
/// like these.
pub const PATRONI_FILES: [&str; 4] =
    ["05-bootstrap.yml", "10-patroni.yml", "20-listen.yml", "90-secrets.yml"];

/// What a backup repository holds under a cluster's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFacts {
    /// The name.
    pub stanza: String,
    /// Where: a directory, or the configured repository.
    pub place: String,
    /// System identifiers that its backups and WAL belong to, the newest last; none where its own
    /// list cannot be read.
    pub systems: Vec<String>,
    /// How many of the backups that it lists are there.
    pub backups: u32,
    /// When the newest one ended, in seconds since 1970.
    pub newest: Option<i64>,
}

/// What one Patroni of a node says of itself (`GET /patroni`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatroniFacts {
    /// Whether it answers under TLS.
    #[serde(default)]
    pub tls: bool,
    /// `primary` (older: `master`), `replica` or `standby_leader`.
    pub role: String,
    /// `running`, `starting`, `stopped`, …
    pub state: String,
    /// The cluster's scope.
    pub scope: String,
    /// The instance's name; empty where it does not say (before Patroni 4).
    #[serde(default)]
    pub name: String,
    /// PostgreSQL's system identifier, which a cluster shares with its copies alone; empty while
    /// PostgreSQL does not run.
    #[serde(default)]
    pub system_identifier: String,
    /// Whether the cluster is paused: Patroni then neither stops nor starts PostgreSQL with itself.
    #[serde(default)]
    pub paused: bool,
}

/// Whether a role that Patroni tells is that of a cluster's leader; `master` until Patroni 4.
pub fn is_leading(role: &str) -> bool {
    matches!(role, "primary" | "master" | "standby_leader")
}

impl PatroniFacts {
    /// Whether its instance leads its cluster.
    pub fn leads(&self) -> bool {
        is_leading(&self.role)
    }
}

/// One etcd member as a running member lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdMemberFacts {
    /// The member's id in decimal digits.
    pub id: String,
    /// Its name; empty until it has started.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// Whether it follows without a vote (etcd 3.4 and later, "Learner").
    #[serde(default)]
    pub learner: bool,
}

/// What a node's etcd says of its cluster; absent when it does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdFacts {
    /// The cluster's id in decimal digits: members of two clusters never have the same.
    #[serde(default)]
    pub cluster: String,
    /// The id of the member that says so.
    #[serde(default)]
    pub member: String,
    /// The members.
    pub members: Vec<EtcdMemberFacts>,
}

/// Of which life the data of a member of etcd is: whose it is, and of which cluster. It stays so whatever
/// the member's configuration says, and etcd ends at once with data of another life than the list's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdLife {
    /// The cluster's id in decimal digits.
    pub cluster: String,
    /// The member's id in decimal digits.
    pub member: String,
}

/// What a node is, as far as compilation depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// The kernel's host name.
    pub hostname: String,
    /// The distribution.
    pub distribution: Distribution,
    /// The machine's architecture as `uname -m` says it, such as `x86_64`.
    pub architecture: String,
    /// Processors that the node may use.
    pub cores: u32,
    /// Memory in bytes, the cgroup's limit where that is lower.
    pub memory_bytes: u64,
    /// Whether `/proc/sys` cannot be written, as in a container.
    pub sysctl_read_only: bool,
    /// The highest hard limit of open files that a service can get.
    pub open_files_limit: u64,
    /// Network interfaces with their addresses.
    pub interfaces: Vec<Interface>,
    /// Services whose unit files are Keddah's own, `keddah-*.service`, so that one that is no longer
    /// wanted is taken away, and nobody has to look for it where it never was.
    pub own_units: Vec<String>,
    /// Who made what stands in the places of Keddah's services.
    #[serde(default)]
    pub ownership: crate::OwnershipFacts,
    /// Whether `/etc/resolv.conf` leads to a file of systemd-resolved.
    pub resolved: bool,
    /// Candidate versions of the packages that were asked for; absent means not available.
    pub package_candidates: BTreeMap<String, String>,
    /// What each Patroni says that answers; one for each cluster that has an instance here.
    pub patroni: Vec<PatroniFacts>,
    /// The members of its clusters that each of these Patronis knows of.
    #[serde(default)]
    pub members: Vec<crate::MemberFacts>,
    /// The directories below `/etc/patroni` with a configuration that Keddah has written, so that an
    /// instance is not made a second time in another place.
    pub patroni_directories: Vec<String>,
    /// What etcd says, when it answers.
    pub etcd: Option<EtcdFacts>,
    /// Whether the node's data directory of etcd holds a member's data: one that has none is never
    /// started under the identity of one that had.
    #[serde(default)]
    pub etcd_has_data: bool,
    /// Of which life that data is; absent where there is none, or none that says so.
    #[serde(default)]
    pub etcd_life: Option<EtcdLife>,
    /// Whether a member of etcd has been configured here before ([`ETCD_BOOTSTRAP`]).
    #[serde(default)]
    pub etcd_configured: bool,
    /// The instances that Keddah has configured here.
    #[serde(default)]
    pub instances: Vec<InstanceFacts>,
    /// All data below the places where clusters keep theirs, configured or not.
    #[serde(default)]
    pub data: Vec<DataFacts>,
    /// Backups under the names of the clusters that the node should have instances of.
    #[serde(default)]
    pub backups: Vec<BackupFacts>,
    /// Who may open `/dev/watchdog`; absent where there is none.
    #[serde(default)]
    pub watchdog: Option<Permissions>,
    /// Whether `keddah sandbox` has marked the node as one of its own.
    #[serde(default)]
    pub sandbox: bool,
    /// The files that have the line that was asked for ([`Probe::doors`]).
    #[serde(default)]
    pub doors: Vec<String>,
    /// What failed rewinds have left beside the data directories of the instances.
    #[serde(default)]
    pub asides: Vec<AsideFacts>,
    /// Directories that removals have moved aside ([`Probe::removed_in`]).
    #[serde(default)]
    pub removed: Vec<String>,
    /// Password verifiers of roles that the inventory declares, of each instance that serves.
    #[serde(default)]
    pub verifiers: Vec<crate::VerifierFacts>,
    /// What pgBackRest of the node is configured for, by cluster.
    #[serde(default)]
    pub repositories: Vec<crate::RepositoryFacts>,
    /// What its system has of what the inventory names.
    #[serde(default)]
    pub system: crate::SystemFacts,
    /// What instances hold that were asked for it ([`Probe::holdings`]).
    #[serde(default)]
    pub holdings: Vec<crate::HoldingsFacts>,
    /// Where its instances are configured to listen.
    #[serde(default)]
    pub ports: Vec<crate::PortFacts>,
}

impl NodeFacts {
    /// What the Patroni of a cluster says, when it answers.
    pub fn patroni_of(&self, cluster: &str) -> Option<&PatroniFacts> {
        self.patroni.iter().find(|patroni| patroni.scope == cluster)
    }
}

/// A listener of a node's HAProxy that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleListener {
    /// Its name, such as `pg-test-offline`.
    pub name: String,
    /// Its servers and what their health checks last said.
    pub because: String,
}
