//! Services: ports on the load balancers that lead to the right instances.

use super::read::{Entry, read_all};
use crate::registry::structures;
use crate::{Params, Value, parameters};
use keddah_core::Span;

/// Where a service's traffic goes on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceDestination {
    /// What `pg_default_service_dest` says.
    Default,
    /// PostgreSQL.
    Postgres,
    /// PgBouncer.
    Pgbouncer,
    /// A port of its own.
    Port(u16),
}

impl ServiceDestination {
    /// The port on an instance with these parameters.
    pub fn port(self, params: &Params<'_>) -> u16 {
        match self {
            Self::Port(port) => port,
            Self::Postgres => params.get(parameters::PG_PORT),
            Self::Pgbouncer => params.get(parameters::PGBOUNCER_PORT),
            // Without a pool, what would go to it goes to PostgreSQL (components document).
            Self::Default
                if params.get(parameters::PG_DEFAULT_SERVICE_DEST) == "postgres"
                    || !params.get(parameters::PGBOUNCER_ENABLED) =>
            {
                params.get(parameters::PG_PORT)
            }
            Self::Default => params.get(parameters::PGBOUNCER_PORT),
        }
    }
}

/// Which port of an instance is asked for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckPort {
    /// Patroni's REST interface.
    Patroni,
    /// The metrics exporter.
    PgExporter,
    /// A port of its own.
    Port(u16),
}

impl CheckPort {
    /// The port on an instance with these parameters.
    pub fn port(self, params: &Params<'_>) -> u16 {
        match self {
            Self::Patroni => params.get(parameters::PATRONI_PORT),
            Self::PgExporter => params.get(parameters::PG_EXPORTER_PORT),
            Self::Port(port) => port,
        }
    }
}

/// A service of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgService {
    /// Its short name; in full it is `<pg_cluster>-<name>`.
    pub name: String,
    /// Port the load balancers listen on.
    pub port: u16,
    /// Address they listen on: `*`, `vip`, or an address.
    pub ip: String,
    /// Where the traffic goes.
    pub dest: ServiceDestination,
    /// JMESPath expression that picks the members; see [`crate::selector`].
    pub selector: String,
    /// JMESPath expression that picks the members that only stand in for the others.
    pub backup: Option<String>,
    /// Path of the HTTP health check.
    pub check: String,
    /// Port of the health check.
    pub check_port: CheckPort,
    /// HTTP status that means healthy.
    pub check_code: u16,
    /// Most client connections per load balancer.
    pub maxconn: i64,
    /// How the load balancer picks a member.
    pub balance: String,
    /// HAProxy's server options in place of the ones made from `pg_rto`.
    pub options: Option<String>,
    /// Where it is written; `None` for defaults.
    pub span: Option<Span>,
    /// Where its name is written.
    pub name_span: Option<Span>,
    /// Where its port is written.
    pub port_span: Option<Span>,
    /// Where its selector is written.
    pub selector_span: Option<Span>,
    /// Where its backup selector is written.
    pub backup_span: Option<Span>,
}

impl PgService {
    /// All services of the cluster: `pg_default_services`, then `pg_services` and the older
    /// `pg_services_extra`. A later service replaces an earlier one of the same name, so that
    /// older files, which list all their services, keep their meaning.
    pub fn all(params: &Params<'_>) -> Vec<Self> {
        let mut services: Vec<Self> =
            read_all(params, "pg_default_services", &structures::SERVICE, Self::read);
        for service in Self::business(params) {
            match services.iter_mut().find(|earlier| earlier.name == service.name) {
                Some(earlier) => *earlier = service,
                None => services.push(service),
            }
        }
        services
    }

    /// The services beside the default ones.
    pub fn business(params: &Params<'_>) -> Vec<Self> {
        let mut services = read_all(params, "pg_services", &structures::SERVICE, Self::read);
        // When both names are set, each lists services of its own.
        let older = params.vars().get("pg_services_extra");
        if let (Some(older), Some(_)) = (older, params.vars().get("pg_services")) {
            let value = params.expand(&older.value).unwrap_or_else(|_| older.value.clone());
            let items = value.as_list().unwrap_or_default();
            let more = super::read::entries(&structures::SERVICE, items);
            services.extend(more.filter_map(|entry| Self::read(&entry)));
        }
        services
    }

