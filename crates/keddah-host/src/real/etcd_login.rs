//! The key that says of a Patroni that it has its login.

use super::etcd_client::{Client, Closed, asks_for_logins, enter, is_closed};
use super::etcd_gateway::{address_and_port, post_as};
use super::reconnect::connect_anew;
use crate::{HostError, RealHost};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use keddah_core::Secret;
use keddah_resource::kind::etcd_login::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// Looks for keys.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    join_all(specs.iter().map(|spec| look(spec))).await
}

async fn look(spec: &Spec) -> Result<Observation, HostError> {
    let mut because = "there is no member of etcd to ask".to_owned();
    for connection in &spec.connections {
        match asks_for_logins(connection).await {
            // Whoever is alive now has one.
            Ok(true) => return Ok(Observation::Known(Observed { known: true }.into())),
            Ok(false) => {
                // No login is needed: the password of nobody is enough.
                let client = enter(std::slice::from_ref(connection), &Secret::default()).await;
                return found(spec, client).await;
            }
            Err(error) => {
                because = format!("etcd on {} does not answer: {error}", connection.endpoint);
            }
        }
    }
    Ok(Observation::NotYet { because })
}

async fn found(spec: &Spec, client: Result<Client<'_>, Closed>) -> Result<Observation, HostError> {
    let client = match client {
        Ok(client) => client,
        Err(Closed::NotYet(because)) => return Ok(Observation::NotYet { because }),
        // Between the two questions, logins came to be asked for.
        Err(Closed::WrongPassword) => {
            return Ok(Observation::Known(Observed { known: true }.into()));
        }
    };
    let value = client.get(&spec.key()).await;
    let value = value.map_err(|error| HostError::new(format!("{}: {error}", spec.key())))?;
    Ok(Observation::Known(Observed { known: value.is_some() }.into()))
}

/// Makes the Patroni read its configuration, ends its connections that may stem from an earlier certificate,
/// and says so.
///
/// # Errors
/// When no member of etcd takes the key.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let endpoints = spec.connections.iter().filter_map(|one| address_and_port(&one.endpoint));
    let peers: Vec<SocketAddr> = endpoints
        .filter_map(|(address, port)| Some(SocketAddr::new(address.parse().ok()?, port)))
        .collect();
    let settled = Duration::from_secs(spec.settled_seconds.into());
    connect_anew(&spec.unit, &peers, settled).await?;
    let pair = json!({
        "key": STANDARD.encode(spec.key()),
        "value": STANDARD.encode("its Patroni has a login"),
    });
    let mut last = HostError::new("there is no member of etcd to ask");
    for connection in &spec.connections {
        match post_as(connection, "/v3/kv/put", &pair, None).await {
            Ok(_) => return Ok(()),
            Err(error) if is_closed(&error) => return Ok(()),
            Err(error) => {
                last = HostError::new(format!("etcd on {}: {error}", connection.endpoint));
            }
        }
    }
    Err(last)
}
