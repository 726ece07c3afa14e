//! A small client for the Patroni REST API of this node.

use crate::{HostError, round};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use keddah_resource::kind::postmaster::PatroniApi;
use keddah_resource::{MemberFacts, PatroniFacts, is_leading};
use serde::Deserialize;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A question to a Patroni of the same node; it asks PostgreSQL and the DCS before it answers,
/// each with a time limit of its own that is shorter.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where every node has the fleet's CA.
pub(crate) const CA: &str = "/etc/pki/ca.crt";

/// No answer of Patroni is as long; a configuration of 10,000 lines fits.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nobody listens: Patroni does not run.
    NotRunning,
    /// Anything else.
    Failed(HostError),
}

impl NoAnswer {
    /// For a caller who needs the answer.
    pub fn into_error(self) -> HostError {
        match self {
            NoAnswer::NotRunning => HostError::new("Patroni does not run"),
            NoAnswer::Failed(error) => error,
        }
    }
}

/// What `GET /patroni` says, as far as it matters here. Patroni answers it in every state.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Status {
    /// `running`, `starting`, `stopped`, `start failed`, …
    pub state: String,
    /// `primary` (before Patroni 4: `master`), `replica`, `standby_leader`, …
    #[serde(default)]
    pub role: String,
    /// Whether PostgreSQL waits for a restart to take over a parameter.
    #[serde(default)]
    pub pending_restart: bool,
    /// For what, since Patroni 4.
    #[serde(default)]
    pub pending_restart_reason: serde_json::Map<String, Value>,
    /// Of a replica: `streaming` or `in archive recovery`.
    #[serde(default)]
    pub replication_state: Option<String>,
    /// PostgreSQL's system identifier.
    #[serde(default)]
    pub database_system_identifier: String,
    /// The timeline.
    #[serde(default)]
    pub timeline: Option<u64>,
    /// How far WAL has come.
    #[serde(default)]
    pub xlog: Xlog,
    /// Patroni itself.
    #[serde(default)]
    pub patroni: Identity,
    /// There only while the cluster is paused.
    #[serde(default)]
    pub pause: bool,
    /// When it last heard the DCS, in seconds since 1970.
    #[serde(default)]
    pub dcs_last_seen: i64,
}

impl Status {
    /// Whether the instance leads its cluster.
    pub fn leads(&self) -> bool {
        is_leading(&self.role)
    }

    /// Whether a restart would change anything: what a former standby was told to recover to is nothing to
    /// one that leads (PostgreSQL's manual, "Recovery Target").
    pub fn waits_for_restart(&self) -> bool {
        let reasons = &self.pending_restart_reason;
        let harmless = |name: &String| self.leads() && name.starts_with("recovery_target");
        self.pending_restart && (reasons.is_empty() || !reasons.keys().all(harmless))
    }

    /// Whether a replica that runs receives what is written. Patroni tells that since version 4; a
    /// replica of which it says nothing does not (`replication_state` in Patroni's `postgresql/__init__.py`).
    pub fn streams(&self) -> Option<bool> {
        let major: Option<u32> = self.patroni.version.split('.').next()?.parse().ok();
        let tells =
            self.role == "replica" && matches!(self.state.as_str(), "running" | "streaming");
        let state = self.replication_state.as_deref();
        (tells && major.is_some_and(|major| major >= 4)).then_some(state == Some("streaming"))
    }
}

/// Positions in the WAL of a replica, in bytes.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Xlog {
    /// What was received; `None` where nothing is.
    #[serde(default)]
    pub received_location: Option<u64>,
    /// What was replayed.
    #[serde(default)]
    pub replayed_location: Option<u64>,
    /// Of one that leads: what was written.
    #[serde(default)]
    pub location: Option<u64>,
}

/// Patroni about itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Identity {
    /// The cluster.
    #[serde(default)]
    pub scope: String,
    /// The instance's name; empty before Patroni 4.
    #[serde(default)]
    pub name: String,
    /// Its version, such as `4.0.7`.
    #[serde(default)]
    pub version: String,
}

