//! Who belongs to a PostgreSQL cluster as its own members say it, whatever an inventory knows of them.

use serde::{Deserialize, Serialize};

/// One member as a Patroni of the cluster lists it (`GET /cluster` in Patroni's REST API). Patroni keeps
/// it in the DCS, where it is forgotten within `ttl` after the member has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// The cluster.
    pub scope: String,
    /// The instance's name.
    pub name: String,
    /// The address by which the others reach it.
    pub host: String,
    /// `running`, `streaming`, `in archive recovery`, `starting`, `stopped`, …
    pub state: String,
    /// Whether it leads.
    pub leads: bool,
}

impl MemberFacts {
    /// Whether its PostgreSQL runs.
    pub fn serves(&self) -> bool {
        matches!(self.state.as_str(), "running" | "streaming" | "in archive recovery")
    }
}
