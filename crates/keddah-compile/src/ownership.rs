//! Whose a node is: what another tool, or a person, has set up in the places of Keddah's services is
//! refused, for a plan over it reads like routine and takes a living cluster apart.
//!
//! Three rules, for each service that the inventory wants on the node:
//!
//! * With any file there that only Keddah writes it is Keddah's, and what was changed by hand is
//!   drift, which a plan shows and mends.
//! * Otherwise, a unit, a drop-in or a process that is not as the distribution's packages make it is
//!   somebody else's.
//! * Otherwise, so is configuration that no package left there, unless the node as a whole is
//!   Keddah's: then a person may have taken a service's marks away together with it.

use crate::compiler::{Problem, problem};
use crate::topology::Topology;
use keddah_inventory::{Host, Params, parameters};
use keddah_resource::{NodeFacts, ServiceFacts};
use std::collections::BTreeSet;

/// Paths below `/etc` on the command lines of services that run as Debian's packages start them.
const USUAL: [&str; 4] = [
    "/etc/patroni/config.yml",
    "/etc/haproxy/haproxy.cfg",
    "/etc/pgbouncer/pgbouncer.ini",
    // With files and endings that it leaves out behind it, after commas.
    "/etc/dnsmasq.d",
];

/// Refuses a node on which a service that the inventory wants is somebody else's.
pub(crate) fn foreign(
    topology: &Topology<'_>,
    host: &Host,
    params: &Params<'_>,
    facts: &NodeFacts,
) -> Option<Problem> {
    let wanted = wanted(topology, params);
    let ours = !facts.ownership.marks.is_empty();
    let mut found = Vec::new();
    let mut makers: BTreeSet<&str> = BTreeSet::new();
    for service in &facts.ownership.services {
        if !wanted.contains(service.unit.as_str()) || !service.marks.is_empty() {
            continue;
        }
        let mut reasons = started_otherwise(service);
        if reasons.is_empty() && ours {
            continue;
        }
        reasons.extend(configured_otherwise(service));
        if !reasons.is_empty() {
            found.push(format!("{} {}", service.unit, reasons.join(", ")));
            makers.extend(service.makers.iter().map(String::as_str));
        }
    }
    if found.is_empty() {
        return None;
    }
    let makers: Vec<&str> = makers.into_iter().collect();
    let makers = if makers.is_empty() {
        String::new()
    } else {
        format!(" ({} is named there)", makers.join(", "))
    };
    let message = format!(
        "{} was set up by another tool or by hand, not by Keddah{makers}: {}",
        host.name,
        found.join("; ")
    );
    Some(Box::new(problem("foreign-cluster", host.span, message).help(
        "nothing was changed. Keddah does not take over what others have set up; a command that \
         adopts it comes later. Until then take the host out of the inventory, or, if nobody needs \
         what runs there, stop these services, take their units and files away and plan again",
    )))
}

/// The units that the inventory wants on a node, or that would stand in their way.
fn wanted(topology: &Topology<'_>, params: &Params<'_>) -> BTreeSet<&'static str> {
    let node = params.node();
    let mut wanted = BTreeSet::new();
    if topology.etcd.iter().any(|member| member.node == *node) {
        wanted.insert("etcd.service");
    }
    let mut address = params.get(parameters::VIP_ENABLED);
    for (_, member) in topology.instances_on(node) {
        wanted.extend(["patroni.service", "pgbouncer.service"]);
        address |= member.params.get(parameters::PG_VIP_ENABLED);
    }
    if address {
        wanted.extend(["keepalived.service", "vip-manager.service"]);
    }
    if params.get(parameters::HAPROXY_ENABLED) {
        wanted.insert("haproxy.service");
    }
    if topology.infra.iter().any(|one| one == node.as_str()) && params.get(parameters::DNS_ENABLED)
    {
        wanted.insert("dnsmasq.service");
    }
    wanted
}

/// What is started in another way than Debian's packages do it.
fn started_otherwise(service: &ServiceFacts) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(path) = &service.foreign_unit {
        reasons.push(format!("is started by {path}, which no package made so{}", line(service)));
    }
    for path in &service.foreign_drop_ins {
        reasons.push(format!("is started otherwise by {path}{}", line(service)));
    }
    if let (true, Some(running)) = (reasons.is_empty(), &service.running)
        && let Some(path) = unusual(running)
    {
        reasons.push(format!("runs with {path} (`{running}`)"));
    }
    if service.unit == "vip-manager.service"
        && reasons.is_empty()
        && (service.enabled || service.running.is_some())
    {
        reasons.push("holds a virtual address here".to_owned());
    }
    reasons
}

fn line(service: &ServiceFacts) -> String {
    let command = service.running.as_deref().unwrap_or(&service.command);
    if command.is_empty() { String::new() } else { format!(" (`{command}`)") }
}

/// The first path below `/etc` on a command line that Debian's packages do not put there.
fn unusual(command: &str) -> Option<&str> {
    let words = command.split([' ', ',', '=']).filter(|word| word.starts_with("/etc/"));
    words.map(|word| word.trim_end_matches('/')).find(|word| !USUAL.contains(word))
}

/// Configuration that no package left there.
fn configured_otherwise(service: &ServiceFacts) -> Option<String> {
    let files = &service.foreign_files;
    (!files.is_empty()).then(|| format!("has configuration of its own in {}", files.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_of_packages_are_usual_and_those_of_others_are_not() {
        for usual in [
            "/usr/bin/etcd",
            "/usr/bin/python3 /usr/bin/patroni /etc/patroni/config.yml",
            "/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid",
            "/usr/sbin/dnsmasq -x /run/dnsmasq/dnsmasq.pid -u dnsmasq -7 \
             /etc/dnsmasq.d,.dpkg-dist,.dpkg-old --local-service",
        ] {
            assert_eq!(unusual(usual), None, "{usual}");
        }
        for (command, path) in [
            ("/usr/bin/etcd --config-file=/etc/etcd/etcd.conf", "/etc/etcd/etcd.conf"),
            ("/usr/bin/patroni /etc/patroni/patroni.yml", "/etc/patroni/patroni.yml"),
            ("/usr/sbin/haproxy -Ws -f /etc/haproxy/", "/etc/haproxy"),
        ] {
            assert_eq!(unusual(command), Some(path));
        }
    }
}
