//! Keys in etcd, over its JSON gateway: `etcdctl` is installed on etcd's own nodes only.

use super::etcd_client::{Closed, decoded, enter, key, refused};
use super::etcd_gateway::missing_file;
use crate::{HostError, RealHost};
use base64::{Engine, engine::general_purpose::STANDARD};
use keddah_resource::kind::etcd_keys::{Living, Observed, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[derive(Debug, Deserialize)]
struct Counted {
    /// The gateway writes numbers of 64 bits as text, and leaves out zero.
    #[serde(default = "zero")]
    count: String,
}

fn zero() -> String {
    "0".to_owned()
}

/// Between two looks at who still lives.
const STEP: Duration = Duration::from_secs(1);

/// A lease ends within this time of its own (etcd revokes those that have run out twice a second).
const REVOKING: Duration = Duration::from_secs(5);

/// Looks at what is below a prefix.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut answers = Vec::with_capacity(specs.len());
    for spec in specs {
        answers.push(look(spec).await.map(|observed| Observation::Known(observed.into())));
    }
    answers
}

async fn look(spec: &Spec) -> Result<Observed, HostError> {
    if spec.servers.connections.iter().all(|one| missing_file(one).is_some()) {
        // Without a certificate no Patroni has ever written anything from here.
        return Ok(Observed { keys: 0, living: Vec::new() });
    }
    let mut question = range(&spec.prefix);
    question["count_only"] = json!(true);
    let keys = counted(ask(spec, "/v3/kv/range", &question).await?)?;
    let living = if keys == 0 { Vec::new() } else { living(spec).await? };
    Ok(Observed { keys, living })
}

/// Who lives by the keys: the members that have not stopped, and who leads, should it be none of them.
/// Patroni takes the leader's key away when it stops in peace, and writes `stopped` into its own; where it
/// is killed, both go with their lease (`Ha.shutdown` in Patroni's `ha.py`).
async fn living(spec: &Spec) -> Result<Vec<Living>, HostError> {
    let members = format!("{}members/", spec.prefix);
    let listed = pairs(&ask(spec, "/v3/kv/range", &range(&members)).await?);
    let leads = pairs(&ask(spec, "/v3/kv/range", &key(&format!("{}leader", spec.prefix))).await?);
    let named = listed.iter().map(|(name, about)| {
        let about: Value = serde_json::from_str(about).unwrap_or_default();
        (name.strip_prefix(&members).unwrap_or(name), about)
    });
    let named: Vec<(&str, Value)> = named.collect();
    let leads = leads.first().map(|(_, name)| name.as_str());
    let stopped = |about: &Value| about.get("state").and_then(Value::as_str) == Some("stopped");
    let mut living: Vec<Living> = named
        .iter()
        .filter(|(name, about)| !stopped(about) || leads == Some(name))
        .map(|(name, about)| Living { name: (*name).to_owned(), address: address(about) })
        .collect();
    if let Some(leads) = leads.filter(|leads| named.iter().all(|(name, _)| name != leads)) {
        living.push(Living { name: leads.to_owned(), address: String::new() });
    }
    Ok(living)
}

/// Where a member serves, of its `conn_url`, such as `postgres://10.10.10.11:5432/postgres`.
fn address(about: &Value) -> String {
    let url = about.get("conn_url").and_then(Value::as_str).unwrap_or_default();
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']).to_owned()
}

/// Names and values of an answer.
fn pairs(answer: &Value) -> Vec<(String, String)> {
    let text = |pair: &Value, field| pair.get(field).and_then(Value::as_str).and_then(decoded);
    let pairs = answer.get("kvs").and_then(Value::as_array).into_iter().flatten();
    pairs.filter_map(|pair| Some((text(pair, "key")?, text(pair, "value")?))).collect()
}

fn counted(answer: Value) -> Result<u64, HostError> {
    let unreadable =
        |why: String| HostError::new(format!("etcd's count of keys cannot be read: {why}"));
    let Counted { count } =
        serde_json::from_value(answer).map_err(|error| unreadable(error.to_string()))?;
    count.parse().map_err(|_| unreadable(count))
}

/// Deletes all of them, once nobody lives by them any more: who was killed does for as long as its lease
/// lasts, and who did not stop goes on renewing it.
///
/// # Errors
/// When somebody still lives then, or no member of etcd takes the order.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let lease = Duration::from_secs(u64::from(spec.lease_seconds));
    let deadline = Instant::now() + lease + REVOKING;
    loop {
        let living = living(spec).await?;
        if living.is_empty() {
            return ask(spec, "/v3/kv/deleterange", &range(&spec.prefix)).await.map(drop);
        }
        if Instant::now() >= deadline {
            return Err(HostError::new(spec.lives(&living)));
        }
        sleep(STEP).await;
    }
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
    fn a_members_address_is_read_from_its_url() {
        let of = |url: &str| address(&json!({ "conn_url": url }));
        assert_eq!(of("postgres://10.10.10.11:5432/postgres"), "10.10.10.11");
        assert_eq!(of("postgres://[fe80::1]:5432/postgres"), "fe80::1");
        assert_eq!(address(&json!({})), "");
    }

    #[test]
    fn no_count_is_zero_and_one_that_is_no_number_is_not() {
        assert_eq!(counted(json!({ "header": {} })).unwrap(), 0);
        assert_eq!(counted(json!({ "header": {}, "count": "12" })).unwrap(), 12);
        assert!(counted(json!({ "count": "many" })).is_err());
        assert!(counted(json!("404 page not found")).is_err());
    }
}
