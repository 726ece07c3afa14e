//! Keys in etcd, over its JSON gateway: `etcdctl` is installed on etcd's own nodes only.

use super::etcd_gateway::post;
use crate::{HostError, RealHost};
use base64::{Engine, engine::general_purpose::STANDARD};
use keddah_resource::kind::etcd_keys::{Observed, Spec};
use keddah_resource::kind::etcd_member::EtcdConnection;
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Counted {
    /// The gateway writes numbers of 64 bits as text, and leaves out zero.
    #[serde(default)]
    count: Option<String>,
}

/// Looks at what is below a prefix.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut answers = Vec::with_capacity(specs.len());
    for spec in specs {
        answers.push(count(spec).await.map(|keys| Observation::Known(Observed { keys }.into())));
    }
    answers
}

async fn count(spec: &Spec) -> Result<u64, HostError> {
    let below = Spec { connections: usable(spec), ..spec.clone() };
    if below.connections.is_empty() {
        // Without a certificate no Patroni has ever written anything from here.
        return Ok(0);
    }
    let mut question = range(&spec.prefix);
    question["count_only"] = json!(true);
    let body = ask(&below, "/v3/kv/range", &question).await?;
    let counted: Counted = serde_json::from_slice(&body)
        .map_err(|error| HostError::new(format!("etcd's answer cannot be read: {error}")))?;
    Ok(counted.count.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// Deletes all of them.
///
/// # Errors
/// When no member of etcd takes the order.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    ask(spec, "/v3/kv/deleterange", &range(&spec.prefix)).await.map(drop)
}

fn usable(spec: &Spec) -> Vec<EtcdConnection> {
    let there = |one: &&EtcdConnection| {
        [&one.ca_path, &one.certificate_path, &one.key_path]
            .iter()
            .all(|path| path.is_empty() || Path::new(path).exists())
    };
    spec.connections.iter().filter(there).cloned().collect()
}

async fn ask(spec: &Spec, path: &str, question: &Value) -> Result<Vec<u8>, HostError> {
    let mut last = HostError::new("there is no member of etcd to ask");
    for connection in &spec.connections {
        match post(connection, path, question).await {
            Ok(answer) => return Ok(answer.to_vec()),
            Err(error) => {
                last = HostError::new(format!(
                    "etcd on {} does not answer for {}: {error}",
                    connection.endpoint, spec.prefix
                ));
            }
        }
    }
    Err(last)
}

/// All keys that begin with the prefix: the range ends before the first text that does not
/// (etcd's API guide, "Range").
fn range(prefix: &str) -> Value {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    json!({ "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_its_neighbour_begins() {
        let range = range("/pg/pg-a/");
        assert_eq!(range["key"], STANDARD.encode("/pg/pg-a/"));
        assert_eq!(range["range_end"], STANDARD.encode("/pg/pg-a0"));
    }
}
