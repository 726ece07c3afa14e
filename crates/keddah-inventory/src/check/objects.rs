//! Roles and databases: names, memberships, owners.

use super::{Report, error, warning, with_related};
use crate::model::{DatabaseState, HbaRule, PgDatabase, PgUser, State};
use crate::registry;
use crate::{Params, parameters};
use keddah_core::{Severity, Span};
use std::collections::{HashMap, HashSet};

/// Roles that PostgreSQL itself has (documentation, "Predefined Roles", up to 18).
const PREDEFINED: &[&str] = &[
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_database_owner",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_monitor",
    "pg_read_all_data",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_read_server_files",
    "pg_signal_autovacuum_worker",
    "pg_signal_backend",
    "pg_stat_scan_tables",
    "pg_use_reserved_connections",
    "pg_write_all_data",
    "pg_write_server_files",
];

pub(super) fn check(report: &mut Report<'_>) {
    for cluster in report.clusters.clone() {
        // Users and databases are the cluster's; the primary's view of them counts.
        let member = cluster.primary().or_else(|| cluster.members.first());
        let Some(params) = member.map(|member| &member.params) else { continue };
        let defaults = PgUser::defaults(params);
        let business = PgUser::business(params);
        let databases = PgDatabase::business(params);
        duplicates(report, &defaults, &business, &databases);
        let users = [defaults, business].concat();
        needed(report, params, &users, &databases);
        memberships(report, params, &users);
        cycles(report, &users);
        owners(report, params, &users, &databases);
        for user in users.iter().filter(|user| user.state == State::Present) {
            expiry(report, user);
        }
        for database in databases.iter().filter(|one| one.state != DatabaseState::Absent) {
            locale(report, database);
            copies(report, database, &databases);
        }
        rules(report, params, &users);
    }
}

fn duplicates(
    report: &mut Report<'_>,
    defaults: &[PgUser],
    business: &[PgUser],
    databases: &[PgDatabase],
) {
    let names: Vec<_> = business.iter().map(|user| (user.name.as_str(), user.name_span)).collect();
    twice(report, "duplicate-user", "user", &names);
    let names: Vec<_> =
        databases.iter().map(|database| (database.name.as_str(), database.name_span)).collect();
    twice(report, "duplicate-database", "database", &names);
    for user in business {
        if let Some(role) = defaults.iter().find(|role| role.name == user.name) {
            report.add(with_related(
                warning(
                    "redefined-role",
                    user.name_span,
                    format!("user `{}` is one of the default roles already", user.name),
                )
                .help("change default roles in `pg_default_roles`, or choose another name"),
                role.name_span.filter(|_| role.span.is_some()),
                "the default role",
            ));
        }
        let reserved =
            user.name.starts_with("pg_") || ["public", "none"].contains(&user.name.as_str());
        if reserved {
            report.error(
                "reserved-name",
                user.name_span,
                format!("PostgreSQL reserves the name `{}` for itself", user.name),
            );
        }
    }
}

/// Nothing that a cluster cannot be without is asked to go: the databases that `initdb` makes
/// (PostgreSQL's manual, "Template Databases"), and the roles by which Patroni, the monitoring and
/// Keddah itself log in.
fn needed(
    report: &mut Report<'_>,
    params: &Params<'_>,
    users: &[PgUser],
    databases: &[PgDatabase],
) {
    let own = ["postgres", "template0", "template1"];
    for database in databases.iter().filter(|one| one.state != DatabaseState::Present) {
        if own.contains(&database.name.as_str()) {
            report.add(
                error(
                    "needed-object",
                    database.name_span,
                    format!("the database `{}` belongs to PostgreSQL itself", database.name),
                )
                .help("take its `state` away: it is neither dropped nor made anew"),
            );
        }
    }
    let logins = ["pg_dbsu", "pg_replication_username", "pg_admin_username", "pg_monitor_username"];
    for user in users.iter().filter(|user| user.state == State::Absent) {
        let Some(login) =
            logins.into_iter().find(|login| params.named::<String>(login) == user.name)
        else {
            continue;
        };
        report.add(
            error(
                "needed-object",
                user.name_span,
                format!("the role `{}` is the one of `{login}`: the cluster needs it", user.name),
            )
            .help(format!("name another role in `{login}` first, or take this `state` away")),
        );
    }
}

