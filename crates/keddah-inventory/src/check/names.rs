//! Names: lines of hosts files, what clusters' names point at, and the servers that are asked.

use super::{Report, error, warning};
use crate::Value;
use crate::{Params, parameters};
use std::net::IpAddr;

/// Lists of hosts file lines.
const HOSTS_LINES: &[&str] = &["node_default_etc_hosts", "node_etc_hosts", "dns_records"];

/// The resolver reads no more (resolv.conf(5), MAXNS).
const MOST_SERVERS: usize = 3;

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        for name in HOSTS_LINES {
            hosts_lines(report, &params, name);
        }
        servers(report, &params);
        if params.opt(parameters::INFRA_SEQ).is_some()
            && params.get(parameters::DNS_ENABLED)
            && params.get(parameters::DNS_PORT) != 53
        {
            report.add(
                warning(
                    "dns-port",
                    params.span(parameters::DNS_PORT),
                    "resolvers ask on port 53 only, so nodes do not use this DNS server",
                )
                .help("set `dns_port: 53`, or point `node_dns_servers` at a server that does"),
            );
        }
    }
    targets(report);
}

fn hosts_lines(report: &mut Report<'_>, params: &Params<'_>, name: &str) {
    for (value, line) in
        params.named::<Vec<Value>>(name).iter().zip(params.named::<Vec<String>>(name))
    {
        let mut words = line.split_whitespace();
        let address = words.next().unwrap_or_default();
        let names: Vec<&str> = words.take_while(|word| !word.starts_with('#')).collect();
        let comment = address.is_empty() || address.starts_with('#');
        // Placeholders that cannot be filled in are told of elsewhere.
        if comment || line.contains("${") {
            continue;
        }
        let wrong = if address.parse::<IpAddr>().is_err() {
            format!("`{address}` is not an IP address")
        } else if names.is_empty() {
            format!("`{address}` has no name")
        } else if let Some(bad) = names.iter().find(|name| !is_name(name)) {
            format!("`{bad}` is not a host name")
        } else {
            continue;
        };
        report.add(
            error(
                "bad-hosts-line",
                value.span.or_else(|| params.span(name)),
                format!("a line of `{name}` cannot stand in a hosts file: {wrong}"),
            )
            .help("write an address and its names: 10.10.10.10 a.example b.example"),
        );
    }
}

/// What programs take for a host name, underscores included.
fn is_name(text: &str) -> bool {
    text.len() <= 253
        && text.trim_end_matches('.').split('.').all(|label| {
            let plain = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
            (1..=63).contains(&label.len()) && label.chars().all(plain)
        })
}

fn servers(report: &mut Report<'_>, params: &Params<'_>) {
    let span = params.span(parameters::NODE_DNS_SERVERS);
    let servers = params.get(parameters::NODE_DNS_SERVERS);
    if span.is_none() {
        return;
    }
    for server in servers.iter().filter(|server| !server.contains("${")) {
        if server.parse::<IpAddr>().is_err() {
            report.add(
                error(
                    "bad-address",
                    span,
                    format!("`node_dns_servers` names `{server}`, which is not an IP address"),
                )
                .help("give addresses; names could not be looked up without a server"),
            );
        }
    }
    if servers.len() > MOST_SERVERS {
        report.add(
            warning(
                "dns-servers",
                span,
                format!("{} DNS servers are given; programs ask the first three", servers.len()),
            )
            .help("leave the three best"),
        );
    }
}

fn targets(report: &mut Report<'_>) {
    for cluster in report.clusters.clone() {
        let params = &cluster.members[0].params;
        let span = params.span(parameters::PG_DNS_TARGET);
        let target = params.get(parameters::PG_DNS_TARGET);
        match target.as_str() {
            "auto" | "primary" | "none" => {}
            "vip" if params.get(parameters::PG_VIP_ENABLED) => {}
            "vip" => report.add(
                error(
                    "missing-vip",
                    span,
                    format!(
                        "the name of cluster `{}` shall point at its virtual address, but it has none",
                        cluster.name
                    ),
                )
                .help("set `pg_vip_enabled: true` and `pg_vip_address`, or `pg_dns_target: auto`"),
            ),
            given if given.contains("${") || given.parse::<IpAddr>().is_ok() => {}
            given => report.add(
                error(
                    "bad-address",
                    span,
                    format!("`pg_dns_target: {given}` is neither a target nor an address"),
                )
                .help("use auto, primary, vip, none, or an IP address"),
            ),
        }
        let suffix = params.get(parameters::PG_DNS_SUFFIX);
        if !suffix.is_empty() && !is_name(&format!("x{suffix}")) {
            report.add(
                error(
                    "bad-cluster-name",
                    params.span(parameters::PG_DNS_SUFFIX),
                    format!("`{}{suffix}` is not a host name", cluster.name),
                )
                .help("a suffix is a domain such as .db.example"),
            );
        }
    }
}
