//! What a cluster that is gone has left in etcd. Patroni takes a cluster of the same name for one that
//! exists while `initialize` is there, and waits for its leader for ever.

use super::etcd_auth::Servers;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// All keys that begin with this, such as `/pg/pg-test/`.
    pub prefix: String,
    /// How etcd is reached.
    pub servers: Servers,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// How many such keys there are.
    pub keys: u64,
}

impl Spec {
    /// The prefix.
    pub fn name(&self) -> String {
        self.prefix.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        (observed.keys > 0)
            .then(|| Difference::delete(Class::Destroy, "the cluster goes as a whole"))
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { keys: 0 }
    }
}
