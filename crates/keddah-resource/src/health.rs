//! How a node does: what it is asked, and what it answers. Nothing here judges; that is done where
//! the answers of all nodes are together (`keddah_plan::health`).

mod expected;
mod probe;

pub use expected::*;
pub use probe::*;

use crate::{ForeignSetting, IdleListener};
use serde::{Deserialize, Serialize};

/// An answer, or why there is none: what could not be asked is never taken for well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked<T> {
    /// What was said.
    Told(T),
    /// Nothing was said.
    Unknown {
        /// Why.
        because: String,
    },
    /// It was not asked: those who were asked before have left no time for it. That is no silence of its own.
    Untried,
}

impl<T> Asked<T> {
    /// What was said.
    pub fn told(&self) -> Option<&T> {
        match self {
            Self::Told(answer) => Some(answer),
            Self::Unknown { .. } | Self::Untried => None,
        }
    }

    /// Why nothing was said.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Told(_) => None,
            Self::Unknown { because } => Some(because),
            Self::Untried => Some("there was no time to ask"),
        }
    }

    /// Whether there was no time to ask.
    pub fn is_untried(&self) -> bool {
        matches!(self, Self::Untried)
    }

    /// Nothing, with the reason.
    pub fn unknown(because: impl Into<String>) -> Self {
        Self::Unknown { because: because.into() }
    }
}

/// How a node does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// Its clock when it answered, in milliseconds since 1970.
    pub clock: i64,
    /// Whether it is a node of `keddah sandbox`.
    #[serde(default)]
    pub sandbox: bool,
    /// Its instances, in the order of the question.
    pub servers: Vec<ServerHealth>,
    /// Its member of etcd.
    pub etcd: Option<Asked<EtcdHealth>>,
    /// What others have given the unit of that member, or its process.
    #[serde(default)]
    pub etcd_settings: Vec<ForeignSetting>,
    /// The file systems of the directories that exist.
    pub disks: Vec<Asked<DiskHealth>>,
    /// The certificates that are there.
    pub certificates: Vec<CertificateHealth>,
    /// The units that were asked for.
    pub units: Asked<Vec<UnitHealth>>,
    /// IPv4 addresses that it answers on, without their networks' lengths.
    pub addresses: Asked<Vec<String>>,
    /// The logins that there was time for.
    #[serde(default)]
    pub logins: Vec<LoginHealth>,
    /// What the others would have led to.
    #[serde(default)]
    pub logins_untried: Vec<String>,
    /// Units that do not use what their files say now.
    #[serde(default)]
    pub unloaded: Vec<Unloaded>,
    /// Ports of other nodes that it does not reach.
    #[serde(default)]
    pub closed_ports: Vec<ClosedPort>,
    /// Listeners of its HAProxy that lead nowhere; none where there is no HAProxy.
    pub idle_listeners: Asked<Vec<IdleListener>>,
    /// Listeners of its HAProxy, each with the servers that it leads to now.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// What the machine may do to its packages and services by itself; `None` where it does nothing.
    #[serde(default)]
    pub unattended: Option<Unattended>,
}

/// A listener of HAProxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name, such as `pg-test-primary`.
    pub name: String,
    /// The servers that get its clients: those that stand in for others only where none of these is up.
    pub servers: Vec<String>,
    /// What somebody has told HAProxy about its servers while it ran.
    #[serde(default)]
    pub by_hand: Vec<ByHand>,
    /// The addresses that HAProxy has for its servers now.
    #[serde(default)]
    pub addresses: std::collections::BTreeMap<String, String>,
}

/// A change of a server by HAProxy's socket or statistics page, which no file knows of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// The server.
    pub server: String,
    /// What it is by that, in words that follow the server's name.
    pub what: String,
    /// The command at HAProxy's socket that takes it back.
    pub back: String,
}

