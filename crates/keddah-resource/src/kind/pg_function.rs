//! A function that acts with its owner's rights, and the few roles that may call it.
//!
//! It belongs to the superuser, finds nothing but the system catalog by itself, and nobody may call
//! it who is not named: default privileges would give it to every reader.

use super::PgConnection;
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
    /// The schema it lives in.
    pub schema: String,
    /// Its name.
    pub function: String,
    /// Its arguments as declared, without defaults: `username text`.
    pub arguments: String,
    /// What it should be; `None` means that it must not exist.
    pub present: Option<Function>,
}

/// A function in SQL with its owner's rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// What it returns: `TABLE(username text, password text)`.
    pub returns: String,
    /// Its body, one SQL statement.
    pub body: String,
    /// The roles that may call it.
    pub callers: BTreeSet<String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The function, when it exists.
    pub present: Option<ObservedFunction>,
}

/// A function that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedFunction {
    /// Who owns it, and whose rights it has.
    pub owner: String,
    /// What it returns, as PostgreSQL writes it.
    pub returns: String,
    /// Its body.
    pub body: String,
    /// Whether it has its owner's rights and looks into the system catalog only.
    pub safe: bool,
    /// The roles that may call it beside its owner; `PUBLIC` is one.
    pub callers: BTreeSet<String>,
    /// Those of the declared callers that cannot use its schema.
    pub kept_out: BTreeSet<String>,
}

impl Spec {
    /// `port/database.schema.function`.
    pub fn name(&self) -> String {
        format!("{}/{}.{}.{}", self.connection.port, self.database, self.schema, self.function)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match (&self.present, &observed.present) {
            (None, None) => None,
            (None, Some(_)) => {
                Some(Difference::delete(Class::InPlace, "nobody is to call it any more"))
            }
            (Some(wanted), None) => {
                fields.new_value("callers", list(&wanted.callers));
                fields.text("body", "", &wanted.body);
                Some(Difference::create("it does not exist").with(fields.0))
            }
            (Some(wanted), Some(present)) => {
                fields.value("owner", &present.owner, &self.connection.superuser);
                fields.value("returns", &present.returns, &wanted.returns);
                fields.text("body", &present.body, &wanted.body);
                fields.value("safe", &present.safe, &true);
                fields.value("callers", &list(&present.callers), &list(&wanted.callers));
                fields.value("kept out of its schema", &list(&present.kept_out), &String::new());
                Difference::update(Class::InPlace, fields.0, "it differs from what is declared")
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        let present = self.present.as_ref().map(|wanted| ObservedFunction {
            owner: self.connection.superuser.clone(),
            returns: wanted.returns.clone(),
            body: wanted.body.clone(),
            safe: true,
            callers: wanted.callers.clone(),
            kept_out: BTreeSet::new(),
        });
        Observed { present }
    }
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
