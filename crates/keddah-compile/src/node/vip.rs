//! Virtual addresses on a node: the one that follows a PostgreSQL cluster's primary, and the one
//! that a node cluster shares. keepalived carries both.
//!
//! Who holds a primary's address is decided by Patroni's lock alone: keepalived asks the local
//! Patroni whether it has it, and VRRP only makes sure that the old holder has let go before the
//! new one takes over (`docs/decisions/virtual-addresses.md`).

use crate::compiler::{Compiler, Node, Problem, problem};
use crate::pgsql::place::Place;
use crate::release::Release;
use keddah_core::Secret;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::registry::Handle;
use keddah_inventory::{Params, parameters};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{file, packages, unit};
use keddah_resource::{Kind, Module, Resource, ResourceId};
use serde::Serialize;
use serde_json::json;
use std::net::Ipv4Addr;

/// The unit is Keddah's own, so that a keepalived which somebody else runs is left alone.
pub(crate) const UNIT: &str = "keddah-vip.service";
const UNIT_FILE: &str = "/etc/systemd/system/keddah-vip.service";
const CONFIGURATION: &str = "/etc/keepalived/keddah.conf";
const PASSWORD: &str = "/etc/keepalived/keddah-auth.conf";
const SCRIPT: &str = "/etc/keepalived/keddah-ask";

/// Characters of a VRRP password that count (RFC 2338, 10.5.2: eight bytes).
const PASSWORD_LENGTH: usize = 8;

/// Something that keepalived asks again and again.
#[derive(Debug, Clone, Serialize)]
struct Check {
    name: String,
    comment: &'static str,
    /// curl's.
    arguments: String,
    /// Seconds between two questions.
    interval: &'static str,
    /// Refusals in a row that count as one.
    fall: u32,
}

/// One virtual router.
#[derive(Debug, Clone, Serialize)]
struct VirtualAddress {
    name: String,
    comment: String,
    version: u32,
    state: &'static str,
    interface: String,
    router_id: u8,
    priority: u32,
    /// Seconds between two of the holder's signs of life; the others wait for three.
    interval: f64,
    preempt: bool,
    password_file: Option<&'static str>,
    source: String,
    peers: Vec<String>,
    /// With its prefix length.
    address: String,
    check: Option<String>,
}

