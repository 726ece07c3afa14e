//! Users of clusters in etcd, and their roles.

use super::etcd_client::{Client, Closed, decoded, enter, key, refused};
use super::etcd_gateway::missing_file;
use super::etcd_keys::range;
use crate::rest::own_status;
use crate::{HostError, RealHost};
use futures_util::future::join_all;
use keddah_resource::kind::etcd_access::{Observed, Part, Spec};
use keddah_resource::kind::etcd_auth::{MARKS, Servers, own_prefix};
use keddah_resource::{Difference, Observation};
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::time::sleep;

/// Users that are looked at beside each other.
const BESIDE: usize = 4;

/// Looks at users, a few at a time, and enters once for all that are reached in the same way: each question is
/// a connection of its own, and those of a hundred clusters at once are waited for longer than anybody waits.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut ways: Vec<(&Servers, Vec<usize>)> = Vec::new();
    for (at, spec) in specs.iter().enumerate() {
        match ways.iter_mut().find(|(servers, _)| same_way(servers, &spec.servers)) {
            Some((_, users)) => users.push(at),
            None => ways.push((&spec.servers, vec![at])),
        }
    }
    let mut answers: Vec<(usize, Result<Observation, HostError>)> = Vec::new();
    for (servers, users) in ways {
        let client = enter(&servers.connections, &servers.root).await;
        for some in users.chunks(BESIDE) {
            let looks = some.iter().map(async |&at| (at, look(client.as_ref(), specs[at]).await));
            answers.extend(join_all(looks).await);
        }
    }
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Whether what one login sees is what the other would see: each instance has certificates of its own, which
/// are there or are not.
fn same_way(one: &Servers, other: &Servers) -> bool {
    let endpoints = |servers: &Servers| -> Vec<(String, bool)> {
        let all = servers.connections.iter();
        all.map(|one| (one.endpoint.clone(), missing_file(one).is_some())).collect()
    };
    one.root == other.root && endpoints(one) == endpoints(other)
}

async fn look(client: Result<&Client<'_>, &Closed>, spec: &Spec) -> Result<Observation, HostError> {
    let client = match client {
        Ok(client) => client,
        Err(Closed::NotYet(because)) => {
            return Ok(Observation::NotYet { because: because.clone() });
        }
        // Root gets its password on another node, and says there what is wrong with it.
        Err(Closed::WrongPassword) => {
            let because = refused().message;
            return Ok(Observation::NotYet { because });
        }
    };
    let observed = seen(client, spec).await;
    let observed = observed.map_err(|error| failed("looked at", spec, &error))?;
    Ok(Observation::Known(observed.into()))
}

fn failed(what: &str, spec: &Spec, error: &io::Error) -> HostError {
    HostError::new(format!("the user {} of etcd cannot be {what}: {error}", spec.user))
}

async fn seen(client: &Client<'_>, spec: &Spec) -> io::Result<Observed> {
    let roles = client.roles(&spec.user).await?;
    let ranges = ranges(client, spec).await?;
    let mut reaches: Vec<String> =
        ranges.iter().flatten().map(|range| reach(range, &spec.prefixes)).collect();
    reaches.sort();
    // One that is not there is made with it.
    let password = roles.is_none()
        || client.was_given(&spec.user, &spec.password).await? && !is_refused(client, spec).await?;
    Ok(Observed {
        user: roles.is_some(),
        role: ranges.is_some(),
        roles: roles.unwrap_or_default(),
        reaches,
        password,
    })
}

/// Whether the password that the user was given last does not let it in: somebody has changed it in etcd by
/// other means. That ends every login by the old one at once (`UserChangePassword` in etcd's `auth/store.go`), so a
/// Patroni that goes on hearing etcd says that it was not; only where none does is a login tried, which costs
/// etcd a bcrypt.
async fn is_refused(client: &Client<'_>, spec: &Spec) -> io::Result<bool> {
    if spec.part != Part::Password || !client.has_logged_in() {
        return Ok(false);
    }
    if let Some(port) = spec.patroni_port {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let heard = own_status(port).await.map(|status| status.dcs_last_seen);
        let turn = i64::from(spec.settled_seconds);
        if heard.is_ok_and(|heard| now.saturating_sub(heard) <= turn) {
            return Ok(false);
        }
    }
    client.lets_in(&spec.user, &spec.password).await.map(|lets_in| !lets_in)
}

/// What the role reaches, as etcd says it; `None` where there is no such role.
async fn ranges(client: &Client<'_>, spec: &Spec) -> io::Result<Option<Vec<Value>>> {
    let question = json!({ "role": spec.user });
    let answer = client.call_unless("/v3/auth/role/get", &question, "role name not found").await?;
    let Some(answer) = answer else { return Ok(None) };
    let ranges = answer.get("perm").and_then(Value::as_array).into_iter().flatten();
    Ok(Some(ranges.cloned().collect()))
}

