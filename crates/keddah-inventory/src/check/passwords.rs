//! Passwords that everyone knows. Messages name the parameter or user, never the password.

use super::{Report, warning};
use crate::model::{PgUser, State};
use crate::registry::{self, Module, ParameterType, Support};
use crate::{Params, Value};
use keddah_core::{Diagnostic, Span};

pub(super) fn check(report: &mut Report<'_>) {
    parameters(report);
    for cluster in report.clusters.clone() {
        let member = cluster.primary().or_else(|| cluster.members.first());
        let Some(params) = member.map(|member| &member.params) else { continue };
        users(report, params);
        repository(report, params);
    }
}

/// One warning for each parameter whose default password is in use.
fn parameters(report: &mut Report<'_>) {
    let inventory = report.inventory;
    let hosts = inventory.hosts();
    let hosts: Vec<Params<'_>> =
        hosts.flat_map(|host| Params::instances(inventory, &host.name)).collect();
    for parameter in registry::all() {
        let Some(default) = parameter.default_ref().and_then(Value::as_str) else { continue };
        let in_use = match parameter.module {
            Module::Pgsql => !report.clusters.is_empty(),
            // etcd asks for certificates, never for a password.
            Module::Etcd => false,
            _ => parameter.support != Support::Unmanaged,
        };
        let password = matches!(parameter.kind, ParameterType::Password);
        if !password || default.is_empty() || !in_use {
            continue;
        }
        let mut users = 0_usize;
        let mut places: Vec<Span> = Vec::new();
        for params in &hosts {
            let concerned = match parameter.module {
                Module::Pgsql => params.set("pg_cluster").is_some(),
                _ => params.bool("haproxy_enabled"),
            };
            if concerned && params.secret(parameter.name).reveal() == default {
                users += 1;
                places.extend(params.span(parameter.name));
            }
        }
        places.sort_unstable();
        places.dedup();
        if users > 0 {
            let span = places.first().copied();
            let message = format!("`{}` is left at its public default", parameter.name);
            let mut diagnostic = warning("public-password", span, message)
                .help(format!("set `{}` to a password of your own", parameter.name));
            for place in places.into_iter().skip(1) {
                diagnostic = diagnostic.related(place, "here, too");
            }
            report.add(diagnostic);
        }
    }
}

fn users(report: &mut Report<'_>, params: &Params<'_>) {
    for user in PgUser::business(params) {
        let Some(password) = &user.password else { continue };
        if user.state == State::Absent || !user.login {
            continue;
        }
        if is_public(password.reveal()) {
            report.add(public(
                user.password_span,
                format!("user `{}` has a public example's password", user.name),
            ));
        } else if password.reveal() == user.name {
            report.add(public(
                user.password_span,
                format!("the password of user `{}` is its name", user.name),
            ));
        }
    }
}

/// The documents' and ready inventories' passwords all look like this.
fn is_public(password: &str) -> bool {
    ["DBUser.", "S3User."].iter().any(|prefix| {
        password.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|character| character.is_ascii_alphanumeric())
        })
    })
}

fn repository(report: &mut Report<'_>, params: &Params<'_>) {
    if !params.bool("pgbackrest_enabled") {
        return;
    }
    let method = params.str("pgbackrest_method");
    let repositories = params.map("pgbackrest_repo");
    let Some(repository) = repositories.get(method.as_str()) else { return };
    for (name, known) in [("cipher_pass", "pgBackRest"), ("s3_key_secret", "S3User.Backup")] {
        let Some(value) = repository.get(name) else { continue };
        if value.as_str() == Some(known) {
            let span = value.span.or_else(|| params.span("pgbackrest_method"));
            report.add(public(
                span,
                format!("`{name}` of backup repository `{method}` is left at its public default"),
            ));
        }
    }
}

fn public(span: Option<Span>, message: String) -> Diagnostic {
    warning("public-password", span, message).help("choose a password of your own")
}
