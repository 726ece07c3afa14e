//! What instances follow and how far behind, and the values of PostgreSQL's own parameters.

use super::{Report, error, warning, with_related};
use crate::model::{PgCluster, PgMember, PgRole, upstream_of};
use crate::parameters;
use crate::settings::{refusal, setting_text};
use keddah_core::Secret;
use keddah_core::Span;

pub(super) fn check(report: &mut Report<'_>) {
    for cluster in report.clusters.clone() {
        for member in &cluster.members {
            delay(report, &cluster, member);
            parameters(report, &cluster, member);
        }
        upstream(report, &cluster);
        asynchronous_io(report, &cluster);
    }
}

fn delay(report: &mut Report<'_>, cluster: &PgCluster<'_>, member: &PgMember<'_>) {
    let name = member.instance(&cluster.name);
    let delay = member.params.get(parameters::PG_DELAY);
    let behind = delay.chars().any(|character| matches!(character, '1'..='9'));
    if member.role == PgRole::Delayed && !behind {
        report.add(
            error(
                "missing-delay",
                member.params.span(parameters::PG_ROLE),
                format!("{name} is a delayed replica, and nothing says how far it stays behind"),
            )
            .help("add `pg_delay: 1h`"),
        );
    }
    if behind && member.role == PgRole::Primary && member.upstream.is_none() {
        report.add(
            error(
                "delayed-primary",
                member.params.span(parameters::PG_DELAY),
                format!("{name} takes writes, so it cannot stay behind anything"),
            )
            .help(
                "set `pg_delay` at a replica, or give this primary a `pg_upstream` in another \
                 cluster to follow",
            ),
        );
    }
}

/// A standby cluster logs in to the other one with the same account.
fn upstream(report: &mut Report<'_>, cluster: &PgCluster<'_>) {
    let Some(primary) = cluster.primary().filter(|primary| primary.upstream.is_some()) else {
        return;
    };
    let clusters = report.clusters.clone();
    let other = upstream_of(&clusters, &cluster.name, primary);
    let Some((other, theirs)) = other.filter(|(other, _)| other.name != cluster.name) else {
        return;
    };
    let span = primary.params.span(parameters::PG_UPSTREAM);
    let place = |name: &str| -> Option<Span> { primary.params.span(name).or(span) };
    for name in ["pg_replication_username", "pg_replication_password"] {
        let differs = match name {
            "pg_replication_password" => {
                primary.params.named::<Secret>(name).reveal()
                    != theirs.params.named::<Secret>(name).reveal()
            }
            _ => primary.params.named::<String>(name) != theirs.params.named::<String>(name),
        };
        if differs {
            report.add(with_related(
                error(
                    "upstream-differs",
                    place(name),
                    format!(
                        "{} follows {}, so both need the same `{name}`",
                        cluster.name, other.name
                    ),
                )
                .help("set it once for both, in `all`"),
                theirs.params.span(name),
                "the other cluster's",
            ));
        }
    }
    let version = |member: &PgMember<'_>| member.params.get(parameters::PG_VERSION);
    if version(primary) != version(theirs) {
        report.add(with_related(
            error(
                "upstream-differs",
                place("pg_version"),
                format!(
                    "{} follows {}, and a copy has the version of what it copies: {} is not {}",
                    cluster.name,
                    other.name,
                    version(primary),
                    version(theirs)
                ),
            ),
            theirs.params.span(parameters::PG_VERSION),
            "the other cluster's",
        ));
    }
}

/// The version that the inventory itself names.
fn version(member: &PgMember<'_>) -> Option<u32> {
    member.params.set(parameters::PG_VERSION)?;
    u32::try_from(member.params.get(parameters::PG_VERSION)).ok()
}

fn parameters(report: &mut Report<'_>, cluster: &PgCluster<'_>, member: &PgMember<'_>) {
    for (name, value) in member.params.get(parameters::PG_PARAMETERS) {
        let span =
            value.span.or(name.span).or_else(|| member.params.span(parameters::PG_PARAMETERS));
        let what = format!("`{}` of cluster `{}`", name.text, cluster.name);
        let Some(text) = setting_text(&value) else {
            if !value.is_null() {
                report.error("bad-setting", span, format!("{what} must be a single value"));
            }
            continue;
        };
        let Some(refusal) = refusal(version(member), &name.text, &text) else { continue };
        let message = format!("{what}: {}", refusal.why);
        let diagnostic = if refusal.certain {
            error("bad-setting", span, message)
        } else {
            warning("bad-setting", span, message)
        };
        report.add(match refusal.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }
}

fn asynchronous_io(report: &mut Report<'_>, cluster: &PgCluster<'_>) {
    let Some(member) = cluster.members.first() else { return };
    let (Some(version), true) =
        (version(member), member.params.set(parameters::PG_IO_METHOD).is_some())
    else {
        return;
    };
    if version < 18 {
        report.add(
            warning(
                "ignored-here",
                member.params.span(parameters::PG_IO_METHOD),
                format!(
                    "`pg_io_method` does nothing for cluster `{}`: PostgreSQL reads \
                     asynchronously from version 18 on, not {version}",
                    cluster.name
                ),
            )
            .help("remove it, or ask for `pg_version: 18`"),
        );
    }
}
