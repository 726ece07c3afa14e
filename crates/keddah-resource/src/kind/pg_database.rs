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
    /// OWNER; `None` leaves one that exists to whom it belongs, and a new one to the superuser who makes it.
    pub owner: Option<String>,
    /// Whether one that exists is dropped, with all that is in it, and made anew: once, until it is
    /// declared without this again.
    pub recreate: bool,
    /// TEMPLATE, used only when it is made.
    pub template: Option<String>,
    /// STRATEGY, `WAL_LOG` or `FILE_COPY`; used only when it is made.
    pub strategy: Option<String>,
    /// ENCODING; `None` accepts the template's.
    pub encoding: Option<String>,
    /// LC_COLLATE; `None` accepts the template's.
    pub collate: Option<String>,
    /// LC_CTYPE; `None` accepts the template's.
    pub ctype: Option<String>,
    /// LOCALE_PROVIDER, `libc`, `icu` or `builtin`; `None` accepts the template's.
    pub provider: Option<String>,
    /// ICU_LOCALE or BUILTIN_LOCALE, as the provider is; `None` accepts the template's.
    pub locale: Option<String>,
    /// ICU_RULES; `None` accepts the template's.
    pub icu_rules: Option<String>,
    /// IS_TEMPLATE.
    pub is_template: bool,
    /// TABLESPACE; `None` leaves it where it is.
    pub tablespace: Option<String>,
    /// ALLOW_CONNECTIONS.
    pub allow_connections: bool,
    /// CONNECTION LIMIT; -1 means none.
    pub connection_limit: i32,
    /// Whether PUBLIC may connect and make temporary tables.
    pub public_connect: bool,
    /// Roles that may connect when PUBLIC may not; the owner among them gets the grant option too.
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
    pub present: Option<Box<ObservedDatabase>>,
    /// The server's tablespaces.
    pub tablespaces: BTreeSet<String>,
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
    /// The locale provider; before PostgreSQL 15 always `libc`.
    pub provider: String,
    /// The provider's locale, for providers other than `libc`.
    pub locale: Option<String>,
    /// The rules added to an ICU locale.
    pub icu_rules: Option<String>,
    /// IS_TEMPLATE.
    pub is_template: bool,
    /// Whether it was made anew because the inventory said so.
    pub recreated: bool,
    /// The tablespace.
    pub tablespace: String,
    /// ALLOW_CONNECTIONS.
    pub allow_connections: bool,
    /// CONNECTION LIMIT.
    pub connection_limit: i32,
    /// Whether PUBLIC has CONNECT.
    pub public_connect: bool,
    /// Roles that have CONNECT by name.
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
        let difference = match (&self.present, &observed.present) {
            (None, None) => None,
            (None, Some(_)) => Some(Difference::delete(Class::Destroy, "its state is absent")),
            (Some(wanted), None) => {
                Some(Difference::create("it does not exist").with(wanted.statement()))
            }
            (Some(wanted), Some(present)) if wanted.recreate && !present.recreated => {
                let reason = "its state is recreate: it is dropped with all that is in it";
                let again = Difference::new(Action::Update, Class::Destroy, reason);
                Some(again.with(wanted.statement()))
            }
            (Some(wanted), Some(present)) => wanted.compare(&self.database, present),
        };
        let tablespace = self.present.as_ref().and_then(|wanted| wanted.tablespace.as_ref());
        match tablespace.filter(|tablespace| !observed.tablespaces.contains(*tablespace)) {
            Some(tablespace) => difference.map(|difference| {
                difference.impossible(format!(
                    "the tablespace {tablespace} does not exist; make its directory on every \
                     member of the cluster, then CREATE TABLESPACE on the primary"
                ))
            }),
            None => difference,
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        let wanted = self.present.as_ref();
        Observed {
            present: wanted.map(Database::settled).map(Box::new),
            tablespaces: wanted.and_then(|wanted| wanted.tablespace.clone()).into_iter().collect(),
        }
    }
}

impl Database {
    /// The fields of a new database.
    fn statement(&self) -> Vec<FieldChange> {
        let mut fields = Fields::default();
        let optional = [
            ("owner", &self.owner),
            ("template", &self.template),
            ("strategy", &self.strategy),
            ("encoding", &self.encoding),
            ("collate", &self.collate),
            ("ctype", &self.ctype),
            ("locale provider", &self.provider),
            ("locale", &self.locale),
            ("ICU rules", &self.icu_rules),
            ("tablespace", &self.tablespace),
            ("comment", &self.comment),
        ];
        for (field, value) in optional {
            fields.optional(field, None, value.clone());
        }
        fields.value("is template", &false, &self.is_template);
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
            recreate,
            template: _,
            strategy: _,
            encoding,
            collate,
            ctype,
            provider,
            locale,
            icu_rules,
            is_template,
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
            ("locale provider", &present.provider, provider),
        ] {
            if let Some(after) = after {
                fixed.value(field, before, after);
            }
        }
        for (field, before, after) in
            [("locale", &present.locale, locale), ("ICU rules", &present.icu_rules, icu_rules)]
        {
            if after.is_some() {
                fixed.optional(field, before.clone(), after.clone());
            }
        }
        let mut fields = Fields::default();
        if present.recreated && !recreate {
            // From here on another `state: recreate` means another time.
            fields.optional("recreate", Some("done".to_owned()), None);
        }
        if let Some(owner) = owner {
            fields.value("owner", &present.owner, owner);
        }
        let mut moves = false;
        if let Some(tablespace) = tablespace {
            moves = present.tablespace != *tablespace;
            fields.value("tablespace", &present.tablespace, tablespace);
        }
        fields.value("is template", &present.is_template, is_template);
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
            let (class, reason) = if moves {
                (Class::Restart, "its sessions end while its files are moved")
            } else {
                (Class::InPlace, "it differs from what is declared")
            };
            return Difference::update(class, fields.0, reason);
        }
        let names: Vec<&str> = fixed.0.iter().map(FieldChange::field).collect();
        let why = format!(
            "PostgreSQL cannot change the {} of an existing database: declare what {database} has; \
             or make another database and move the data with pg_dump; or, where the data may be \
             lost, say `state: recreate`",
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
            owner: self.owner.clone().unwrap_or_default(),
            encoding: self.encoding.clone().unwrap_or_default(),
            collate: self.collate.clone().unwrap_or_default(),
            ctype: self.ctype.clone().unwrap_or_default(),
            provider: self.provider.clone().unwrap_or_default(),
            locale: self.locale.clone(),
            icu_rules: self.icu_rules.clone(),
            is_template: self.is_template,
            recreated: self.recreate,
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
