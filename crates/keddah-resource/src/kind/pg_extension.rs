//! An extension in one database (CREATE EXTENSION in the manual).

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
    /// The extension's name.
    pub extension: String,
    /// The schema for its objects; `None` accepts any.
    pub schema: Option<String>,
    /// Its version; `None` accepts any.
    pub version: Option<String>,
    /// Whether it should exist.
    pub present: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Schema and version, when it exists.
    pub present: Option<(String, String)>,
    /// Whether it may be moved to another schema (`pg_extension.extrelocatable`).
    pub relocatable: bool,
    /// Whether the server's packages offer it (`pg_available_extensions`).
    pub available: bool,
}

impl Spec {
    /// `port/database.extension`.
    pub fn name(&self) -> String {
        format!("{}/{}.{}", self.connection.port, self.database, self.extension)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        let Some((schema, version)) = &observed.present else {
            if !self.present {
                return None;
            }
            fields.optional("schema", None, self.schema.clone());
            fields.optional("version", None, self.version.clone());
            let difference = Difference::create("it does not exist").with(fields.0);
            return Some(if observed.available {
                difference
            } else {
                difference.impossible(format!(
                    "no installed package offers the extension {}; add its package to \
                     pg_extensions, or take the extension out of the database {}",
                    self.extension, self.database
                ))
            });
        };
        if !self.present {
            return Some(Difference::delete(Class::Destroy, "its state is absent"));
        }
        if let Some(wanted) = self.schema.as_ref().filter(|_| observed.relocatable) {
            fields.value("schema", schema, wanted);
        }
        if let Some(wanted) = &self.version {
            fields.value("version", version, wanted);
        }
        Difference::update(Class::InPlace, fields.0, "it differs from what is declared")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            present: self.present.then(|| {
                (self.schema.clone().unwrap_or_default(), self.version.clone().unwrap_or_default())
            }),
            relocatable: true,
            available: true,
        }
    }
}
