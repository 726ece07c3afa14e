//! HAProxy on a node: its admin page, the services of PostgreSQL clusters, and the node's own.

use crate::compiler::{Compiler, Node, Problem};
use crate::doors::HAPROXY_USERS;
use crate::durations::span;
use crate::pgsql::place::Place;
use crate::pgsql::services::{Listener, bind};
use keddah_core::Secret;
use keddah_inventory::model::NodeService;
use keddah_inventory::parameters;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{file, unit};
use keddah_resource::{InstanceFacts, Kind, Module, Resource, ResourceId};
use serde_json::json;

/// Open files of one proxied connection: a socket to either side.
const FILES_PER_CONNECTION: u64 = 2;

/// Files HAProxy needs beside connections: listeners, health checks, logs.
const OTHER_FILES: u64 = 1000;

/// Connections nobody needs more of; HAProxy reserves memory for each.
const MOST_CONNECTIONS: u64 = 65_536;

impl Compiler<'_> {
    pub(super) fn haproxy(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let params = &node.params;
        if !params.get(parameters::HAPROXY_ENABLED) {
            return Ok(());
        }
        let unit = ResourceId::new(&node.name, Kind::Unit, "haproxy.service");
        let mut services = self.cluster_listeners(node)?;
        for service in NodeService::all(params) {
            services.push(node_listener(node, &service)?);
        }
        let maxconn = (node.facts.open_files_limit.saturating_sub(OTHER_FILES)
            / FILES_PER_CONNECTION)
            .clamp(1000, MOST_CONNECTIONS);
        let authenticated = params.get(parameters::HAPROXY_AUTH_ENABLED);
        let text = self.render(
            "haproxy/haproxy.cfg",
            json!({
                "maxconn": maxconn,
                "client_timeout": span(&params.get(parameters::HAPROXY_CLIENT_TIMEOUT)),
                "server_timeout": span(&params.get(parameters::HAPROXY_SERVER_TIMEOUT)),
                "exporter_port": params.get(parameters::HAPROXY_EXPORTER_PORT),
                "auth_enabled": authenticated,
                "services": services,
            }),
        )?;
        let userlist = self.render(
            "haproxy/auth.cfg",
            json!({
                "username": word(&params.get(parameters::HAPROXY_ADMIN_USERNAME)),
                "password": word(params.get(parameters::HAPROXY_ADMIN_PASSWORD).reveal()),
            }),
        )?;
        let resource = |spec: file::Spec| {
            Resource::new(&node.name, Module::Node, spec)
                .after([node.packages.clone()])
                .reloads(&unit)
        };
        let secrets = self.fleet.add(resource(file::Spec::secret(
            HAPROXY_USERS,
            Secret::new(userlist),
            Permissions::new("root", "haproxy", 0o640),
        )));
        self.door_by_file(
            "`haproxy_admin_password`",
            &params.get(parameters::HAPROXY_ADMIN_PASSWORD),
            &secrets,
        );
        // Checked together with the passwords' file, without which it does not parse. A server
        // named by host name must resolve already, hence only a warning about those.
        let configuration = self.fleet.add(
            resource(
                file::Spec::text("/etc/haproxy/haproxy.cfg", text, Permissions::root(0o644))
                    .checked_by(&["haproxy", "-c", "-f", "{}", "-f", "/etc/haproxy/auth.cfg"])
                    .checked_with_files_of("haproxy.service", "-f", ".cfg"),
            )
            .after([secrets.clone(), node.trust.clone()]),
        );
        let mut before = vec![node.packages.clone(), secrets, configuration];
        for name in ["save-state", "await-worker"] {
            let script = self.render(&format!("haproxy/{name}"), json!({}))?;
            let path = format!("/etc/haproxy/{name}");
            let script = file::Spec::text(path, script, Permissions::root(0o755));
            let script = Resource::new(&node.name, Module::Node, script);
            before.push(self.fleet.add(script.after([node.packages.clone()])));
        }
        before.extend(self.drop_in(
            node,
            Module::Node,
            "haproxy.service",
            "systemd/haproxy.conf",
            json!({}),
            Some(&unit),
        )?);
        let spec = unit::Spec::running("haproxy.service")
            .started_with(&["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg"])
            .ready_when_open("127.0.0.1", params.get(parameters::HAPROXY_EXPORTER_PORT));
        self.fleet.add(Resource::new(&node.name, Module::Node, spec).after(before));
        Ok(())
    }
}

