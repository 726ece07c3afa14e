//! New logins, as a client would make them: to the server, to its pool, through each service.

use super::server::running_place;
use super::turns::Turns;
use super::{FAIR, pool};
use crate::rest::{CA, trusting};
use keddah_resource::health::{
    Asked, LoginAnswer, LoginDoor, LoginHealth, LoginProbe, ServerProbe,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A login that takes longer than this is none for whoever waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// One after the other to each cluster, so that a role with few connections is enough; and the names of
/// those that earlier ones have left no time for.
pub(super) async fn look(
    probes: &[LoginProbe],
    servers: &[ServerProbe],
    turns: &Turns,
    end: Instant,
) -> (Vec<LoginHealth>, Vec<String>) {
    let mut clusters: BTreeMap<&str, Vec<&LoginProbe>> = BTreeMap::new();
    for probe in probes {
        clusters.entry(&probe.cluster).or_default().push(probe);
    }
    let looks = turns.all(clusters.values().map(|probes| of_one(probes, servers, end))).await;
    let (found, untried): (Vec<_>, Vec<_>) = looks.into_iter().unzip();
    (found.concat(), untried.concat())
}

async fn of_one(
    probes: &[&LoginProbe],
    servers: &[ServerProbe],
    end: Instant,
) -> (Vec<LoginHealth>, Vec<String>) {
    let mut found = Vec::new();
    for probe in probes {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let limit = end.min(begun + PATIENCE);
        let port = port(probe, servers);
        let answer = match timeout_at(limit, login(probe, port)).await {
            Ok(answer) => answer,
            // That the others left it no time is no silence of its own.
            Err(_) if limit < begun + FAIR => break,
            Err(_) => Asked::unknown("a new login gets no answer"),
        };
        found.push(LoginHealth { name: probe.name.clone(), door: probe.door, answer });
    }
    let untried = probes[found.len()..].iter().map(|probe| probe.name.clone()).collect();
    (found, untried)
}

/// The port that a server runs with, which is another than the declared one until it restarts.
fn port(probe: &LoginProbe, servers: &[ServerProbe]) -> u16 {
    let own =
        |server: &&ServerProbe| probe.door == LoginDoor::Server && server.instance == probe.name;
    let server = servers.iter().find(own);
    server
        .and_then(|server| running_place(&server.data_directory))
        .map_or(probe.port, |(port, _)| port)
}

async fn login(probe: &LoginProbe, port: u16) -> Asked<LoginAnswer> {
    let mut config = Config::new();
    config
        .host(&probe.address)
        .port(port)
        .user(&probe.user)
        .password(probe.password.reveal())
        .dbname(&probe.database)
        .application_name("keddah status");
    let connected = match config.connect(NoTls).await {
        Ok((client, driver)) => Ok((client, tokio::spawn(driver))),
        Err(error) if wants_tls(&error) => {
            encrypted(&config, &probe.address, port).await.unwrap_or(Err(error))
        }
        Err(error) => Err(error),
    };
    let (client, driver) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            return match error.as_db_error() {
                Some(words) => Asked::Told(LoginAnswer {
                    refused: Some(words.message().to_owned()),
                    wrong_password: *words.code() == SqlState::INVALID_PASSWORD,
                    full: *words.code() == SqlState::TOO_MANY_CONNECTIONS,
                    ..LoginAnswer::default()
                }),
                None => Asked::unknown(plain(&error)),
            };
        }
    };
    let (paused, disabled) =
        if probe.door.is_pool() { held(&client).await } else { (Vec::new(), Vec::new()) };
    let otherwise = match &probe.settings {
        Some(path) => pool::otherwise(&client, path).await,
        None => Vec::new(),
    };
    drop(client);
    // Says goodbye, so that the server's log has no broken connection.
    let _ = driver.await;
    Asked::Told(LoginAnswer { paused, disabled, otherwise, ..LoginAnswer::default() })
}

/// A client that is let in, and what drives its connection.
type Connected = (Client, JoinHandle<Result<(), tokio_postgres::Error>>);

/// Whether a pool (`pgbouncer_sslmode`) or a server (rules for `hostssl`) lets nobody in who comes without
/// TLS.
fn wants_tls(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|words| {
        words.message() == "SSL required" || words.message().ends_with("no encryption")
    })
}

/// A login under TLS, by the fleet's CA; `None` where there is none to be had, as where a client needs a
/// certificate, too.
async fn encrypted(
    config: &Config,
    address: &str,
    port: u16,
) -> Option<Result<Connected, tokio_postgres::Error>> {
    /// The message that asks for TLS: its length, and PostgreSQL's number for it (`SSLRequest` in
    /// "Message Formats").
    const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut stream = TcpStream::connect((address, port)).await.ok()?;
    stream.write_all(&REQUEST).await.ok()?;
    if stream.read_u8().await.ok()? != b'S' {
        return None;
    }
    let name = ServerName::try_from(address.to_owned()).ok()?;
    let connector = TlsConnector::from(Arc::new(trusting(CA).await.ok()?));
    let stream = connector.connect(name, stream).await.ok()?;
    Some(match config.connect_raw(stream, NoTls).await {
        Ok((client, driver)) => Ok((client, tokio::spawn(driver))),
        // The handshake's end comes with the first answer: without words, it said nothing of the login.
        Err(error) if error.as_db_error().is_none() => return None,
        Err(error) => Err(error),
    })
}

/// The reason below the wrapping words.
fn plain(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Databases that PgBouncer holds back, and those that it lets nobody into (`SHOW DATABASES` in its
/// manual: `paused`, `disabled`).
async fn held(client: &tokio_postgres::Client) -> (Vec<String>, Vec<String>) {
    let rows = client.simple_query("SHOW DATABASES").await.unwrap_or_default();
    let with = |column: &str| {
        let named = |message: &SimpleQueryMessage| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            let set = row.try_get(column).ok().flatten() == Some("1");
            set.then(|| row.try_get("name").ok().flatten().unwrap_or_default().to_owned())
        };
        rows.iter().filter_map(named).collect()
    };
    (with("paused"), with("disabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A login to a port that takes connections and says nothing.
    fn silent(name: &str, cluster: &str, port: u16) -> LoginProbe {
        LoginProbe {
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            door: LoginDoor::Server,
            address: "127.0.0.1".to_owned(),
            port,
            user: "nobody".to_owned(),
            password: keddah_core::Secret::new("no password".to_owned()),
            database: "postgres".to_owned(),
            settings: None,
        }
    }

    #[tokio::test]
    async fn what_the_others_left_no_time_is_not_called_silent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let probes = [("a-1", "a"), ("a-2", "a"), ("b-1", "b")];
        let probes = probes.map(|(name, cluster)| silent(name, cluster, port));
        let end = Instant::now() + Duration::from_millis(1200);
        let (found, untried) = look(&probes, &[], &Turns::of_this_machine(false), end).await;
        let found: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        // The second of the first cluster has a fifth of a second; the other cluster is asked beside it.
        assert_eq!(found, ["a-1", "b-1"]);
        assert_eq!(untried, ["a-2"]);
    }
}
