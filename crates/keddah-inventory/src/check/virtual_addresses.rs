//! Virtual addresses: each belongs to one cluster, and its nodes can carry it.

use super::{Report, error, warning, with_related};
use crate::{Params, parameters};
use ipnet::Ipv4Net;
use keddah_core::{NodeName, Span};
use std::collections::HashSet;
use std::net::IpAddr;

/// A virtual address and who has it.
struct Virtual {
    address: IpAddr,
    owner: String,
    span: Option<Span>,
    /// The hosts with several instances that carry it for one of them.
    shared_hosts: Vec<NodeName>,
}

pub(super) fn check(report: &mut Report<'_>) {
    let mut all: Vec<Virtual> = Vec::new();
    for cluster in report.clusters.clone() {
        let member = cluster.primary().or_else(|| cluster.members.first());
        let Some(params) = member.map(|member| &member.params) else { continue };
        if !params.get(parameters::PG_VIP_ENABLED) {
            continue;
        }
        let span = params.span(parameters::PG_VIP_ADDRESS);
        let name = &cluster.name;
        let Ok(network) = params.get(parameters::PG_VIP_ADDRESS).parse::<Ipv4Net>() else {
            continue;
        };
        if span.is_none() || network.addr().is_loopback() {
            report.add(
                error(
                    "missing-vip",
                    span.or_else(|| params.span(parameters::PG_VIP_ENABLED)),
                    format!("cluster `{name}` shall have a virtual address, but none is given"),
                )
                .help("set `pg_vip_address`, such as 10.10.10.2/24"),
            );
            continue;
        }
        let alone = network.prefix_len() > 30;
        if !alone && [network.network(), network.broadcast()].contains(&network.addr()) {
            report.add(
                error(
                    "bad-address",
                    span,
                    format!("{network} names a network, not an address in it"),
                )
                .help("give one address with its prefix length, such as 10.10.10.2/24"),
            );
            continue;
        }
        for member in &cluster.members {
            let Ok(IpAddr::V4(address)) = member.node.as_str().parse() else { continue };
            if !network.contains(&address) {
                report.add(
                    warning(
                        "vip-outside-network",
                        span,
                        format!("node `{address}` is not in the network {}, where the virtual address of cluster `{name}` lives", network.trunc()),
                    )
                    .help("the virtual address moves between nodes of one network only"),
                );
            }
        }
        let owner = format!("cluster `{name}`");
        let shared = cluster.members.iter().filter(|member| member.is_one_of_several());
        let shared_hosts = shared.map(|member| member.node.clone()).collect();
        all.push(Virtual { address: network.addr().into(), owner, span, shared_hosts });
    }
    same_router(report, &all);
    node_addresses(report, &mut all);
    for (index, one) in all.iter().enumerate() {
        let address = one.address;
        if let Some(host) = report.inventory.host(&address.to_string()) {
            report.add(with_related(
                error(
                    "address-collision",
                    one.span,
                    format!("the virtual address {address} of {} is a node's own", one.owner),
                )
                .help("choose an address that nothing uses"),
                host.span,
                "the node",
            ));
        }
        if let Some(other) = all[..index].iter().find(|other| other.address == address) {
            report.add(with_related(
                error(
                    "address-collision",
                    one.span,
                    format!(
                        "{} and {} have the same virtual address {address}",
                        other.owner, one.owner
                    ),
                )
                .help("choose an address that nothing uses"),
                other.span.filter(|span| Some(*span) != one.span),
                "the other one",
            ));
        }
    }
}

/// The virtual router of an address that follows a primary has the address's last byte for its
/// number, and a host cannot carry two of one number.
fn same_router(report: &mut Report<'_>, all: &[Virtual]) {
    let number = |one: &Virtual| match one.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    for (index, one) in all.iter().enumerate() {
        let clash = all[..index].iter().find_map(|other| {
            let host = one.shared_hosts.iter().find(|host| other.shared_hosts.contains(host))?;
            let same = number(one) == number(other) && one.address != other.address;
            same.then_some((other, host))
        });
        let Some((other, host)) = clash else { continue };
        report.add(with_related(
            error(
                "router-collision",
                one.span,
                format!(
                    "the virtual addresses of {} and {} end in the same number, and host `{host}` \
                     may have to carry both",
                    other.owner, one.owner
                ),
            )
            .help("choose addresses that differ in their last number"),
            other.span,
            "the other one",
        ));
    }
}

