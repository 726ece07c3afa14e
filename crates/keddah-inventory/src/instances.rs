//! `pg_instances`: several PostgreSQL instances on one host, each under the port it listens on.
//!
//! An instance's parameters are, the strongest first: what its mapping sets; what is a setting of the
//! whole cluster and stands in the mapping of another member; ports and paths that follow from its
//! own port and cluster; and the host's parameters (`docs/decisions/pg-instances.md`).

use crate::inventory::{Layer, Origin, Scope, Sourced, layer};
use crate::registry::{self, Module, canonical};
use crate::{Data, Inventory, Key, Params, Value, parameters};
use foldhash::fast::FixedState;
use keddah_core::{NodeName, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// The port of an instance whose other ports are those of a host with one instance.
const USUAL_PORT: i64 = 5432;

/// Ports that move with an instance's own.
pub(crate) const PORTS: &[&str] = &[
    "patroni_port",
    "pgbouncer_port",
    "pg_exporter_port",
    "pgbouncer_exporter_port",
    "pgbackrest_exporter_port",
];

/// The services whose ports do.
pub(crate) const SERVICES: &str = "pg_default_services";

/// Parameters in whose values `/pg` means the instance's own directory.
const PATHS: &[&str] = &[
    "pg_data",
    "pg_log_dir",
    "patroni_log_dir",
    "pgbouncer_log_dir",
    "pgbackrest_log_dir",
    "pgbackrest_repo",
    "pg_crontab",
    "pg_parameters",
];

/// What leads to an instance's directory: `/pg`, or a link of its cluster's own where several
/// instances share a host.
pub fn home(cluster: &str, one_of_several: bool) -> String {
    if one_of_several { format!("/pg-{cluster}") } else { "/pg".to_owned() }
}

/// An instance's port as the key of its mapping.
pub(crate) fn port(key: &Key) -> Option<u16> {
    key.text.parse().ok().filter(|port| *port > 0)
}

/// One entry of a host's `pg_instances`.
struct Entry<'inventory> {
    node: &'inventory NodeName,
    port: u16,
    key_span: Option<Span>,
    own: Layer,
}

/// The variables of the instances of all hosts with `pg_instances`, by port. An entry that cannot
/// be an instance is left out: [`crate::check`] tells of it.
pub(crate) fn settle(
    inventory: &Inventory,
) -> HashMap<NodeName, Vec<(u16, Arc<Layer>)>, FixedState> {
    let mut settled: HashMap<NodeName, Vec<(u16, Arc<Layer>)>, FixedState> = HashMap::default();
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let Some(several) = params.set(parameters::PG_INSTANCES) else { continue };
        settled.entry(host.name.clone()).or_default();
        for (key, vars) in several.value.as_map().into_iter().flatten() {
            let (Some(port), Some(vars)) = (port(key), vars.as_map()) else { continue };
            let own = layer(vars, &Scope::Instance(port));
            entries.push(Entry { node: &host.name, port, key_span: key.span, own });
        }
    }
    let common = common(inventory, &entries);
    for entry in entries {
        let params = Params::new(inventory, entry.node);
        let cluster = cluster(&params, &entry.own);
        let of_cluster = cluster.as_ref().and_then(|cluster| common.get(cluster));
        let vars = variables(&params, &entry, cluster.as_deref(), of_cluster);
        let instances = settled.entry(entry.node.clone()).or_default();
        instances.push((entry.port, Arc::new(vars)));
    }
    for instances in settled.values_mut() {
        instances.sort_by_key(|(port, _)| *port);
    }
    settled
}

fn cluster(params: &Params<'_>, own: &Layer) -> Option<String> {
    let with_own = params.clone().with_instance(0, Arc::new(own.clone()));
    with_own.opt(parameters::PG_CLUSTER)
}

