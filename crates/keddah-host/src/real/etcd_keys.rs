//! Keys in etcd, over its JSON gateway: `etcdctl` is installed on etcd's own nodes only.

use super::etcd_client::{Closed, enter, refused};
use super::etcd_gateway::missing_file;
use crate::{HostError, RealHost};
use base64::{Engine, engine::general_purpose::STANDARD};
use keddah_resource::kind::etcd_keys::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
struct Counted {
    /// The gateway writes numbers of 64 bits as text, and leaves out zero.
    #[serde(default = "zero")]
    count: String,
}

fn zero() -> String {
    "0".to_owned()
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
    if spec.servers.connections.iter().all(|one| missing_file(one).is_some()) {
        // Without a certificate no Patroni has ever written anything from here.
        return Ok(0);
    }
    let mut question = range(&spec.prefix);
    question["count_only"] = json!(true);
    counted(ask(spec, "/v3/kv/range", &question).await?)
}

fn counted(answer: Value) -> Result<u64, HostError> {
    let unreadable =
        |why: String| HostError::new(format!("etcd's count of keys cannot be read: {why}"));
    let Counted { count } =
        serde_json::from_value(answer).map_err(|error| unreadable(error.to_string()))?;
    count.parse().map_err(|_| unreadable(count))
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

async fn ask(spec: &Spec, path: &str, question: &Value) -> Result<Value, HostError> {
    let client = match enter(&spec.servers.connections, &spec.servers.root).await {
        Ok(client) => client,
        Err(Closed::NotYet(because)) => return Err(HostError::new(because)),
        Err(Closed::WrongPassword) => return Err(refused()),
    };
    client.call(path, question).await.map_err(|error| {
        HostError::new(format!("etcd does not answer for {}: {error}", spec.prefix))
    })
}

/// All keys that begin with the prefix: the range ends before the first text that does not
/// (etcd's API guide, "Range").
pub(super) fn range(prefix: &str) -> Value {
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

    #[test]
    fn no_count_is_zero_and_one_that_is_no_number_is_not() {
        assert_eq!(counted(json!({ "header": {} })).unwrap(), 0);
        assert_eq!(counted(json!({ "header": {}, "count": "12" })).unwrap(), 12);
        assert!(counted(json!({ "count": "many" })).is_err());
        assert!(counted(json!("404 page not found")).is_err());
    }
}
