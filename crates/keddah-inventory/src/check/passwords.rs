//! Passwords that everyone knows: one warning names them all. Messages name the parameter or the user,
//! never the password.

use super::{Report, warning};
use crate::model::{PgUser, State};
use crate::registry::{self, Module, ParameterType, Support};
use crate::{Params, Value, parameters};
use keddah_core::{Secret, Span};
use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

/// What has a public password, with the places that say so.
type Found = BTreeMap<(usize, String), Vec<Span>>;

pub(super) fn check(report: &mut Report<'_>) {
    let mut found = Found::new();
    parameters(report, &mut found);
    for cluster in &report.clusters {
        let member = cluster.primary().or_else(|| cluster.members.first());
        let Some(params) = member.map(|member| &member.params) else { continue };
        users(params, &mut found);
        repository(params, &mut found);
        let password = params.get(parameters::PG_ETCD_PASSWORD);
        if password.is_empty() || password.reveal() == cluster.name.as_str() {
            let name = "`pg_etcd_password` (the cluster's name)".to_owned();
            add(&mut found, 0, name, params.span(parameters::PG_ETCD_PASSWORD));
        } else if is_public_password(&password) {
            let name = "`pg_etcd_password`".to_owned();
            add(&mut found, 0, name, params.span(parameters::PG_ETCD_PASSWORD));
        }
    }
    let names: Vec<&str> = found.keys().map(|(_, name)| name.as_str()).collect();
    let Some(first) = names.first() else { return };
    let message = match names.len() {
        1 => format!("a password is one that everyone knows: {first}"),
        count => format!("{count} passwords are ones that everyone knows: {}", names.join(", ")),
    };
    let mut places: Vec<(Span, &str)> = found
        .iter()
        .flat_map(|((_, name), places)| places.iter().map(move |place| (*place, name.as_str())))
        .collect();
    places.sort_unstable();
    places.dedup_by_key(|(place, _)| *place);
    let mut diagnostic = warning(
        "public-password",
        places.first().map(|(place, _)| *place),
        message,
    )
    .help(
        "choose passwords of your own. Outside a sandbox, an apply that would create such a login \
             asks for --allow-public-passwords",
    );
    for (place, _) in places.into_iter().skip(1) {
        diagnostic = diagnostic.related(place, "here, too");
    }
    report.add(diagnostic);
}

/// Parameters first, then users, then what is a cluster's own.
fn add(found: &mut Found, rank: usize, name: String, place: Option<Span>) {
    found.entry((rank, name)).or_default().extend(place);
}

/// Parameters whose password is public.
fn parameters(report: &Report<'_>, found: &mut Found) {
    let inventory = report.inventory;
    let hosts = inventory.hosts();
    let hosts: Vec<Params<'_>> =
        hosts.flat_map(|host| Params::instances(inventory, &host.name)).collect();
    for parameter in registry::all() {
        let Some(default) = parameter.default_ref().and_then(Value::as_str) else { continue };
        let in_use = match parameter.module {
            Module::Pgsql => !report.clusters.is_empty(),
            Module::Etcd => !report.etcd.is_empty(),
            _ => parameter.support != Support::Unmanaged,
        };
        let password = matches!(parameter.kind, ParameterType::Password);
        if !password || default.is_empty() || !in_use {
            continue;
        }
        for params in &hosts {
            let concerned = match parameter.module {
                Module::Pgsql => params.set(parameters::PG_CLUSTER).is_some(),
                Module::Etcd => params.set(parameters::ETCD_SEQ).is_some(),
                _ => params.get(parameters::HAPROXY_ENABLED),
            };
            if concerned && is_public_password(&params.named::<Secret>(parameter.name)) {
                let name = format!("`{}`", parameter.name);
                add(found, 0, name, params.span(parameter.name));
            }
        }
    }
}

fn users(params: &Params<'_>, found: &mut Found) {
    for user in PgUser::business(params).iter().filter(|user| is_public_login(user)) {
        let why = match &user.password {
            Some(password) if password.reveal() == user.name => " (its name)",
            _ => "",
        };
        add(found, 1, format!("user `{}`{why}", user.name), user.password_span);
    }
}

/// The parameters' own defaults.
static DEFAULTS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let passwords =
        registry::all().filter(|parameter| matches!(parameter.kind, ParameterType::Password));
    let defaults = passwords.filter_map(|parameter| parameter.default_ref()?.as_str());
    defaults.filter(|default| !default.is_empty()).collect()
});

/// Whether a password is one of the documents': a parameter's default, or one like those of the ready
/// inventories' users, which all look alike.
pub fn is_public_password(password: &Secret) -> bool {
    let password = password.reveal();
    let example = ["DBUser.", "S3User."].iter().any(|prefix| {
        password.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|character| character.is_ascii_alphanumeric())
        })
    });
    example || DEFAULTS.contains(password)
}

/// Whether a user can log in by a password that everyone knows; its own name is one.
pub fn is_public_login(user: &PgUser) -> bool {
    let Some(password) = &user.password else { return false };
    let can = user.state == State::Present && user.login;
    can && (password.reveal() == user.name || is_public_password(password))
}

fn repository(params: &Params<'_>, found: &mut Found) {
    if !params.get(parameters::PGBACKREST_ENABLED) {
        return;
    }
    let method = params.get(parameters::PGBACKREST_METHOD);
    let repositories = params.get(parameters::PGBACKREST_REPO);
    let Some(repository) = repositories.get(method.as_str()) else { return };
    for (name, known) in [("cipher_pass", "pgBackRest"), ("s3_key_secret", "S3User.Backup")] {
        let Some(value) = repository.get(name) else { continue };
        if value.as_str() == Some(known) {
            let span = value.span.or_else(|| params.span(parameters::PGBACKREST_METHOD));
            add(found, 2, format!("`{name}` of backup repository `{method}`"), span);
        }
    }
}