impl<'a> Compiler<'a> {
    /// Where Patroni goes over to TLS, or back, HAProxy follows at once: it asks in the new way when
    /// Patroni answers in it, before two checks of the old way have failed. So it does where all
    /// Patronis of a cluster move to another port: none would be found there before.
    pub(crate) fn haproxy_after_patroni(&mut self, nodes: &[Node<'_>]) {
        let mut changing: Vec<(&str, ResourceId)> = Vec::new();
        for node in nodes {
            for (cluster, member) in self.topology.instances_on(&node.name) {
                let name = cluster.name.as_str();
                let wanted = member.params.get(parameters::PATRONI_SSL_ENABLED);
                if node.facts.patroni_of(name).is_some_and(|patroni| patroni.tls != wanted) {
                    let unit = Place::of(name, member).patroni_unit();
                    changing.push((name, ResourceId::new(&node.name, Kind::Unit, unit)));
                }
            }
        }
        changing.extend(self.moving(nodes));
        if changing.is_empty() {
            return;
        }
        for node in nodes {
            let unit = ResourceId::new(&node.name, Kind::Unit, "haproxy.service");
            if self.fleet.get(&unit).is_none() {
                continue;
            }
            let served = self.topology.served_by(&node.name, self.input.inventory);
            let asks = |cluster: &str| {
                served.iter().any(|&at| self.topology.clusters[at].name.as_str() == cluster)
            };
            let before: Vec<ResourceId> = changing
                .iter()
                .filter(|(cluster, patroni)| asks(cluster) && self.fleet.get(patroni).is_some())
                .map(|(_, patroni)| patroni.clone())
                .collect();
            if let Some(unit) = self.fleet.get_mut(&unit) {
                unit.after.extend(before);
            }
        }
    }

    /// The Patronis of clusters whose servers run, and of which none answers where it shall.
    fn moving(&self, nodes: &[Node<'_>]) -> Vec<(&'a str, ResourceId)> {
        let mut moving = Vec::new();
        for cluster in &self.topology.clusters {
            let name = cluster.name.as_str();
            let mut running = Vec::new();
            let mut answers = false;
            for node in nodes {
                let Some(member) = cluster.members.iter().find(|one| one.node == node.name) else {
                    continue;
                };
                answers |= node.facts.patroni_of(name).is_some();
                let runs = |one: &InstanceFacts| one.scope == name && one.runs;
                if node.facts.instances.iter().any(runs) {
                    let unit = Place::of(name, member).patroni_unit();
                    running.push((name, ResourceId::new(&node.name, Kind::Unit, unit)));
                }
            }
            if !answers {
                moving.append(&mut running);
            }
        }
        moving
    }
}

/// A word of HAProxy's configuration, in quotes where it would be more or less than that without (its
/// manual, "Quoting and escaping").
fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_graphic() && !"'\"\\#$".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A service of `haproxy_services`.
fn node_listener(node: &Node<'_>, service: &NodeService) -> Result<Listener, Problem> {
    Ok(Listener {
        name: service.name.clone(),
        comment: "from haproxy_services".to_owned(),
        bind: vec![bind(node, None, &service.ip, service.port, service.span)?],
        mode: service.protocol.clone(),
        maxconn: service.maxconn,
        balance: service.balance.clone(),
        options: service.options.clone(),
        default_server: service.default_options.clone().unwrap_or_default(),
        servers: service
            .servers
            .iter()
            .map(|server| crate::pgsql::services::Server {
                name: server.name.clone(),
                address: server.ip.clone(),
                port: server.port,
                options: server.options.clone().unwrap_or_default(),
            })
            .collect(),
    })
}