    fn read(entry: &Entry<'_>) -> Option<Self> {
        let haproxy = |name: &str| entry.get("haproxy").and_then(|value| value.get(name));
        let older_text = |name: &str| haproxy(name).and_then(crate::registry::scalar_text);
        Some(Self {
            name: entry.text("name")?,
            port: entry.port("port")?,
            ip: entry.text("ip").unwrap_or_else(|| "*".into()),
            dest: match entry.text("dest").as_deref() {
                None | Some("default") => ServiceDestination::Default,
                Some("postgres") => ServiceDestination::Postgres,
                Some("pgbouncer") => ServiceDestination::Pgbouncer,
                Some(text) => {
                    text.parse().map_or(ServiceDestination::Default, ServiceDestination::Port)
                }
            },
            selector: entry.text("selector").unwrap_or_else(|| "[]".into()),
            backup: entry.text("backup"),
            check: entry.text("check").unwrap_or_else(|| "/".into()),
            check_port: match entry.text("check_port").as_deref() {
                Some("pg_exporter") => CheckPort::PgExporter,
                Some(text) => text.parse().map_or(CheckPort::Patroni, CheckPort::Port),
                None => CheckPort::Patroni,
            },
            check_code: entry
                .integer("check_code")
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(200),
            maxconn: entry
                .integer("maxconn")
                .or_else(|| haproxy("maxconn").and_then(Value::as_int))
                .unwrap_or(3000),
            balance: entry
                .text("balance")
                .or_else(|| older_text("balance"))
                .unwrap_or_else(|| "roundrobin".into()),
            options: entry.joined("options").or_else(|| older_text("default_server_options")),
            span: entry.span(),
            name_span: entry.span_of("name"),
            port_span: entry.span_of("port"),
            selector_span: entry.span_of("selector"),
            backup_span: entry.span_of("backup"),
        })
    }
}

/// A service on a node's load balancer, `haproxy_services`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeService {
    /// Its name.
    pub name: String,
    /// Port the load balancer listens on.
    pub port: u16,
    /// Address it listens on.
    pub ip: String,
    /// `tcp` or `http`.
    pub protocol: String,
    /// How it picks a server.
    pub balance: String,
    /// Most client connections.
    pub maxconn: i64,
    /// Server options for all servers.
    pub default_options: Option<String>,
    /// Further HAProxy lines of the service.
    pub options: Vec<String>,
    /// The servers behind it.
    pub servers: Vec<NodeServer>,
    /// Where it is written.
    pub span: Option<Span>,
    /// Where its port is written.
    pub port_span: Option<Span>,
}

/// A server behind a node's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeServer {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// HAProxy's options for it.
    pub options: Option<String>,
}

impl NodeService {
    /// The node's services.
    pub fn all(params: &Params<'_>) -> Vec<Self> {
        read_all(params, "haproxy_services", &structures::NODE_SERVICE, |entry| {
            let lines = match entry.get("options") {
                Some(value) => value.as_list().unwrap_or(std::slice::from_ref(value)),
                None => &[],
            };
            let servers = entry.items("servers");
            Some(Self {
                name: entry.text("name")?,
                port: entry.port("port")?,
                ip: entry.text("ip").unwrap_or_else(|| "*".into()),
                protocol: entry.text("protocol").unwrap_or_else(|| "tcp".into()),
                balance: entry.text("balance").unwrap_or_else(|| "roundrobin".into()),
                maxconn: entry.integer("maxconn").unwrap_or(3000),
                default_options: entry.joined("default"),
                options: lines.iter().filter_map(crate::registry::scalar_text).collect(),
                servers: super::read::entries(&structures::NODE_SERVICE_SERVER, servers)
                    .filter_map(|server| {
                        Some(NodeServer {
                            name: server.text("name")?,
                            ip: server.text("ip")?,
                            port: server.port("port")?,
                            options: server.joined("options"),
                        })
                    })
                    .collect(),
                span: entry.span(),
                port_span: entry.span_of("port"),
            })
        })
    }
}
