//! What a node is asked.

use crate::OwnSettings;
use crate::kind::PgConnection;
use crate::kind::etcd_member::EtcdConnection;
use serde::{Deserialize, Serialize};

/// What a node is asked about how it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthProbe {
    /// The PostgreSQL instances that it should have.
    pub servers: Vec<ServerProbe>,
    /// How its member of etcd is asked, where it should have one.
    pub etcd: Option<EtcdConnection>,
    /// What Keddah has written for that member's unit, where others' settings are looked for.
    #[serde(default)]
    pub etcd_settings: Option<OwnSettings>,
    /// Directories whose file systems are looked at.
    pub directories: Vec<String>,
    /// Certificates whose end is wanted.
    pub certificates: Vec<String>,
    /// Units that should run.
    pub units: Vec<String>,
    /// New logins to try, one after the other.
    pub logins: Vec<LoginProbe>,
    /// Files that units have read, in order to tell whether they have read what stands there now.
    #[serde(default)]
    pub configurations: Vec<ConfigurationProbe>,
    /// Ports of members on other nodes that clients of this one, or its HAProxy, need.
    #[serde(default)]
    pub ports: Vec<PortProbe>,
    /// Where in etcd the keys of PostgreSQL's clusters are (`/pg/`); what leads there is wanted of the
    /// member of etcd that leads itself.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Whether it has servers that an upgrade of packages, made by the machine itself, would restart.
    #[serde(default)]
    pub unattended: bool,
    /// Milliseconds until what has not answered counts as unknown. All questions are asked at once.
    pub patience: u64,
}

/// A login to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginProbe {
    /// Whose servers it ends at: of the logins to one cluster only one is open at a time.
    pub cluster: String,
    /// What it leads to: an instance, or a service such as `pg-test-primary`.
    pub name: String,
    /// Through which door.
    pub door: LoginDoor,
    /// An address of the node itself.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password, which travels on the encrypted wire alone.
    #[serde(with = "keddah_core::expose")]
    pub password: keddah_core::Secret,
    /// The database; `pgbouncer` is a pool's own.
    pub database: String,
    /// The file that a pool has its settings from, to be compared with those that it runs with.
    #[serde(default)]
    pub settings: Option<String>,
}

/// Files that a unit reads when it starts or is reloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationProbe {
    /// The unit.
    pub unit: String,
    /// The files.
    pub files: Vec<String>,
}

/// A port of a member on another node, of which one wants to know whether this node gets there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortProbe {
    /// The instance.
    pub instance: String,
    /// Whose port it is: the server's or the pool's.
    pub door: LoginDoor,
    /// The other node's address.
    pub address: String,
    /// The port.
    pub port: u16,
}

/// What a login goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginDoor {
    /// A server's own port.
    Server,
    /// A pool's port.
    Pool,
    /// A service's port, which leads to a pool.
    PooledService,
    /// A service's port, which leads to a server.
    DirectService,
}

impl LoginDoor {
    /// Whether a pool answers.
    pub fn is_pool(self) -> bool {
        matches!(self, Self::Pool | Self::PooledService)
    }
}

/// An instance that a node should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProbe {
    /// Its name, `<cluster>-<seq>`.
    pub instance: String,
    /// Its cluster, which is the stanza of its backups, too.
    pub cluster: String,
    /// The port of its Patroni's REST API.
    pub patroni_port: u16,
    /// How the server is asked.
    pub connection: PgConnection,
    /// Its data directory; the port that a server runs with stands in it, and may be another than the
    /// declared one until it restarts.
    #[serde(default)]
    pub data_directory: String,
    /// Where its Patroni has its configuration, of which it reads every file.
    #[serde(default)]
    pub patroni_directory: String,
    /// Whether it has backups by pgBackRest, which are asked for there where it leads.
    pub backups: bool,
}
