//! PostgreSQL's parameters: a workload's template, sized for the cluster, under what the inventory
//! sets by hand.

use super::Cluster;
use super::libraries::preloaded;
use super::place::Place;
use crate::compiler::{Compiler, Problem, problem};
use crate::templates::Templates;
use keddah_core::{Diagnostic, Span};
use keddah_inventory::model::pg_clusters;
use keddah_inventory::{Inventory, Params, Refusal, parameters, refusal, setting_text};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What parameters follow from beside the inventory.
pub(crate) struct Sizes {
    /// The smallest member's processors, or its part of a node that it shares.
    pub cores: u64,
    /// The smallest member's memory, or its part of a node that it shares.
    pub memory_mb: u64,
    /// PostgreSQL's major version, when it is known.
    pub version: u32,
    /// Where the members' certificates stand.
    pub certificates: String,
}

/// Where and why parameters are wrong; the place of `pg_conf` for what stands in the template.
struct Wrong {
    code: &'static str,
    span: Option<Span>,
    message: String,
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        problem(wrong.code, wrong.span, wrong.message)
    }
}

impl Compiler<'_> {
    /// All parameters of a cluster by name.
    pub(super) fn parameters(
        &self,
        cluster: &Cluster<'_>,
    ) -> Result<BTreeMap<String, String>, Problem> {
        Ok(self.parameters_of(cluster, &sizes(cluster))?)
    }

    fn parameters_of(
        &self,
        cluster: &Cluster<'_>,
        sizes: &Sizes,
    ) -> Result<BTreeMap<String, String>, Wrong> {
        parameters(self.input.templates, &cluster.params, &cluster.name, sizes)
    }

    /// The names of those that would be others if one of the members were smaller than all that
    /// answer: found by asking the template for smaller nodes, for it may limit each of them.
    pub(super) fn sized(&self, cluster: &Cluster<'_>) -> Result<BTreeSet<String>, Problem> {
        /// What nodes are smaller by. The last ones reach below every limit of our templates.
        const SMALLER: [u64; 6] = [2, 4, 8, 32, 128, 1024];
        /// No node that runs PostgreSQL has less memory.
        const LEAST_MEMORY_MB: u64 = 256;
        let now = self.parameters(cluster)?;
        let mut found = BTreeSet::new();
        for by in SMALLER {
            let whole = sizes(cluster);
            let smaller = Sizes {
                cores: (whole.cores / by).max(1),
                memory_mb: (whole.memory_mb / by).max(LEAST_MEMORY_MB).min(whole.memory_mb),
                ..whole
            };
            let then = self.parameters_of(cluster, &smaller)?;
            let names = now.keys().chain(then.keys());
            found.extend(names.filter(|&name| now.get(name) != then.get(name)).cloned());
        }
        Ok(found)
    }
}

/// The sizes of those members that answer.
fn sizes(cluster: &Cluster<'_>) -> Sizes {
    Sizes {
        cores: cluster.least(|facts| u64::from(facts.cores)).max(1),
        memory_mb: cluster.least(|facts| facts.memory_bytes / 1024 / 1024),
        version: cluster.version,
        certificates: cluster.leader().place.certificates(),
    }
}

/// Problems of the templates that an inventory's clusters name, as far as they can be found before
/// any node was asked: for nodes of a usual size, and for the version that the inventory names.
pub fn check_templates(inventory: &Inventory, templates: &Templates) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut seen = HashSet::new();
    for cluster in pg_clusters(inventory) {
        let Some(member) = cluster.members.first() else { continue };
        let params = &member.params;
        let named = params.set(parameters::PG_VERSION).map(|_| params.get(parameters::PG_VERSION));
        let version = named.and_then(|version| u32::try_from(version).ok()).unwrap_or_default();
        let certificates = Place::of(cluster.name.as_str(), member).certificates();
        let sizes = Sizes { cores: 4, memory_mb: 8192, version, certificates };
        // Clusters differ in little that a template sees.
        let sees =
            (params.get(parameters::PG_CONF), given_to_template(params, "", &sizes).to_string());
        if !seen.insert(sees) {
            continue;
        }
        if let Err(wrong) = parameters(templates, params, cluster.name.as_str(), &sizes) {
            // What stands in pg_parameters has been looked at already.
            let new =
                wrong.code != SETTING && !found.iter().any(|known| known.message == wrong.message);
            if new {
                found.push(*Problem::from(wrong));
            }
        }
    }
    found
}

