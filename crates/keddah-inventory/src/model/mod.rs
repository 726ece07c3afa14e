//! The inventory's business objects as typed values: users, databases, services, rules, clusters.
//!
//! Reading is lenient: what does not fit has been reported by [`crate::check`] and reads as the
//! default, entries without a name are left out. Older spellings have become today's.

mod cluster;
mod database;
mod hba;
mod read;
mod rto;
mod service;
mod user;

pub use cluster::{
    EtcdCluster, EtcdMember, PgCluster, PgMember, PgRole, etcd_clusters, infra_addresses,
    pg_clusters, upstream_of,
};
pub use database::{DatabaseState, PgDatabase, PgExtension, PgSchema};
pub use hba::{AuthenticationFile, Dialect, HbaAuth, HbaRule, InvalidRule, memberships};
pub use rto::RtoPlan;
pub use service::{CheckPort, NodeServer, NodeService, PgService, ServiceDestination};
pub use user::{Membership, PgUser};

use crate::Value;

/// Whether an object shall exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It shall exist, as described.
    #[default]
    Present,
    /// It shall not exist: it is dropped.
    Absent,
}

/// When PgBouncer gives a server connection back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// After each transaction.
    Transaction,
    /// When the client disconnects.
    Session,
    /// After each statement.
    Statement,
}

impl PoolMode {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::Statement => "statement",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Transaction, Self::Session, Self::Statement]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

/// Settings of a role or database: scalars as text, lists joined as PostgreSQL writes them.
pub(crate) fn setting(value: &Value) -> Option<String> {
    match value.as_list() {
        Some(items) => {
            let parts: Vec<String> =
                items.iter().filter_map(crate::registry::scalar_text).collect();
            Some(parts.join(", "))
        }
        None => crate::registry::scalar_text(value),
    }
}