/// A prefix that is read and written, or what else it is, in words.
fn reach(permission: &Value, prefixes: &[String]) -> String {
    let text = |name: &str| permission.get(name).and_then(Value::as_str).unwrap_or_default();
    let wanted = |prefix: &&String| {
        let range = range(prefix);
        text("permType") == "READWRITE"
            && range["key"].as_str() == Some(text("key"))
            && range["range_end"].as_str() == Some(text("range_end"))
    };
    if let Some(prefix) = prefixes.iter().find(wanted) {
        return prefix.clone();
    }
    // The gateway leaves out the first of an enumeration.
    let kind = match text("permType") {
        "" => "READ",
        kind => kind,
    };
    let part = |name: &str| decoded(text(name)).unwrap_or_default();
    format!("{kind} from {:?} to {:?}", part("key"), part("range_end"))
}

/// Makes, changes or takes away.
///
/// # Errors
/// When etcd refuses it.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    sleep(Duration::from_secs(spec.settled_seconds.into())).await;
    let client = match enter(&spec.servers.connections, &spec.servers.root).await {
        Ok(client) => client,
        Err(Closed::NotYet(because)) => return Err(HostError::new(because)),
        Err(Closed::WrongPassword) => return Err(refused()),
    };
    let changed = match spec.part {
        Part::Role => make(&client, spec).await,
        Part::Password => client.change_password(&spec.user, &spec.password).await,
        Part::Absent => take_away(&client, spec).await,
    };
    changed.map_err(|error| failed("changed", spec, &error))
}

/// The role comes first: a user never has more than it should, not even for a moment.
async fn make(client: &Client<'_>, spec: &Spec) -> io::Result<()> {
    let user = &spec.user;
    let role = json!({ "name": user });
    client.call_unless("/v3/auth/role/add", &role, "role name already exists").await?;
    let present = ranges(client, spec).await?.unwrap_or_default();
    for prefix in &spec.prefixes {
        if present.iter().any(|range| reach(range, &spec.prefixes) == *prefix) {
            continue;
        }
        let mut permission = range(prefix);
        permission["permType"] = json!("READWRITE");
        let grant = json!({ "name": user, "perm": permission });
        client.call("/v3/auth/role/grant", &grant).await?;
    }
    for range in present {
        if spec.prefixes.contains(&reach(&range, &spec.prefixes)) {
            continue;
        }
        let mut revoked = json!({ "role": user, "key": range["key"] });
        if let Some(end) = range.get("range_end") {
            revoked["range_end"] = end.clone();
        }
        client.call("/v3/auth/role/revoke", &revoked).await?;
    }
    client.add_user(user, &spec.password).await?;
    let roles = client.roles(user).await?.unwrap_or_default();
    if !roles.contains(user) {
        client.call("/v3/auth/user/grant", &json!({ "user": user, "role": user })).await?;
    }
    for role in roles.iter().filter(|role| *role != user) {
        client.call("/v3/auth/user/revoke", &json!({ "name": user, "role": role })).await?;
    }
    Ok(())
}

async fn take_away(client: &Client<'_>, spec: &Spec) -> io::Result<()> {
    let user = json!({ "name": spec.user });
    client.call_unless("/v3/auth/user/delete", &user, "user name not found").await?;
    let role = json!({ "role": spec.user });
    client.call_unless("/v3/auth/role/delete", &role, "role name not found").await?;
    client.call("/v3/kv/deleterange", &range(&own_prefix(&spec.user))).await?;
    client.call("/v3/kv/deleterange", &key(&format!("{MARKS}{}", spec.user))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_told_from_everything_else_that_a_role_may_reach() {
        let prefixes = ["/pg/pg-test/".to_owned()];
        let mut permission = range("/pg/pg-test/");
        permission["permType"] = json!("READWRITE");
        assert_eq!(reach(&permission, &prefixes), "/pg/pg-test/");
        permission["permType"] = json!("WRITE");
        assert_eq!(reach(&permission, &prefixes), r#"WRITE from "/pg/pg-test/" to "/pg/pg-test0""#);
        // Without the slash it would be pg-test2's, too.
        let mut wide = range("/pg/pg-test");
        wide["permType"] = json!("READWRITE");
        assert_eq!(reach(&wide, &prefixes), r#"READWRITE from "/pg/pg-test" to "/pg/pg-tesu""#);
        let read = json!({ "key": permission["key"] });
        assert_eq!(reach(&read, &prefixes), r#"READ from "/pg/pg-test/" to """#);
    }
}
