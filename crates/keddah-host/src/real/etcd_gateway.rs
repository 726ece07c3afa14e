//! Questions to etcd's JSON gateway; first of all, the list of members as the asked one knows it.
//!
//! `etcdctl member list` asks for the cluster's consent, which there is none of between adding the
//! second member and its start: two members need both.

use crate::rest::converse;
use crate::{HostError, round};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use keddah_core::Secret;
use keddah_resource::kind::etcd_member::EtcdConnection;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A member of this machine answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a member says of itself, whatever becomes of the others.
const LIST: &str = "/v3/cluster/member/list";
const STATUS: &str = "/v3/maintenance/status";

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Member {
    /// Its id.
    #[serde(rename = "ID", deserialize_with = "digits")]
    pub id: u64,
    /// Its name; empty before it has started.
    #[serde(default)]
    pub name: String,
    /// Where other members reach it.
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    /// Where clients reach it; nowhere before it has started.
    #[serde(rename = "clientURLs", default)]
    pub client_urls: Vec<String>,
    /// Whether it follows without a vote.
    #[serde(rename = "isLearner", default)]
    pub learner: bool,
}

/// What a member says when it is asked for all of them.
#[derive(Debug, Deserialize)]
pub(crate) struct List {
    /// Who answers.
    pub header: Header,
    /// The members.
    #[serde(default)]
    pub members: Vec<Member>,
}

/// What stands above each answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    /// The cluster's id in decimal digits.
    pub cluster_id: String,
    /// The id of the member that answers.
    #[serde(default)]
    pub member_id: String,
}

/// JSON's numbers cannot hold 64 bits, so the gateway writes them as text.
fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Address and port of an endpoint such as `https://10.10.10.11:2379`.
pub(crate) fn address_and_port(endpoint: &str) -> Option<(String, u16)> {
    let (_, authority) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let (address, port) = authority.trim_end_matches('/').rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some((address.to_owned(), port.parse().ok()?))
}

/// The first of a connection's files that is not there.
pub(crate) fn missing_file(connection: &EtcdConnection) -> Option<&str> {
    let EtcdConnection { endpoint: _, ca_path, certificate_path, key_path } = connection;
    [ca_path, certificate_path, key_path]
        .into_iter()
        .find(|path| !path.is_empty() && !Path::new(path).exists())
        .map(String::as_str)
}

/// The members.
pub(crate) async fn members(connection: &EtcdConnection) -> Result<Vec<Member>, HostError> {
    Ok(list(connection).await?.members)
}

/// The members, and which cluster that is.
pub(crate) async fn list(connection: &EtcdConnection) -> Result<List, HostError> {
    let failed = |why: String| {
        HostError::new(format!("etcd on {} does not list its members: {why}", connection.endpoint))
    };
    // The empty request means "what you know yourself".
    let answer = post(connection, LIST, &serde_json::json!({})).await;
    answer
        .and_then(|body| parse(&body).map_err(io::Error::other))
        .map_err(|error| failed(error.to_string()))
}

/// What `Maintenance.Status` answers (etcd's `rpc.proto`), for which nobody has to log in. What is zero or
/// empty, the gateway leaves out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// The member that answers, and its cluster.
    pub header: StatusHeader,
    /// etcd's version.
    pub version: String,
    /// The size of the store in bytes, in decimal digits.
    #[serde(rename = "dbSize")]
    pub size: String,
    /// The leader's id as the member knows it; 0 for none.
    #[serde(deserialize_with = "digits")]
    pub leader: u64,
    /// What it complains of, alarms included.
    pub errors: Vec<String>,
    /// Whether it has no vote.
    #[serde(rename = "isLearner")]
    pub learner: bool,
}

/// What stands above such an answer, in decimal digits.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusHeader {
    /// The cluster's id.
    pub cluster_id: String,
    /// The member's id.
    pub member_id: String,
}

