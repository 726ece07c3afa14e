//! That an instance's Patroni has its login for etcd, and is connected in a way that etcd takes a login
//! from: a key in etcd says so, as long as etcd does not yet ask for logins. When every Patroni has its
//! own, etcd can.

use super::etcd_auth::evidence;
use super::etcd_member::EtcdConnection;
use crate::Difference;
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The cluster.
    pub cluster: String,
    /// The instance.
    pub instance: String,
    /// Ways to etcd's members; the first that answers is asked.
    pub connections: Vec<EtcdConnection>,
    /// The unit of its Patroni.
    pub unit: String,
    /// How long a Patroni that runs may take to read its configuration again, in seconds: it does so at
    /// its next turn.
    pub settled_seconds: u32,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether it is known to have one: the key is there, or etcd asks for logins already.
    pub known: bool,
}

impl Spec {
    /// The instance.
    pub fn name(&self) -> String {
        self.instance.clone()
    }

    /// The key.
    pub fn key(&self) -> String {
        evidence(&self.cluster, &self.instance)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        (!observed.known).then(|| Difference::create("its Patroni speaks to etcd without a login"))
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { known: true }
    }
}
