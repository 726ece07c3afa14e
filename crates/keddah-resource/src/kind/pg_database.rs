//! A PostgreSQL database and its own properties (CREATE DATABASE in the manual).

use super::PgConnection;
use crate::difference::Fields;
use crate::{Action, Class, Difference, FieldChange};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The database's name.
    pub database: String,
    /// Its definition; `None` means it must not exist.
    pub present: Option<Database>,
}

/// A database that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// OWNER.
    pub owner: String,
    /// TEMPLATE, used only when it is made.
    pub template: Option<String>,
    /// ENCODING; `None` accepts the template's.
    pub encoding: Option<String>,
    /// LC_COLLATE; `None` accepts the template's.
    pub collate: Option<String>,
    /// LC_CTYPE; `None` accepts the template's.
    pub ctype: Option<String>,
    /// TABLESPACE; `None` leaves it where it is.
    pub tablespace: Option<String>,
    /// ALLOW_CONNECTIONS.
    pub allow_connections: bool,
    /// CONNECTION LIMIT; -1 means none.
    pub connection_limit: i32,
    /// Whether PUBLIC may connect and make temporary tables.
    pub public_connect: bool,
    /// Roles that may connect when PUBLIC may not; the owner gets the grant option too.
    pub connect_roles: BTreeSet<String>,
    /// `ALTER DATABASE … SET`, all of them, names under `keddah.` apart.
    pub parameters: BTreeMap<String, String>,
    /// COMMENT; `None` leaves whatever there is.
    pub comment: Option<String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The database, when it exists.
    pub present: Option<ObservedDatabase>,
}

/// A database that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedDatabase {
    /// The owner.
    pub owner: String,
    /// The encoding's name.
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// The tablespace.
    pub tablespace: String,
    /// ALLOW_CONNECTIONS.
    pub allow_connections: bool,
    /// CONNECTION LIMIT.
    pub connection_limit: i32,
    /// Whether PUBLIC has CONNECT.
    pub public_connect: bool,
    /// Roles that have CONNECT by name, the owner apart.
    pub connect_roles: BTreeSet<String>,
    /// Its settings, names under `keddah.` apart.
    pub parameters: BTreeMap<String, String>,
    /// Its comment.
    pub comment: Option<String>,
}

impl Spec {
    /// `port/database`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection.port, self.database)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        match (&self.present, &observed.present) {
            (None, None) => None,
            (None, Some(_)) => Some(Difference::delete(Class::Destroy, "its state is absent")),
            (Some(wanted), None) => {
                Some(Difference::create("it does not exist").with(wanted.statement()))
            }
            (Some(wanted), Some(present)) => wanted.compare(&self.database, present),
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { present: self.present.as_ref().map(Database::settled) }
    }
}

impl Database {
    /// The fields of a new database.
    fn statement(&self) -> Vec<FieldChange> {
        let mut fields = Fields::default();
        fields.new_value("owner", &self.owner);
        let optional = [
            ("template", &self.template),
            ("encoding", &self.encoding),
            ("collate", &self.collate),
            ("ctype", &self.ctype),
            ("tablespace", &self.tablespace),
            ("comment", &self.comment),
        ];
        for (field, value) in optional {
            fields.optional(field, None, value.clone());
        }
        fields.value("allow connections", &true, &self.allow_connections);
        fields.value("connection limit", &-1, &self.connection_limit);
        fields.value("public may connect", &true, &self.public_connect);
        for (name, value) in &self.parameters {
            fields.new_value(name, value);
        }
        fields.0
    }

    fn compare(&self, database: &str, present: &ObservedDatabase) -> Option<Difference> {
        let Database {
            owner,
            template: _,
            encoding,
            collate,
            ctype,
            tablespace,
            allow_connections,
            connection_limit,
            public_connect,
            connect_roles,
            parameters,
            comment,
        } = self;
        let mut fixed = Fields::default();
        for (field, before, after) in [
            ("encoding", &present.encoding, encoding),
            ("collate", &present.collate, collate),
            ("ctype", &present.ctype, ctype),
        ] {
            if let Some(after) = after {
                fixed.value(field, before, after);
            }
        }
        let mut fields = Fields::default();
        fields.value("owner", &present.owner, owner);
        if let Some(tablespace) = tablespace {
            fields.value("tablespace", &present.tablespace, tablespace);
        }
        fields.value("allow connections", &present.allow_connections, allow_connections);
        fields.value("connection limit", &present.connection_limit, connection_limit);
        fields.value("public may connect", &present.public_connect, public_connect);
        if !public_connect {
            for role in connect_roles.difference(&present.connect_roles) {
                fields.optional("may connect", None, Some(role.clone()));
            }
        }
        for name in parameters.keys().chain(present.parameters.keys()).collect::<BTreeSet<_>>() {
            let before = present.parameters.get(name).cloned();
            fields.optional(name, before, parameters.get(name).cloned());
        }
        if comment.is_some() {
            fields.optional("comment", present.comment.clone(), comment.clone());
        }
        if fixed.0.is_empty() {
            return Difference::update(
                Class::InPlace,
                fields.0,
                "it differs from what is declared",
            );
        }
        let names: Vec<&str> = fixed.0.iter().map(FieldChange::field).collect();
        let why = format!(
            "PostgreSQL cannot change the {} of an existing database; declare what {database} has, \
             or make a new database and move the data with pg_dump",
            names.join(" and ")
        );
        let all = fixed.0.into_iter().chain(fields.0).collect();
        Some(
            Difference::new(Action::Update, Class::Replace, "it was made with other properties")
                .with(all)
                .impossible(why),
        )
    }

    fn settled(&self) -> ObservedDatabase {
        ObservedDatabase {
            owner: self.owner.clone(),
            encoding: self.encoding.clone().unwrap_or_default(),
            collate: self.collate.clone().unwrap_or_default(),
            ctype: self.ctype.clone().unwrap_or_default(),
            tablespace: self.tablespace.clone().unwrap_or_default(),
            allow_connections: self.allow_connections,
            connection_limit: self.connection_limit,
            public_connect: self.public_connect,
            connect_roles: self.connect_roles.clone(),
            parameters: self.parameters.clone(),
            comment: self.comment.clone(),
        }
    }
}
