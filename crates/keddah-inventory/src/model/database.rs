//! Databases with their schemas and extensions, `pg_databases`.

use super::read::{Entry, entries, read_all};
use super::{PoolMode, State};
use crate::registry::structures;
use crate::{Params, Value, parameters};
use keddah_core::Span;

/// Whether a database shall exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DatabaseState {
    /// It shall exist, as described.
    #[default]
    Present,
    /// It shall not exist: it is dropped.
    Absent,
    /// It is dropped and made anew.
    Recreate,
}

/// A business database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgDatabase {
    /// Its name.
    pub name: String,
    /// Whether it shall exist.
    pub state: DatabaseState,
    /// SQL file of the controller that fills it when it is created.
    pub baseline: Option<String>,
    /// Schemas to create.
    pub schemas: Vec<PgSchema>,
    /// Extensions to create.
    pub extensions: Vec<PgExtension>,
    /// Comment stored with it.
    pub comment: Option<String>,
    /// Whether it can be reached through PgBouncer.
    pub pgbouncer: bool,
    /// Owner; `None` for the database superuser.
    pub owner: Option<String>,
    /// Database it is copied from; `None` for `template1`.
    pub template: Option<String>,
    /// How the template is copied, in capitals.
    pub strategy: Option<String>,
    /// Character encoding; `None` for the template's.
    pub encoding: Option<String>,
    /// Locale; `None` for the template's.
    pub locale: Option<String>,
    /// Sort order; `None` for the template's.
    pub lc_collate: Option<String>,
    /// Character classification; `None` for the template's.
    pub lc_ctype: Option<String>,
    /// Library behind the locale: `libc`, `icu` or `builtin`.
    pub locale_provider: Option<String>,
    /// Locale for the ICU provider.
    pub icu_locale: Option<String>,
    /// Additional sort rules for the ICU provider.
    pub icu_rules: Option<String>,
    /// Locale for the builtin provider.
    pub builtin_locale: Option<String>,
    /// Tablespace; `None` for `pg_default`.
    pub tablespace: Option<String>,
    /// Whether any role that may create databases may copy it.
    pub is_template: bool,
    /// Whether one can connect at all.
    pub allowconn: bool,
    /// Whether only the owner and the system's roles may connect.
    pub revokeconn: bool,
    /// Whether dashboards get a data source for it.
    pub register_datasource: bool,
    /// Most connections; -1 for no limit.
    pub connlimit: i64,
    /// Settings that sessions in it start with, name and value.
    pub parameters: Vec<(String, String)>,
    /// User with which PgBouncer looks passwords up.
    pub pool_auth_user: Option<String>,
    /// PgBouncer's pool mode; `None` for `pgbouncer_poolmode`.
    pub pool_mode: Option<PoolMode>,
    /// Server connections PgBouncer keeps per user (64).
    pub pool_size: i64,
    /// Further ones when clients wait too long (32).
    pub pool_reserve: i64,
    /// Server connections kept open even when idle (0).
    pub pool_size_min: i64,
    /// Most server connections over all users (100); -1 for no limit.
    pub pool_connlimit: i64,
    /// Where it is written.
    pub span: Option<Span>,
    /// Where its name is written.
    pub name_span: Option<Span>,
    /// Where its owner is written, or it itself.
    pub owner_span: Option<Span>,
}

/// A schema of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgSchema {
    /// Its name.
    pub name: String,
    /// Its owner; `None` for the database's.
    pub owner: Option<String>,
    /// Whether it shall exist.
    pub state: State,
    /// Where it is written.
    pub span: Option<Span>,
}

/// An extension of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgExtension {
    /// Its name, as in `CREATE EXTENSION`.
    pub name: String,
    /// Schema to create it in; `None` for its own choice.
    pub schema: Option<String>,
    /// Version; `None` for the newest.
    pub version: Option<String>,
    /// Whether it shall exist.
    pub state: State,
    /// Where it is written.
    pub span: Option<Span>,
}

impl PgExtension {
    /// The extensions every database gets, `pg_default_extensions`.
    pub fn defaults(params: &Params<'_>) -> Vec<Self> {
        Self::list(&params.get(parameters::PG_DEFAULT_EXTENSIONS))
    }

    fn list(items: &[Value]) -> Vec<Self> {
        entries(&structures::EXTENSION, items)
            .filter_map(|entry| {
                Some(Self {
                    name: entry.text("name")?,
                    schema: entry.text("schema"),
                    version: entry.text("version"),
                    state: entry.state(),
                    span: entry.span(),
                })
            })
            .collect()
    }
}

impl PgDatabase {
    /// The business databases, `pg_databases`.
    pub fn business(params: &Params<'_>) -> Vec<Self> {
        read_all(params, "pg_databases", &structures::DATABASE, Self::read)
    }

    fn read(entry: &Entry<'_>) -> Option<Self> {
        Some(Self {
            name: entry.text("name")?,
            state: match entry.text("state").as_deref() {
                Some("absent") => DatabaseState::Absent,
                Some("recreate") => DatabaseState::Recreate,
                _ => DatabaseState::Present,
            },
            baseline: entry.text("baseline"),
            schemas: entries(&structures::SCHEMA, entry.items("schemas"))
                .filter_map(|schema| {
                    Some(PgSchema {
                        name: schema.text("name")?,
                        owner: schema.text("owner"),
                        state: schema.state(),
                        span: schema.span(),
                    })
                })
                .collect(),
            extensions: PgExtension::list(entry.items("extensions")),
            comment: entry.text("comment"),
            pgbouncer: entry.flag("pgbouncer").unwrap_or(true),
            owner: entry.text("owner"),
            template: entry.text("template"),
            strategy: entry.text("strategy").map(|text| text.to_ascii_uppercase()),
            encoding: entry.text("encoding"),
            locale: entry.text("locale"),
            lc_collate: entry.text("lc_collate"),
            lc_ctype: entry.text("lc_ctype"),
            locale_provider: entry.text("locale_provider"),
            icu_locale: entry.text("icu_locale"),
            icu_rules: entry.text("icu_rules"),
            builtin_locale: entry.text("builtin_locale"),
            tablespace: entry.text("tablespace"),
            is_template: entry.flag("is_template").unwrap_or(false),
            allowconn: entry.flag("allowconn").unwrap_or(true),
            revokeconn: entry.flag("revokeconn").unwrap_or(false),
            register_datasource: entry.flag("register_datasource").unwrap_or(true),
            connlimit: entry.integer("connlimit").unwrap_or(-1),
            parameters: entry.settings("parameters"),
            pool_auth_user: entry.text("pool_auth_user"),
            pool_mode: entry.pool_mode(),
            pool_size: entry.integer("pool_size").unwrap_or(64),
            pool_reserve: entry.integer("pool_reserve").unwrap_or(32),
            pool_size_min: entry.integer("pool_size_min").unwrap_or(0),
            pool_connlimit: entry.integer("pool_connlimit").unwrap_or(100),
            span: entry.span(),
            name_span: entry.span_of("name"),
            owner_span: entry.span_of("owner"),
        })
    }
}
