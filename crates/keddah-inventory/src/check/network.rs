//! Ports and upstreams: nothing listens where something else does, and upstreams exist.

use super::objects::twice;
use super::{Report, error, with_related};
use crate::model::{NodeService, PgCluster, PgMember, PgRole, PgService, upstream_of};
use crate::{Params, parameters};
use keddah_core::{Diagnostic, NodeName, Span};
use std::collections::{HashMap, HashSet};

pub(super) fn check(report: &mut Report<'_>) {
    ports(report);
    upstreams(report);
}

/// Something that listens on a node.
struct Listener {
    port: u16,
    /// The address, `*` for all.
    address: String,
    /// In words: `pg_port`.
    what: String,
    span: Option<Span>,
}

/// A parameter with a port, and the parameter that switches its owner on.
type PortRow = (&'static str, Option<&'static str>);

const NODE_PORTS: &[PortRow] = &[
    ("haproxy_exporter_port", Some("haproxy_enabled")),
    ("node_exporter_port", Some("node_exporter_enabled")),
    ("vector_port", Some("vector_enabled")),
    ("vip_exporter_port", Some("vip_enabled")),
];
const INFRA_PORTS: &[PortRow] = &[("dns_port", Some("dns_enabled"))];
const ETCD_PORTS: &[PortRow] = &[("etcd_port", None), ("etcd_peer_port", None)];
const PGSQL_PORTS: &[PortRow] = &[
    ("pg_port", None),
    ("patroni_port", None),
    ("pgbouncer_port", Some("pgbouncer_enabled")),
    ("pg_exporter_port", Some("pg_exporter_enabled")),
    ("pgbouncer_exporter_port", Some("pgbouncer_exporter_enabled")),
    ("pgbackrest_exporter_port", Some("pgbackrest_exporter_enabled")),
];

fn ports(report: &mut Report<'_>) {
    let inventory = report.inventory;
    let etcd: HashSet<NodeName> = report
        .etcd
        .iter()
        .flat_map(|cluster| cluster.members.iter().map(|member| member.node.clone()))
        .collect();
    let clusters = report.clusters.clone();
    let provided: Vec<(String, &PgCluster<'_>)> = clusters
        .iter()
        .filter_map(|cluster| {
            let params = &cluster.members.first()?.params;
            Some((params.opt(parameters::PG_SERVICE_PROVIDER)?, cluster))
        })
        .collect();
    let mut here: HashMap<&NodeName, Vec<(&PgCluster<'_>, &PgMember<'_>)>> = HashMap::new();
    for cluster in &clusters {
        for member in &cluster.members {
            here.entry(&member.node).or_default().push((cluster, member));
        }
    }
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let mut listeners = Vec::new();
        add_ports(&mut listeners, &params, NODE_PORTS);
        if params.get(parameters::HAPROXY_ENABLED) {
            let services = NodeService::all(&params);
            let names: Vec<_> =
                services.iter().map(|service| (service.name.as_str(), service.span)).collect();
            twice(report, "duplicate-service", "service", &names);
            listeners.extend(services.into_iter().map(|service| Listener {
                port: service.port,
                address: service.ip,
                what: format!("service `{}` of `haproxy_services`", service.name),
                span: service.port_span,
            }));
        }
        if params.opt(parameters::INFRA_SEQ).is_some() {
            add_ports(&mut listeners, &params, INFRA_PORTS);
        }
        if etcd.contains(&host.name) {
            add_ports(&mut listeners, &params, ETCD_PORTS);
        }
        for (cluster, member) in here.get(&host.name).into_iter().flatten() {
            instance(&mut listeners, &params, cluster, member);
        }
        // The services of clusters that leave them to this node.
        for (group, cluster) in &provided {
            let Some(params) = cluster.members.first().map(|member| &member.params) else {
                continue;
            };
            if !inventory.members(group).iter().any(|member| member.name == host.name) {
                continue;
            }
            listeners.extend(PgService::all(params).into_iter().map(|service| Listener {
                port: service.port,
                address: service.ip,
                what: format!("service `{}` of cluster `{}`", service.name, cluster.name),
                span: service.port_span,
            }));
        }
        collisions(report, &host.name, &listeners);
    }
}

/// What a PostgreSQL instance listens on, and its cluster's services on the host's load balancer.
fn instance(
    listeners: &mut Vec<Listener>,
    host: &Params<'_>,
    cluster: &PgCluster<'_>,
    member: &PgMember<'_>,
) {
    let params = &member.params;
    let first = listeners.len();
    add_ports(listeners, params, PGSQL_PORTS);
    if params.get(parameters::PG_SERVICE_PROVIDER).is_empty()
        && host.get(parameters::HAPROXY_ENABLED)
    {
        // The services are the cluster's; those of a host's only instance are its own parameters.
        let said = if member.is_one_of_several() { &cluster.members[0].params } else { params };
        listeners.extend(PgService::all(said).into_iter().map(|service| Listener {
            port: service.port,
            address: service.ip,
            what: format!("service `{}`", service.name),
            span: service.port_span,
        }));
    }
    if member.is_one_of_several() {
        for listener in &mut listeners[first..] {
            listener.what.push_str(&format!(" of `{}`", cluster.name));
        }
    }
}

