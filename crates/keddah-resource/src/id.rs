//! The name by which plans, events and reports speak of one resource.

use crate::Kind;
use keddah_core::NodeName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One resource on one node, such as `10.10.10.11 file /etc/haproxy/haproxy.cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceId {
    /// Where it is observed and applied.
    pub node: NodeName,
    /// What it is.
    pub kind: Kind,
    /// Its name, unique among the resources of this kind on this node.
    pub name: String,
}

impl ResourceId {
    /// Names a resource.
    pub fn new(node: &NodeName, kind: Kind, name: impl Into<String>) -> Self {
        Self { node: node.clone(), kind, name: name.into() }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.node, self.kind, self.name)
    }
}
