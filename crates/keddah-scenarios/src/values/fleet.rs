//! A small fleet in which everything is switched on, so that each parameter can act; compiled with one
//! value of one parameter.

use keddah_compile::{Authorities, Authority, Compiled, Input, Removing, Templates, compile};
use keddah_core::{Diagnostic, NodeName, Secret, Severity, SourceMap};
use keddah_inventory::{Inventory, check, load};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::{Distribution, Interface, NodeFacts};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The node that has everything: etcd, a primary, virtual addresses, DNS.
pub const FIRST: &str = "10.10.10.10";
const SECOND: &str = "10.10.10.11";
/// A node without a database, to provide services, and to lose a member of etcd.
const THIRD: &str = "10.10.10.12";

static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| match Templates::new(&BTreeMap::new()) {
    Ok(templates) => templates,
    Err(error) => panic!("our own templates do not parse: {error}"),
});

/// A parameter's value, and what else has to be so for it to act.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The parameter.
    pub name: &'static str,
    /// Its value; `None` for the fleet without it.
    pub value: Option<Value>,
    /// Further parameters, which should change nothing.
    pub beside: Map<String, Value>,
}

impl Setting {
    /// One value of one parameter.
    pub fn of(name: &'static str, value: Option<Value>) -> Self {
        Self { name, value, beside: Map::new() }
    }
}

/// Parameters of one host.
const OF_THE_SECOND: &[&str] =
    &["infra_seq", "pg_delay", "pg_offline_query", "pg_role", "pg_upstream", "pg_weight"];
const OF_THE_FIRST: &[&str] = &["nodename", "pg_instances", "pg_seq", "etcd_seq", "vip_role"];

/// What else has to be set.
fn context(name: &str) -> Value {
    match name {
        "node_id_from_pg" => json!({ "nodename_overwrite": true }),
        "pgbackrest_repo" | "pgbackrest_log_dir" => json!({ "pgbackrest_method": "local" }),
        "node_dns_options" | "node_dns_method" => json!({ "node_dns_servers": ["10.10.10.53"] }),
        "patroni_synchronous_node_count" | "patroni_synchronous_mode_strict" => {
            json!({ "patroni_synchronous_mode": "on" })
        }
        "pg_dns_target" | "pg_dns_suffix" => json!({ "pg_vip_enabled": true }),
        "pg_rto_plan" => json!({ "pg_rto": "norm" }),
        "pg_primary_db" => json!({ "pg_libs": "pg_cron", "pg_default_extensions": ["pg_cron"] }),
        "pg_default_service_dest" => {
            json!({ "pg_services": [{ "name": "s", "port": 5555, "selector": "[]" }] })
        }
        // PostgreSQL 18 has it; where the node's sources offer that.
        "pg_io_method" => json!({ "pg_version": 18 }),
        "node_hugepage_ratio" => json!({ "node_hugepage_count": 0 }),
        _ => json!({}),
    }
}

