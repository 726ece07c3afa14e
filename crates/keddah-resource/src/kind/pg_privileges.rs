//! Default privileges in one database, and what PUBLIC may not do there.
//!
//! The model is that of the access control document: objects made by the superuser, the admin
//! user or `dbrole_admin` carry the right privileges from birth (ALTER DEFAULT PRIVILEGES).

use super::PgConnection;
use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One default privilege.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DefaultPrivilege {
    /// Whose future objects it is about.
    pub creator: String,
    /// `TABLES`, `SEQUENCES`, `FUNCTIONS`, `TYPES` or `SCHEMAS`.
    pub objects: String,
    /// `SELECT`, `USAGE`, `EXECUTE`, …
    pub privilege: String,
    /// Who gets it.
    pub grantee: String,
}

impl fmt::Display for DefaultPrivilege {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { creator, objects, privilege, grantee } = self;
        write!(formatter, "{privilege} on {objects} made by {creator} to {grantee}")
    }
}

/// One privilege on a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaPrivilege {
    /// `USAGE` or `CREATE`.
    pub privilege: String,
    /// Who has it.
    pub grantee: String,
}

impl fmt::Display for SchemaPrivilege {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} to {}", self.privilege, self.grantee)
    }
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The database.
    pub database: String,
    /// Default privileges that must be there.
    pub defaults: BTreeSet<DefaultPrivilege>,
    /// Roles for which the model says all: what the creators of `defaults` would give them or
    /// PUBLIC beyond it, and beyond what PostgreSQL is built with, is taken back. What is given to
    /// other roles, or by other creators, is left alone.
    pub complete_for: BTreeSet<String>,
    /// Privileges on the schema `public` that must be there: it is older than any default
    /// privilege. A database without that schema needs none.
    pub public_schema: BTreeSet<SchemaPrivilege>,
    /// Whether PUBLIC may create in the database and in its schema `public`.
    pub public_create: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// All default privileges of the creators that are not bound to one schema.
    pub defaults: BTreeSet<DefaultPrivilege>,
    /// All privileges on the schema `public`; `None` when there is no such schema.
    pub public_schema: Option<BTreeSet<SchemaPrivilege>>,
    /// Whether PUBLIC may create in the database or in its schema `public`.
    pub public_create: bool,
}

impl Spec {
    /// `port/database`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection.port, self.database)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        for missing in self.defaults.difference(&observed.defaults) {
            fields.optional("default privilege", None, Some(missing.to_string()));
        }
        for excess in self.excess(observed) {
            fields.optional("default privilege", Some(excess.to_string()), None);
        }
        for missing in
            observed.public_schema.iter().flat_map(|has| self.public_schema.difference(has))
        {
            fields.optional("privilege on schema public", None, Some(missing.to_string()));
        }
        fields.value("public may create", &observed.public_create, &self.public_create);
        Difference::update(Class::InPlace, fields.0, "privileges differ from the model")
    }

    /// Default privileges that the model knows nothing of, and must not be there.
    pub fn excess<'a>(
        &'a self,
        observed: &'a Observed,
    ) -> impl Iterator<Item = &'a DefaultPrivilege> {
        let creators: BTreeSet<&String> = self.defaults.iter().map(|one| &one.creator).collect();
        observed.defaults.difference(&self.defaults).filter(move |one| {
            let public = is_public(&one.grantee);
            creators.contains(&one.creator)
                && one.grantee != one.creator
                && (public || self.complete_for.contains(&one.grantee))
                && !(public && is_built_in(one))
        })
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            defaults: self.defaults.clone(),
            public_schema: Some(self.public_schema.clone()),
            public_create: self.public_create,
        }
    }
}

/// Whether a grantee is PUBLIC; no role can have that name in any case.
pub fn is_public(grantee: &str) -> bool {
    grantee.eq_ignore_ascii_case("public")
}

/// What PUBLIC has on every new object unless it is taken away (the manual's "Privileges").
fn is_built_in(privilege: &DefaultPrivilege) -> bool {
    matches!(
        (privilege.objects.as_str(), privilege.privilege.as_str()),
        ("FUNCTIONS", "EXECUTE") | ("TYPES", "USAGE")
    )
}