/// Reports names that occur more than once in one list.
pub(super) fn twice(
    report: &mut Report<'_>,
    code: &'static str,
    what: &str,
    names: &[(&str, Option<Span>)],
) {
    let mut seen: HashMap<&str, Option<Span>> = HashMap::new();
    for (name, span) in names {
        if let Some(first) = seen.get(name) {
            report.add(with_related(
                error(code, *span, format!("{what} `{name}` is defined twice")),
                *first,
                "the first definition",
            ));
        } else {
            seen.insert(name, *span);
        }
    }
}

/// The roles that the cluster will have.
fn existing(users: &[PgUser]) -> HashSet<&str> {
    users
        .iter()
        .filter(|user| user.state == State::Present)
        .map(|user| user.name.as_str())
        .chain(PREDEFINED.iter().copied())
        .collect()
}

fn memberships(report: &mut Report<'_>, params: &Params<'_>, users: &[PgUser]) {
    let existing = existing(users);
    for user in users.iter().filter(|user| user.state == State::Present) {
        for membership in &user.roles {
            let role = membership.role.as_str();
            if membership.state == State::Absent
                || existing.contains(role)
                || crate::registry::has_placeholder(role)
            {
                continue;
            }
            // A list of default roles that somebody replaced is where the mistake is.
            let span = membership
                .span
                .or(user.name_span)
                .or_else(|| params.span(parameters::PG_DEFAULT_ROLES));
            report.add(unknown_role(
                span,
                role,
                &format!("user `{}` belongs to", user.name),
                &existing,
            ));
        }
    }
}

fn unknown_role(
    span: Option<Span>,
    role: &str,
    who: &str,
    existing: &HashSet<&str>,
) -> keddah_core::Diagnostic {
    let diagnostic =
        error("unknown-role", span, format!("{who} role `{role}`, which does not exist"));
    match registry::nearest(role, existing.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("define the role in `pg_users`, before the ones that use it"),
    }
}

fn owners(
    report: &mut Report<'_>,
    params: &Params<'_>,
    users: &[PgUser],
    databases: &[PgDatabase],
) {
    let mut existing = existing(users);
    let superuser = params.get(parameters::PG_DBSU);
    existing.insert(&superuser);
    let declared: HashSet<&str> = databases.iter().map(|database| database.name.as_str()).collect();
    for database in databases {
        let name = &database.name;
        let mut check = |role: &Option<String>, span: Option<Span>, who: String| {
            if let Some(role) = role.as_deref().filter(|role| !existing.contains(role)) {
                report.add(unknown_role(span, role, &who, &existing));
            }
        };
        check(&database.owner, database.owner_span, format!("database `{name}` belongs to"));
        check(
            &database.pool_auth_user,
            database.span,
            format!("PgBouncer's passwords for database `{name}` come from"),
        );
        for schema in &database.schemas {
            let who = format!("schema `{}` of database `{name}` belongs to", schema.name);
            check(&schema.owner, schema.span, who);
        }
        if let Some(template) = &database.template {
            let known = ["template0", "template1", "postgres"].contains(&template.as_str());
            if !known && !declared.contains(template.as_str()) {
                report.error(
                    "unknown-template",
                    database.span,
                    format!("database `{name}` is a copy of `{template}`, which does not exist"),
                );
            }
        }
    }
}

/// Roles in client authentication rules that somebody wrote.
fn rules(report: &mut Report<'_>, params: &Params<'_>, users: &[PgUser]) {
    let written =
        ["pg_hba_rules", "pg_default_hba_rules", "pgb_hba_rules", "pgb_default_hba_rules"];
    if written.into_iter().all(|name| params.set(name).is_none()) {
        return;
    }
    let existing = existing(users);
    let superuser = params.get(parameters::PG_DBSU);
    let rules = HbaRule::postgres(params).into_iter().chain(HbaRule::pgbouncer(params));
    for rule in rules.filter(|rule| rule.span.is_some()) {
        for user in &rule.users {
            let name = user.strip_prefix('+').unwrap_or(user);
            // PgBouncer may know users that the inventory does not, and so may PostgreSQL.
            let special = ["all", "public", superuser.as_str()].contains(&name)
                || name.starts_with(['/', '@'])
                || registry::has_placeholder(name);
            if !special && !existing.contains(name) {
                let mut diagnostic =
                    unknown_role(rule.user_span, name, "this rule is for", &existing);
                diagnostic.severity = Severity::Warning;
                report.add(diagnostic);
            }
        }
    }
}

