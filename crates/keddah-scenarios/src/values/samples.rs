//! Values for each parameter: every word of an enumeration, both edges of a range, and examples of what
//! has neither.

use keddah_inventory::registry::{Parameter, ParameterType};
use serde_json::{Value, json};

/// Values of what a type alone does not tell.
fn examples(name: &str) -> Option<Value> {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFx1 somebody@somewhere";
    Some(match name {
        "admin_ip" => json!(["10.10.10.99"]),
        "dns_records" => json!([["10.10.10.9 x.pigsty y"]]),
        "etcd_cluster" => json!(["etcd-b"]),
        "etcd_data" | "node_data" | "pg_fs_main" | "pg_fs_backup" => json!(["/srv/values/x"]),
        "haproxy_services" => json!([
            [{ "name": "web", "port": 9999, "servers": [{ "name": "a", "ip": "10.10.10.11", "port": 80 }] }],
            [{ "name": "web", "port": 9999, "protocol": "http", "balance": "roundrobin",
               "servers": [{ "name": "a", "ip": "10.10.10.11", "port": 80, "options": "check" }] }],
        ]),
        "node_admin_pk_list" => json!([[key]]),
        "node_aliases" => json!([{ "p": "psql", "say": "echo 'it is'" }]),
        "node_cluster" | "pg_dns_suffix" | "vip_dns_suffix" => json!(["values"]),
        "node_crontab" => json!([["* * * * * root true"]]),
        "node_default_etc_hosts" | "node_etc_hosts" => json!([["10.10.10.9 x.pigsty y"]]),
        "node_default_packages" | "node_packages" => json!([["jq, lz4"]]),
        "node_dns_options" => json!([["options timeout:3"]]),
        "node_dns_servers" => json!([["10.10.10.53"]]),
        "node_firewall_intranet" => json!([["10.99.0.0/16"]]),
        "node_kernel_modules" => json!([[], ["softdog"]]),
        "node_ntp_servers" => {
            json!([["server ntp.example iburst"], ["pool pool.example iburst", "peer 10.10.10.9"]])
        }
        "node_sysctl_params" => json!([{ "vm.swappiness": 7 }]),
        "node_timezone" => json!(["Europe/Berlin", "UTC"]),
        "nodename" => json!(["somebody"]),
        "pg_cluster" => json!(["pg-other"]),
        "pg_conf" => json!(["oltp.yml", "olap.yml", "crit.yml", "tiny.yml"]),
        "pg_crontab" => json!([["00 01 * * * /pg/bin/pg-backup full"]]),
        "pg_databases" => json!([
            [],
            [{ "name": "one", "owner": "dbuser_a", "connlimit": 5, "pool_mode": "session", "pool_size": 7 }],
        ]),
        "pg_default_extensions" => json!([[], ["pg_trgm", { "name": "pg_cron" }]]),
        "pg_default_hba_rules" | "pg_hba_rules" => {
            let word = |auth: &str| json!([{ "user": "all", "db": "all", "addr": "10.9.0.0/16", "auth": auth }]);
            let words = ["deny", "trust", "pwd", "sha", "md5", "ssl", "ssl-sha", "ssl-md5", "cert"];
            Value::Array(words.map(word).to_vec())
        }
        "pgb_default_hba_rules" | "pgb_hba_rules" => {
            let word = |auth: &str| json!([{ "user": "all", "db": "all", "addr": "10.9.0.0/16", "auth": auth }]);
            Value::Array(["deny", "trust", "pwd", "sha", "md5", "ssl"].map(word).to_vec())
        }
        "pg_default_privileges" => json!([[], ["GRANT USAGE ON SCHEMAS TO dbrole_readonly"]]),
        "pg_default_roles" => {
            json!([[{ "name": "dbrole_readonly", "login": false, "comment": "changed" }]])
        }
        "pg_default_schemas" => json!([[], ["monitor", "further"]]),
        "pg_default_services" | "pg_services" => {
            let with = |service: Value| json!([service]);
            json!([
                with(json!({ "name": "s", "port": 5555, "selector": "[]" })),
                with(
                    json!({ "name": "s", "port": 5555, "selector": "[]", "dest": "postgres", "check": "/sync" })
                ),
                with(
                    json!({ "name": "s", "port": 5555, "selector": "[]", "dest": "pgbouncer", "check": "/read-only",
                             "maxconn": 77, "balance": "leastconn", "options": "inter 5s fastinter 1s" })
                ),
            ])
        }
        "pg_delay" => json!(["0", "30s", "15m", "1h", "1d", "2w", "500ms", "1.5h"]),
        "pg_extensions" => json!([["pgvector"]]),
        "pg_instances" => {
            json!([{ "5440": { "pg_cluster": "pg-x", "pg_seq": 1, "pg_role": "primary" } }])
        }
        "pg_libs" => json!(["", "pg_stat_statements"]),
        "pg_listen" => json!(["*", "${ip},${lo}", "0.0.0.0", "::"]),
        "pg_log_dir" | "patroni_log_dir" | "pgbouncer_log_dir" | "pgbackrest_log_dir" => {
            json!(["/var/log/values"])
        }
        // Patroni takes none below 25.
        "pg_max_conn" => json!(["auto", 25, 100, 10_000]),
        "pg_packages" => json!([["pgsql-main", "jq"], ["pgsql-mian"]]),
        "pg_parameters" => json!([{ "work_mem": "8MB" }, { "max_wal_size": "2GB", "jit": false }]),
        "pg_primary_db" => json!(["meta"]),
        // Patroni's shortest lease is 20 seconds.
        "pg_rto" => json!(["fast", "norm", "safe", "wide", 20, 30, 100, 3600]),
        "pg_rto_plan" => json!([{ "norm": [25, 5, 10, 20, 5, "0.5s", "250ms", "1.5s", 2, 4] }]),
        "pg_service_provider" => json!(["lb"]),
        "pg_upstream" => json!(["10.10.10.10"]),
        "pg_users" => json!([
            [],
            [{ "name": "dbuser_b", "password": "b", "pgbouncer": true, "pool_mode": "session", "pool_connlimit": 3 }],
        ]),
        "pg_vip_address" => json!(["10.10.10.7/24", "10.10.10.7/32"]),
        "pgbackrest_method" => json!(["local", "minio"]),
        "pgbackrest_repo" => json!([
            { "local": { "path": "/pg/backup", "retention_full_type": "time", "retention_full": 14 } },
            { "local": { "path": "/pg/backup", "bundle": "y", "cipher_type": "aes-256-cbc", "cipher_pass": "x y" } },
        ]),
        "pgbouncer_ignore_param" => json!([[], ["extra_float_digits"]]),
        "pg_vip_interface" | "vip_interface" => json!(["eth1"]),
        "proxy_env" => json!([
            { "http_proxy": "http://10.10.10.9:3128", "no_proxy": "localhost,10.0.0.0/8" },
            { "all_proxy": "http://u:p@proxy.example:3128" },
        ]),
        "vip_address" => json!(["10.10.10.8"]),
        "cert_validity" => json!(["1d", "90d", "1y", "36500d"]),
        "ca_cn" => json!(["another"]),
        _ => return None,
    })
}

