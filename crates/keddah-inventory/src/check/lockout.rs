//! Authentication rules that would lock out Keddah, Patroni or replication, and rules that make no
//! sense.
//!
//! Each instance's file is asked as PostgreSQL asks it: the first line that fits decides. So a
//! denial that stands before an allowing rule is found, whatever words it uses.

use super::{Report, error, warning, with_related};
use crate::model::{
    AuthenticationFile, DatabaseState, Dialect, PgCluster, PgDatabase, PgMember, infra_addresses,
};
use crate::{Params, parameters};
use keddah_core::hba::{Client, Line, Memberships, Origin, roles_of};
use keddah_core::{Diagnostic, Severity, Span};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

/// Methods that a program passes which has a password and no more.
const BY_PASSWORD: &[&str] = &["scram-sha-256", "md5", "password", "trust"];

/// Methods that a process of the operating system's user of the same name passes.
const BY_SYSTEM_USER: &[&str] = &["peer", "ident", "trust"];

/// Somebody who must get in, or the cluster does not work.
struct Needed<'a> {
    /// For a person: `Keddah`.
    who: &'static str,
    /// For a person: `over the local socket`.
    from: String,
    origins: Vec<Origin<'a>>,
    user: &'a str,
    database: &'a str,
    replication: bool,
    /// What it can prove itself by.
    methods: &'static [&'static str],
    /// A rule that lets it in.
    remedy: String,
}

pub(super) fn check(report: &mut Report<'_>) {
    let infra = infra_addresses(report.inventory);
    let mut told = Told::new();
    for cluster in report.clusters.clone() {
        let addresses = cluster.addresses();
        if cluster.members.iter().all(|member| has_default_rules(&member.params))
            && addresses.iter().all(|address| is_private(address))
        {
            continue;
        }
        let followers = followers(&report.clusters, &cluster);
        let mut seen = HashSet::new();
        for member in &cluster.members {
            for dialect in [Dialect::PostgreSql, Dialect::PgBouncer] {
                let file = match AuthenticationFile::of(member, dialect, &infra, &addresses) {
                    Ok(file) => file,
                    Err(rules) => {
                        for rule in rules {
                            if !report.knows(rule.span) {
                                report.error("bad-rule", rule.span, rule.message);
                            }
                        }
                        continue;
                    }
                };
                // Most members have the same rules; replication asks who the others are, though.
                let alone = dialect == Dialect::PgBouncer || addresses.len() == 1;
                let key = (file.text.clone(), if alone { None } else { Some(&member.node) });
                if !seen.insert(key) {
                    continue;
                }
                match dialect {
                    Dialect::PostgreSql => {
                        let refusals = postgresql(&cluster, member, &file, &followers, &mut told);
                        report.diagnostics.extend(refusals);
                    }
                    Dialect::PgBouncer => pgbouncer(report, member, &file),
                }
            }
        }
    }
}

/// Whether nothing is set that the rules depend on: the default ones are right.
fn has_default_rules(params: &Params<'_>) -> bool {
    [
        "pg_hba_rules",
        "pg_default_hba_rules",
        "pgb_hba_rules",
        "pgb_default_hba_rules",
        "node_firewall_intranet",
        "pg_default_roles",
        "pgbouncer_sslmode",
    ]
    .iter()
    .all(|name| params.set(name).is_none())
}

/// Whether an address is in one of the networks that `intra` stands for by default.
fn is_private(address: &str) -> bool {
    address.parse::<Ipv4Addr>().is_ok_and(|address| address.is_private())
}

impl Report<'_> {
    /// Whether something within a rule was found to be wrong already.
    fn knows(&self, rule: Option<Span>) -> bool {
        rule.is_some_and(|rule| {
            self.diagnostics.iter().any(|one| {
                one.severity == Severity::Error
                    && one.code != "bad-rule"
                    && one.primary.as_ref().is_some_and(|label| {
                        label.span.source == rule.source
                            && rule.start <= label.span.start
                            && label.span.end <= rule.end
                    })
            })
        })
    }
}

