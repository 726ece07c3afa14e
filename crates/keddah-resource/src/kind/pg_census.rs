//! What is in a database, or in the server around it, that nobody declared, and what the server was
//! made with. It is told to the user and never touched, so there is never a difference.

use super::PgConnection;
use crate::Difference;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is declared, and therefore not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The database to look into.
    pub database: String,
    /// Declared schemas of the database.
    pub schemas: BTreeSet<String>,
    /// Declared extensions of the database.
    pub extensions: BTreeSet<String>,
    /// What is declared of the server; looked at from one of its databases only.
    pub server: Option<Server>,
}

/// What is declared of a server as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Declared roles.
    pub roles: BTreeSet<String>,
    /// Declared databases.
    pub databases: BTreeSet<String>,
    /// What a new cluster would be made with, by the inventory's parameters: `pg_encoding`,
    /// `pg_lc_collate`, `pg_lc_ctype`, and `pg_checksum` as `on` or `off`.
    pub birth: BTreeMap<String, String>,
}

/// What is there beyond that. PostgreSQL's own objects, what belongs to an extension, and
/// extensions that others require are nobody's to declare and are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Roles of the server.
    pub roles: BTreeSet<String>,
    /// Databases of the server.
    pub databases: BTreeSet<String>,
    /// Schemas of the database.
    pub schemas: BTreeSet<String>,
    /// Extensions of the database.
    pub extensions: BTreeSet<String>,
    /// What the server was made with, by the same parameters.
    #[serde(default)]
    pub birth: BTreeMap<String, String>,
}

impl Spec {
    /// `port/database`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection.port, self.database)
    }

    /// Never a difference: what nobody declared is nobody's to change.
    pub fn diff(&self, _observed: &Observed) -> Option<Difference> {
        None
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed::default()
    }
}
