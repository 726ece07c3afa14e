//! Who made what stands in the places of Keddah's services on a node.

use serde::{Deserialize, Serialize};

/// What a node says of whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnershipFacts {
    /// Files that only Keddah writes, wherever they stand: such a node is Keddah's.
    pub marks: Vec<String>,
    /// The services that Keddah would manage, as far as anything of them is there.
    pub services: Vec<ServiceFacts>,
}

/// What stands in the places of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// Its unit, such as `etcd.service`.
    pub unit: String,
    /// Files of this service that only Keddah writes.
    pub marks: Vec<String>,
    /// The unit's own file when it is not as a package left it.
    pub foreign_unit: Option<String>,
    /// The command line that systemd has loaded for it; empty without a unit.
    pub command: String,
    /// The command line of its main process; absent while it does not run.
    pub running: Option<String>,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// Drop-ins that change what is started, and are neither a package's nor Keddah's.
    pub foreign_drop_ins: Vec<String>,
    /// Configuration files that are neither as a package left them nor Keddah's.
    pub foreign_files: Vec<String>,
    /// Tools that call themselves the makers in any of these files.
    pub makers: Vec<String>,
}
