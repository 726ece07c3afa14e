//! PostgreSQL's parameters: a workload's template, sized for the cluster, under what the inventory
//! sets by hand.

use super::Cluster;
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::{Data, Value, to_json};
use serde_json::json;
use std::collections::BTreeMap;

impl Compiler<'_> {
    /// All parameters of a cluster by name.
    pub(super) fn parameters(
        &self,
        cluster: &Cluster<'_>,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let params = &cluster.params;
        let name = params.str("pg_conf");
        let template = format!("postgresql/{name}");
        if !self.input.templates.contains(&template) {
            return Err(problem(
                "unknown-template",
                params.span("pg_conf"),
                format!(
                    "there is no template `{name}`; use oltp.yml, olap.yml, crit.yml or tiny.yml, \
                     or put one of your own at templates/{template} beside the inventory"
                ),
            ));
        }
        let memory_mb = cluster.least(|facts| facts.memory_bytes / 1024 / 1024);
        let ratio = params.float("pg_shared_buffer_ratio").clamp(0.05, 0.8);
        // Precise enough: a megabyte more or less does not matter.
        let shared_buffers_mb = ((memory_mb as f64 * ratio) as u64).max(16);
        let text = self.render(
            &template,
            json!({
                "cores": cluster.least(|facts| u64::from(facts.cores)),
                "memory_mb": memory_mb,
                "shared_buffers_mb": shared_buffers_mb,
                "pg_max_conn": params.opt_int("pg_max_conn").filter(|&most| most > 0).unwrap_or(0),
                "storage": params.str("pg_storage_type").to_uppercase(),
                "version": cluster.version,
                "libraries": params.str("pg_libs"),
                "log_directory": params.str("pg_log_dir"),
                "archive": params.bool("pgbackrest_enabled"),
                "password_encryption": params.str("pg_pwd_enc"),
                "io_method": params.str("pg_io_method"),
                "cluster": cluster.name,
                "primary_database": params.str("pg_primary_db"),
                "certificates": super::CERTIFICATES,
            }),
        )?;
        let mut parameters = read(&template, &text)?;
        for (name, value) in params.map("pg_parameters") {
            match scalar(&value) {
                Some(text) => parameters.insert(name.text, text),
                None => parameters.remove(&name.text),
            };
        }
        Ok(parameters)
    }
}

/// Reads a rendered template: one mapping of names to scalars.
fn read(template: &str, text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let wrong =
        |message: String| problem("template", None, format!("templates/{template}: {message}"));
    let document: BTreeMap<String, serde_json::Value> =
        serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut parameters = BTreeMap::new();
    for (name, value) in document {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(true) => "on".to_owned(),
            serde_json::Value::Bool(false) => "off".to_owned(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => return Err(wrong(format!("`{name}` must be a single value"))),
        };
        parameters.insert(name, text);
    }
    Ok(parameters)
}

/// A value as PostgreSQL's configuration spells it; `None` for null, lists and mappings.
fn scalar(value: &Value) -> Option<String> {
    match &value.data {
        Data::Bool(true) => Some("on".to_owned()),
        Data::Bool(false) => Some("off".to_owned()),
        Data::String(text) => Some(text.clone()),
        Data::Int(_) | Data::Float(_) | Data::BigInt(_) => Some(to_json(value).to_string()),
        Data::Unsafe(text) => Some(text.clone()),
        Data::Null | Data::List(_) | Data::Map(_) | Data::Vault(_) => None,
    }
}
