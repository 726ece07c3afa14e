//! An instance's authentication file: its rules in their order, with aliases filled in, as the lines
//! of `pg_hba.conf` and of PgBouncer's `pgb_hba.conf` (access control document; "The pg_hba.conf
//! File" in PostgreSQL's manual; "HBA file format" in PgBouncer's).

use super::{HbaAuth, HbaRule};
use crate::model::{PgMember, PgUser, State};
use crate::{Params, parameters};
use keddah_core::Span;
use keddah_core::hba::{self, Connection, Memberships, roles_of};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `pg_hba.conf`.
    PostgreSql,
    /// `pgb_hba.conf`. PgBouncer knows addresses only, no roles' members, and passes over a line
    /// that it does not understand, be it one that denies.
    PgBouncer,
}

/// A rule that cannot be turned into lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRule {
    /// The rule's place in the inventory.
    pub span: Option<Span>,
    /// What is wrong with it.
    pub message: String,
}

/// A file and where its lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationFile {
    /// Its text.
    pub text: String,
    /// The rules it is made of.
    pub rules: Vec<HbaRule>,
    /// Of each rule, the number of its first line.
    starts: Vec<usize>,
}

/// What the aliases of one instance's rules stand for.
struct Aliases<'a> {
    superuser: String,
    replication: String,
    monitor: String,
    admin: String,
    /// Networks in CIDR notation.
    intranet: Vec<String>,
    /// Addresses of the infrastructure nodes.
    infra: &'a [String],
    /// The admin node's address.
    admin_address: String,
    /// Addresses of the cluster's members.
    cluster: &'a [String],
    /// What `pwd` means: `scram-sha-256` or `md5`.
    password_method: String,
    /// Who is a member of which roles.
    memberships: Memberships,
}

/// How a rule's address is written: connection type and address column.
enum Origin {
    Local,
    Network(String),
}

/// Who is a member of which roles, as the inventory has it.
pub fn memberships(params: &Params<'_>) -> Memberships {
    let mut memberships = BTreeMap::new();
    for user in PgUser::all(params) {
        if user.state == State::Absent {
            memberships.remove(&user.name);
            continue;
        }
        let roles = user.roles.into_iter().filter(|one| one.state == State::Present);
        let roles: Vec<String> = roles.map(|one| one.role).collect();
        memberships.insert(user.name, roles);
    }
    memberships
}

impl AuthenticationFile {
    /// The file of a cluster's member. `infra` are the addresses of the infrastructure nodes,
    /// `members` those of the cluster's members.
    ///
    /// # Errors
    /// All rules that cannot be turned into lines.
    pub fn of(
        member: &PgMember<'_>,
        dialect: Dialect,
        infra: &[String],
        members: &[String],
    ) -> Result<Self, Vec<InvalidRule>> {
        let params = &member.params;
        let aliases = Aliases {
            superuser: params.get(parameters::PG_DBSU),
            replication: params.get(parameters::PG_REPLICATION_USERNAME),
            monitor: params.get(parameters::PG_MONITOR_USERNAME),
            admin: params.get(parameters::PG_ADMIN_USERNAME),
            intranet: params.get(parameters::NODE_FIREWALL_INTRANET),
            infra,
            admin_address: params.get(parameters::ADMIN_IP),
            cluster: members,
            password_method: params.get(parameters::PG_PWD_ENC),
            memberships: match dialect {
                Dialect::PostgreSql => Memberships::new(),
                Dialect::PgBouncer => memberships(params),
            },
        };
        let rules = match dialect {
            Dialect::PostgreSql => HbaRule::postgres(params),
            Dialect::PgBouncer => HbaRule::pgbouncer(params),
        };
        let applies = |rule: &HbaRule| rule.applies_to(member.role, member.offline_query);
        Self::render(rules.into_iter().filter(applies).collect(), &aliases, dialect)
    }

