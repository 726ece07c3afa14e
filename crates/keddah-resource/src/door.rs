//! Logins by passwords that everyone knows, and what opens them.

use crate::ResourceId;
use serde::{Deserialize, Serialize};

/// What `keddah sandbox` puts into every node that it boots, and nothing else does: on nodes that have
/// it, public passwords are fine.
pub const SANDBOX_MARK: &str = "/etc/keddah-sandbox";

/// A line of a file by which a service lets somebody in with a public password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorProbe {
    /// The file.
    pub path: String,
    /// What one of its lines ends with. No secret: the password is in everybody's documents.
    pub line: String,
}

/// A login by a password that everyone knows, on a node that no sandbox has marked, which is not known
/// to be there already.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Door {
    /// What the inventory calls the password: `patroni_password`, or a user.
    pub password: String,
    /// What opens it, when it is made or given this password.
    pub by: ResourceId,
    /// Whether it is presumed to be there already as long as nobody can look.
    pub presumed: bool,
}