/// The Patroni of this node.
#[derive(Debug, Clone, Copy)]
pub struct Patroni<'a> {
    api: &'a PatroniApi,
}

impl<'a> Patroni<'a> {
    /// A client; nothing is sent yet.
    pub fn new(api: &'a PatroniApi) -> Self {
        Self { api }
    }

    /// State, role and whatever else `GET /patroni` tells.
    ///
    /// # Errors
    /// When there is no answer, or not the expected one.
    pub async fn status(&self) -> Result<Status, NoAnswer> {
        let answer = self.send(Method::GET, "/patroni", None, PATIENCE).await?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            let status = answer.status;
            NoAnswer::Failed(HostError::new(format!(
                "port {} does not answer like Patroni ({status}): {error}",
                self.api.port
            )))
        })
    }

    /// The dynamic configuration (`GET /config`), as it comes: before there is a cluster, Patroni
    /// answers with an error status.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn config(&self) -> Result<Answer, NoAnswer> {
        self.send(Method::GET, "/config", None, PATIENCE).await
    }

    /// Changes the dynamic configuration (`PATCH /config`).
    ///
    /// # Errors
    /// When there is no answer, or a refusal.
    pub async fn patch_config(&self, patch: &Value) -> Result<(), HostError> {
        let answer = self.send(Method::PATCH, "/config", Some(patch), PATIENCE).await;
        accepted("change of the cluster's configuration", answer)
    }

    /// Restarts PostgreSQL and waits for that (`POST /restart`).
    ///
    /// # Errors
    /// When there is no answer in time, or a refusal.
    pub async fn restart(&self, patience: Duration) -> Result<(), HostError> {
        let nothing = Value::Object(serde_json::Map::new());
        let answer = self.send(Method::POST, "/restart", Some(&nothing), patience).await;
        accepted("restart of PostgreSQL", answer)
    }

    /// Makes Patroni read its own file again (`POST /reload`).
    ///
    /// # Errors
    /// When there is no answer, or a refusal.
    pub async fn reload(&self) -> Result<(), HostError> {
        let answer = self.send(Method::POST, "/reload", None, PATIENCE).await;
        accepted("reload of Patroni", answer)
    }

    /// Whether PostgreSQL runs (`GET /health`).
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn healthy(&self) -> Result<bool, NoAnswer> {
        let answer = self.send(Method::GET, "/health", None, PATIENCE).await?;
        Ok(answer.status.is_success())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        // It may answer of itself, and not for the DCS behind it.
        let who = format!("Patroni on port {} {path}", self.api.port);
        match round::ask(&who, Some(patience), self.exchange(method, path, body)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(NoAnswer::NotRunning)
            }
            Ok(answer) => answer.map_err(|error| {
                let PatroniApi { address, port, .. } = self.api;
                NoAnswer::Failed(HostError::new(format!(
                    "Patroni at {address}:{port}{path}: {error}"
                )))
            }),
            Err(silence) => Err(NoAnswer::Failed(HostError::new(format!(
                "Patroni did not answer {path} within {}",
                silence.seconds()
            )))),
        }
    }

    /// Asks in the declared way, with TLS or without, and when Patroni does not understand that, in
    /// the other: while `patroni_ssl_enabled` changes, the Patroni that runs is still the old one.
    /// What it does not understand, it has not done. The address is this node's own, so nothing that
    /// is said leaves the machine.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<Answer> {
        let declared = self.api.ca_path.as_deref();
        let other = declared.is_none().then_some(CA).filter(|ca| Path::new(ca).exists());
        let first = self.ask(method.clone(), path, body, declared).await;
        match first {
            Err(error)
                if error.kind() != io::ErrorKind::ConnectionRefused
                    && (declared.is_some() || other.is_some()) =>
            {
                self.ask(method, path, body, other).await.map_err(|_| error)
            }
            answer => answer,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        ca_path: Option<&str>,
    ) -> io::Result<Answer> {
        let request = self.request(method, path, body).map_err(io::Error::other)?;
        // An address that stands for all of them is listened on, never connected to.
        let address = match self.api.address.as_str() {
            "" | "0.0.0.0" | "*" | "::" => "127.0.0.1",
            address => address,
        };
        let stream = TcpStream::connect((address, self.api.port)).await?;
        let Some(ca_path) = ca_path else {
            return converse(stream, request).await;
        };
        let name = ServerName::try_from(address.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(trusting(ca_path).await?));
        converse(connector.connect(name, stream).await?, request).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let changes = method != Method::GET;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("{}:{}", self.api.address, self.api.port));
        if changes && !self.api.username.is_empty() {
            let pair = format!("{}:{}", self.api.username, self.api.password.reveal());
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Full::from(body.to_string())
            }
            None => Full::default(),
        };
        request.body(body)
    }
}