/// The values of a parameter to try.
pub fn samples(parameter: &Parameter) -> Vec<Value> {
    if let Some(Value::Array(examples)) = examples(parameter.name) {
        return examples;
    }
    of_type(parameter.kind)
}

/// Entries of a structured parameter: each value of each field that has an enumeration or a range, beside
/// the fields that an entry cannot do without.
pub fn entries(parameter: &Parameter) -> Vec<Value> {
    let ParameterType::List(structure) = parameter.kind else { return Vec::new() };
    let entry = match parameter.name {
        "pg_users" => json!({ "name": "dbuser_b", "password": "b", "pgbouncer": true }),
        "pg_databases" => json!({ "name": "one" }),
        "pg_services" => json!({ "name": "s", "port": 5555, "selector": "[]" }),
        "pg_hba_rules" | "pgb_hba_rules" => {
            json!({ "user": "all", "db": "all", "addr": "10.9.0.0/16", "auth": "pwd" })
        }
        "haproxy_services" => json!({ "name": "web", "port": 9999,
            "servers": [{ "name": "a", "ip": "10.10.10.11", "port": 80 }] }),
        _ => return Vec::new(),
    };
    let mut entries = Vec::new();
    let mut with = |field: &str, value: Value| {
        let mut entry = entry.clone();
        entry[field] = value;
        entries.push(json!([entry]));
    };
    for field in structure.fields {
        let limited = matches!(
            field.kind,
            ParameterType::Choice { .. }
                | ParameterType::Bool
                | ParameterType::Integer { .. }
                | ParameterType::IntegerOr { .. }
                | ParameterType::Float { .. }
                | ParameterType::Interval
                | ParameterType::Size
        );
        if limited {
            of_type(field.kind).into_iter().for_each(|value| with(field.name, value));
        }
    }
    if parameter.name.ends_with("hba_rules") {
        for address in ["local", "localhost", "intra", "infra", "cluster", "admin", "world", "all"]
        {
            with("addr", json!(address));
        }
        for user in ["${dbsu}", "${repl}", "${monitor}", "${admin}", "+dbrole_readonly", "dbuser_a"]
        {
            with("user", json!(user));
        }
        with("db", json!("replication"));
    }
    entries
}

