//! Values of the right type that their program would not take, or take for something else.

use super::{Report, error, warning};
use crate::model::{PgCluster, PgMember, PgRole, RtoPlan};
use crate::patroni_rules::LEAST_CONNECTIONS;
use crate::registry::nearest;
use crate::{Params, Value, parameters};
use keddah_core::Span;

/// The most connections that PostgreSQL takes (`MAX_BACKENDS`, less what it needs itself).
const MOST_CONNECTIONS: i64 = 262_143;

/// Patroni's shortest lease, and one after which nobody waits for a failover any more.
const LEASE_SECONDS: std::ops::RangeInclusive<i64> = 20..=3600;

/// How long a certificate can be valid: one is renewed by a plan, and no plan is made twice a day.
const VALIDITY_DAYS: std::ops::RangeInclusive<u64> = 1..=36_500;

/// What the operating system can be tuned for.
const TUNES: &[&str] = &["none", "oltp", "olap", "crit", "tiny"];

/// Encodings that a server can have, as PostgreSQL compares them: letters and digits alone ("Character Set
/// Support" in its manual, and the further names in `encnames.c`).
const ENCODINGS: &[&str] = &[
    "abc",
    "alt",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "iso88591",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "koi8",
    "koi8r",
    "koi8u",
    "latin1",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "muleinternal",
    "sqlascii",
    "tcvn",
    "tcvn5712",
    "unicode",
    "utf8",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
];

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        tune(report, &params);
        validity(report, &params);
    }
    for cluster in report.clusters.clone() {
        for member in &cluster.members {
            connections(report, &cluster, member);
            lease(report, &cluster, &member.params);
            encodings(report, &member.params);
            let mode = member.params.get(parameters::PATRONI_MODE);
            if mode == "remove" {
                report.add(
                    warning(
                        "decided",
                        member.params.span(parameters::PATRONI_MODE),
                        "`patroni_mode: remove` is not obeyed: no cluster here runs without Patroni",
                    )
                    .help(
                        "leave it out; `pause` has Patroni watch without acting, and `keddah remove` \
                         takes a cluster off",
                    ),
                );
            }
        }
        synchronous(report, &cluster);
    }
}

fn bad(report: &mut Report<'_>, span: Option<Span>, message: String, help: impl Into<String>) {
    report.add(error("bad-value", span, message).help(help));
}

fn tune(report: &mut Report<'_>, params: &Params<'_>) {
    let tune = params.get(parameters::NODE_TUNE);
    if !TUNES.contains(&tune.as_str()) {
        let help = match nearest(&tune, TUNES.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", TUNES.join(", ")),
        };
        let message = format!("`node_tune` knows no profile `{tune}`");
        bad(report, params.span(parameters::NODE_TUNE), message, help);
    }
}

fn validity(report: &mut Report<'_>, params: &Params<'_>) {
    let days = params.get(parameters::CERT_VALIDITY) / 86_400;
    if !VALIDITY_DAYS.contains(&days) {
        let (least, most) = (VALIDITY_DAYS.start(), VALIDITY_DAYS.end());
        let message = format!("`cert_validity` goes from {least}d to {most}d");
        bad(report, params.span(parameters::CERT_VALIDITY), message, "7300d are its default");
    }
}

fn connections(report: &mut Report<'_>, cluster: &PgCluster<'_>, member: &PgMember<'_>) {
    let params = &member.params;
    let Some(most) = params.opt(parameters::PG_MAX_CONN) else { return };
    let instead = if most < LEAST_CONNECTIONS {
        format!(
            "Patroni takes no `max_connections` below {LEAST_CONNECTIONS}, and would silently go on \
             with 100"
        )
    } else if most > MOST_CONNECTIONS {
        format!("PostgreSQL takes no `max_connections` above {MOST_CONNECTIONS}")
    } else {
        return;
    };
    bad(
        report,
        params.span(parameters::PG_MAX_CONN),
        format!("`pg_max_conn` of cluster `{}` cannot be {most}: {instead}", cluster.name),
        format!("write {LEAST_CONNECTIONS} or more, or auto"),
    );
}