/// Sends one request over a connection of its own and reads the answer.
pub(crate) async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // What breaks the connection also breaks the request, and is told there.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(io::Error::other)?;
    driver.abort();
    Ok(Answer { status: head.status, body: body.to_bytes() })
}

/// TLS that trusts one CA and nothing else.
pub(crate) async fn trusting(ca_path: &str) -> io::Result<ClientConfig> {
    let because = |error: String| io::Error::other(format!("{ca_path}: {error}"));
    let pem = tokio::fs::read(ca_path).await.map_err(|error| because(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| because(error.to_string()))?;
        roots.add(certificate).map_err(|error| because(error.to_string()))?;
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Turns a refusal into an error with Patroni's own words.
fn accepted(what: &str, answer: Result<Answer, NoAnswer>) -> Result<(), HostError> {
    let answer = answer.map_err(NoAnswer::into_error)?;
    if answer.status.is_success() {
        return Ok(());
    }
    let words: String = String::from_utf8_lossy(&answer.body).trim().chars().take(400).collect();
    let status = answer.status;
    Err(HostError::new(format!("Patroni refused the {what} ({status}): {words}")))
}

/// This node's Patroni, for what it tells anybody.
fn anonymous(port: u16) -> PatroniApi {
    PatroniApi {
        unit: String::new(),
        address: "127.0.0.1".to_owned(),
        port,
        ca_path: None,
        username: String::new(),
        password: keddah_core::Secret::default(),
    }
}

/// What the node's Patroni says of itself on a port; `None` when there is no Patroni.
///
/// Patroni speaks TLS exactly when its configuration says so, which is not known before the node
/// was looked at; so both ways are tried. `ca` is the path of the CA for the second.
pub async fn patroni_facts(port: u16, ca: Option<&str>) -> Option<PatroniFacts> {
    patroni_and_wal(port, ca).await.map(|(facts, _)| facts)
}

/// The same, and how far the WAL of its server has come: timeline and position, as far as it says so.
pub(crate) async fn patroni_and_wal(
    port: u16,
    ca: Option<&str>,
) -> Option<(PatroniFacts, (Option<u32>, Option<u64>))> {
    let api = anonymous(port);
    let client = Patroni::new(&api);
    let who = format!("Patroni on port {port} /patroni");
    let ask = |ca| round::ask(&who, Some(PATIENCE), client.ask(Method::GET, "/patroni", None, ca));
    let (tls, answer) = match ask(None).await {
        Ok(Ok(answer)) => (false, answer),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return None,
        Ok(Err(_)) => {
            let answer = ask(Some(ca?)).await;
            (true, answer.ok()?.ok()?)
        }
        Err(_) => return None,
    };
    let status: Status = serde_json::from_slice(&answer.body).ok()?;
    let Status { role, state, patroni, database_system_identifier, pause, timeline, xlog, .. } =
        status;
    let Xlog { received_location, replayed_location, location } = xlog;
    let position = location.max(received_location).max(replayed_location);
    let facts = PatroniFacts {
        tls,
        role,
        state,
        scope: patroni.scope,
        name: patroni.name,
        system_identifier: database_system_identifier,
        paused: pause,
    };
    let timeline = timeline.and_then(|timeline| timeline.try_into().ok());
    Some((facts, (timeline, position)))
}

/// The members of a cluster that this node's Patroni knows of; none where it does not say so in time: it
/// asks the DCS first, and goes on asking for as long as it may.
pub async fn cluster_facts(port: u16, ca: Option<&str>, own: &PatroniFacts) -> Vec<MemberFacts> {
    const ENOUGH: Duration = Duration::from_secs(2);
    let api = anonymous(port);
    let client = Patroni::new(&api);
    let asked = client.ask(Method::GET, "/cluster", None, ca.filter(|_| own.tls));
    let Ok(Ok(answer)) = tokio::time::timeout(ENOUGH, asked).await else { return Vec::new() };
    let known: Members = serde_json::from_slice(&answer.body).unwrap_or_default();
    let facts = |one: MemberState| MemberFacts {
        scope: own.scope.clone(),
        leads: one.role == "leader" || is_leading(&one.role),
        name: one.name,
        host: one.host,
        state: one.state,
    };
    known.members.into_iter().map(facts).collect()
}

/// What the Patroni of this node knows of its cluster, as it answers anybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Members {
    /// The members that it knows of.
    #[serde(default)]
    pub members: Vec<MemberState>,
    /// A switchover for which somebody has set a time.
    #[serde(default)]
    pub(crate) scheduled_switchover: Option<Scheduled>,
    /// Its own instance's name; empty before Patroni 4, which does not say it.
    #[serde(skip)]
    pub own: String,
}

/// A time that somebody has set (Patroni's documentation, "REST API", `GET /cluster`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Scheduled {
    #[serde(default, alias = "schedule")]
    at: String,
    #[serde(default)]
    to: Option<String>,
}

