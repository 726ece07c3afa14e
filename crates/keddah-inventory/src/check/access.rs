//! Services, selectors, client authentication rules and backup repositories.

use super::objects::twice;
use super::{Report, error, warning};
use crate::Value;
use crate::model::{PgCluster, PgService, ServiceDestination};
use crate::registry;
use crate::selector;
use crate::{Params, parameters};
use keddah_core::Span;
use serde_json::Value as Json;
use std::net::IpAddr;

pub(super) fn check(report: &mut Report<'_>) {
    for cluster in report.clusters.clone() {
        let member = cluster.primary().or_else(|| cluster.members.first());
        let Some(params) = member.map(|member| &member.params) else { continue };
        services(report, &cluster, params);
        for name in
            ["pg_hba_rules", "pg_default_hba_rules", "pgb_hba_rules", "pgb_default_hba_rules"]
        {
            // The registry's own rules are right.
            if params.set(name).is_some() {
                rules(report, params, name);
            }
        }
        repository(report, params);
        let provider = params.get(parameters::PG_SERVICE_PROVIDER);
        if !provider.is_empty() && report.inventory.group(&provider).is_none() {
            report.add(
                error(
                    "unknown-group",
                    params.span(parameters::PG_SERVICE_PROVIDER),
                    format!("there is no group `{provider}` to provide the services"),
                )
                .help("leave it empty to serve from the cluster's own nodes"),
            );
        }
    }
}

fn services(report: &mut Report<'_>, cluster: &PgCluster<'_>, params: &Params<'_>) {
    let business = PgService::business(params);
    let names: Vec<_> =
        business.iter().map(|service| (service.name.as_str(), service.name_span)).collect();
    twice(report, "duplicate-service", "service", &names);
    let facts = cluster.facts();
    for service in PgService::all(params) {
        if service.span.is_none() {
            continue;
        }
        let own = business.iter().any(|other| other.span == service.span);
        let places = select(report, &service, &service.selector, service.selector_span, &facts);
        // The default services serve clusters of all shapes: selecting nothing is normal there.
        if own && places.is_some_and(|places| places.is_empty()) {
            report.add(
                warning(
                    "selects-nothing",
                    service.selector_span,
                    format!(
                        "service `{}` of cluster `{}` has no members: its selector picks none",
                        service.name, cluster.name
                    ),
                )
                .help("`[]` selects all members; the health check decides who serves"),
            );
        }
        if let Some(backup) = &service.backup {
            select(report, &service, backup, service.backup_span, &facts);
        }
        if let Some((span, message)) = unfit(&service, params) {
            report.error("bad-service", span, message);
        }
        let address = service.ip.as_str();
        if address != "*" && address != "vip" && address.parse::<IpAddr>().is_err() {
            report.error(
                "bad-address",
                service.span,
                format!(
                    "service `{}` listens on `{address}`, which is not an address",
                    service.name
                ),
            );
        }
    }
}

/// What of a service HAProxy would not take, or nobody would answer.
fn unfit(service: &PgService, params: &Params<'_>) -> Option<(Option<Span>, String)> {
    let PgService { name, check, .. } = service;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if !name.bytes().all(plain) {
        let message = format!(
            "`{name}` cannot name a service: use letters, digits and the characters _ - . :"
        );
        return Some((service.name_span, message));
    }
    if !check.starts_with('/') || check.contains(char::is_whitespace) {
        let message = format!(
            "service `{name}` asks members for `{check}`; a health check is a path such as \
             /primary, /replica or /read-only?lag=0"
        );
        return Some((service.span, message));
    }
    if service.dest == ServiceDestination::Pgbouncer && !params.get(parameters::PGBOUNCER_ENABLED) {
        let message = format!(
            "service `{name}` leads to PgBouncer, which `pgbouncer_enabled: false` switches off"
        );
        return Some((service.span, message));
    }
    None
}