    fn render(
        rules: Vec<HbaRule>,
        aliases: &Aliases<'_>,
        dialect: Dialect,
    ) -> Result<Self, Vec<InvalidRule>> {
        let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
        let mut starts = Vec::new();
        let mut errors = Vec::new();
        for rule in &rules {
            // A title of several lines must not become a rule.
            let title = rule.title.split_whitespace().collect::<Vec<_>>().join(" ");
            let title = if title.is_empty() { "(no title)" } else { &title };
            let _ = writeln!(text, "\n# {title}");
            starts.push(text.lines().count() + 1);
            let lines = if rule.raw.is_empty() {
                lines(rule, aliases, dialect)
            } else {
                raw_lines(rule, dialect)
            };
            match lines {
                Ok(lines) => text.extend(lines),
                Err(message) => errors.push(InvalidRule { span: rule.span, message }),
            }
        }
        if errors.is_empty() { Ok(Self { text, rules, starts }) } else { Err(errors) }
    }

    /// Its lines as the program reads them.
    pub fn lines(&self) -> Vec<hba::Line> {
        hba::parse(&self.text).0
    }

    /// The rule that a line comes from.
    pub fn rule_of(&self, line: &hba::Line) -> Option<&HbaRule> {
        let after = self.starts.partition_point(|&start| start <= line.number);
        self.rules.get(after.checked_sub(1)?)
    }
}

/// The lines of a rule that gives them itself.
fn raw_lines(rule: &HbaRule, dialect: Dialect) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for raw in &rule.raw {
        // A list's item may be several lines.
        let (read, unreadable) = hba::parse(raw);
        if let Some(one) = unreadable.first() {
            return Err(format!("`{}` cannot be read: {}", raw.trim(), one.because));
        }
        if dialect == Dialect::PgBouncer
            && let Some(because) = read.iter().find_map(beyond_pgbouncer)
        {
            return Err(format!("`{}` would be passed over: PgBouncer {because}", raw.trim()));
        }
        lines.extend(raw.lines().map(|line| format!("{}\n", line.trim())));
    }
    Ok(lines)
}

/// What a line has that PgBouncer does not understand.
fn beyond_pgbouncer(line: &hba::Line) -> Option<String> {
    const METHODS: &[&str] =
        &["trust", "reject", "md5", "password", "scram-sha-256", "peer", "cert"];
    if line.connection == Connection::Gssapi {
        return Some("has no GSSAPI".to_owned());
    }
    if let Some(group) = line.users.iter().find_map(hba::Word::group) {
        return Some(format!("does not know the members of `{group}`"));
    }
    if let hba::Address::Named(name) = &line.address {
        return Some(format!("knows addresses only, not `{name}`"));
    }
    if let Some(word) = line
        .databases
        .iter()
        .find(|word| ["samerole", "samegroup", "replication"].iter().any(|one| word.is(one)))
    {
        return Some(format!("has no database `{}`", word.text));
    }
    if !METHODS.contains(&line.method.as_str()) {
        return Some(format!("has no method `{}`", line.method));
    }
    None
}

