//! Client authentication rules of PostgreSQL and PgBouncer.

mod file;

pub use file::{AuthenticationFile, Dialect, InvalidRule, memberships};

use super::PgRole;
use super::read::{Entry, read_all};
use crate::Params;
use crate::registry::structures;
use keddah_core::Span;

/// How a client proves who it is, after the inventory's short names are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HbaAuth {
    /// A password, by the method of `pg_pwd_enc`.
    Password,
    /// The same, and only over TLS.
    TlsPassword,
    /// A SCRAM-SHA-256 password.
    Scram,
    /// The same, and only over TLS.
    TlsScram,
    /// An MD5 password.
    Md5,
    /// The same, and only over TLS.
    TlsMd5,
    /// A client certificate, over TLS.
    Certificate,
    /// The name of the operating system's account, asked from the ident service or the socket.
    Ident,
    /// The name of the operating system's account at the other end of the socket.
    Peer,
    /// Nothing at all.
    Trust,
    /// It is turned away.
    Reject,
}

impl HbaAuth {
    /// Reads the inventory's word.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "pwd" => Self::Password,
            "ssl" => Self::TlsPassword,
            "sha" | "scram" | "scram-sha-256" => Self::Scram,
            "ssl-sha" => Self::TlsScram,
            "md5" => Self::Md5,
            "ssl-md5" => Self::TlsMd5,
            "cert" => Self::Certificate,
            "ident" | "os" => Self::Ident,
            "peer" => Self::Peer,
            "trust" => Self::Trust,
            "deny" | "reject" => Self::Reject,
            _ => return None,
        })
    }

    /// Whether the rule holds for TLS connections only (`hostssl`).
    pub const fn needs_tls(self) -> bool {
        matches!(self, Self::TlsPassword | Self::TlsScram | Self::TlsMd5 | Self::Certificate)
    }
}

/// A client authentication rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HbaRule {
    /// Comment above it.
    pub title: String,
    /// Instances it applies to; `None` for all.
    pub role: Option<PgRole>,
    /// Place among the rules; lower comes first.
    pub order: i64,
    /// Who: role names, `+role`, `all`. Placeholders of the system's roles are filled in.
    pub users: Vec<String>,
    /// Where to: database names, `all`, `replication`.
    pub databases: Vec<String>,
    /// Where from: `world`, `intra`, …, addresses, networks.
    pub addresses: Vec<String>,
    /// How.
    pub auth: HbaAuth,
    /// Raw lines in place of all this; empty for rules in the short form.
    pub raw: Vec<String>,
    /// Where it is written; `None` for defaults.
    pub span: Option<Span>,
    /// Where its address is written.
    pub address_span: Option<Span>,
    /// Where its user is written.
    pub user_span: Option<Span>,
}

/// Rules without a place of their own come after the default ones, which are numbered below this.
const ORDER: i64 = 1000;

impl HbaRule {
    /// PostgreSQL's rules in their final order: defaults and business rules by `order`.
    pub fn postgres(params: &Params<'_>) -> Vec<Self> {
        Self::ordered(params, ["pg_default_hba_rules", "pg_hba_rules"])
    }

    /// PgBouncer's rules in their final order.
    pub fn pgbouncer(params: &Params<'_>) -> Vec<Self> {
        Self::ordered(params, ["pgb_default_hba_rules", "pgb_hba_rules"])
    }

    /// Whether it applies to an instance of this role: the one that the inventory gives it, which
    /// no failover changes. Rules for replicas hold for those that follow synchronously or at a
    /// distance, too.
    pub fn applies_to(&self, role: PgRole, offline_query: bool) -> bool {
        match self.role {
            None => true,
            Some(PgRole::Offline) => role == PgRole::Offline || offline_query,
            Some(PgRole::Replica) => {
                matches!(role, PgRole::Replica | PgRole::Standby | PgRole::Delayed)
            }
            Some(own) => role == own,
        }
    }

    fn ordered(params: &Params<'_>, names: [&str; 2]) -> Vec<Self> {
        let mut rules: Vec<Self> = names
            .into_iter()
            .flat_map(|name| read_all(params, name, &structures::HBA, Self::read))
            .collect();
        rules.sort_by_key(|rule| rule.order);
        rules
    }

    fn read(entry: &Entry<'_>) -> Option<Self> {
        let or_all = |names: Vec<String>| if names.is_empty() { vec!["all".into()] } else { names };
        let raw: Vec<String> =
            entry.items("rules").iter().filter_map(crate::registry::scalar_text).collect();
        let auth = match entry.text("auth") {
            // A word nobody knows must not let anyone in.
            Some(word) => HbaAuth::parse(&word)?,
            None => HbaAuth::Password,
        };
        let addresses = entry.texts("addr");
        if raw.is_empty() && addresses.is_empty() {
            return None;
        }
        Some(Self {
            title: entry.text("title").unwrap_or_default(),
            role: match entry.text("role").as_deref() {
                None | Some("common" | "default") => None,
                Some(word) => Some(PgRole::parse(word)?),
            },
            order: entry.integer("order").unwrap_or(ORDER),
            users: or_all(entry.texts("user")),
            databases: or_all(entry.texts("db")),
            addresses,
            auth,
            raw,
            span: entry.span(),
            address_span: entry.span_of("addr"),
            user_span: entry.span_of("user"),
        })
    }
}