impl Compiler<'_> {
    pub(super) fn virtual_addresses(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let mut checks = Vec::new();
        let mut addresses = Vec::new();
        let instances = self.topology.instances_on(&node.name);
        for (cluster, member) in instances {
            if let Some((address, check)) = self.primary_address(node, cluster, member)? {
                checks.push(check);
                addresses.push(address);
            }
        }
        let mut password = None;
        if let Some((address, check)) = self.shared_address(node)? {
            checks.extend(check);
            addresses.push(address);
            password = Some(self.router_password(node));
        }
        let resource = |spec: keddah_resource::Spec| Resource::new(&node.name, Module::Node, spec);
        if addresses.is_empty() {
            self.no_virtual_addresses(node);
            return Ok(());
        }
        let unit = ResourceId::new(&node.name, Kind::Unit, UNIT);
        let names = ["curl", "keepalived"].map(str::to_owned).to_vec();
        let packages = self.fleet.add(
            resource(packages::Spec { set: "vip".to_owned(), names }.into())
                .after([node.packages.clone()]),
        );
        let directory = self.fleet.add(
            resource(directory::Spec::present("/etc/keepalived", Permissions::root(0o755)).into())
                .after([packages.clone()]),
        );
        let script = file::Spec::text(
            SCRIPT,
            self.render("keepalived/ask", json!({}))?,
            Permissions::root(0o755),
        );
        let script = self.fleet.add(resource(script.into()).after([directory.clone()]));
        let password = match password {
            Some(password) => file::Spec::secret(PASSWORD, password, Permissions::root(0o600)),
            None => file::Spec::absent(PASSWORD),
        };
        let password =
            self.fleet.add(resource(password.into()).after([directory.clone()]).reloads(&unit));
        let text = self.render(
            "keepalived/keepalived.conf",
            json!({ "router": node.hostname, "checks": checks, "addresses": addresses }),
        )?;
        let mut configuration = file::Spec::text(CONFIGURATION, text, Permissions::root(0o644));
        // Debian 12's keepalived ends a test by a signal to itself, whatever it finds.
        if node.release != Release::Bookworm {
            configuration =
                configuration.checked_by(&["keepalived", "--config-test", "--use-file", "{}"]);
        }
        let configuration = self.fleet.add(
            resource(configuration.into())
                .after([script.clone(), password.clone(), node.trust.clone()])
                .reloads(&unit),
        );
        let text =
            self.render("systemd/keddah-vip.service", json!({ "configuration": CONFIGURATION }))?;
        let service = file::Spec::text(UNIT_FILE, text, Permissions::root(0o644));
        let service =
            self.fleet.add(resource(service.into()).after([packages.clone()]).restarts(&unit));
        let before = [packages, script, password, configuration, service];
        self.fleet.add(
            resource(unit::Spec::running(UNIT).started_with(&[CONFIGURATION]).into()).after(before),
        );
        Ok(())
    }

    /// Takes keepalived's part away where it is; when it stops, it lets go of its addresses.
    fn no_virtual_addresses(&mut self, node: &Node<'_>) {
        if !node.facts.own_units.iter().any(|unit| unit == UNIT) {
            return;
        }
        let resource = |spec: keddah_resource::Spec| Resource::new(&node.name, Module::Node, spec);
        let stopped = self.fleet.add(resource(unit::Spec::stopped(UNIT).into()));
        let mut gone = vec![stopped.clone()];
        for path in [CONFIGURATION, PASSWORD, SCRIPT] {
            let absent = file::Spec::absent(path);
            gone.push(self.fleet.add(resource(absent.into()).after([stopped.clone()])));
        }
        // Last, because it is what says that there is something to take away.
        let absent = file::Spec::absent(UNIT_FILE);
        self.fleet.add(resource(absent.into()).after(gone));
    }

    /// The address that follows the primary of a cluster with an instance on this node.
    fn primary_address(
        &mut self,
        node: &Node<'_>,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
    ) -> Result<Option<(VirtualAddress, Check)>, Problem> {
        let params = &member.params;
        let name = cluster.name.to_string();
        let removing = self.input.removing;
        if removing.instance(&node.name, &name) || !params.get(parameters::PG_VIP_ENABLED) {
            return Ok(None);
        }
        let text = params.get(parameters::PG_VIP_ADDRESS);
        let (address, prefix) = text.split_once('/').unwrap_or((&text, "24"));
        let peers: Vec<String> = cluster
            .members
            .iter()
            .map(|one| &one.node)
            .filter(|one| **one != node.name && !removing.instance(one, &name))
            .map(ToString::to_string)
            .collect();
        let scheme =
            if member.params.get(parameters::PATRONI_SSL_ENABLED) { "https" } else { "http" };
        let trust = if scheme == "https" {
            format!(" --cacert {}", crate::ca::CA_PATH)
        } else {
            String::new()
        };
        let port = member.params.get(parameters::PATRONI_PORT);
        let check = Check {
            name: match Place::of(&name, member).own_name() {
                None => "leads".to_owned(),
                Some(own) => format!("leads-{own}"),
            },
            comment: "Whether the local Patroni holds the cluster's lock.",
            arguments: format!("--fail{trust} {scheme}://{}:{port}/leader", node.address),
            // Debian 12's keepalived (2.2) takes whole seconds only.
            interval: if node.release == Release::Bookworm { "1" } else { "0.5" },
            fall: 1,
        };
        let router_id = self.topology.router_id(address);
        let interface = self.interface(node, params, parameters::PG_VIP_INTERFACE, address)?;
        let virtual_address = VirtualAddress {
            comment: format!("Follows the primary of {name}."),
            name: format!("{name}-primary"),
            version: 3,
            state: "BACKUP",
            interface: interface.name,
            router_id,
            // Nobody is better than another: who has Patroni's lock is the only one to ask for it.
            priority: 100,
            interval: 0.2,
            preempt: true,
            password_file: None,
            source: node.address.clone(),
            peers,
            address: format!("{address}/{prefix}"),
            check: Some(check.name.clone()),
        };
        Ok(Some((virtual_address, check)))
    }

    /// The address that a node cluster shares, `vip_address`.
    fn shared_address(
        &mut self,
        node: &Node<'_>,
    ) -> Result<Option<(VirtualAddress, Option<Check>)>, Problem> {
        let params = &node.params;
        let (true, Some(address)) =
            (params.get(parameters::VIP_ENABLED), params.opt(parameters::VIP_ADDRESS))
        else {
            return Ok(None);
        };
        let sharing = self.topology.sharing(&address).to_vec();
        let place = sharing.iter().position(|one| *one == node.name).unwrap_or_default();
        let peers: Vec<String> =
            sharing.iter().filter(|one| **one != node.name).map(ToString::to_string).collect();
        let (preempt, master) =
            (params.get(parameters::VIP_PREEMPT), params.get(parameters::VIP_ROLE) == "master");
        let check = params.get(parameters::HAPROXY_ENABLED).then(|| Check {
            name: "haproxy".to_owned(),
            comment: "Whether HAProxy answers, with whatever.",
            arguments: format!(
                "http://127.0.0.1:{}/",
                params.get(parameters::HAPROXY_EXPORTER_PORT)
            ),
            interval: "1",
            fall: 2,
        });
        let interface = self.interface(node, params, parameters::VIP_INTERFACE, &address)?;
        let name = params.get(parameters::NODE_CLUSTER);
        let behind = u32::try_from(place).unwrap_or(u32::MAX).min(90);
        let virtual_address = VirtualAddress {
            comment: format!("Shared by the node cluster {name}."),
            name: format!("{name}-shared"),
            version: 2,
            // Only one that begins as a backup may leave the address where it is.
            state: if master && preempt { "MASTER" } else { "BACKUP" },
            router_id: u8::try_from(params.get(parameters::VIP_VRID)).unwrap_or(1),
            priority: if master { 150 } else { 100 - behind },
            interval: 1.0,
            preempt,
            password_file: Some(PASSWORD),
            source: node.address.clone(),
            peers,
            address: format!("{address}/{}", interface.prefix),
            interface: interface.name,
            check: check.as_ref().map(|check| check.name.clone()),
        };
        Ok(Some((virtual_address, check)))
    }

    fn router_password(&mut self, node: &Node<'_>) -> Secret {
        let params = &node.params;
        let given = params.get(parameters::VIP_AUTH_PASS);
        let password = if given.reveal().is_empty() {
            format!("{}-{}", params.get(parameters::NODE_CLUSTER), params.get(parameters::VIP_VRID))
        } else {
            given.reveal().to_owned()
        };
        let password: String = password.chars().take(PASSWORD_LENGTH).collect();
        Secret::new(format!(
            "authentication {{\n    auth_type PASS\n    auth_pass {password}\n}}\n"
        ))
    }

    /// Where a node carries an address: the interface the inventory names, or with `auto` the one
    /// with the node's own address.
    fn interface(
        &mut self,
        node: &Node<'_>,
        params: &Params<'_>,
        parameter: Handle<String>,
        address: &str,
    ) -> Result<Carrier, Problem> {
        let wanted = params.get(parameter);
        let all = &node.facts.interfaces;
        if wanted != "auto"
            && let Some(found) = all.iter().find(|interface| interface.name == wanted)
        {
            let own = found.addresses.first().map(String::as_str).unwrap_or_default();
            return Ok(Carrier { name: wanted, prefix: prefix(own).unwrap_or(32) });
        }
        let own = all.iter().find_map(|interface| {
            let with_prefix = interface
                .addresses
                .iter()
                .find(|one| one.split('/').next() == Some(node.address.as_str()))?;
            Some((interface.name.clone(), with_prefix.clone()))
        });
        let names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
        match own {
            Some((name, with_prefix)) if wanted == "auto" || in_network(address, &with_prefix) => {
                if wanted != "auto" {
                    self.notes.push(format!(
                        "{}: `{parameter}` names {wanted}, which the node does not have; {name} \
                         carries its address, and takes {address}",
                        node.name
                    ));
                }
                Ok(Carrier { name, prefix: prefix(&with_prefix).unwrap_or(32) })
            }
            _ if wanted == "auto" => Err(problem(
                "no-interface",
                params.span(parameter),
                format!(
                    "no interface of {} has the address {}, so {address} has no place; set \
                     `{parameter}` to one of {}",
                    node.name,
                    node.address,
                    names.join(", ")
                ),
            )),
            _ => Err(problem(
                "no-interface",
                params.span(parameter),
                format!(
                    "{} has no interface {wanted} for {address}; it has {}",
                    node.name,
                    names.join(", ")
                ),
            )),
        }
    }
}

/// An interface that carries a virtual address.
struct Carrier {
    name: String,
    /// Prefix length of its own network.
    prefix: u8,
}

fn prefix(address: &str) -> Option<u8> {
    address.split_once('/')?.1.parse().ok().filter(|&prefix| prefix <= 32)
}

/// Whether an address is in the network of another, given with its prefix length.
fn in_network(address: &str, with_prefix: &str) -> bool {
    let own = with_prefix.split('/').next().unwrap_or_default();
    let (Ok(one), Ok(other), Some(prefix)) =
        (address.parse::<Ipv4Addr>(), own.parse::<Ipv4Addr>(), prefix(with_prefix))
    else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or_default();
    u32::from(one) & mask == u32::from(other) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_compared_by_their_prefix() {
        assert!(in_network("10.10.10.3", "10.10.10.11/24"));
        assert!(!in_network("10.10.11.3", "10.10.10.11/24"));
        assert!(in_network("10.10.11.3", "10.10.10.11/16"));
        assert!(in_network("192.0.2.1", "10.10.10.11/0"));
        assert!(!in_network("not an address", "10.10.10.11/24"));
    }
}