fn select(
    report: &mut Report<'_>,
    service: &PgService,
    text: &str,
    span: Option<Span>,
    facts: &[Json],
) -> Option<Vec<usize>> {
    let result = selector::compile(text).and_then(|selector| selector.select(facts));
    result
        .map_err(|problem| {
            let span = span.map(|span| within(report, span, text, problem.offset));
            report.add(
                error(
                    "bad-selector",
                    span,
                    format!(
                        "the selector of service `{}` is wrong: {}",
                        service.name, problem.reason
                    ),
                )
                .help("selectors are JMESPath expressions, such as [? pg_role == `replica`]"),
            );
        })
        .ok()
}

/// The place of one byte of a text, where the file holds the text literally.
fn within(report: &Report<'_>, span: Span, text: &str, offset: usize) -> Span {
    let file = report.sources.file(span.source);
    let written = file.text.get(span.start..span.end).unwrap_or_default();
    match written.find(text) {
        Some(at) => {
            let start = span.start + at + offset.min(text.len());
            let length = text[offset.min(text.len())..].chars().next().map_or(1, char::len_utf8);
            Span { source: span.source, start, end: (start + length).min(span.end) }
        }
        None => span,
    }
}

/// Short names of places that clients come from.
const PLACES: &[&str] = &["world", "intra", "infra", "admin", "cluster", "local", "localhost"];

fn rules(report: &mut Report<'_>, params: &Params<'_>, name: &str) {
    for rule in params.named::<Vec<Value>>(name) {
        let raw = rule.get("rules").is_some_and(|rules| !rules.is_null());
        let Some(addresses) = rule.get("addr").filter(|addresses| !addresses.is_null()) else {
            if !raw && rule.as_map().is_some() {
                report.add(
                    error(
                        "missing-field",
                        rule.span,
                        format!("a rule of `{name}` lacks its `addr`"),
                    )
                    .help(format!("say where clients come from: {}", PLACES.join(", "))),
                );
            }
            continue;
        };
        for address in addresses.as_list().unwrap_or(std::slice::from_ref(addresses)) {
            for word in address.as_str().unwrap_or_default().split(',').map(str::trim) {
                place(report, name, word, address.span.or(addresses.span));
            }
        }
    }
}

fn place(report: &mut Report<'_>, name: &str, word: &str, span: Option<Span>) {
    let valid = PLACES.contains(&word)
        || ["all", "intranet", "samehost", "samenet"].contains(&word)
        || registry::has_placeholder(word)
        || word.parse::<IpAddr>().is_ok()
        || word.parse::<ipnet::IpNet>().is_ok()
        // PostgreSQL takes host names, and domains that begin with a dot.
        || (word.contains('.') && !word.contains('/') && word.contains(char::is_alphabetic));
    if valid {
        return;
    }
    let diagnostic =
        error("bad-address", span, format!("`{word}` in `{name}` is no place clients come from"));
    report.add(match registry::nearest(word, PLACES.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("use {}, an address or a network", PLACES.join(", "))),
    });
}

fn repository(report: &mut Report<'_>, params: &Params<'_>) {
    if !params.get(parameters::PGBACKREST_ENABLED) {
        return;
    }
    let method = params.get(parameters::PGBACKREST_METHOD);
    let repositories = params.get(parameters::PGBACKREST_REPO);
    match repositories.get(method.as_str()) {
        Some(repository) if repository.as_map().is_some() => {}
        Some(repository) => report.error(
            "wrong-type",
            repository.span,
            format!("repository `{method}` of `pgbackrest_repo` must be a mapping of options"),
        ),
        None => {
            let names: Vec<&str> = repositories.keys().map(|key| key.text.as_str()).collect();
            let span = params
                .span(parameters::PGBACKREST_METHOD)
                .or_else(|| params.span(parameters::PGBACKREST_REPO));
            report.add(
                error(
                    "unknown-repository",
                    span,
                    format!("`pgbackrest_repo` has no repository `{method}`"),
                )
                .help(format!("it has {}", names.join(", "))),
            );
        }
    }
}