/// The code of a parameter that PostgreSQL would not take.
const SETTING: &str = "bad-setting";

fn parameters(
    templates: &Templates,
    params: &Params<'_>,
    cluster: &str,
    sizes: &Sizes,
) -> Result<BTreeMap<String, String>, Wrong> {
    let name = params.get(parameters::PG_CONF);
    let template = format!("postgresql/{name}");
    let in_template =
        |code, message| Wrong { code, span: params.span(parameters::PG_CONF), message };
    if !templates.contains(&template) {
        return Err(in_template(
            "unknown-template",
            format!(
                "there is no template `{name}`; use oltp.yml, olap.yml, crit.yml or tiny.yml, or \
                 put one of your own at templates/{template} beside the inventory"
            ),
        ));
    }
    let text = templates
        .render(&template, given_to_template(params, cluster, sizes))
        .map_err(|error| in_template("template", error.to_string()))?;
    let mut parameters =
        read(&template, &text).map_err(|message| in_template("template", message))?;
    let version = Some(sizes.version).filter(|&version| version > 0);
    for (name, value) in &parameters {
        if let Some(refusal) = refusal(version, name, value).filter(|refusal| refusal.certain) {
            let message = format!("templates/{template}: `{name}`: {}", reason(&refusal));
            return Err(in_template("template", message));
        }
    }
    for (name, value) in params.get(parameters::PG_PARAMETERS) {
        let Some(text) = setting_text(&value) else {
            parameters.remove(&name.text);
            continue;
        };
        if let Some(refusal) = refusal(version, &name.text, &text).filter(|refusal| refusal.certain)
        {
            return Err(Wrong {
                code: SETTING,
                span: value.span.or(name.span).or_else(|| params.span(parameters::PG_PARAMETERS)),
                message: format!("`{}` of cluster `{cluster}`: {}", name.text, reason(&refusal)),
            });
        }
        parameters.insert(name.text, text);
    }
    Ok(parameters)
}

/// What a template can use.
fn given_to_template(params: &Params<'_>, cluster: &str, sizes: &Sizes) -> serde_json::Value {
    let ratio = params.get(parameters::PG_SHARED_BUFFER_RATIO).clamp(0.05, 0.8);
    // Precise enough: a megabyte more or less does not matter.
    let shared_buffers_mb = ((sizes.memory_mb as f64 * ratio) as u64).max(16);
    json!({
        "cores": sizes.cores,
        "memory_mb": sizes.memory_mb,
        "shared_buffers_mb": shared_buffers_mb,
        "pg_max_conn": params.opt(parameters::PG_MAX_CONN).filter(|&most| most > 0).unwrap_or(0),
        "storage": params.get(parameters::PG_STORAGE_TYPE).to_uppercase(),
        "version": sizes.version,
        "libraries": preloaded(params),
        "log_directory": params.get(parameters::PG_LOG_DIR),
        "archive": params.get(parameters::PGBACKREST_ENABLED),
        "password_encryption": params.get(parameters::PG_PWD_ENC),
        "io_method": io_method(&params.get(parameters::PG_IO_METHOD)),
        "cluster": cluster,
        "primary_database": params.get(parameters::PG_PRIMARY_DB),
        "certificates": sizes.certificates,
    })
}

fn reason(refusal: &Refusal) -> String {
    match refusal.help() {
        Some(help) => format!("{}; {help}", refusal.why),
        None => refusal.why.clone(),
    }
}

/// PostgreSQL's word for what an inventory calls `auto` and `fsync`: its own default, and reading
/// in the process that needs it.
fn io_method(word: &str) -> &str {
    match word {
        "auto" => "worker",
        "fsync" => "sync",
        other => other,
    }
}

/// Reads a rendered template: one mapping of names to scalars.
fn read(template: &str, text: &str) -> Result<BTreeMap<String, String>, String> {
    let empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
    if empty {
        return Err(format!(
            "templates/{template} is empty: it holds PostgreSQL's parameters, one `name: value` a \
             line, and may begin with {{% include \"postgresql/common.yml\" %}}"
        ));
    }
    let wrong = |message: String| format!("templates/{template}: {message}");
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