impl Members {
    /// What Patroni is going to do at a time that somebody has set, in words.
    pub fn scheduled(&self) -> Vec<String> {
        let switchover = self.scheduled_switchover.iter().map(|one| match &one.to {
            Some(to) => format!("a switchover to {to} at {}", one.at),
            None => format!("a switchover at {}", one.at),
        });
        let restarts = self.members.iter().filter_map(|member| {
            let at = &member.scheduled_restart.as_ref()?.at;
            Some(format!("a restart of {} at {at}", member.name))
        });
        switchover.chain(restarts).collect()
    }
}

/// One of them (`GET /cluster`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MemberState {
    /// `leader`, `standby_leader`, `replica`, `sync_standby`, `quorum_standby`.
    pub role: String,
    /// `running`, `streaming`, `stopped`, …
    #[serde(default)]
    pub state: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its address.
    #[serde(default)]
    pub host: String,
    /// A restart for which somebody has set a time.
    #[serde(default)]
    pub(crate) scheduled_restart: Option<Scheduled>,
    /// Its tags, such as `nosync`.
    #[serde(default)]
    pub tags: serde_json::Map<String, Value>,
}

impl MemberState {
    /// Whether commits can wait for it: it follows, and no tag says that nobody waits for it.
    pub fn can_be_waited_for(&self) -> bool {
        let leads = is_leading(&self.role) || self.role == "leader";
        let exempt = self.tags.get("nosync") == Some(&Value::Bool(true));
        // Before version 4, Patroni calls one that streams `running`, too.
        !leads && !exempt && matches!(self.state.as_str(), "running" | "streaming")
    }
}

/// What this node's Patroni, which speaks TLS or does not, says of itself.
///
/// # Errors
/// When it does not run, or does not answer like Patroni.
pub async fn own_status(port: u16) -> Result<Status, HostError> {
    told(port, "/patroni").await
}

/// The members that this node's Patroni knows of. It asks the DCS first: where that is out of reach, it
/// takes as long as it may retry.
///
/// # Errors
/// As [`own_status`].
pub async fn known_members(port: u16) -> Result<Members, HostError> {
    told(port, "/cluster").await
}

