//! A pgBackRest stanza: the name under which a cluster's backups and WAL are kept.

use crate::Difference;
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The stanza, which is the cluster's name.
    pub stanza: String,
    /// The account that runs pgBackRest.
    pub account: String,
    /// Whether PostgreSQL on this node takes writes. On a replica's node the stanza is made from
    /// its files alone, so that WAL is archived from the moment the replica becomes the primary.
    pub online: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// pgBackRest's own word for it: `status.code` of `pgbackrest info`; 0 is ok, 2 is "no valid
    /// backups", 1 is "missing stanza path".
    pub status: i64,
}

impl Spec {
    /// The stanza.
    pub fn name(&self) -> String {
        self.stanza.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        (!matches!(observed.status, 0 | 2))
            .then(|| Difference::create("the repository does not know the cluster yet"))
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { status: 2 }
    }
}
