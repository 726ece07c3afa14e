//! Settings that a server has from elsewhere than the cluster's dynamic configuration.
//!
//! `postgresql.auto.conf` is read after every other file, and the command line wins over all files
//! ("Parameter Interaction via the Configuration File" in PostgreSQL's manual); so what Patroni
//! was given is not always what the server uses.

use serde::{Deserialize, Serialize};

/// One setting that is not what Patroni was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name in small letters.
    pub name: String,
    /// Its value as it stands there; empty for one that nobody declared, which may be a secret.
    pub value: String,
    /// The file and line that it comes from, or `the command line`.
    pub place: String,
    /// Whether `ALTER SYSTEM` has set it.
    pub altered: bool,
    /// Whether the server changes over only when it restarts.
    pub needs_restart: bool,
}

/// A parameter that a server takes over only when it starts, and that its files say otherwise by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What PostgreSQL says of it; its name is in small letters.
    pub setting: keddah_core::Setting,
    /// What the server runs with; empty where nobody declared it, which may be a secret.
    pub runs_with: String,
    /// Whether that is what it has where nobody sets it.
    pub default: bool,
}