/// The inventory.
fn inventory(setting: &Setting) -> String {
    let mut all = match json!({
        "admin_ip": FIRST,
        "vip_enabled": true, "vip_address": "10.10.10.3", "vip_vrid": 42,
        "pg_vip_enabled": true, "pg_vip_address": "10.10.10.2/24",
        "pg_users": [
            { "name": "dbuser_a", "password": "a", "pgbouncer": true, "roles": ["dbrole_admin"] },
        ],
        "pg_databases": [{ "name": "meta", "owner": "dbuser_a" }],
        "pg_hba_rules": [{ "user": "dbuser_a", "db": "all", "addr": "infra", "auth": "ssl" },
                         { "user": "dbuser_a", "db": "all", "addr": "intra", "auth": "pwd" }],
    }) {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let mut first = json!({ "infra_seq": 1, "etcd_seq": 1, "pg_seq": 1, "pg_role": "primary" });
    let mut second = json!({ "pg_seq": 2, "pg_role": "replica" });
    all.extend(setting.beside.clone());
    if let Value::Object(context) = context(setting.name) {
        all.extend(context);
    }
    let mut cluster = json!({ "pg_cluster": "pg-test" });
    let third = if setting.name == "etcd_rm_data" { json!({ "etcd_seq": 2 }) } else { json!({}) };
    if let Some(value) = &setting.value {
        let name = setting.name;
        if name == "pg_instances" {
            for own in ["pg_seq", "pg_role"] {
                first.as_object_mut().map(|first| first.remove(own));
                second.as_object_mut().map(|second| second.remove(own));
            }
            second[name] =
                json!({ "5440": { "pg_cluster": "pg-x", "pg_seq": 2, "pg_role": "replica" } });
        }
        if name == "pg_cluster" || name == "pg_instances" {
            cluster = json!({});
        }
        if OF_THE_SECOND.contains(&name) {
            second[name] = value.clone();
        } else if OF_THE_FIRST.contains(&name) {
            first[name] = value.clone();
        } else {
            all.insert(name.to_owned(), value.clone());
        }
    }
    // JSON is YAML.
    json!({ "all": {
        "children": {
            "infra": { "hosts": { FIRST: { } } },
            "etcd": { "hosts": { FIRST: { } } },
            "pg-test": { "hosts": { FIRST: first, SECOND: second }, "vars": cluster },
            "lb": { "hosts": { THIRD: third } },
        },
        "vars": all,
    } })
    .to_string()
}

/// A machine, or container, of a release.
fn facts(codename: &str, node: &str, name: &str, container: bool) -> NodeFacts {
    let mut offered = BTreeMap::new();
    // Real sources of such a release do not have it: what needs it is compiled, and judged by nobody.
    if name == "pg_io_method" {
        offered.insert("postgresql-18".to_owned(), "18.1-1".to_owned());
    }
    NodeFacts {
        hostname: format!("host-{}", node.replace('.', "-")),
        distribution: Distribution {
            id: "debian".to_owned(),
            version: if codename == "bookworm" { "12" } else { "13" }.to_owned(),
            codename: codename.to_owned(),
        },
        architecture: "x86_64".to_owned(),
        cores: 2,
        memory_bytes: 4 << 30,
        sysctl_read_only: container,
        open_files_limit: 20_000,
        interfaces: ["eth0", "eth1"]
            .map(|name| Interface {
                name: name.to_owned(),
                addresses: if name == "eth0" { vec![format!("{node}/24")] } else { Vec::new() },
            })
            .into(),
        own_units: Vec::new(),
        ownership: keddah_resource::OwnershipFacts::default(),
        resolved: false,
        package_candidates: offered,
        patroni: Vec::new(),
        members: Vec::new(),
        patroni_directories: Vec::new(),
        etcd: None,
        etcd_has_data: false,
        etcd_life: None,
        etcd_configured: false,
        instances: Vec::new(),
        data: Vec::new(),
        backups: Vec::new(),
        watchdog: Some(Permissions::new("root", "root", 0o666)),
        sandbox: false,
        doors: Vec::new(),
        asides: Vec::new(),
        removed: Vec::new(),
        repositories: Vec::new(),
        holdings: Vec::new(),
        ports: Vec::new(),
        verifiers: Vec::new(),
        system: keddah_resource::SystemFacts::default(),
    }
}

/// What a setting comes to.
pub struct Made {
    /// The fleet, or why there is none.
    pub fleet: Result<Compiled, Vec<Diagnostic>>,
    /// The same when an instance goes from the second node, or a member of etcd from the third.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "what a removal makes is looked at by tests")
    )]
    pub removal: Option<Result<Compiled, Vec<Diagnostic>>>,
    /// The errors that `keddah check` finds, by their codes.
    pub errors: BTreeSet<&'static str>,
}

/// Compiles the fleet with one setting, for a release by its codename.
///
/// # Panics
/// When the generated inventory does not load: a mistake here.
pub fn make(setting: &Setting, codename: &str, container: bool) -> Made {
    let text = inventory(setting);
    let mut sources = SourceMap::default();
    let (inventory, problems) = load(&mut sources, "values.yml", text.as_bytes());
    let Some(inventory) = inventory else { panic!("{text} does not load: {problems:?}") };
    let errors = check(&sources, &inventory)
        .into_iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| one.code)
        .collect();
    let fleet = compiled(&inventory, setting, codename, container, &Removing::default());
    let removal = setting.name.contains("_rm_").then(|| {
        let removing = if setting.name.starts_with("etcd_") {
            let third = NodeName::new(THIRD);
            Removing { etcd: BTreeSet::from([third]), ..Removing::default() }
        } else {
            let second = BTreeSet::from([NodeName::new(SECOND)]);
            let pgsql = BTreeMap::from([("pg-test".to_owned(), second)]);
            Removing { pgsql, ..Removing::default() }
        };
        compiled(&inventory, setting, codename, container, &removing)
    });
    Made { fleet, removal, errors }
}

fn compiled(
    inventory: &Inventory,
    setting: &Setting,
    codename: &str,
    container: bool,
    removing: &Removing,
) -> Result<Compiled, Vec<Diagnostic>> {
    let facts: BTreeMap<NodeName, NodeFacts> = inventory
        .hosts()
        .map(|host| {
            let node = host.name.as_str();
            (host.name.clone(), facts(codename, node, setting.name, container))
        })
        .collect();
    let authority = Authority {
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        fingerprint: "00".repeat(32),
        fresh_key: Some(Secret::new("key")),
        directory: "files/pki/ca".to_owned(),
        seed: Secret::new("seed"),
    };
    let authorities = Authorities {
        etcd: Authority {
            fingerprint: "11".repeat(32),
            directory: "files/pki/etcd".to_owned(),
            ..authority.clone()
        },
        fleet: authority,
    };
    compile(&Input {
        inventory,
        facts: &facts,
        authorities: &authorities,
        templates: &TEMPLATES,
        baselines: &BTreeMap::new(),
        public_keys: &["ssh-ed25519 AAAA controller".to_owned()],
        today: 20_000,
        controller_user: "root".to_owned(),
        controller_group: "root".to_owned(),
        removing,
    })
}