/// The virtual addresses of node clusters, `vip_address`: once for each `node_cluster`.
fn node_addresses(report: &mut Report<'_>, all: &mut Vec<Virtual>) {
    let inventory = report.inventory;
    let mut seen: HashSet<(String, IpAddr)> = HashSet::new();
    let mut routers: Vec<Router> = Vec::new();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        if !params.get(parameters::VIP_ENABLED) {
            continue;
        }
        password(report, &params);
        for name in ["vip_address", "vip_vrid"] {
            if params.set(name).is_none() {
                report.add(error(
                    "missing-vip",
                    params.span(parameters::VIP_ENABLED),
                    format!("`vip_enabled` needs `{name}`, which is not set"),
                ));
            }
        }
        let span = params.span(parameters::VIP_ADDRESS);
        let Ok(address) = params.get(parameters::VIP_ADDRESS).parse::<IpAddr>() else { continue };
        if address.is_ipv6() {
            let message = format!("`vip_address: {address}` is an IPv6 address");
            let help = "shared addresses are IPv4 so far";
            report.add(error("unsupported", span, message).help(help));
            continue;
        }
        let cluster = params.get(parameters::NODE_CLUSTER);
        routers.push(Router {
            cluster: cluster.clone(),
            address,
            id: params.get(parameters::VIP_VRID),
            span: params.span(parameters::VIP_VRID),
        });
        if seen.insert((cluster.clone(), address)) {
            let owner = format!("node cluster `{cluster}`");
            all.push(Virtual { address, owner, span, shared_hosts: Vec::new() });
        }
    }
    router_ids(report, &routers);
}

/// A host's virtual router, by which the nodes that share an address find each other.
struct Router {
    cluster: String,
    address: IpAddr,
    id: i64,
    span: Option<Span>,
}

fn router_ids(report: &mut Report<'_>, routers: &[Router]) {
    for (index, one) in routers.iter().enumerate() {
        let others = &routers[..index];
        let Router { cluster, address, id, span } = one;
        if let Some(other) =
            others.iter().find(|other| other.address == *address && other.id != *id)
        {
            report.add(with_related(
                error(
                    "router-collision",
                    *span,
                    format!("nodes that share {address} have different numbers in `vip_vrid`"),
                )
                .help("set `vip_vrid` once, in the node cluster's `vars`"),
                other.span,
                "the other one",
            ));
        }
        if let Some(other) =
            others.iter().find(|other| other.address != *address && other.id == *id)
        {
            report.add(with_related(
                warning(
                    "router-collision",
                    *span,
                    format!(
                        "node clusters `{}` and `{cluster}` have the same `vip_vrid: {id}`",
                        other.cluster
                    ),
                )
                .help("numbers should differ among all virtual routers of a local network"),
                other.span.filter(|other| Some(*other) != *span),
                "the other one",
            ));
        }
    }
}

/// What keepalived's configuration can hold, and VRRP can carry (RFC 2338, 10.5.2).
fn password(report: &mut Report<'_>, params: &Params<'_>) {
    let password = params.get(parameters::VIP_AUTH_PASS);
    let span = params.span(parameters::VIP_AUTH_PASS);
    let text = password.reveal();
    if text.chars().any(|one| !one.is_ascii_graphic() || "\"'#!{}$~@\\".contains(one)) {
        report.add(
            error(
                "router-password",
                span,
                "`vip_auth_pass` has characters that keepalived reads as its own",
            )
            .help("use letters, digits and - _ . + = only"),
        );
    } else if text.len() > 8 {
        report.add(
            warning(
                "router-password",
                span,
                "only the first eight characters of `vip_auth_pass` count",
            )
            .help("VRRP passwords have eight characters"),
        );
    }
}
