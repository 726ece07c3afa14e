//! Who is who: cluster names, numbers, roles, and what a cluster cannot do without.

use super::{Report, error, several_instances, warning, with_related};
use crate::model::PgRole;
use crate::{Inventory, Params, Scope, parameters};
use keddah_core::{ClusterName, Span};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        if params.set(parameters::PG_INSTANCES).is_some() {
            several_instances::check(report, &params);
        } else {
            postgres(report, &params, host.span);
            two_clusters(report, &params);
        }
        other_modules(report, &params, host.span);
    }
    for cluster in report.clusters.clone() {
        let name = cluster.name.as_str();
        let primaries: Vec<_> =
            cluster.members.iter().filter(|member| member.role == PgRole::Primary).collect();
        match primaries.as_slice() {
            [_] => {}
            [] => {
                let span = cluster
                    .members
                    .first()
                    .and_then(|member| member.params.span(parameters::PG_ROLE));
                report.add(
                    error("no-primary", span, format!("cluster `{name}` has no primary"))
                        .help("give one member `pg_role: primary`"),
                );
            }
            [first, second, ..] => {
                let place = second.params.span(parameters::PG_ROLE);
                let message = format!("cluster `{name}` has {} primaries", primaries.len());
                report.add(with_related(
                    error("two-primaries", place, message)
                        .help("one member is the primary, the others are replicas"),
                    first.params.span(parameters::PG_ROLE),
                    "the first primary",
                ));
            }
        }
        let numbers = cluster.members.iter().map(|member| (member.seq, member.seq_span));
        duplicate_numbers(report, "pg_seq", name, numbers);
        if let Some(mixed) = several_instances::mixed(&cluster) {
            report.add(mixed);
        }
    }
    for cluster in report.etcd.clone() {
        let numbers = cluster.members.iter().map(|member| (member.seq, member.seq_span));
        duplicate_numbers(report, "etcd_seq", &cluster.name, numbers);
        let count = cluster.members.len();
        if count % 2 == 0 {
            let span = cluster.members.last().and_then(|member| member.seq_span);
            report.add(
                warning(
                    "even-etcd",
                    span,
                    format!(
                        "etcd cluster `{}` has {count} members: it survives no more failures \
                         than with {}",
                        cluster.name,
                        count - 1
                    ),
                )
                .help("use one, three or five members"),
            );
        }
        for member in &cluster.members {
            let (election, heartbeat) = (
                member.params.get(parameters::ETCD_ELECTION_TIMEOUT),
                member.params.get(parameters::ETCD_HEARTBEAT_INTERVAL),
            );
            if election < 5 * heartbeat {
                let span = member
                    .params
                    .span(parameters::ETCD_ELECTION_TIMEOUT)
                    .or_else(|| member.params.span(parameters::ETCD_HEARTBEAT_INTERVAL));
                report.add(
                    error(
                        "etcd-timeouts",
                        span,
                        format!(
                            "etcd does not start: the election timeout of {election} ms is less \
                             than five heartbeats of {heartbeat} ms"
                        ),
                    )
                    .help("set `etcd_election_timeout` to ten times `etcd_heartbeat_interval`"),
                );
            }
        }
    }
    if report.etcd.is_empty()
        && let Some(member) = report.clusters.iter().find_map(|cluster| cluster.members.first())
    {
        let span = member.params.span(parameters::PG_CLUSTER);
        report.add(
            error("no-etcd", span, "PostgreSQL clusters need etcd, and no host has an `etcd_seq`")
                .help("add a group: etcd: { hosts: { ADDRESS: { etcd_seq: 1 } } }"),
        );
    }
    numbers_across(report, "infra_seq", None);
    numbers_across(report, "redis_node", Some("redis_cluster"));
    numbers_across(report, "minio_seq", Some("minio_cluster"));
}

/// Where a member of a cluster stands in the group that makes it one: its first mention may be another module's.
fn mention(inventory: &Inventory, params: &Params<'_>) -> Option<Span> {
    let host = inventory.host(params.node().as_str())?;
    let Scope::Group(cluster) = &params.set(parameters::PG_CLUSTER)?.origin.from else {
        // All of it is said at the host itself: which of several mentions that is, its variables tell.
        let own = (host.groups.len() > 1).then_some(["pg_seq", "pg_role", "pg_cluster"]);
        return own?.into_iter().find_map(|name| params.span(name));
    };
    let group = host.groups.iter().find(|group| is_within(inventory, group, cluster))?;
    host.mentions.get(group).copied()
}

