//! Who holds which privileges on what is in a database. `keddah pg privileges` looks at it; no plan
//! contains it, so there is never a difference.

use super::PgConnection;
use crate::Difference;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The database.
    pub database: String,
    /// The roles whose privileges are asked for; `public` is everybody.
    pub roles: BTreeSet<String>,
}

/// A kind of objects that privileges are granted on (the manual's "Privileges").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// The database itself.
    Database,
    /// Schemas.
    Schema,
    /// Tables, partitioned and foreign ones included.
    Table,
    /// Views, materialized ones included.
    View,
    /// Sequences.
    Sequence,
    /// Functions, procedures and aggregates.
    Function,
    /// Domains, enumerations and ranges.
    Type,
}

impl ObjectKind {
    /// All of them, from the outside in.
    pub const ALL: [ObjectKind; 7] = [
        ObjectKind::Database,
        ObjectKind::Schema,
        ObjectKind::Table,
        ObjectKind::View,
        ObjectKind::Sequence,
        ObjectKind::Function,
        ObjectKind::Type,
    ];

    /// Its word in ALTER DEFAULT PRIVILEGES; a database has none.
    pub fn in_default_privileges(self) -> Option<&'static str> {
        match self {
            ObjectKind::Database => None,
            ObjectKind::Schema => Some("SCHEMAS"),
            ObjectKind::Table | ObjectKind::View => Some("TABLES"),
            ObjectKind::Sequence => Some("SEQUENCES"),
            ObjectKind::Function => Some("FUNCTIONS"),
            ObjectKind::Type => Some("TYPES"),
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ObjectKind::Database => "database",
            ObjectKind::Schema => "schema",
            ObjectKind::Table => "table",
            ObjectKind::View => "view",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Function => "function",
            ObjectKind::Type => "type",
        })
    }
}

/// Objects of one kind with the same owner and the same privileges. PostgreSQL's own objects and
/// those of extensions are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// The kind.
    pub kind: ObjectKind,
    /// The owner.
    pub owner: String,
    /// How many there are.
    pub count: usize,
    /// The names of the first few.
    pub names: Vec<String>,
    /// What each asked role can do, directly or through its groups; roles that can do nothing are
    /// left out.
    pub held: BTreeMap<String, BTreeSet<String>>,
    /// What was granted, by grantee; `public` is everybody.
    pub granted: BTreeMap<String, BTreeSet<String>>,
}

/// What is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The objects.
    pub objects: Vec<Objects>,
}

impl Spec {
    /// `port/database`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection.port, self.database)
    }

    /// Never a difference: it is looked at only.
    pub fn diff(&self, _observed: &Observed) -> Option<Difference> {
        None
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed::default()
    }
}
