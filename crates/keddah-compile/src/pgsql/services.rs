//! Services of PostgreSQL clusters as HAProxy listeners (services document).

use super::layout::host_part;
use crate::compiler::{Compiler, Node, Problem, problem};
use crate::durations::span as whole;
use keddah_core::Span;
use keddah_inventory::model::{CheckPort, PgCluster, PgService, RtoPlan};
use keddah_inventory::parameters;
use keddah_inventory::selector;
use serde::Serialize;

/// One `listen` section of HAProxy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Listener {
    /// Its name.
    pub name: String,
    /// What it is for, as a comment.
    pub comment: String,
    /// `address:port` to listen on.
    pub bind: Vec<String>,
    /// `tcp` or `http`.
    pub mode: String,
    /// Most client connections.
    pub maxconn: i64,
    /// How a server is picked.
    pub balance: String,
    /// Further lines.
    pub options: Vec<String>,
    /// Options of all servers.
    pub default_server: String,
    /// The servers.
    pub servers: Vec<Server>,
}

/// One server behind a listener.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Server {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its options.
    pub options: String,
}

/// A service of a cluster, the same on all nodes but for where it listens.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    listener: Listener,
    ip: String,
    port: u16,
    span: Option<Span>,
}

impl Compiler<'_> {
    /// The services of PostgreSQL clusters that a node's HAProxy offers.
    pub(crate) fn cluster_listeners(&self, node: &Node<'_>) -> Result<Vec<Listener>, Problem> {
        let mut listeners = Vec::new();
        for at in self.topology.served_by(&node.name, self.input.inventory) {
            let name = self.topology.clusters[at].name.as_str();
            if self.input.removing.instance(&node.name, name) {
                continue;
            }
            // The same on all nodes that offer them.
            let known = &self.topology.listeners[at];
            let those = match known.get() {
                Some(those) => those,
                None => {
                    let those = self.listeners(&self.topology.clusters[at])?;
                    known.get_or_init(|| those)
                }
            };
            for offered in those {
                let mut listener = offered.listener.clone();
                let (ip, port, span) = (&offered.ip, offered.port, offered.span);
                listener.bind =
                    vec![bind(node, Some(&self.topology.clusters[at]), ip, port, span)?];
                listeners.push(listener);
            }
        }
        Ok(listeners)
    }

    fn listeners(&self, cluster: &PgCluster<'_>) -> Result<Vec<Offered>, Problem> {
        let facts = cluster.facts();
        let services = PgService::all(&cluster.members[0].params);
        services.iter().map(|service| self.listener(cluster, &facts, service)).collect()
    }

    fn listener(
        &self,
        cluster: &PgCluster<'_>,
        facts: &[serde_json::Value],
        service: &PgService,
    ) -> Result<Offered, Problem> {
        let chosen = |text: &str, span| {
            selector::compile(text)
                .and_then(|selector| selector.select(facts))
                .map_err(|error| problem("invalid-selector", span, error.to_string()))
        };
        let members = chosen(&service.selector, service.selector_span)?;
        let backups = match &service.backup {
            Some(backup) => chosen(backup, service.backup_span)?,
            None => Vec::new(),
        };
        let mut servers = Vec::new();
        for (index, member) in cluster.members.iter().enumerate() {
            let standby = backups.contains(&index);
            if !(members.contains(&index) || standby)
                || self.input.removing.instance(&member.node, cluster.name.as_str())
            {
                continue;
            }
            let mut options = format!("check port {}", service.check_port.port(&member.params));
            let patroni = service.check_port == CheckPort::Patroni;
            if patroni && member.params.get(parameters::PATRONI_SSL_ENABLED) {
                options.push_str(" check-ssl verify required ca-file ca.crt");
            }
            options.push_str(&format!(" weight {}", member.params.get(parameters::PG_WEIGHT)));
            if standby {
                options.push_str(" backup");
            }
            servers.push(Server {
                name: member.instance(&cluster.name),
                address: member.node.as_str().to_owned(),
                port: service.dest.port(&member.params),
                options,
            });
        }
        servers.sort_by(|one, other| one.name.cmp(&other.name));
        let params = &cluster.members[0].params;
        let plan = RtoPlan::of(params);
        let listener = Listener {
            name: format!("{}-{}", cluster.name, service.name),
            comment: format!("{} of {}", service.name, cluster.name),
            bind: Vec::new(),
            mode: "tcp".to_owned(),
            maxconn: service.maxconn,
            balance: service.balance.clone(),
            options: vec![
                "option httpchk".to_owned(),
                "option http-keep-alive".to_owned(),
                format!("http-check send meth OPTIONS uri {}", service.check),
                format!("http-check expect status {}", service.check_code),
            ],
            default_server: service.options.clone().unwrap_or_else(|| default_options(&plan)),
            servers,
        };
        Ok(Offered { listener, ip: service.ip.clone(), port: service.port, span: service.span })
    }
}

/// Where a listener listens: an address and a port as HAProxy wants them.
///
/// `vip` is the cluster's virtual address on its own nodes, and the node's own one (`vip_address`)
/// elsewhere. An address that comes and goes is listened on before it is there: `transparent`.
pub(crate) fn bind(
    node: &Node<'_>,
    cluster: Option<&PgCluster<'_>>,
    ip: &str,
    port: u16,
    span: Option<Span>,
) -> Result<String, Problem> {
    let member = cluster.and_then(|cluster| {
        cluster.members.iter().find(|member| member.node == node.name).map(|member| &member.params)
    });
    let address = match (ip, member) {
        ("vip", Some(params)) if params.get(parameters::PG_VIP_ENABLED) => {
            host_part(&params.get(parameters::PG_VIP_ADDRESS))
        }
        ("vip", _) if node.params.get(parameters::VIP_ENABLED) => {
            host_part(&node.params.get(parameters::VIP_ADDRESS))
        }
        ("vip", _) => {
            return Err(problem(
                "missing-vip",
                span,
                format!(
                    "a service listens on the virtual address of {}, which has none: set \
                     pg_vip_enabled and pg_vip_address for a cluster, vip_enabled and vip_address \
                     for other nodes",
                    node.name
                ),
            ));
        }
        (other, _) => other.to_owned(),
    };
    let always_there = ["*", "0.0.0.0", "::", "127.0.0.1", "::1"].contains(&address.as_str())
        || address == node.address;
    let address = if address.contains(':') { format!("[{address}]") } else { address };
    Ok(if always_there {
        format!("{address}:{port}")
    } else {
        format!("{address}:{port} transparent")
    })
}

/// Server options when the inventory names none.
///
/// A server that Patroni calls primary serves at once: it is asked twice a second while it is
/// down, and taken at the second good answer. `on-marked-down shutdown-sessions` ends sessions on
/// a server that lost its part, so that no client goes on writing to an old primary's pool.
fn default_options(plan: &RtoPlan) -> String {
    format!(
        "inter {} fastinter {} downinter 500ms rise 2 fall {} on-marked-down shutdown-sessions \
         maxconn 3000 maxqueue 128 weight 100",
        whole(&plan.inter),
        whole(&plan.fastinter),
        plan.fall
    )
}