/// What a machine does to its packages and services without being asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unattended {
    /// Whether upgrades are made (`APT::Periodic::Unattended-Upgrade`).
    pub upgrades: bool,
    /// Where they come from (`Unattended-Upgrade::Origins-Pattern`, `Allowed-Origins`).
    pub origins: Vec<String>,
    /// Expressions for the names of packages that are left alone (`Unattended-Upgrade::Package-Blacklist`).
    pub left_alone: Vec<String>,
    /// The packages of the servers.
    pub packages: Vec<InstalledPackage>,
    /// Whether needrestart restarts what uses a file that was upgraded (`$nrconf{restart} = 'a'`).
    pub restarts: bool,
    /// Expressions for the units that it leaves alone (`$nrconf{override_rc}`).
    pub not_restarted: Vec<String>,
}

/// A package that is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version, which tells Debian's from others'.
    pub version: String,
    /// Whether somebody holds it (`apt-mark hold`).
    pub held: bool,
}

/// How an instance does: its Patroni and its server are asked apart, for each may be silent alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHealth {
    /// Its name.
    pub instance: String,
    /// What Patroni says.
    pub patroni: Asked<PatroniHealth>,
    /// What the server itself says in a new session.
    pub server: Asked<PostgresHealth>,
    /// Backups; asked for only where it leads.
    pub backups: Option<Asked<BackupHealth>>,
    /// The program on disk, where the server was started from another one.
    #[serde(default)]
    pub replaced: Option<Replaced>,
}

/// A program that was replaced on the disk after a process was started from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its path.
    pub path: String,
    /// The version of the one that is there now; `None` where it does not say.
    pub version: Option<String>,
}

/// What Patroni says of its instance and of the cluster (`GET /patroni`, `GET /cluster`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatroniHealth {
    /// `running`, `starting`, `stopped`, `start failed`, …
    pub state: String,
    /// `primary`, `replica`, `standby_leader`; `master` before Patroni 4.
    pub role: String,
    /// Whether the cluster is paused.
    pub paused: bool,
    /// Whether PostgreSQL waits for a restart.
    pub pending_restart: bool,
    /// Whether a replica streams; only Patroni 4 says so.
    pub streams: Option<bool>,
    /// When it last heard etcd, in seconds since 1970; 0 where it does not say.
    pub heard_dcs: i64,
    /// Names of the standbys that commits wait for; `None` where it cannot ask etcd.
    pub synchronous: Option<Vec<String>>,
    /// Its name and its cluster's, as it runs; empty where it does not say (Patroni 3 has no name).
    #[serde(default)]
    pub name: String,
    /// Its cluster's.
    #[serde(default)]
    pub scope: String,
    /// What it is going to do at a time that somebody has set, in words.
    #[serde(default)]
    pub scheduled: Vec<String>,
    /// Files that it reads and that are not Keddah's.
    #[serde(default)]
    pub foreign_files: Vec<String>,
    /// All members that run, as etcd knows them; none where it cannot ask etcd.
    #[serde(default)]
    pub members: Vec<KnownMember>,
    /// Its version, such as `4.0.7`; empty where it does not say.
    #[serde(default)]
    pub version: String,
    /// The version that is installed, which runs from its next start on.
    #[serde(default)]
    pub installed: Option<String>,
}

