//! etcd's root user, and the demand for logins.

use super::etcd_client::{Client, Closed, decoded, enter, refused};
use crate::{HostError, RealHost};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use keddah_core::Secret;
use keddah_resource::kind::etcd_auth::{Observed, Part, ROOT, Servers, Spec, evidence};
use keddah_resource::{Difference, Observation};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at what is still alive.
const STEP: Duration = Duration::from_millis(500);

/// Looks at root, and whether logins are asked for.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    join_all(specs.iter().map(|spec| look(spec))).await
}

async fn look(spec: &Spec) -> Result<Observation, HostError> {
    let client = match enter(&spec.servers.connections, &spec.servers.root).await {
        Ok(client) => client,
        Err(Closed::NotYet(because)) => return Ok(Observation::NotYet { because }),
        Err(Closed::WrongPassword) => return with_another_password(spec).await,
    };
    let unread = |error: io::Error| {
        HostError::new(format!("etcd does not say who may do what in it: {error}"))
    };
    let observed = match &spec.part {
        Part::Root { .. } if client.has_logged_in() => {
            Observed::Root { present: true, password: true }
        }
        Part::Root { .. } => {
            let roles = client.roles(ROOT).await.map_err(unread)?;
            let present = roles.is_some_and(|roles| roles.iter().any(|role| role == ROOT));
            let password = client.was_given(ROOT, &spec.servers.root).await.map_err(unread)?;
            Observed::Root { present, password }
        }
        Part::Required { .. } if client.has_logged_in() => Observed::Required(true),
        Part::Required { served, .. } => {
            let keys = keys(&client).await.map_err(unread)?;
            if let Some(because) = too_early(&keys, served) {
                return Ok(Observation::NotYet { because });
            }
            Observed::Required(false)
        }
    };
    Ok(Observation::Known(observed.into()))
}

/// Logins are asked for, and root's password is not the declared one: but maybe the one before.
async fn with_another_password(spec: &Spec) -> Result<Observation, HostError> {
    match &spec.part {
        Part::Root { password_file } => {
            before(&spec.servers, password_file).await?;
            let observed = Observed::Root { present: true, password: false };
            Ok(Observation::Known(observed.into()))
        }
        // That somebody is refused says enough.
        Part::Required { .. } => Ok(Observation::Known(Observed::Required(true).into())),
    }
}

/// A conversation by the password that this node knows from before.
async fn before<'a>(servers: &'a Servers, password_file: &str) -> Result<Client<'a>, HostError> {
    let Ok(password) = tokio::fs::read_to_string(password_file).await.map(Secret::new) else {
        return Err(refused());
    };
    match enter(&servers.connections, &password).await {
        Ok(client) => Ok(client),
        Err(Closed::NotYet(because)) => Err(HostError::new(because)),
        Err(Closed::WrongPassword) => Err(refused()),
    }
}

/// All keys, with the leases of those that have one: keys of whoever is alive.
async fn keys(client: &Client<'_>) -> io::Result<BTreeMap<String, Option<String>>> {
    // From the empty key to its like: everything (etcd's API guide, "Range").
    let zero = STANDARD.encode([0]);
    let question = json!({ "key": zero, "range_end": zero, "keys_only": true });
    let answer = client.call("/v3/kv/range", &question).await?;
    let found = answer.get("kvs").and_then(Value::as_array).into_iter().flatten();
    Ok(found
        .filter_map(|one| {
            let lease = one.get("lease").and_then(Value::as_str).filter(|&lease| lease != "0");
            Some((decoded(one.get("key")?.as_str()?)?, lease.map(str::to_owned)))
        })
        .collect())
}

/// Why logins cannot be asked for yet: somebody who is alive would be cut off. A Patroni that does not run
/// is not; it finds its login when it is started.
fn too_early(keys: &BTreeMap<String, Option<String>>, served: &[String]) -> Option<String> {
    let alive = || keys.iter().filter(|(_, lease)| lease.is_some()).map(|(key, _)| key.as_str());
    let strange = |key: &&str| !served.iter().any(|prefix| key.starts_with(prefix.as_str()));
    if let Some(stranger) = alive().find(strange) {
        return Some(format!(
            "etcd also serves somebody whom the inventory does not know, and who would be cut off: \
             {stranger}"
        ));
    }
    let without: Vec<&str> = alive()
        .filter_map(|key| {
            // Patroni's own keys: `<namespace>/<cluster>/members/<instance>`.
            let (cluster, instance) = key.split_once("/members/")?;
            let cluster = cluster.rsplit('/').next()?;
            (!keys.contains_key(&evidence(cluster, instance))).then_some(instance)
        })
        .collect();
    (!without.is_empty())
        .then(|| format!("these speak to etcd without a login as yet: {}", without.join(", ")))
}