/// What each cluster's members say of the whole cluster: nobody has to repeat at each of them what
/// has no group's `vars` to stand in.
fn common(inventory: &Inventory, entries: &[Entry<'_>]) -> HashMap<String, Layer> {
    let mut common: HashMap<String, Layer> = HashMap::new();
    for entry in entries {
        let params = Params::new(inventory, entry.node);
        let Some(cluster) = cluster(&params, &entry.own) else { continue };
        let said = common.entry(cluster).or_default();
        for (key, sourced) in &entry.own {
            let shared = registry::find(&key.text).is_some_and(|parameter| {
                parameter.module == Module::Pgsql && !parameter.levels.instance()
            });
            if shared && !sourced.value.is_null() && !sets(said, &key.text) {
                said.insert(key.clone(), sourced.clone());
            }
        }
    }
    common
}

/// Whether a layer gives a parameter a value, under whichever of its names.
fn sets(layer: &Layer, name: &str) -> bool {
    let name = canonical(name);
    layer.iter().any(|(key, sourced)| canonical(&key.text) == name && !sourced.value.is_null())
}

fn variables(
    host: &Params<'_>,
    entry: &Entry<'_>,
    cluster: Option<&str>,
    of_cluster: Option<&Layer>,
) -> Layer {
    let mut vars = entry.own.clone();
    for (key, sourced) in of_cluster.into_iter().flatten() {
        if !sets(&vars, &key.text) {
            vars.insert(key.clone(), sourced.clone());
        }
    }
    let from = Scope::Instance(entry.port);
    let mut put = |name: &str, value: Value| {
        let origin = Origin { span: entry.key_span, from: from.clone() };
        let key = Key { text: name.to_owned(), span: entry.key_span };
        vars.insert(key, Sourced { value, origin });
    };
    put("pg_port", Value::from(Data::Int(entry.port.into())));
    let distance = i64::from(entry.port) - USUAL_PORT;
    if distance != 0 {
        for name in PORTS.iter().filter(|name| !sets(&entry.own, name)) {
            if of_cluster.is_none_or(|said| !sets(said, name)) {
                put(name, Value::from(Data::Int(i64::from(host.named::<u16>(name)) + distance)));
            }
        }
        let given =
            sets(&entry.own, SERVICES) || of_cluster.is_some_and(|said| sets(said, SERVICES));
        if !given {
            let services = host.named::<Vec<Value>>(SERVICES).into_iter();
            let services = services.map(|service| moved(service, distance, entry.key_span));
            put(SERVICES, Value::from(Data::List(services.collect())));
        }
    }
    if let Some(cluster) = cluster {
        relocate_all(host, entry.port, &mut vars, &home(cluster, true));
    }
    vars
}

/// A service whose port has moved.
fn moved(service: Value, distance: i64, span: Option<Span>) -> Value {
    let Value { data: Data::Map(mut fields), span: place } = service else { return service };
    if let Some(port) = fields.get_mut("port")
        && let Some(number) = registry::as_integer(port)
    {
        *port = Value { data: Data::Int(number + distance), span: port.span.or(span) };
    }
    Value { data: Data::Map(fields), span: place }
}

/// Makes `/pg` the instance's own directory wherever it stands.
fn relocate_all(host: &Params<'_>, port: u16, vars: &mut Layer, home: &str) {
    for name in PATHS {
        let params = host.clone().with_instance(port, Arc::new(vars.clone()));
        let Some(value) = params.raw(name).and_then(|value| relocated(value, home)) else {
            continue;
        };
        let (span, origin) = match params.set(name) {
            Some(given) => (given.origin.span, given.origin.clone()),
            None => (None, Origin { span: None, from: Scope::Instance(port) }),
        };
        let key = Key { text: (*name).to_owned(), span };
        vars.insert(key, Sourced { value, origin });
    }
}

/// The value with another directory for `/pg`; `None` where it does not speak of that.
fn relocated(value: &Value, home: &str) -> Option<Value> {
    let data = match &value.data {
        Data::String(text) => Data::String(relocated_text(text, home)?),
        Data::List(items) => {
            let changed: Vec<Option<Value>> =
                items.iter().map(|item| relocated(item, home)).collect();
            changed.iter().any(Option::is_some).then_some(())?;
            let items = changed.into_iter().zip(items);
            Data::List(items.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect())
        }
        Data::Map(fields) => {
            let mut all = fields.clone();
            let mut changed = false;
            for field in all.values_mut() {
                if let Some(new) = relocated(field, home) {
                    *field = new;
                    changed = true;
                }
            }
            changed.then_some(Data::Map(all))?
        }
        _ => return None,
    };
    Some(Value { data, span: value.span })
}

fn relocated_text(text: &str, home: &str) -> Option<String> {
    const PLAIN: &str = "/pg";
    let in_path = |character: char| character.is_alphanumeric() || "/-_.".contains(character);
    let mut result = String::new();
    let mut rest = 0;
    for (at, _) in text.match_indices(PLAIN) {
        let begins = !text[..at].ends_with(in_path);
        let after = &text[at + PLAIN.len()..];
        let whole = after.starts_with('/') || !after.starts_with(in_path);
        if begins && whole {
            result.push_str(&text[rest..at]);
            result.push_str(home);
            rest = at + PLAIN.len();
        }
    }
    (rest > 0).then(|| format!("{result}{}", &text[rest..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PgService, pg_clusters};
    use keddah_core::SourceMap;

    #[test]
    fn only_whole_paths_move() {
        let moved = |text| relocated_text(text, "/pg-a");
        assert_eq!(moved("/pg/log/postgres").unwrap(), "/pg-a/log/postgres");
        assert_eq!(moved("/pg").unwrap(), "/pg-a");
        assert_eq!(
            moved("00 01 * * * cd /pg && /pg/bin/pg-backup full").unwrap(),
            "00 01 * * * cd /pg-a && /pg-a/bin/pg-backup full"
        );
        for kept in ["/data/pg/x", "/pgsql/bin", "/pg-b/log", "a/pg"] {
            assert_eq!(moved(kept), None, "{kept}");
        }
    }

    fn inventory() -> Inventory {
        let text = "all:
  vars: { patroni_port: 9008 }
  children:
    pg-pair:
      hosts:
        10.0.0.1:
          pg_instances:
            5442: { pg_cluster: pg-b, pg_seq: 1, pg_role: primary, pg_users: [{ name: u }], pg_weight: 7 }
            5432: { pg_cluster: pg-a, pg_seq: 1, pg_role: primary, pgbouncer_port: 7000 }
        10.0.0.2:
          pg_instances:
            5432: { pg_cluster: pg-a, pg_seq: 2, pg_role: replica }
            5442: { pg_cluster: pg-b, pg_seq: 2, pg_role: replica }
      vars: { pg_crontab: ['00 01 * * * /pg/bin/pg-backup full'] }
";
        let mut sources = SourceMap::default();
        let (inventory, problems) = crate::load(&mut sources, "t.yml", text.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        inventory.expect("it loads")
    }

    #[test]
    fn ports_and_paths_follow_from_the_key() {
        let inventory = inventory();
        let both = Params::instances(&inventory, &"10.0.0.1".into());
        let [first, second] = both.as_slice() else { panic!("{} instances", both.len()) };
        assert_eq!((first.instance(), first.get(parameters::PG_PORT)), (Some(5432), 5432));
        assert_eq!(
            (first.get(parameters::PATRONI_PORT), first.get(parameters::PGBOUNCER_PORT)),
            (9008, 7000)
        );
        assert_eq!((second.instance(), second.get(parameters::PG_PORT)), (Some(5442), 5442));
        assert_eq!(second.get(parameters::PATRONI_PORT), 9018, "from what holds for all hosts");
        assert_eq!(
            second.get(parameters::PGBOUNCER_PORT),
            6442,
            "another cluster's is not its own"
        );
        let ports = |params| PgService::all(params).iter().map(|one| one.port).collect::<Vec<_>>();
        assert_eq!(ports(first), [5433, 5434, 5436, 5438]);
        assert_eq!(ports(second), [5443, 5444, 5446, 5448]);
        assert_eq!(first.get(parameters::PG_DATA), "/pg-pg-a/data");
        assert_eq!(second.get(parameters::PG_CRONTAB), ["00 01 * * * /pg-pg-b/bin/pg-backup full"]);
        assert_eq!(second.get(parameters::PG_NAMESPACE), "/pg", "no path of the instance");
        let repository = crate::to_json(&second.value("pgbackrest_repo"));
        assert_eq!(repository["local"]["path"], "/pg-pg-b/backup");
    }

    #[test]
    fn what_is_the_clusters_is_said_once() {
        let inventory = inventory();
        let clusters = pg_clusters(&inventory);
        let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        assert_eq!(names, ["pg-a", "pg-b"]);
        let members = &clusters[1].members;
        assert_eq!(
            members[0].params.get(parameters::PG_USERS),
            members[1].params.get(parameters::PG_USERS)
        );
        assert_eq!(members[0].params.get(parameters::PG_WEIGHT), 7);
        assert_eq!(members[1].params.get(parameters::PG_WEIGHT), 100, "an instance's own");
        assert_eq!(members[1].params.get(parameters::PGBOUNCER_PORT), 6442);
        assert_eq!(clusters[0].members[1].params.get(parameters::PGBOUNCER_PORT), 7000);
    }
}