fn of_type(kind: ParameterType) -> Vec<Value> {
    match kind {
        ParameterType::Choice { values, .. } => values.iter().map(|&word| json!(word)).collect(),
        ParameterType::Bool => vec![json!(true), json!(false)],
        ParameterType::Integer { min, max } => vec![json!(min), json!(max)],
        ParameterType::IntegerOr { words } => {
            let numbers = [0, 20, 30, 100, 10_000].map(|number| json!(number));
            words.iter().map(|&word| json!(word)).chain(numbers).collect()
        }
        ParameterType::Float { min, max } => vec![json!(min), json!((min + max) / 2.0), json!(max)],
        // Below that, only root listens (ip(7), ip_unprivileged_port_start).
        ParameterType::Port => vec![json!(1024), json!(65535)],
        ParameterType::Size => ["1MiB", "8kB", "2GB"].map(|size| json!(size)).to_vec(),
        ParameterType::Interval | ParameterType::Duration => {
            ["5", "500ms", "90s", "1.5h", "15min", "2d", "3w", "1y"]
                .map(|span| json!(span))
                .to_vec()
        }
        ParameterType::Path | ParameterType::RelativePath => vec![json!("/srv/values")],
        ParameterType::Text | ParameterType::TextOrList | ParameterType::Username => {
            vec![json!("values")]
        }
        ParameterType::Password => vec![json!("Values.1"), json!("with 'quotes' \"and\" $more#")],
        ParameterType::Ip | ParameterType::IpOrEmpty | ParameterType::IpList => {
            vec![json!("10.10.10.77")]
        }
        ParameterType::Cidr | ParameterType::Cidr4 => vec![json!("10.77.0.0/16")],
        ParameterType::Url | ParameterType::DatabaseUrl => vec![json!("https://values.example/x")],
        ParameterType::Arguments => vec![json!("--values")],
        ParameterType::TextList | ParameterType::PathList => vec![json!(["/values"])],
        ParameterType::CidrList => vec![json!(["10.77.0.0/16"])],
        ParameterType::PortList => vec![json!([77])],
        ParameterType::Mapping | ParameterType::One(_) => vec![json!({ "values": "x" })],
        ParameterType::List(_) => vec![json!([])],
    }
}
