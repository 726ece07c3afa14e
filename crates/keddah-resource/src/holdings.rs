//! What goes for good with an instance: asked for before a removal, and never otherwise.

use crate::kind::PgConnection;
use serde::{Deserialize, Serialize};

/// An instance that is asked what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldingsProbe {
    /// The cluster.
    pub cluster: String,
    /// How its instance on the node is reached.
    pub connection: PgConnection,
}

/// What an instance that serves holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldingsFacts {
    /// The cluster.
    pub cluster: String,
    /// Its databases, but for templates.
    pub databases: Vec<DatabaseSize>,
    /// Its replication slots, inactive ones included.
    pub slots: Vec<HeldSlot>,
    /// Segments of WAL that wait to be archived.
    pub unarchived: u64,
    /// Why it does not say; empty where it does.
    pub unread: String,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSize {
    /// Its name.
    pub name: String,
    /// Its size on disk.
    pub bytes: u64,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSlot {
    /// Its name.
    pub name: String,
    /// `physical` or `logical`.
    pub form: String,
    /// Whether somebody reads from it now.
    pub active: bool,
}