/// A member of a cluster as Patroni knows it from etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownMember {
    /// Its name.
    pub name: String,
    /// Its address.
    pub host: String,
    /// Whether it leads.
    pub leads: bool,
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresHealth {
    /// Whether it takes no writes because it is in recovery (`pg_is_in_recovery`).
    pub in_recovery: bool,
    /// The timeline of its last checkpoint.
    pub timeline: i64,
    /// How far its WAL has come: written on a primary, replayed on a standby; in bytes.
    pub position: i64,
    /// Whether a WAL receiver streams.
    pub receiving: bool,
    /// PostgreSQL's version as a number, such as 170006.
    pub version: i64,
    /// Settings that wait for a restart.
    #[serde(default)]
    pub pending_restart: Vec<String>,
    /// Sessions of clients, and how many there may be.
    pub connections: i64,
    /// `max_connections`.
    pub most_connections: i64,
    /// What `pg_stat_archiver` says; `None` where nothing is archived.
    pub archiver: Option<ArchiverHealth>,
    /// Replication slots that nobody uses.
    #[serde(default)]
    pub idle_slots: Vec<SlotHealth>,
    /// Transactions since the oldest database was frozen.
    pub transaction_age: i64,
    /// That database.
    pub oldest_database: String,
    /// Standbys that stream from it: their `application_name`.
    #[serde(default)]
    pub standbys: Vec<String>,
    /// Whether its files make new transactions read-only (`default_transaction_read_only`).
    #[serde(default)]
    pub read_only: bool,
    /// Whether somebody has paused its replay (`pg_wal_replay_pause`).
    #[serde(default)]
    pub replay_paused: bool,
    /// Milliseconds by which it replays later than it could (`recovery_min_apply_delay`).
    #[serde(default)]
    pub apply_delay: i64,
    /// The file that says so.
    #[serde(default)]
    pub apply_delay_file: Option<String>,
    /// `synchronous_standby_names` of one that takes writes, where commits wait (`synchronous_commit`).
    #[serde(default)]
    pub synchronous_names: String,
    /// `synchronous_commit` of one that takes writes.
    #[serde(default)]
    pub synchronous_commit: String,
    /// Standbys that have replayed WAL that it has not written: they hold commits that it lacks.
    #[serde(default)]
    pub ahead: Vec<String>,
    /// Standbys that commits wait for, as the server itself sees them.
    #[serde(default)]
    pub synchronous_standbys: i64,
    /// Sessions that wait for a standby's consent, and for how many seconds the longest of them does.
    #[serde(default)]
    pub waiting_commits: i64,
    /// Those seconds.
    #[serde(default)]
    pub longest_commit: i64,
    /// Settings that risk the data, such as `fsync = off`.
    #[serde(default)]
    pub unsafe_settings: Vec<String>,
    /// Settings that name files which are not there: a reload goes on without them, and a start does not.
    #[serde(default)]
    pub missing_files: Vec<String>,
    /// `archive_command`, where WAL is archived by something other than pgBackRest.
    #[serde(default)]
    pub other_archiver: Option<String>,
    /// Settings in effect that were made with `ALTER SYSTEM`, with their values where these are no secrets.
    #[serde(default)]
    pub altered: Vec<String>,
    /// Databases that take connections.
    #[serde(default)]
    pub databases: Vec<String>,
    /// Configuration files that were changed after it has read them last.
    #[serde(default)]
    pub unloaded: Vec<String>,
    /// Roles that cannot log in: they may not, their time is over, they have no session, or no database of
    /// the cluster's business lets them in.
    #[serde(default)]
    pub shut_out: Vec<String>,
    /// Whose new transactions are read-only by `ALTER ROLE` or `ALTER DATABASE`, in words.
    #[serde(default)]
    pub read_only_for: Vec<String>,
    /// Pages whose checksums were wrong since statistics were reset.
    #[serde(default)]
    pub checksum_failures: i64,
    /// When the last of them was read, in seconds since 1970.
    #[serde(default)]
    pub checksum_failed_at: Option<i64>,
    /// Whether its data directory is not where it should be while it runs.
    #[serde(default)]
    pub data_gone: bool,
}

/// What `pg_stat_archiver` says, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiverHealth {
    /// When a file last failed to be archived.
    pub failed_at: Option<i64>,
    /// That file.
    pub failed_file: Option<String>,
    /// When one was last archived.
    pub archived_at: Option<i64>,
    /// Files that wait for it.
    #[serde(default)]
    pub waiting: i64,
    /// For how many seconds the first of them has waited.
    #[serde(default)]
    pub waiting_seconds: i64,
}

/// A replication slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHealth {
    /// Its name.
    pub name: String,
    /// Bytes of WAL that are kept for it.
    pub kept: Option<i64>,
    /// `reserved`, `extended`, `unreserved` or `lost` (`pg_replication_slots.wal_status`).
    pub wal_status: Option<String>,
}

/// What came of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginHealth {
    /// What it leads to.
    pub name: String,
    /// Through which door.
    pub door: LoginDoor,
    /// The answer; unknown where there is none.
    pub answer: Asked<LoginAnswer>,
}

