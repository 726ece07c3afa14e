//! A node's DNS servers: `/etc/resolv.conf`, or systemd-resolved where that file is its own.

use crate::compiler::{Compiler, Node};
use keddah_inventory::{ParamOrigin, parameters};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{block, file, unit};
use keddah_resource::{Kind, Module, Resource, ResourceId};
use std::fmt::Write;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const RESOLVED: &str = "systemd-resolved.service";
const DROP_INS: &str = "/etc/systemd/resolved.conf.d";

impl Compiler<'_> {
    pub(super) fn resolver(&mut self, node: &Node<'_>) {
        let params = &node.params;
        let method = params.get(parameters::NODE_DNS_METHOD);
        let mut servers = params.get(parameters::NODE_DNS_SERVERS);
        if params.origin(parameters::NODE_DNS_SERVERS) == ParamOrigin::Default {
            // The default names the admin node; every look-up would wait for one that runs no DNS.
            servers.retain(|server| self.topology.name_servers.contains(server));
        }
        let options = params.get(parameters::NODE_DNS_OPTIONS);
        if method == "none" {
            servers.clear();
        }
        if node.facts.resolved {
            self.resolved(node, &method, &servers);
            return;
        }
        let mut text = String::new();
        if !servers.is_empty() {
            for server in &servers {
                let _ = writeln!(text, "nameserver {server}");
            }
            for option in &options {
                let _ = writeln!(text, "{}", option.trim());
            }
        }
        let spec: keddah_resource::Spec = if method == "overwrite" && !servers.is_empty() {
            let text = format!("# Written by Keddah; edit the inventory instead.\n{text}");
            file::Spec::text(RESOLV_CONF, text, Permissions::root(0o644)).into()
        } else {
            // First, because a server that does not know a name answers that there is none.
            block::Spec {
                path: RESOLV_CONF.to_owned(),
                marker: "resolver".to_owned(),
                text,
                place: block::Place::Top,
            }
            .into()
        };
        let after = self.servers_ready(&servers);
        self.fleet.add(Resource::new(&node.name, Module::Node, spec).after(after));
    }

    /// systemd-resolved asks its own servers beside ours, or ours alone.
    fn resolved(&mut self, node: &Node<'_>, method: &str, servers: &[String]) {
        let unit = ResourceId::new(&node.name, Kind::Unit, RESOLVED);
        let resource = |spec: keddah_resource::Spec| Resource::new(&node.name, Module::Node, spec);
        let path = format!("{DROP_INS}/keddah.conf");
        let mut before = self.servers_ready(servers);
        let spec = if servers.is_empty() {
            file::Spec::absent(path)
        } else {
            before.push(self.fleet.add(resource(
                directory::Spec::present(DROP_INS, Permissions::root(0o755)).into(),
            )));
            let mut text = format!(
                "# Written by Keddah; edit the inventory instead.\n[Resolve]\nDNS={}\n",
                servers.join(" ")
            );
            if method == "overwrite" {
                text.push_str("Domains=~.\n");
            }
            file::Spec::text(path, text, Permissions::root(0o644))
        };
        let file = self.fleet.add(resource(spec.into()).after(before).restarts(&unit));
        self.fleet.add(resource(unit::Spec::running(RESOLVED).into()).after([file]));
    }

    /// Servers of ours that this very run may start: before them, every look-up would wait.
    fn servers_ready(&self, servers: &[String]) -> Vec<ResourceId> {
        servers
            .iter()
            .filter(|server| self.topology.name_servers.contains(server))
            .map(|server| keddah_core::NodeName::new(server.as_str()))
            .filter(|server| self.input.facts.contains_key(server))
            .map(|server| ResourceId::new(&server, Kind::Unit, crate::infra::DNS_UNIT))
            .collect()
    }
}