/// Addresses of standby clusters that follow this one.
fn followers(clusters: &[PgCluster<'_>], cluster: &PgCluster<'_>) -> Vec<String> {
    let addresses = cluster.addresses();
    clusters
        .iter()
        .filter(|other| other.name != cluster.name)
        .filter(|other| {
            other.upstream().is_some_and(|upstream| addresses.iter().any(|one| one == upstream))
        })
        .flat_map(PgCluster::addresses)
        .collect()
}

/// Who was told to be locked out by which rule: once is enough, however many databases, members
/// and clusters that concerns.
type Told = HashSet<(&'static str, Option<Span>, String)>;

fn postgresql(
    cluster: &PgCluster<'_>,
    member: &PgMember<'_>,
    file: &AuthenticationFile,
    followers: &[String],
    told: &mut Told,
) -> Vec<Diagnostic> {
    let params = &member.params;
    let (superuser, replication) =
        (params.get(parameters::PG_DBSU), params.get(parameters::PG_REPLICATION_USERNAME));
    let monitor = params.get(parameters::PG_MONITOR_USERNAME);
    let databases: Vec<String> = ["postgres".to_owned(), "template1".to_owned()]
        .into_iter()
        .chain(
            PgDatabase::business(params)
                .into_iter()
                .filter(|one| one.state != DatabaseState::Absent && one.allowconn)
                .map(|one| one.name),
        )
        .collect();
    let mut needed: Vec<Needed<'_>> = databases
        .iter()
        .map(|database| Needed {
            who: "Keddah and Patroni",
            from: "over the local socket".to_owned(),
            origins: vec![Origin::Local],
            user: &superuser,
            database,
            replication: false,
            methods: BY_SYSTEM_USER,
            remedy: remedy("dbsu", "all", "local", "ident"),
        })
        .collect();
    needed.push(Needed {
        who: "Patroni",
        from: "over the local socket".to_owned(),
        origins: vec![Origin::Local],
        user: &replication,
        database: "replication",
        replication: true,
        methods: BY_PASSWORD,
        remedy: remedy("repl", "replication", "localhost", "pwd"),
    });
    if params.get(parameters::PGBOUNCER_ENABLED) && params.get(parameters::PGBOUNCER_AUTH_QUERY) {
        needed.extend(databases.iter().filter(|name| *name != "template1").map(|database| {
            Needed {
                who: "PgBouncer, which looks passwords up (pgbouncer_auth_query),",
                from: "over the local socket".to_owned(),
                origins: vec![Origin::Local],
                user: &monitor,
                database,
                replication: false,
                methods: BY_PASSWORD,
                remedy: remedy("monitor", "all", "localhost", "pwd"),
            }
        }));
    }
    let mut others: Vec<(String, IpAddr)> = cluster
        .addresses()
        .into_iter()
        .filter(|address| address != member.node.as_str())
        .chain(followers.iter().cloned())
        // A host that is named by no address is a diagnostic of its own.
        .filter_map(|address| address.parse().ok().map(|parsed| (address, parsed)))
        .collect();
    others.dedup();
    for (text, address) in &others {
        // libpq asks with TLS first, and when that is turned away, without.
        let origins = [true, false].map(|tls| Origin::Network { address: *address, tls }).to_vec();
        for (who, database, physical) in
            [("replication", "replication", true), ("pg_rewind", "postgres", false)]
        {
            let follows = followers.contains(text);
            // A standby cluster's members only stream.
            if !physical && follows {
                continue;
            }
            needed.push(Needed {
                who,
                from: format!("from {text}"),
                origins: origins.clone(),
                user: &replication,
                database,
                replication: physical,
                methods: BY_PASSWORD,
                remedy: remedy("repl", database, if follows { text } else { "cluster" }, "pwd"),
            });
        }
    }
    let lines = file.lines();
    let memberships = crate::model::memberships(params);
    let instance = member.instance(&cluster.name);
    let default_place = params
        .span(parameters::PG_DEFAULT_HBA_RULES)
        .or_else(|| params.span(parameters::PG_HBA_RULES));
    let mut refusals = Vec::new();
    for one in &needed {
        let Err(verdict) = verdict(one, &lines, &memberships) else { continue };
        let rule = verdict.and_then(|line| file.rule_of(line));
        let place = rule.and_then(|rule| rule.span).or(default_place);
        let title = rule.map_or_else(|| "this rule".to_owned(), |rule| titled(&rule.title));
        if told.insert((one.who, place, title.clone())) {
            refusals.push(refusal(one, &instance, verdict, &title, place));
        }
    }
    refusals
}

/// A rule that lets somebody in.
fn remedy(user: &str, database: &str, address: &str, auth: &str) -> String {
    format!("{{ user: '${{{user}}}', db: {database}, addr: {address}, auth: {auth}, order: 0 }}")
}

/// Whether somebody gets in; if not, the line that turns away, when there is one.
fn verdict<'a>(
    needed: &Needed<'_>,
    lines: &'a [Line],
    memberships: &Memberships,
) -> Result<(), Option<&'a Line>> {
    let member_of = roles_of(needed.user, memberships);
    let mut refused = None;
    for &origin in &needed.origins {
        let client = Client {
            origin,
            database: needed.database,
            user: needed.user,
            member_of: &member_of,
            replication: needed.replication,
        };
        match client.decided_by(lines) {
            Some(line) if needed.methods.contains(&line.method.as_str()) => return Ok(()),
            line => refused = refused.or(line),
        }
    }
    Err(refused)
}

