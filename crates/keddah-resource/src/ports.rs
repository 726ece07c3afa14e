//! Where the instances of a node are configured to listen.

use serde::{Deserialize, Serialize};

/// The ports of an instance, as the files say that Keddah has written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFacts {
    /// Its cluster.
    pub cluster: String,
    /// PostgreSQL's.
    pub server: Option<u16>,
    /// Its PgBouncer's.
    pub pool: Option<u16>,
}