fn add_ports(listeners: &mut Vec<Listener>, params: &Params<'_>, rows: &[PortRow]) {
    for (name, switch) in rows {
        if switch.is_none_or(|switch| params.named::<bool>(switch)) {
            listeners.push(Listener {
                port: params.named::<u16>(name),
                address: "*".into(),
                what: format!("`{name}`"),
                span: params.span(name),
            });
        }
    }
}

fn collisions(report: &mut Report<'_>, node: &NodeName, listeners: &[Listener]) {
    let mut by_port: HashMap<u16, Vec<&Listener>> = HashMap::new();
    for listener in listeners {
        let others = by_port.entry(listener.port).or_default();
        let clash = others.iter().find(|other| {
            other.address == listener.address || other.address == "*" || listener.address == "*"
        });
        if let Some(other) = clash {
            // Point at what somebody wrote; the other one may be a default.
            let (primary, secondary) = match (listener.span, other.span) {
                (None, Some(_)) => (*other, listener),
                _ => (listener, *other),
            };
            let note = if secondary.span.is_none() { " (by default)" } else { "" };
            report.add(with_related(
                error(
                    "port-collision",
                    primary.span,
                    format!(
                        "on node `{node}`, {} and {}{note} both listen on port {}",
                        primary.what, secondary.what, listener.port
                    ),
                )
                .help("change one of the ports"),
                secondary.span,
                "the other one",
            ));
        }
        others.push(listener);
    }
}

fn upstreams(report: &mut Report<'_>) {
    let clusters = report.clusters.clone();
    for cluster in &clusters {
        let own = cluster.name.as_str();
        for member in &cluster.members {
            let Some(upstream) = member.upstream.as_deref() else { continue };
            let span = member.params.span(parameters::PG_UPSTREAM);
            let Some((other, _)) = upstream_of(&clusters, &cluster.name, member) else {
                report.add(unknown_upstream(&clusters, member, upstream, span));
                continue;
            };
            let other = other.name.as_str();
            let primary = member.role == PgRole::Primary;
            if upstream == member.node.as_str() && other == own {
                let message = format!("instance {} follows itself", member.instance(&cluster.name));
                report.error("bad-upstream", span, message);
            } else if primary && other == own {
                report.add(
                    error(
                        "bad-upstream",
                        span,
                        format!(
                            "the primary of cluster `{own}` cannot follow its own member {upstream}"
                        ),
                    )
                    .help("a primary with an upstream leads a standby cluster of another cluster"),
                );
            } else if !primary && other != own {
                report.add(
                    error(
                        "bad-upstream",
                        span,
                        format!("replica {} of cluster `{own}` cannot follow a node of cluster `{other}`", member.node),
                    )
                    .help("replicas follow a member of their own cluster"),
                );
            }
        }
    }
    standby_circles(report);
}

fn unknown_upstream(
    clusters: &[PgCluster<'_>],
    member: &PgMember<'_>,
    upstream: &str,
    span: Option<Span>,
) -> Diagnostic {
    let mut all = clusters.iter().flat_map(|cluster| &cluster.members);
    if all.any(|one| one.node.as_str() == upstream) {
        let port = member.params.get(parameters::PG_PORT);
        return error(
            "unknown-upstream",
            span,
            format!(
                "`pg_upstream: {upstream}` is a host of several instances, and none of them has \
                 this one's port {port}"
            ),
        )
        .help("an instance follows the one with its own port there: give both the same");
    }
    error(
        "unknown-upstream",
        span,
        format!("`pg_upstream: {upstream}` is no PostgreSQL node of this inventory"),
    )
    .help("name the address of a host with `pg_cluster`")
}

/// Standby clusters that follow each other.
fn standby_circles(report: &mut Report<'_>) {
    let clusters = report.clusters.clone();
    let follows: HashMap<&str, (&str, Option<Span>)> = clusters
        .iter()
        .filter_map(|cluster| {
            let primary = cluster.primary()?;
            let (other, _) = upstream_of(&clusters, &cluster.name, primary)?;
            let span = primary.params.span(parameters::PG_UPSTREAM);
            Some((cluster.name.as_str(), (other.name.as_str(), span)))
        })
        .filter(|(name, (other, _))| name != other)
        .collect();
    let mut reported: HashSet<&str> = HashSet::new();
    for cluster in &clusters {
        let start = cluster.name.as_str();
        let mut path = vec![start];
        while let Some((next, span)) = path.last().and_then(|name| follows.get(name)) {
            if *next == start {
                if path.iter().all(|name| reported.insert(name)) {
                    path.push(start);
                    report.error(
                        "upstream-cycle",
                        *span,
                        format!("clusters follow each other: {}", path.join(" → ")),
                    );
                }
                break;
            }
            if path.contains(next) {
                break;
            }
            path.push(next);
        }
    }
}
