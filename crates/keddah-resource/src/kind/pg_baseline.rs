//! SQL that is run once in a database, right after it was made.
//!
//! That it was run is kept in the database itself, as a setting named `keddah.baseline`, so that
//! it survives failover and restore.

use super::PgConnection;
use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The database.
    pub database: String,
    /// The file's name in the inventory.
    pub file: String,
    /// Its text.
    pub sql: String,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The name of the file that was run, if one was.
    pub file: Option<String>,
}

impl Spec {
    /// `port/database`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection.port, self.database)
    }

    /// Compares: a baseline that was run is never run again, whatever the file says today.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        if observed.file.is_none() {
            fields.new_value("file", &self.file);
        }
        Difference::update(Class::InPlace, fields.0, "the baseline was never run")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { file: Some(self.file.clone()) }
    }
}
