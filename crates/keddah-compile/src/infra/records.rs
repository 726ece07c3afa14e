//! Which names there are, and what they point at: fixed addresses, or whoever leads a cluster.

use crate::compiler::{Compiler, Removing};
use crate::topology::Topology;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::{Inventory, Params, parameters};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The names of a deployment.
pub(super) struct Records {
    /// A hosts file.
    pub fixed: String,
    /// Names that follow a primary.
    pub following: Vec<Following>,
}

/// A cluster whose name follows its primary.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Following {
    cluster: String,
    names: Vec<String>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Serialize)]
struct Member {
    address: String,
    /// Where its Patroni answers.
    port: u16,
    tls: bool,
}

/// What a cluster's name points at.
enum Target {
    Nothing,
    Address(String),
    Primary,
}

/// `pg_dns_target`.
fn target(cluster: &PgCluster<'_>) -> Target {
    let params = &cluster.members[0].params;
    let address = params.get(parameters::PG_VIP_ADDRESS);
    let virtual_address = || address.split('/').next().unwrap_or_default().to_owned();
    match params.get(parameters::PG_DNS_TARGET).as_str() {
        "none" => Target::Nothing,
        "primary" => Target::Primary,
        "vip" => Target::Address(virtual_address()),
        "auto" if params.get(parameters::PG_VIP_ENABLED) => Target::Address(virtual_address()),
        "auto" => Target::Primary,
        given => Target::Address(given.to_owned()),
    }
}

/// The name by which clients find a cluster, where a name server tells it.
pub(crate) fn dns_name(cluster: &PgCluster<'_>) -> Option<String> {
    let suffix = cluster.members[0].params.get(parameters::PG_DNS_SUFFIX);
    let told = !matches!(target(cluster), Target::Nothing);
    told.then(|| with_suffix(cluster.name.as_str(), &suffix))
}

/// A hosts file under construction, in which every name stands once.
#[derive(Default)]
struct Hosts {
    text: String,
    taken: BTreeSet<String>,
}

impl Hosts {
    fn add(&mut self, address: &str, names: impl IntoIterator<Item = String>) {
        let names: Vec<String> =
            names.into_iter().filter(|name| self.taken.insert(name.to_lowercase())).collect();
        if !names.is_empty() {
            let _ = writeln!(self.text, "{address} {}", names.join(" "));
        }
    }

    fn title(&mut self, title: &str) {
        let _ = writeln!(self.text, "# {title}");
    }
}

impl Compiler<'_> {
    /// All names as an infrastructure node with these parameters tells them.
    pub(super) fn records(&self, params: &Params<'_>) -> Records {
        records(self.topology, self.input.inventory, params, self.input.removing)
    }
}

fn records(
    topology: &Topology<'_>,
    inventory: &Inventory,
    params: &Params<'_>,
    removing: &Removing,
) -> Records {
    let mut hosts = Hosts::default();
    let mut following = Vec::new();
    hosts.title("Written by Keddah; edit the inventory instead.");
    hosts.title("dns_records");
    for line in params.get(parameters::DNS_RECORDS) {
        let mut words =
            line.split_whitespace().take_while(|word| !word.starts_with('#')).map(str::to_owned);
        if let Some(address) = words.next() {
            hosts.add(&address, words);
        }
    }
    hosts.title("PostgreSQL");
    for cluster in &topology.clusters {
        let name = cluster.name.as_str();
        let stays = |member: &&PgMember<'_>| !removing.instance(&member.node, name);
        let members: Vec<&PgMember<'_>> = cluster.members.iter().filter(stays).collect();
        let Some(first) = members.first() else { continue };
        let suffix = first.params.get(parameters::PG_DNS_SUFFIX);
        let names = cluster_names(name, &suffix);
        match (target(cluster), members.as_slice()) {
            (Target::Nothing, _) => {}
            (Target::Address(address), _) => hosts.add(&address, names),
            // Nobody else can lead.
            (Target::Primary, [only]) => hosts.add(only.node.as_str(), names),
            (Target::Primary, _) => {
                hosts.taken.extend(names.iter().map(|name| name.to_lowercase()));
                following.push(Following {
                    cluster: cluster.name.to_string(),
                    names,
                    members: members.iter().map(|member| patroni(member)).collect(),
                });
            }
        }
        for member in members {
            let name = member.instance(&cluster.name);
            hosts.add(member.node.as_str(), cluster_names(&name, &suffix));
        }
    }
    hosts.title("Nodes");
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        if params.get(parameters::VIP_ENABLED)
            && let Some(address) = params.opt(parameters::VIP_ADDRESS)
        {
            let cluster = params.get(parameters::NODE_CLUSTER);
            let suffix = params.get(parameters::VIP_DNS_SUFFIX);
            hosts.add(&address, [with_suffix(&cluster, &suffix)]);
        }
        hosts.add(host.name.as_str(), params.opt(parameters::NODENAME));
    }
    Records { fixed: hosts.text, following }
}

fn patroni(member: &PgMember<'_>) -> Member {
    Member {
        address: member.node.as_str().to_owned(),
        port: member.params.get(parameters::PATRONI_PORT),
        tls: member.params.get(parameters::PATRONI_SSL_ENABLED),
    }
}

/// The names of a cluster or an instance: with the suffix, and without.
pub(crate) fn cluster_names(name: &str, suffix: &str) -> Vec<String> {
    let mut names = vec![with_suffix(name, suffix)];
    if names[0] != name {
        names.push(name.to_owned());
    }
    names
}

/// A suffix is a domain, whether or not somebody wrote its dot; `-db` goes on with the name itself.
fn with_suffix(name: &str, suffix: &str) -> String {
    if suffix.is_empty() || suffix.starts_with(['.', '-']) {
        format!("{name}{suffix}")
    } else {
        format!("{name}.{suffix}")
    }
}