fn lease(report: &mut Report<'_>, cluster: &PgCluster<'_>, params: &Params<'_>) {
    let word = params.get(parameters::PG_RTO);
    if let Ok(seconds) = word.parse::<i64>() {
        if !LEASE_SECONDS.contains(&seconds) {
            let (least, most) = (LEASE_SECONDS.start(), LEASE_SECONDS.end());
            let message = format!(
                "`pg_rto` of cluster `{}` is a lease from {least} to {most} seconds, not {seconds}",
                cluster.name
            );
            let help = "Patroni takes none below 20; fast (20), norm (30), safe (60) and wide (120) \
                        come with timings that fit";
            bad(report, params.span(parameters::PG_RTO), message, help);
        }
        return;
    }
    let plans = params.get(parameters::PG_RTO_PLAN);
    for (name, row) in &plans {
        let span = row.span.or(name.span).or_else(|| params.span(parameters::PG_RTO_PLAN));
        let why = match RtoPlan::from_row(row) {
            None => "it is a list of lease, loop, retry, start and margin in seconds, three check \
                     intervals and two counts"
                .to_owned(),
            Some(plan) => match plan_fault(&plan) {
                Some(why) => why,
                None => continue,
            },
        };
        let message = format!("plan `{}` of `pg_rto_plan` cannot be obeyed: {why}", name.text);
        bad(report, span, message, "norm is [30, 5, 10, 25, 5, 2s, 1s, 2s, 3, 3]");
    }
}

/// What Patroni would change of a plan by itself ("Dynamic Configuration Settings" in its manual).
fn plan_fault(plan: &RtoPlan) -> Option<String> {
    let RtoPlan { ttl, loop_wait, retry_timeout, primary_start_timeout, rise, fall, .. } = plan;
    if *ttl < *LEASE_SECONDS.start() || *loop_wait < 1 || *retry_timeout < 3 {
        return Some(
            "Patroni takes no lease below 20, no loop below 1 and no retry below 3 seconds"
                .to_owned(),
        );
    }
    if loop_wait + 2 * retry_timeout > *ttl {
        return Some(format!(
            "a lease covers a loop and two retries, and {loop_wait} + 2 x {retry_timeout} is more than \
             {ttl}"
        ));
    }
    (*primary_start_timeout < 0 || *rise < 1 || *fall < 1)
        .then(|| "counts begin at 1, and times at 0".to_owned())
}

fn encodings(report: &mut Report<'_>, params: &Params<'_>) {
    let mut judge = |value: &str, span: Option<Span>, what: &str| {
        let plain: String = value
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|one| one.to_ascii_lowercase())
            .collect();
        if !plain.is_empty() && !ENCODINGS.contains(&plain.as_str()) {
            let message =
                format!("{what} is no encoding that a PostgreSQL server can have: `{value}`");
            bad(report, span, message, "UTF8 holds every text; SQL_ASCII takes any bytes");
        }
    };
    judge(
        &params.get(parameters::PG_ENCODING),
        params.span(parameters::PG_ENCODING),
        "`pg_encoding`",
    );
    for database in params.get(parameters::PG_DATABASES) {
        let Some(encoding) = database.get("encoding") else { continue };
        let Some(text) = encoding.as_str() else { continue };
        let name = database.get("name").and_then(Value::as_str).unwrap_or_default();
        let span = encoding.span.or(database.span);
        judge(text, span, &format!("`encoding` of database `{name}`"));
    }
}

/// More replicas to wait for than there are: a finding for ever, and every restart asks for `--despite`.
fn synchronous(report: &mut Report<'_>, cluster: &PgCluster<'_>) {
    let Some(first) = cluster.members.first() else { return };
    let params = &first.params;
    let mode = params.get(parameters::PATRONI_SYNCHRONOUS_MODE);
    let waits = match mode.as_str() {
        "off" => false,
        "auto" => {
            params.get(parameters::PG_CONF) == "crit.yml" || params.get(parameters::PG_RPO) == 0
        }
        _ => true,
    };
    let wanted = params.get(parameters::PATRONI_SYNCHRONOUS_NODE_COUNT);
    // A delayed member cannot be waited for; one member leads.
    let can = cluster.members.iter().filter(|member| member.role != PgRole::Delayed).count();
    let others = i64::try_from(can).unwrap_or(i64::MAX) - 1;
    if waits && params.set(parameters::PATRONI_SYNCHRONOUS_NODE_COUNT).is_some() && wanted > others
    {
        let message = format!(
            "commits of cluster `{}` should wait for {wanted} replicas, and it has {others} that they \
             can wait for",
            cluster.name
        );
        let span = params.span(parameters::PATRONI_SYNCHRONOUS_NODE_COUNT);
        report.add(warning("bad-value", span, message).help(
            "declare fewer, or more members; `status` would tell of the missing ones for ever",
        ));
    }
}