/// A rule in a sentence; a title is not asked for.
fn titled(title: &str) -> String {
    if title.is_empty() { "this rule".to_owned() } else { format!("the rule `{title}`") }
}

fn refusal(
    needed: &Needed<'_>,
    instance: &str,
    line: Option<&Line>,
    title: &str,
    place: Option<Span>,
) -> Diagnostic {
    let Needed { who, from, user, database, replication, remedy, .. } = needed;
    let to = if *replication { "replication".to_owned() } else { format!("database {database}") };
    let access = format!("role {user} to {to} {from}");
    let message = match line {
        Some(line) if line.admits() => format!(
            "on {instance}, {title} would lock {who} out: it asks {access} for `{}`, \
             which cannot be given",
            line.method
        ),
        Some(_) => {
            format!("on {instance}, {title} would lock {who} out: it denies {access}")
        }
        None => format!("on {instance}, {who} would be locked out: no rule admits {access}"),
    };
    error("locked-out", place, message)
        .help(format!("the first rule that fits decides; put this one before it: {remedy}"))
}

fn pgbouncer(report: &mut Report<'_>, member: &PgMember<'_>, file: &AuthenticationFile) {
    let params = &member.params;
    if !params.get(parameters::PGBOUNCER_ENABLED) {
        return;
    }
    let mode = params.get(parameters::PGBOUNCER_SSLMODE);
    let offered = params.span(parameters::PGBOUNCER_SSLMODE);
    for line in file.lines() {
        let Some(rule) = file.rule_of(&line) else { continue };
        let title = titled(&rule.title);
        let unmet = if line.method == "cert" && !mode.starts_with("verify-") {
            Some((
                format!(
                    "{title} asks for a client certificate, for which PgBouncer does not \
                     ask with `pgbouncer_sslmode: {mode}`"
                ),
                "nobody gets in by it; use `pgbouncer_sslmode: verify-ca`, with which every client \
                 must show a certificate",
            ))
        } else if line.connection == keddah_core::hba::Connection::Tls && mode == "disable" {
            Some((
                format!(
                    "{title} asks for TLS, which PgBouncer does not offer with \
                     `pgbouncer_sslmode: disable`"
                ),
                "nobody gets in by it; use `pgbouncer_sslmode: allow` or `require`",
            ))
        } else {
            None
        };
        if let Some((message, help)) = unmet {
            let place = rule.span.or(offered);
            let diagnostic = warning("unmet-rule", place, message).help(help);
            report.add(with_related(diagnostic, offered.filter(|_| rule.span.is_some()), "here"));
        }
    }
}
