//! The member of etcd on this node; and of the one that leads, which clusters have a leader.

use super::super::etcd_client::{Closed, decoded, enter};
use super::super::etcd_gateway::{Member, Status, members, missing_file, status};
use super::super::etcd_keys::range;
use super::within;
use crate::HostError;
use keddah_core::Secret;
use keddah_resource::health::{EtcdHealth, KnownEtcd};
use keddah_resource::kind::etcd_auth::ROOT_PASSWORD_FILE;
use keddah_resource::kind::etcd_member::EtcdConnection;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// The last part of the key that a leader holds for as long as it renews its lease.
const LEADER: &str = "leader";

pub(super) async fn look(
    connection: &EtcdConnection,
    namespaces: &[String],
    patience: Duration,
) -> Result<EtcdHealth, HostError> {
    if let Some(path) = missing_file(connection) {
        return Err(HostError::new(format!("{path} does not exist")));
    }
    let Status { header, version, size, leader, errors, learner } = status(connection).await?;
    // Once for all of etcd: a login costs it some work.
    let leads = leader.to_string() == header.member_id;
    let led = if leads && !namespaces.is_empty() {
        let asked = led(connection, namespaces);
        Some(within(patience.mul_f64(0.8), "etcd", asked).await)
    } else {
        None
    };
    Ok(EtcdHealth {
        cluster: header.cluster_id,
        member: header.member_id,
        leader: leader.to_string(),
        size: size.parse().unwrap_or_default(),
        errors,
        version,
        learner,
        members: known(connection).await,
        led,
    })
}

/// The members as this one knows them; none where it does not say.
async fn known(connection: &EtcdConnection) -> Vec<KnownEtcd> {
    let known = members(connection).await.unwrap_or_default();
    let one = |member: Member| KnownEtcd {
        id: format!("{:x}", member.id),
        name: member.name,
        peer_urls: member.peer_urls,
        learner: member.learner,
    };
    known.into_iter().map(one).collect()
}

/// Where the clusters keep their keys that have a leader now: `/pg/pg-test/` of the key
/// `/pg/pg-test/leader`.
async fn led(connection: &EtcdConnection, namespaces: &[String]) -> Result<Vec<String>, HostError> {
    let password = fs::read_to_string(ROOT_PASSWORD_FILE).unwrap_or_default();
    let connections = [connection.clone()];
    let root = Secret::new(password.trim_end_matches('\n'));
    let client = match enter(&connections, &root).await {
        Ok(client) => client,
        Err(Closed::NotYet(because)) => return Err(HostError::new(because)),
        Err(Closed::WrongPassword) => {
            return Err(HostError::new(format!(
                "the password in {ROOT_PASSWORD_FILE} is not root's any more"
            )));
        }
    };
    let mut found = Vec::new();
    for namespace in namespaces {
        let mut question = range(namespace);
        question["keys_only"] = json!(true);
        // What this member knows itself is enough.
        question["serializable"] = json!(true);
        let answer = client
            .call("/v3/kv/range", &question)
            .await
            .map_err(|error| HostError::new(format!("etcd does not list its keys: {error}")))?;
        found.extend(led_in(&answer, namespace));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Of `/pg/pg-test/leader` the cluster's own prefix; a cluster's name has no slash.
fn led_in(answer: &Value, namespace: &str) -> Vec<String> {
    let keys = answer.pointer("/kvs").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(|pair| decoded(pair.get("key")?.as_str()?))
        .filter_map(|key| {
            let (cluster, key) = key.strip_prefix(namespace)?.split_once('/')?;
            (key == LEADER).then(|| format!("{namespace}{cluster}/"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    #[test]
    fn what_a_member_says_is_read_also_without_a_leader() {
        let status: Status = serde_json::from_str(
            r#"{"header":{"cluster_id":"77","member_id":"5","raft_term":"3"},"version":"3.5.16",
                "dbSize":"24576","leader":"5","raftIndex":"9","dbSizeInUse":"20480"}"#,
        )
        .unwrap();
        assert_eq!((status.leader, status.size.as_str()), (5, "24576"));
        let alone: Status = serde_json::from_str(
            r#"{"header":{"cluster_id":"77"},"errors":["etcdserver: no leader"]}"#,
        )
        .unwrap();
        assert!(alone.leader == 0 && alone.errors.len() == 1);
    }

    #[test]
    fn a_cluster_is_led_that_has_its_leaders_key() {
        let keys = ["/pg/pg-a/leader", "/pg/pg-a/config", "/pg/pg-b/config", "/pg/x/y/leader"];
        let pairs = keys.map(|key| json!({"key": STANDARD.encode(key)}));
        let answer = json!({"kvs": pairs});
        assert_eq!(led_in(&answer, "/pg/"), ["/pg/pg-a/"]);
        assert!(led_in(&json!({}), "/pg/").is_empty());
    }
}
