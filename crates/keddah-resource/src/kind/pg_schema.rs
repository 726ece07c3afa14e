//! A schema in one database; only made or taken over, never dropped with what is in it.

use super::PgConnection;
use super::pg_privileges::SchemaPrivilege;
use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The database.
    pub database: String,
    /// The schema's name.
    pub schema: String,
    /// Its owner; `None` leaves whoever it is.
    pub owner: Option<String>,
    /// Privileges that must be there, whoever owns it: default privileges are those of the owner,
    /// and few owners have any. Others are left alone.
    pub privileges: BTreeSet<SchemaPrivilege>,
    /// Whether it should exist; one that should not is dropped only while it is empty.
    pub present: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The owner, when the schema exists.
    pub owner: Option<String>,
    /// All privileges on it, PUBLIC's apart.
    pub privileges: BTreeSet<SchemaPrivilege>,
}

impl Spec {
    /// `port/database.schema`.
    pub fn name(&self) -> String {
        format!("{}/{}.{}", self.connection.port, self.database, self.schema)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match (&observed.owner, self.present) {
            (None, false) => None,
            (None, true) => {
                fields.optional("owner", None, self.owner.clone());
                Some(Difference::create("it does not exist").with(fields.0))
            }
            (Some(_), false) => {
                Some(Difference::delete(Class::Destroy, "its state is absent; it must be empty"))
            }
            (Some(present), true) => {
                if let Some(owner) = &self.owner {
                    fields.value("owner", present, owner);
                }
                for missing in self.privileges.difference(&observed.privileges) {
                    fields.optional("privilege", None, Some(missing.to_string()));
                }
                Difference::update(Class::InPlace, fields.0, "it differs from what is declared")
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            owner: self.present.then(|| self.owner.clone().unwrap_or_default()),
            privileges: self.privileges.clone(),
        }
    }
}