/// What a member says of itself.
///
/// # Errors
/// When it does not answer, or in an unknown form.
pub(crate) async fn status(connection: &EtcdConnection) -> Result<Status, HostError> {
    let failed = |why: io::Error| {
        HostError::new(format!("etcd on {} does not say how it is: {why}", connection.endpoint))
    };
    let body = post(connection, STATUS, &serde_json::json!({})).await;
    body.and_then(|body| serde_json::from_slice(&body).map_err(io::Error::other)).map_err(failed)
}

/// What one member answers to a question.
pub(crate) async fn post(
    connection: &EtcdConnection,
    path: &str,
    question: &Value,
) -> io::Result<Bytes> {
    post_as(connection, path, question, None).await
}

/// The same, by somebody who has logged in.
pub(crate) async fn post_as(
    connection: &EtcdConnection,
    path: &str,
    question: &Value,
    token: Option<&Secret>,
) -> io::Result<Bytes> {
    let late = |silence: round::Silence| {
        io::Error::other(format!("no answer within {}", silence.seconds()))
    };
    // It may answer of itself, and not for a majority; one that is silent of itself says nothing at all.
    let member = format!("etcd at {}", connection.endpoint);
    let who = match path {
        LIST | STATUS => member,
        _ => match round::silence(&member) {
            Some(silence) => return Err(late(silence)),
            None => member + path,
        },
    };
    let asked = round::ask(&who, Some(PATIENCE), ask(connection, path, question, token)).await;
    asked.map_err(late)?
}

async fn ask(
    connection: &EtcdConnection,
    path: &str,
    question: &Value,
    token: Option<&Secret>,
) -> io::Result<Bytes> {
    let (address, port) = address_and_port(&connection.endpoint)
        .ok_or_else(|| io::Error::other("the endpoint has no port"))?;
    let mut request = Request::post(path)
        .header(HOST, format!("{address}:{port}"))
        .header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        let mut token = HeaderValue::try_from(token.reveal()).map_err(io::Error::other)?;
        token.set_sensitive(true);
        request = request.header(AUTHORIZATION, token);
    }
    let request =
        request.body(Full::<Bytes>::from(question.to_string())).map_err(io::Error::other)?;
    let stream = TcpStream::connect((address.as_str(), port)).await?;
    let answer = if connection.endpoint.starts_with("https://") {
        let name = ServerName::try_from(address).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(tls(connection)?));
        converse(connector.connect(name, stream).await?, request).await?
    } else {
        converse(stream, request).await?
    };
    if !answer.status.is_success() {
        let words = String::from_utf8_lossy(&answer.body);
        return Err(io::Error::other(format!("{} {}", answer.status, words.trim())));
    }
    Ok(answer.body)
}

fn parse(body: &[u8]) -> serde_json::Result<List> {
    serde_json::from_slice(body)
}

/// TLS that trusts one CA, and shows a certificate of it.
fn tls(connection: &EtcdConnection) -> io::Result<ClientConfig> {
    let EtcdConnection { endpoint: _, ca_path, certificate_path, key_path } = connection;
    let certificates = |path: &str| -> io::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| io::Error::other(format!("{path}: {error}")))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_path)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let key = PrivateKeyDer::from_pem_file(key_path)
        .map_err(|error| io::Error::other(format!("{key_path}: {error}")))?;
    ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(certificate_path)?, key)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_64_bits_are_read_and_a_member_may_have_no_name_yet() {
        let List { header, members } = parse(
            br#"{"header":{"cluster_id":"14841639068965178418"}, "members":[
                {"ID":"16409922778899121252","peerURLs":["http://10.10.10.11:2380"]}]}"#,
        )
        .unwrap();
        assert_eq!(members[0].id, 16_409_922_778_899_121_252);
        assert_eq!(members[0].name, "");
        assert_eq!(header.cluster_id, "14841639068965178418");
    }

    #[test]
    fn endpoints_are_taken_apart() {
        let parts = |endpoint| address_and_port(endpoint).unwrap();
        assert_eq!(parts("https://10.10.10.11:2379"), ("10.10.10.11".to_owned(), 2379));
        assert_eq!(parts("http://[::1]:2379/"), ("::1".to_owned(), 2379));
        assert_eq!(address_and_port("https://host"), None);
    }
}