/// Roles that are members of themselves in the end.
fn cycles(report: &mut Report<'_>, users: &[PgUser]) {
    let index: HashMap<&str, usize> =
        users.iter().enumerate().map(|(place, user)| (user.name.as_str(), place)).collect();
    let next: Vec<Vec<usize>> = users
        .iter()
        .map(|user| {
            let present = user.roles.iter().filter(|membership| membership.state == State::Present);
            present.filter_map(|membership| index.get(membership.role.as_str()).copied()).collect()
        })
        .collect();
    // 0 not seen, 1 on the way, 2 done. A stack of its own: memberships may be thousands deep.
    let mut state = vec![0_u8; users.len()];
    for start in 0..users.len() {
        if state[start] != 0 {
            continue;
        }
        let mut path = vec![(start, 0)];
        state[start] = 1;
        while let Some((role, edge)) = path.last_mut() {
            let Some(&target) = next[*role].get(*edge) else {
                state[*role] = 2;
                path.pop();
                continue;
            };
            *edge += 1;
            match state[target] {
                0 => {
                    state[target] = 1;
                    path.push((target, 0));
                }
                1 => {
                    let from = path.iter().position(|(role, _)| *role == target).unwrap_or(0);
                    let mut names: Vec<&str> =
                        path[from..].iter().map(|(role, _)| users[*role].name.as_str()).collect();
                    names.push(&users[target].name);
                    let span = users[target].name_span;
                    report.add(
                        error(
                            "role-cycle",
                            span,
                            format!("roles are members of each other: {}", names.join(" → ")),
                        )
                        .help("remove one of the memberships"),
                    );
                }
                _ => {}
            }
        }
    }
}

fn expiry(report: &mut Report<'_>, user: &PgUser) {
    if user.expire_in.is_none()
        && let Err(why) = user.expires_at()
    {
        report.error("invalid-date", user.span, why);
    }
}

/// What `CREATE DATABASE` would refuse: a provider without its locale, or the locale of another one.
fn locale(report: &mut Report<'_>, database: &PgDatabase) {
    let name = &database.name;
    let provider = database.locale_provider.as_deref();
    let mut needs = |field: &str, needed: &str| {
        report.error(
            "locale-provider",
            database.span,
            format!("`{field}` of the database `{name}` needs `locale_provider: {needed}`"),
        );
    };
    if database.icu_locale.is_some() && provider != Some("icu") {
        needs("icu_locale", "icu");
    }
    if database.icu_rules.is_some() && provider != Some("icu") {
        needs("icu_rules", "icu");
    }
    if database.builtin_locale.is_some() && provider != Some("builtin") {
        needs("builtin_locale", "builtin");
    }
    let chosen = match provider {
        Some("icu") => &database.icu_locale,
        Some("builtin") => &database.builtin_locale,
        _ => return,
    };
    match chosen.as_ref().or(database.locale.as_ref()) {
        None => {
            let provider = provider.unwrap_or_default();
            let example = if provider == "icu" { "und" } else { "C.UTF-8" };
            let message = format!("the database `{name}` has a locale provider, but no locale");
            let diagnostic = error("missing-locale", database.span, message);
            report.add(diagnostic.help(format!("add `{provider}_locale`, such as `{example}`")));
        }
        Some(locale)
            if provider == Some("builtin")
                && !["C", "C.UTF-8", "C.UTF8", "PG_UNICODE_FAST"].contains(&locale.as_str()) =>
        {
            report.error(
                "unknown-locale",
                database.span,
                format!(
                    "the builtin locale provider has no `{locale}`, which the database `{name}` \
                     asks for; it has C, C.UTF-8 and, in PostgreSQL 18, PG_UNICODE_FAST"
                ),
            );
        }
        Some(_) => {}
    }
}

/// Databases that are copies of themselves in the end.
fn copies(report: &mut Report<'_>, database: &PgDatabase, databases: &[PgDatabase]) {
    let mut names = vec![database.name.as_str()];
    let mut template = database.template.as_deref();
    while let Some(name) = template {
        if name == database.name {
            names.push(name);
            report.error(
                "template-cycle",
                database.span,
                format!("databases are copies of each other: {}", names.join(" → ")),
            );
            return;
        }
        if names.contains(&name) {
            return;
        }
        names.push(name);
        let next = databases.iter().find(|other| other.name == name);
        template = next.and_then(|next| next.template.as_deref());
    }
}
