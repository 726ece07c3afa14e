//! A PostgreSQL role: attributes, password, membership, settings, comment (CREATE ROLE in the manual).

use super::PgConnection;
use crate::difference::Fields;
use crate::{Class, Difference};
use keddah_core::Secret;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// When a role's password stops to be valid.
///
/// Moments are `YYYY-MM-DD`, for midnight, or `YYYY-MM-DD HH:MM:SS`, always in UTC; as texts they
/// compare as times do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expiry {
    /// Never.
    Never,
    /// At this moment.
    At(String),
    /// So many days from the day it is set; it is set again when less than half of them is left,
    /// so that a fleet that is applied now and then never finds its users expired.
    Within {
        /// The days.
        days: u32,
        /// The day it would expire when set today, `YYYY-MM-DD`.
        date: String,
        /// The earliest expiry that is left alone, `YYYY-MM-DD`.
        renew_before: String,
    },
}

/// What a member of a role may do with its membership (GRANT in the manual, "GRANT on Roles").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// ADMIN: grant the role to others.
    pub admin: bool,
    /// INHERIT: have its privileges; before PostgreSQL 16 always the member's own INHERIT.
    pub inherit: bool,
    /// SET: become it by `SET ROLE`; before PostgreSQL 16 always so.
    pub set: bool,
}

impl Membership {
    /// The role with the options that are not the usual ones: `dbrole_admin (admin, no set)`.
    fn of(self, role: &str, member_inherits: bool) -> String {
        let Self { admin, inherit, set } = self;
        let options: Vec<&str> = [
            (admin, "admin"),
            (inherit && !member_inherits, "inherit"),
            (!inherit && member_inherits, "no inherit"),
            (!set, "no set"),
        ]
        .into_iter()
        .filter_map(|(holds, word)| holds.then_some(word))
        .collect();
        if options.is_empty() {
            role.to_owned()
        } else {
            format!("{role} ({})", options.join(", "))
        }
    }
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How to reach the server.
    pub connection: PgConnection,
    /// The role's name.
    pub role: String,
    /// Its definition; `None` means it must not exist, and what it owns goes to
    /// the superuser.
    pub present: Option<Role>,
}

/// A role that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// LOGIN.
    pub login: bool,
    /// SUPERUSER.
    pub superuser: bool,
    /// CREATEDB.
    pub createdb: bool,
    /// CREATEROLE.
    pub createrole: bool,
    /// INHERIT.
    pub inherit: bool,
    /// REPLICATION.
    pub replication: bool,
    /// BYPASSRLS.
    pub bypassrls: bool,
    /// CONNECTION LIMIT; -1 means none.
    pub connection_limit: i32,
    /// VALID UNTIL.
    pub expiry: Expiry,
    /// The SCRAM verifier to store; `None` leaves whatever password there is.
    #[serde(with = "keddah_core::expose::option")]
    pub verifier: Option<Secret>,
    /// Roles it is a member of.
    pub member_of: BTreeMap<String, Membership>,
    /// Roles that the inventory declares. It is made a member of no other one of these, nor of
    /// PostgreSQL's own `pg_` roles; memberships in roles that nobody declared are left alone.
    pub declared: BTreeSet<String>,
    /// `ALTER ROLE … SET`, all of them.
    pub parameters: BTreeMap<String, String>,
    /// COMMENT; `None` leaves whatever there is.
    pub comment: Option<String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The role, when it exists.
    pub present: Option<ObservedRole>,
}

/// A role that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedRole {
    /// LOGIN.
    pub login: bool,
    /// SUPERUSER.
    pub superuser: bool,
    /// CREATEDB.
    pub createdb: bool,
    /// CREATEROLE.
    pub createrole: bool,
    /// INHERIT.
    pub inherit: bool,
    /// REPLICATION.
    pub replication: bool,
    /// BYPASSRLS.
    pub bypassrls: bool,
    /// CONNECTION LIMIT.
    pub connection_limit: i32,
    /// VALID UNTIL as a moment; `None` for never.
    pub valid_until: Option<String>,
    /// SHA-256 of `pg_authid.rolpassword` in hexadecimal digits: enough to compare.
    pub verifier_digest: Option<String>,
    /// Roles it is a member of.
    pub member_of: BTreeMap<String, Membership>,
    /// Its settings.
    pub parameters: BTreeMap<String, String>,
    /// Its comment.
    pub comment: Option<String>,
}

