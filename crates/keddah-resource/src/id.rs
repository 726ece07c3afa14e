//! The name by which plans, events and reports speak of one resource.

use crate::Kind;
use foldhash::fast::FixedState;
use keddah_core::NodeName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// One resource on one node, such as `10.10.10.11 file /etc/haproxy/haproxy.cfg`.
///
/// Its parts are read as fields: `id.node`, `id.kind`, `id.name`. Copies share them and carry
/// their hash along, because order and triggers of a large fleet name resources millions of times.
#[derive(Debug, Clone)]
pub struct ResourceId(Arc<Identity>);

/// The parts of a [`ResourceId`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parts {
    /// Where it is observed and applied.
    pub node: NodeName,
    /// What it is.
    pub kind: Kind,
    /// Its name, unique among the resources of this kind on this node.
    pub name: String,
}

#[derive(Debug)]
struct Identity {
    parts: Parts,
    hash: u64,
}

impl ResourceId {
    /// Names a resource.
    pub fn new(node: &NodeName, kind: Kind, name: impl Into<String>) -> Self {
        let parts = Parts { node: node.clone(), kind, name: name.into() };
        let hash = FixedState::default().hash_one(&parts);
        Self(Arc::new(Identity { parts, hash }))
    }
}

impl Deref for ResourceId {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.parts == other.0.parts)
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        self.0.parts.cmp(&other.0.parts)
    }
}

/// How it is written in plans and on the way to a node.
#[derive(Serialize, Deserialize)]
struct Written<N, T> {
    node: N,
    kind: Kind,
    name: T,
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { node: &self.node, kind: self.kind, name: &self.name }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { node, kind, name } = Written::<NodeName, String>::deserialize(deserializer)?;
        Ok(Self::new(&node, kind, name))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.node, self.kind, self.name)
    }
}
