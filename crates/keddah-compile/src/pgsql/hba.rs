//! Host-based authentication: the inventory's rules with their aliases become the lines of
//! `pg_hba.conf` and PgBouncer's `pgb_hba.conf` (access control document; "The pg_hba.conf File"
//! in PostgreSQL's manual; "HBA file format" in PgBouncer's).

use keddah_inventory::model::{HbaAuth, HbaRule, PgRole};
use std::fmt::Write;

/// What the aliases of one cluster's rules stand for.
#[derive(Debug, Clone)]
pub(crate) struct Aliases {
    /// `${dbsu}`.
    pub superuser: String,
    /// `${repl}`.
    pub replication: String,
    /// `${monitor}`.
    pub monitor: String,
    /// `${admin}`.
    pub admin: String,
    /// `intra`: networks in CIDR notation.
    pub intranet: Vec<String>,
    /// `infra`: addresses of the infrastructure nodes.
    pub infra: Vec<String>,
    /// `admin`: the admin node's address.
    pub admin_address: String,
    /// `cluster`: addresses of the cluster's members.
    pub cluster: Vec<String>,
    /// What `pwd` means: `scram-sha-256` or `md5`.
    pub password_method: String,
}

/// Whose file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `pg_hba.conf`.
    PostgreSql,
    /// `pgb_hba.conf`: no `ident`, no `replication`.
    PgBouncer,
}

/// A rule that cannot be turned into lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidRule {
    /// The rule's place in the inventory.
    pub span: Option<keddah_core::Span>,
    /// What is wrong with it.
    pub message: String,
}

/// How a rule's address is written: connection type and address column.
enum Origin {
    Local,
    Network(String),
}

/// The whole file for an instance of this role; the rules are in their final order.
///
/// # Errors
/// All rules that name an unknown address or a method that does not fit it.
pub(crate) fn render(
    rules: &[HbaRule],
    aliases: &Aliases,
    dialect: Dialect,
    role: PgRole,
    offline_query: bool,
) -> Result<String, Vec<InvalidRule>> {
    let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
    let mut errors = Vec::new();
    for rule in rules.iter().filter(|rule| rule.applies_to(role, offline_query)) {
        let title = if rule.title.is_empty() { "(no title)" } else { &rule.title };
        let _ = writeln!(text, "\n# {title}");
        for line in &rule.raw {
            let _ = writeln!(text, "{}", line.trim());
        }
        if !rule.raw.is_empty() {
            continue;
        }
        match lines(rule, aliases, dialect) {
            Ok(lines) => text.extend(lines),
            Err(message) => errors.push(InvalidRule { span: rule.span, message }),
        }
    }
    if errors.is_empty() { Ok(text) } else { Err(errors) }
}

fn lines(rule: &HbaRule, aliases: &Aliases, dialect: Dialect) -> Result<Vec<String>, String> {
    let users: Vec<String> = rule.users.iter().map(|user| quoted(&aliases.user(user))).collect();
    let databases: Vec<String> = rule.databases.iter().map(|name| quoted(name)).collect();
    let (users, databases) = (users.join(","), databases.join(","));
    let mut lines = Vec::new();
    for address in &rule.addresses {
        for origin in aliases.origins(address)? {
            let method = method(rule.auth, &origin, aliases, dialect)?;
            let (kind, address) = match &origin {
                Origin::Local => ("local", ""),
                Origin::Network(address) if rule.auth.needs_tls() => ("hostssl", address.as_str()),
                Origin::Network(address) => ("host", address.as_str()),
            };
            lines.push(format!("{kind:<8} {databases:<16} {users:<20} {address:<18} {method}\n"));
        }
    }
    Ok(lines)
}

/// The method column.
fn method(
    auth: HbaAuth,
    origin: &Origin,
    aliases: &Aliases,
    dialect: Dialect,
) -> Result<String, String> {
    let local = matches!(origin, Origin::Local);
    let method = match auth {
        HbaAuth::Reject => "reject",
        HbaAuth::Trust => "trust",
        // A Unix socket cannot be encrypted and need not be.
        HbaAuth::Password | HbaAuth::TlsPassword => &aliases.password_method,
        HbaAuth::Scram | HbaAuth::TlsScram => "scram-sha-256",
        HbaAuth::Md5 | HbaAuth::TlsMd5 => "md5",
        HbaAuth::Certificate if local => &aliases.password_method,
        HbaAuth::Certificate => "cert",
        HbaAuth::Peer | HbaAuth::Ident if local => "peer",
        HbaAuth::Peer => {
            return Err("`peer` works on local sockets only; use addr: local".to_owned());
        }
        HbaAuth::Ident if dialect == Dialect::PgBouncer => {
            return Err("PgBouncer has no `ident`; use addr: local with auth: peer".to_owned());
        }
        HbaAuth::Ident => "ident",
    };
    Ok(method.to_owned())
}

impl Aliases {
    fn user(&self, user: &str) -> String {
        match user {
            "${dbsu}" => self.superuser.clone(),
            "${repl}" => self.replication.clone(),
            "${monitor}" => self.monitor.clone(),
            "${admin}" => self.admin.clone(),
            other => other.to_owned(),
        }
    }

    fn origins(&self, address: &str) -> Result<Vec<Origin>, String> {
        let hosts = |addresses: &[String]| -> Vec<Origin> {
            addresses.iter().map(|address| Origin::Network(single(address))).collect()
        };
        Ok(match address {
            "local" => vec![Origin::Local],
            "localhost" => vec![
                Origin::Local,
                Origin::Network("127.0.0.1/32".to_owned()),
                Origin::Network("::1/128".to_owned()),
            ],
            "intra" | "intranet" => hosts(&self.intranet),
            "infra" => hosts(&self.infra),
            "admin" => hosts(std::slice::from_ref(&self.admin_address)),
            "cluster" => hosts(&self.cluster),
            "world" | "all" => {
                vec![Origin::Network("0.0.0.0/0".to_owned()), Origin::Network("::/0".to_owned())]
            }
            "samehost" | "samenet" => vec![Origin::Network(address.to_owned())],
            "" => return Err("`addr` is empty".to_owned()),
            text if text.parse::<ipnet::IpNet>().is_ok()
                || text.parse::<std::net::IpAddr>().is_ok() =>
            {
                hosts(&[text.to_owned()])
            }
            text if is_domain(text) => vec![Origin::Network(text.to_owned())],
            text => {
                return Err(format!(
                    "`{text}` is not an address; use local, localhost, intra, infra, admin, \
                     cluster, world, a network such as 10.0.0.0/8, or a domain name"
                ));
            }
        })
    }
}

/// An address without a mask gets the mask of one host, as both programs demand.
fn single(address: &str) -> String {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => format!("{address}/32"),
        Ok(std::net::IpAddr::V6(_)) => format!("{address}/128"),
        Err(_) => address.to_owned(),
    }
}

fn is_domain(text: &str) -> bool {
    let text = text.strip_prefix('.').unwrap_or(text);
    !text.is_empty()
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Words that the file gives a meaning to stay bare; names with other characters are quoted.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.strip_prefix('+').unwrap_or(name).bytes().all(plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