impl Spec {
    /// `port/role`: several instances may share a node.
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection.port, self.role)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        match (&self.present, &observed.present) {
            (None, None) => None,
            (None, Some(_)) => Some(Difference::delete(
                Class::Destroy,
                format!("its state is absent; what it owns goes to {}", self.connection.superuser),
            )),
            (Some(wanted), None) => {
                let fields = wanted.compare(&ObservedRole::blank());
                Some(Difference::create("it does not exist").with(fields))
            }
            (Some(wanted), Some(present)) => Difference::update(
                Class::InPlace,
                wanted.compare(present),
                "it differs from what is declared",
            ),
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { present: self.present.as_ref().map(Role::settled) }
    }
}

impl Role {
    fn compare(&self, present: &ObservedRole) -> Vec<crate::FieldChange> {
        let Role {
            login,
            superuser,
            createdb,
            createrole,
            inherit,
            replication,
            bypassrls,
            connection_limit,
            expiry,
            verifier,
            member_of,
            declared,
            parameters,
            comment,
        } = self;
        let mut fields = Fields::default();
        fields.value("login", &present.login, login);
        fields.value("superuser", &present.superuser, superuser);
        fields.value("createdb", &present.createdb, createdb);
        fields.value("createrole", &present.createrole, createrole);
        fields.value("inherit", &present.inherit, inherit);
        fields.value("replication", &present.replication, replication);
        fields.value("bypassrls", &present.bypassrls, bypassrls);
        fields.value("connection limit", &present.connection_limit, connection_limit);
        if let Some(after) = expiry.change_from(present.valid_until.as_deref()) {
            fields.optional("valid until", present.valid_until.clone(), after);
        }
        if let Some(verifier) = verifier {
            let digest = super::file::digest(verifier.reveal().as_bytes());
            if present.verifier_digest.as_ref() != Some(&digest) {
                fields.secret("password");
            }
        }
        for (role, wanted) in member_of {
            // Options follow the role's own INHERIT, whose change is a field of its own.
            let before = present.member_of.get(role).map(|before| before.of(role, present.inherit));
            fields.optional("member of", before, Some(wanted.of(role, *inherit)));
        }
        for (role, before) in &present.member_of {
            let ours = declared.contains(role) || role.starts_with("pg_");
            if ours && !member_of.contains_key(role) {
                fields.optional("member of", Some(before.of(role, present.inherit)), None);
            }
        }
        for name in parameters.keys().chain(present.parameters.keys()).collect::<BTreeSet<_>>() {
            let before = present.parameters.get(name).cloned();
            fields.optional(name, before, parameters.get(name).cloned());
        }
        if comment.is_some() {
            fields.optional("comment", present.comment.clone(), comment.clone());
        }
        fields.0
    }

    fn settled(&self) -> ObservedRole {
        ObservedRole {
            login: self.login,
            superuser: self.superuser,
            createdb: self.createdb,
            createrole: self.createrole,
            inherit: self.inherit,
            replication: self.replication,
            bypassrls: self.bypassrls,
            connection_limit: self.connection_limit,
            valid_until: self.expiry.date().map(str::to_owned),
            verifier_digest: self
                .verifier
                .as_ref()
                .map(|verifier| super::file::digest(verifier.reveal().as_bytes())),
            member_of: self.member_of.clone(),
            parameters: self.parameters.clone(),
            comment: self.comment.clone(),
        }
    }
}

impl ObservedRole {
    /// What `CREATE ROLE name` without options makes.
    fn blank() -> Self {
        Self {
            login: false,
            superuser: false,
            createdb: false,
            createrole: false,
            inherit: true,
            replication: false,
            bypassrls: false,
            connection_limit: -1,
            valid_until: None,
            verifier_digest: None,
            member_of: BTreeMap::new(),
            parameters: BTreeMap::new(),
            comment: None,
        }
    }
}

impl Expiry {
    /// The moment to set, `None` for never.
    pub fn date(&self) -> Option<&str> {
        match self {
            Expiry::Never => None,
            Expiry::At(date) | Expiry::Within { date, .. } => Some(date),
        }
    }

    /// What to change the expiry to, when it must change.
    fn change_from(&self, present: Option<&str>) -> Option<Option<String>> {
        let wanted = self.date().map(str::to_owned);
        if present == wanted.as_deref() {
            return None;
        }
        if let (Expiry::Within { date, renew_before, .. }, Some(present)) = (self, present)
            && present >= renew_before.as_str()
            && present <= date.as_str()
        {
            return None;
        }
        Some(wanted)
    }
}