/// What was answered to a login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAnswer {
    /// Why it was not let in.
    pub refused: Option<String>,
    /// Whether that was for its password.
    pub wrong_password: bool,
    /// Databases whose clients a pool holds back until `RESUME`.
    pub paused: Vec<String>,
    /// Databases that a pool lets nobody into until `ENABLE`.
    #[serde(default)]
    pub disabled: Vec<String>,
    /// Whether that was for want of a session.
    #[serde(default)]
    pub full: bool,
    /// Settings that a pool does not have from its file.
    #[serde(default)]
    pub otherwise: Vec<PoolSetting>,
}

/// A setting of a pool whose value is another than its file's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSetting {
    /// Its name.
    pub name: String,
    /// What the pool runs with.
    pub runs: String,
    /// What its file says.
    pub file: String,
}

/// What a member of etcd says of itself (`Maintenance.Status`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdHealth {
    /// The cluster's id in decimal digits.
    pub cluster: String,
    /// Its own id.
    pub member: String,
    /// The leader's id as it knows it; `0` for none.
    pub leader: String,
    /// The size of its store in bytes.
    pub size: i64,
    /// What it complains of, such as an alarm for want of space.
    pub errors: Vec<String>,
    /// Its version.
    pub version: String,
    /// Whether it has no vote.
    pub learner: bool,
    /// The members as it knows them.
    #[serde(default)]
    pub members: Vec<KnownEtcd>,
    /// Where the clusters that have a leader keep their keys, such as `/pg/pg-test/`; `None` where
    /// another member is asked, because that one leads etcd.
    #[serde(default)]
    pub led: Option<Asked<Vec<String>>>,
}

/// A member of etcd as another one knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownEtcd {
    /// Its id in hexadecimal digits, as `etcdctl` writes it.
    pub id: String,
    /// Its name; empty before it has started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Whether it has no vote.
    #[serde(default)]
    pub learner: bool,
}

/// The newest backups of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHealth {
    /// Full backups without broken pages.
    pub full: u32,
    /// When the newest backup ended, in seconds since 1970.
    pub newest: Option<i64>,
    /// The timeline that it begins on.
    #[serde(default)]
    pub timeline: Option<i64>,
    /// Timelines that were begun by this node's server, as its archive says; looked at where that is the
    /// node's own disk.
    #[serde(default)]
    pub begun: Vec<i64>,
    /// Between which segments WAL is missing in the archive after it; looked at where that is the node's own
    /// disk.
    #[serde(default)]
    pub gap: Option<(String, String)>,
    /// Backups of which files are gone; looked at where the repository is the node's own disk.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Backups in which pgBackRest found pages with wrong checksums, or which are based on such a one.
    #[serde(default)]
    pub damaged: Vec<String>,
    /// The directory of the node in which its WAL was archived, and in which nothing of it is any more.
    #[serde(default)]
    pub gone: Option<String>,
}

/// A file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskHealth {
    /// The directory that was asked for.
    pub directory: String,
    /// What is taken, in bytes.
    pub taken: u64,
    /// What an account other than root may still write.
    pub free: u64,
    /// Percent of its inodes that are taken; 0 where it has no fixed number of them.
    #[serde(default)]
    pub inodes: u64,
    /// Tells file systems of a node apart.
    pub device: u64,
}

/// A certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateHealth {
    /// Its file.
    pub path: String,
    /// Its end in seconds since 1970.
    pub ends: i64,
}

/// A unit of systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitHealth {
    /// Its name.
    pub unit: String,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub state: String,
    /// Since when, in seconds since 1970; 0 where systemd does not say.
    pub since: i64,
    /// The program of its main process, where it was replaced on the disk after it was started.
    #[serde(default)]
    pub replaced: Option<String>,
}

/// Files that were changed after the one that reads them has read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unloaded {
    /// The unit.
    pub unit: String,
    /// The files.
    pub files: Vec<String>,
}

/// A port that a node does not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPort {
    /// The instance behind it.
    pub instance: String,
    /// Whose port it is.
    pub door: LoginDoor,
    /// The port.
    pub port: u16,
    /// What the kernel says.
    pub because: String,
}