/// The identity of a host's instance, or of one of several; `place` is the host or the instance.
pub(super) fn postgres(report: &mut Report<'_>, params: &Params<'_>, place: Option<Span>) {
    let node = params.node();
    let who = match params.instance() {
        None => format!("host `{node}`"),
        Some(port) => format!("instance {port} of host `{node}`"),
    };
    let identity = ["pg_seq", "pg_role"];
    let Some(cluster) = params.opt(parameters::PG_CLUSTER) else {
        let set = identity.into_iter().find(|name| params.set(name).is_some());
        if params.instance().is_some() {
            let message = format!("{who} has no `pg_cluster`");
            report.add(error("missing-identity", place, message).help(
                "an instance needs a cluster, a number and a role: { pg_cluster: pg-a, pg_seq: 1, \
                 pg_role: primary }",
            ));
        } else if let Some(name) = set {
            report.add(
                error(
                    "missing-identity",
                    params.span(name),
                    format!("{who} has a `{name}`, but no `pg_cluster`"),
                )
                .help("set `pg_cluster` in the `vars` of its group"),
            );
        }
        return;
    };
    if let Err(problem) = ClusterName::new(cluster.clone()) {
        report.add(
            error("bad-cluster-name", params.span(parameters::PG_CLUSTER), problem.to_string())
                .help("cluster names become host names and must be valid there"),
        );
    }
    let lacking = match params.instance() {
        None => mention(report.inventory, params).or(place),
        Some(_) => place,
    };
    for name in identity {
        if params.set(name).is_none() {
            report.add(
                error(
                    "missing-identity",
                    lacking,
                    format!("{who} of cluster `{cluster}` has no `{name}`"),
                )
                .help(match name {
                    "pg_seq" => "number the members: pg_seq: 1, 2, 3, …",
                    _ => "say what it is: pg_role: primary, replica or offline",
                }),
            );
        }
    }
    let mode = params.get(parameters::PG_MODE);
    if mode != "pgsql" {
        report.add(
            error(
                "unsupported",
                params.span(parameters::PG_MODE),
                format!("Keddah runs clusters with `pg_mode: pgsql`, not `{mode}`"),
            )
            .help("leave `pg_mode` out for plain PostgreSQL"),
        );
    }
    address(report, params, place, "PostgreSQL");
}

fn address(report: &mut Report<'_>, params: &Params<'_>, span: Option<Span>, what: &str) {
    let node = params.node().as_str();
    if node.parse::<IpAddr>().is_err() {
        report.add(
            error(
                "node-not-an-address",
                span,
                format!("host `{node}` runs {what}, so it must be named by its IP address"),
            )
            .help(if is_numbers(node) {
                "an address has four numbers from 0 to 255, with points between them"
            } else {
                "write the address under `hosts`, and the name as `nodename`"
            }),
        );
    }
}

/// Whether somebody meant an address.
fn is_numbers(node: &str) -> bool {
    node.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn other_modules(report: &mut Report<'_>, params: &Params<'_>, host_span: Option<Span>) {
    if params.set(parameters::ETCD_SEQ).is_some() {
        address(report, params, host_span, "etcd");
        if let Err(problem) = ClusterName::new(params.get(parameters::ETCD_CLUSTER)) {
            report.error(
                "bad-cluster-name",
                params.span(parameters::ETCD_CLUSTER),
                problem.to_string(),
            );
        }
    }
    // Modules that are not managed: their mistakes do no harm here.
    for (cluster, needed) in
        [("redis_cluster", ["redis_node", "redis_instances"]), ("minio_cluster", ["minio_seq"; 2])]
    {
        if params.set(cluster).is_none() {
            continue;
        }
        for name in needed {
            if params.set(name).is_none() {
                let message = format!("host `{}` has `{cluster}`, but no `{name}`", params.node());
                report.add(warning("missing-identity", host_span, message));
            }
        }
    }
}

fn two_clusters(report: &mut Report<'_>, params: &Params<'_>) {
    let inventory = report.inventory;
    let own = inventory.host(params.node().as_str()).map(|host| &host.vars);
    if own.is_some_and(|vars| vars.contains_key("pg_cluster")) {
        // What the groups say does not count on this host.
        return;
    }
    let names: Vec<(&str, &str, Option<Span>)> = inventory
        .groups_of(params.node())
        .into_iter()
        .filter_map(|group| {
            let value = group.vars.get("pg_cluster")?;
            Some((group.name.as_str(), value.as_str()?, value.span))
        })
        .collect();
    for (index, (group, name, span)) in names.iter().enumerate() {
        for (other, other_name, other_span) in &names[..index] {
            if name == other_name
                || is_within(inventory, group, other)
                || is_within(inventory, other, group)
            {
                continue;
            }
            let node = params.node();
            report.add(with_related(
                error(
                    "two-clusters",
                    *span,
                    format!("host `{node}` is a member of clusters `{other_name}` and `{name}`"),
                )
                .help("a host runs one instance; take it out of one of the groups"),
                *other_span,
                "the other cluster",
            ));
        }
    }
}

fn is_within(inventory: &Inventory, group: &str, ancestor: &str) -> bool {
    inventory.descendants(ancestor).iter().any(|descendant| descendant.name == group)
}

fn duplicate_numbers(
    report: &mut Report<'_>,
    parameter: &str,
    cluster: &str,
    numbers: impl Iterator<Item = (i64, Option<Span>)>,
) {
    let mut seen: HashMap<i64, Option<Span>> = HashMap::new();
    for (number, span) in numbers {
        if let Some(first) = seen.get(&number) {
            // One line for several hosts is reported as set at the wrong level.
            if span.is_some() && *first == span {
                continue;
            }
            report.add(with_related(
                error(
                    "duplicate-seq",
                    span,
                    format!("cluster `{cluster}` has two members with `{parameter}: {number}`"),
                )
                .help("give each member a number of its own"),
                *first,
                "the first one",
            ));
        } else {
            seen.insert(number, span);
        }
    }
}

/// Numbers that are unique among the hosts with the same value of `cluster`, or among all.
fn numbers_across(report: &mut Report<'_>, parameter: &str, cluster: Option<&str>) {
    let inventory = report.inventory;
    let mut members: BTreeMap<String, Vec<(i64, Option<Span>)>> = BTreeMap::new();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let Some(number) = params.opt_named::<i64>(parameter) else { continue };
        let name =
            cluster.map_or_else(|| "infra".to_owned(), |cluster| params.named::<String>(cluster));
        members.entry(name).or_default().push((number, params.span(parameter)));
    }
    for (name, numbers) in members {
        duplicate_numbers(report, parameter, &name, numbers.into_iter());
    }
}