fn lines(rule: &HbaRule, aliases: &Aliases<'_>, dialect: Dialect) -> Result<Vec<String>, String> {
    let users = aliases.users(rule, dialect)?;
    if users.is_empty() {
        return Ok(vec!["# nobody whom the inventory knows is a member\n".to_owned()]);
    }
    if dialect == Dialect::PgBouncer && rule.databases.iter().any(|name| name == "replication") {
        return Err("`db: replication` is for PostgreSQL's own rules: replicas do not go through \
                    PgBouncer"
            .to_owned());
    }
    let users: Vec<String> = users.iter().map(|user| quoted(user)).collect();
    let databases: Vec<String> = rule.databases.iter().map(|name| quoted(name)).collect();
    let (users, databases) = (users.join(","), databases.join(","));
    let mut lines = Vec::new();
    for address in &rule.addresses {
        for origin in aliases.origins(address, dialect)? {
            let local = matches!(origin, Origin::Local);
            // `localhost` is the socket and the loopback: each takes what it can.
            let elsewhere = match rule.auth {
                HbaAuth::Peer => !local,
                HbaAuth::Certificate => local,
                HbaAuth::Ident => !local && dialect == Dialect::PgBouncer,
                _ => false,
            };
            if elsewhere && address == "localhost" {
                continue;
            }
            let method = method(rule.auth, local, aliases, dialect)?;
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
    local: bool,
    aliases: &Aliases<'_>,
    dialect: Dialect,
) -> Result<String, String> {
    let method = match auth {
        HbaAuth::Reject => "reject",
        HbaAuth::Trust => "trust",
        // A Unix socket cannot be encrypted and need not be.
        HbaAuth::Password | HbaAuth::TlsPassword => &aliases.password_method,
        HbaAuth::Scram | HbaAuth::TlsScram => "scram-sha-256",
        HbaAuth::Md5 | HbaAuth::TlsMd5 => "md5",
        HbaAuth::Certificate if local => {
            return Err("`cert` needs TLS, which the local socket does not have".to_owned());
        }
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

impl Aliases<'_> {
    /// The user column; for PgBouncer, a role's members in its place.
    fn users(&self, rule: &HbaRule, dialect: Dialect) -> Result<Vec<String>, String> {
        let mut users = Vec::new();
        for user in &rule.users {
            let user = self.user(user);
            match user.strip_prefix('+') {
                Some(group) if dialect == Dialect::PgBouncer => {
                    let members = self.memberships.keys().filter(|name| {
                        *name != group && roles_of(name, &self.memberships).contains(group)
                    });
                    users.extend(members.cloned());
                }
                _ if dialect == Dialect::PgBouncer && user.starts_with('/') => {
                    return Err(format!("PgBouncer knows no patterns such as `{user}`"));
                }
                _ => users.push(user),
            }
        }
        users.dedup();
        Ok(users)
    }

    fn user(&self, user: &str) -> String {
        match user {
            "${dbsu}" => self.superuser.clone(),
            "${repl}" => self.replication.clone(),
            "${monitor}" => self.monitor.clone(),
            "${admin}" => self.admin.clone(),
            other => other.to_owned(),
        }
    }

    fn origins(&self, address: &str, dialect: Dialect) -> Result<Vec<Origin>, String> {
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
            "infra" => hosts(self.infra),
            "admin" => hosts(std::slice::from_ref(&self.admin_address)),
            "cluster" => hosts(self.cluster),
            "world" | "all" => {
                vec![Origin::Network("0.0.0.0/0".to_owned()), Origin::Network("::/0".to_owned())]
            }
            "" => return Err("`addr` is empty".to_owned()),
            text if is_address(text) => hosts(&[text.to_owned()]),
            text if !is_host_name(text) => {
                return Err(format!(
                    "`{text}` is not an address; use local, localhost, intra, infra, admin, \
                     cluster, world, a network such as 10.0.0.0/8, or a host's or domain's name"
                ));
            }
            text if dialect == Dialect::PgBouncer => {
                return Err(format!("PgBouncer knows addresses only, no names such as `{text}`"));
            }
            text => vec![Origin::Network(text.to_owned())],
        })
    }
}

/// An address without a mask gets the mask of one host, as both programs demand.
fn single(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => format!("{address}/32"),
        Ok(IpAddr::V6(_)) => format!("{address}/128"),
        Err(_) => address.to_owned(),
    }
}

/// Whether it is an address or a network.
fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<ipnet::IpNet>().is_ok()
}

/// Whether PostgreSQL would look it up: the name of a host, a domain that begins with a dot, or one
/// of its two words for itself.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    // The last part of four numbers tells a mistyped address from a name.
    let last = name.rsplit('.').next().unwrap_or_default();
    last.bytes().any(|byte| byte.is_ascii_alphabetic())
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Words that the file gives a meaning to stay bare; names with other characters are quoted.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let (sign, bare) = match name.strip_prefix('+') {
        Some(bare) => ("+", bare),
        None => ("", name),
    };
    if !bare.is_empty() && bare.bytes().all(plain) {
        name.to_owned()
    } else {
        format!("{sign}\"{}\"", bare.replace('"', "\"\""))
    }
}