/// Makes root, gives it its password, or asks for logins from now on.
///
/// # Errors
/// When etcd refuses it, or when somebody was cut off; then it is undone.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let root = &spec.servers.root;
    let entered = match enter(&spec.servers.connections, root).await {
        Ok(client) => Ok(client),
        Err(Closed::NotYet(because)) => return Err(HostError::new(because)),
        Err(Closed::WrongPassword) => Err(refused()),
    };
    match &spec.part {
        Part::Root { password_file } => {
            let client = match entered {
                Ok(client) => client,
                Err(_) => before(&spec.servers, password_file).await?,
            };
            let made = make_root(&client, root).await;
            made.map_err(|error| HostError::new(format!("etcd refuses root: {error}")))
        }
        Part::Required { patience_seconds, .. } => {
            require(&entered?, spec, Duration::from_secs((*patience_seconds).into())).await
        }
    }
}

async fn make_root(client: &Client<'_>, password: &Secret) -> io::Result<()> {
    if !client.add_user(ROOT, password).await? {
        client.change_password(ROOT, password).await?;
        if client.has_logged_in() {
            return Ok(());
        }
    }
    let role = json!({ "name": ROOT });
    client.call_unless("/v3/auth/role/add", &role, "role name already exists").await?;
    if !client.roles(ROOT).await?.is_some_and(|roles| roles.iter().any(|role| role == ROOT)) {
        client.call("/v3/auth/user/grant", &json!({ "user": ROOT, "role": ROOT })).await?;
    }
    Ok(())
}

/// Asks for logins, and waits until everybody who was alive has been heard of again. A Patroni that
/// etcd does not let in any more keeps its primary by failsafe mode, but not for ever.
async fn require(client: &Client<'_>, spec: &Spec, patience: Duration) -> Result<(), HostError> {
    let failed = |error: io::Error| {
        HostError::new(format!("etcd cannot be made to ask for logins: {error}"))
    };
    let alive = keys(client).await.map_err(failed)?;
    // A member's key names it best: its leader key, if any, has the same lease.
    let mut awaited: BTreeMap<String, String> =
        alive.into_iter().filter_map(|(key, lease)| Some((lease?, key))).collect();
    client.call("/v3/auth/enable", &json!({})).await.map_err(failed)?;
    let since = Instant::now();
    let root = match enter(&spec.servers.connections, &spec.servers.root).await {
        Ok(root) => root,
        Err(Closed::NotYet(because)) => return Err(HostError::new(because)),
        Err(Closed::WrongPassword) => return Err(refused()),
    };
    while !awaited.is_empty() {
        let mut heard = BTreeSet::new();
        for lease in awaited.keys() {
            let elapsed = since.elapsed();
            let question = json!({ "ID": lease });
            // What does not answer now is asked again.
            if let Ok(answer) = root.call("/v3/lease/timetolive", &question).await
                && is_renewed(&answer, elapsed)
            {
                heard.insert(lease.clone());
            }
        }
        awaited.retain(|lease, _| !heard.contains(lease));
        if awaited.is_empty() || since.elapsed() < patience {
            sleep(STEP).await;
            continue;
        }
        let silent: Vec<&str> = awaited.values().map(String::as_str).collect();
        let message = format!(
            "etcd does not ask for logins after all: with it, nothing was heard any more of {}",
            silent.join(", ")
        );
        root.call("/v3/auth/disable", &json!({})).await.map_err(failed)?;
        return Err(HostError::new(message).with_hint(
            "a connection that was made with a certificate that has a common name is not let in: restart \
             the Patroni, then apply again",
        ));
    }
    Ok(())
}

/// Whether a lease was renewed after logins came to be asked for, or is gone, for its owner has taken
/// another or has ended. One that was not has lost at least as much as has passed since.
fn is_renewed(answer: &Value, elapsed: Duration) -> bool {
    let seconds = |name: &str| {
        answer.get(name).and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok())
    };
    let Some(left) = seconds("TTL") else { return false };
    left < 0.0 || seconds("grantedTTL").is_some_and(|all| left > all - elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_tells_whether_its_owner_was_heard_of() {
        let lease = |left: &str| json!({ "ID": "7", "TTL": left, "grantedTTL": "30" });
        let after = Duration::from_secs;
        assert!(!is_renewed(&lease("29"), after(0)), "it may be from before");
        assert!(!is_renewed(&lease("25"), after(5)));
        assert!(is_renewed(&lease("26"), after(5)));
        assert!(is_renewed(&lease("-1"), after(5)), "it is gone");
        assert!(!is_renewed(&json!({}), after(20)), "no number is no answer");
    }

    #[test]
    fn nobody_is_cut_off() {
        let served = ["/pg/pg-a/".to_owned(), "/keddah/pg-a/".to_owned()];
        let lease = Some("7".to_owned());
        let mut keys = BTreeMap::from([
            ("/pg/pg-a/leader".to_owned(), lease.clone()),
            ("/pg/pg-a/members/pg-a-1".to_owned(), lease.clone()),
            // Left by somebody who is not alive.
            ("/pg/pg-gone/members/pg-gone-1".to_owned(), None),
        ]);
        let why = too_early(&keys, &served).expect("it has no login");
        assert!(why.contains("pg-a-1"), "{why}");
        keys.insert(evidence("pg-a", "pg-a-1"), None);
        assert_eq!(too_early(&keys, &served), None);
        keys.insert("/pg/pg-a2/leader".to_owned(), lease);
        let why = too_early(&keys, &served).expect("somebody else is alive");
        assert!(why.contains("/pg/pg-a2/leader"), "{why}");
    }
}