async fn told<T: serde::de::DeserializeOwned>(port: u16, path: &str) -> Result<T, HostError> {
    let api = anonymous(port);
    let answer = Patroni::new(&api).send(Method::GET, path, None, PATIENCE).await;
    let answer = answer.map_err(NoAnswer::into_error)?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        HostError::new(format!("Patroni answers in an unknown form ({}): {error}", answer.status))
    })
}

/// Whether commits of this cluster wait for a standby in any case, and for whom they can wait:
/// `synchronous_mode_strict` (Patroni's documentation, "Replication modes").
///
/// # Errors
/// When Patroni does not say so.
pub async fn strict_standbys(
    port: u16,
    ca: Option<&str>,
    tls: bool,
) -> io::Result<Option<Members>> {
    let api = anonymous(port);
    let client = Patroni::new(&api);
    let get = async |path: &str| {
        let asked = client.ask(Method::GET, path, None, ca.filter(|_| tls));
        let answer = tokio::time::timeout(PATIENCE, asked).await.map_err(io::Error::other)??;
        serde_json::from_slice::<Value>(&answer.body).map_err(io::Error::other)
    };
    let settings = get("/config").await?;
    let on = |name: &str| {
        let value = settings.get(name).unwrap_or(&Value::Null);
        value == &Value::Bool(true) || matches!(value.as_str(), Some("on" | "true" | "quorum"))
    };
    if !(on("synchronous_mode") && on("synchronous_mode_strict")) {
        return Ok(None);
    }
    let members: Members =
        serde_json::from_value(get("/cluster").await?).map_err(io::Error::other)?;
    let own: Status = serde_json::from_value(get("/patroni").await?).map_err(io::Error::other)?;
    Ok(Some(Members { own: own.patroni.name, ..members }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_streams_where_patroni_says_so() {
        let says = |version: &str, role: &str, replication: &str| {
            let text = format!(
                r#"{{"state": "running", "role": "{role}", {replication}
                    "patroni": {{"version": "{version}", "scope": "pg-test"}}}}"#
            );
            serde_json::from_str::<Status>(&text).unwrap().streams()
        };
        let streaming = r#""replication_state": "streaming", "#;
        assert_eq!(says("4.0.7", "replica", streaming), Some(true));
        assert_eq!(says("4.0.7", "replica", ""), Some(false));
        let archive = r#""replication_state": "in archive recovery", "#;
        assert_eq!(says("4.0.7", "replica", archive), Some(false));
        assert_eq!(says("4.0.7", "primary", ""), None);
        assert_eq!(says("3.0.2", "replica", ""), None, "it cannot say");
    }

    #[test]
    fn answers_of_both_generations_of_patroni_are_understood() {
        let running = r#"{"state": "running", "postmaster_start_time": "2026-01-01", "role": "master",
            "server_version": 150012, "xlog": {"location": 67108960}, "timeline": 1,
            "pending_restart": true, "patroni": {"version": "3.0.2", "scope": "pg-test"}}"#;
        let status: Status = serde_json::from_str(running).unwrap();
        assert!(status.leads() && status.pending_restart);
        assert_eq!(status.patroni.scope, "pg-test");
        let starting = r#"{"state": "starting", "role": "replica",
            "patroni": {"version": "4.0.7", "scope": "pg-test", "name": "pg-test-2"}}"#;
        let status: Status = serde_json::from_str(starting).unwrap();
        assert!(!status.leads() && !status.pending_restart);
    }

    #[test]
    fn the_password_is_in_the_request_and_in_no_debug_output() {
        let api = PatroniApi {
            unit: "patroni.service".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: 8008,
            ca_path: None,
            username: "admin".to_owned(),
            password: keddah_core::Secret::new("hunter2"),
        };
        let request = Patroni::new(&api).request(Method::POST, "/restart", None).unwrap();
        let shown = format!("{:?}", request.headers());
        assert!(!shown.contains(&STANDARD.encode("admin:hunter2")), "{shown}");
        let sent = request.headers()[AUTHORIZATION].to_str().unwrap();
        assert_eq!(sent, format!("Basic {}", STANDARD.encode("admin:hunter2")));
    }
}
