//! Acting in etcd as root, over its JSON gateway: the one place that logs in.
//!
//! A token of etcd's is good on every member and for every later change of users and roles ("simple"
//! tokens carry no revision of their own), so one login serves a whole conversation.

use super::etcd_gateway::{missing_file, post_as};
use crate::HostError;
use base64::{Engine, engine::general_purpose::STANDARD};
use keddah_core::Secret;
use keddah_resource::kind::etcd_auth::{MARKS, ROOT};
use keddah_resource::kind::etcd_member::EtcdConnection;
use keddah_resource::kind::file::digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// What etcd says to whoever has no login and needs one (`api/v3rpc/rpctypes`), the last to those whose
/// certificate has a common name, before it looks for a login (`embed/serve.go`).
const NEEDS_LOGIN: [&str; 3] =
    ["user name is empty", "permission denied", "CommonName of client sending a request"];

/// What it says to a wrong password or an unknown user.
const WRONG_LOGIN: &str = "authentication failed";

/// What it says where users or roles have changed while it worked on a request.
const OLD_REVISION: &str = "revision of auth store is old";

/// How often such a request is repeated: beside it, a hundred clusters may get their users.
const ATTEMPTS: u32 = 20;

/// Why there is no conversation.
#[derive(Debug)]
pub(super) enum Closed {
    /// No member answers, or not yet.
    NotYet(String),
    /// etcd asks for logins, and root has another password.
    WrongPassword,
}

/// A conversation with a member, as root where logins are asked for.
pub(super) struct Client<'a> {
    connection: &'a EtcdConnection,
    token: Option<Secret>,
}

/// A conversation with the first member that answers.
///
/// # Errors
/// When none does, or none lets root in.
pub(super) async fn enter<'a>(
    connections: &'a [EtcdConnection],
    root: &Secret,
) -> Result<Client<'a>, Closed> {
    let mut last = Closed::NotYet("there is no member of etcd to ask".to_owned());
    for connection in connections {
        match login(connection, root).await {
            Ok(token) => return Ok(Client { connection, token }),
            Err(error) if says(&error, WRONG_LOGIN) => return Err(Closed::WrongPassword),
            Err(error) => {
                let endpoint = &connection.endpoint;
                last = Closed::NotYet(format!("etcd on {endpoint} does not answer: {error}"));
            }
        }
    }
    Err(last)
}

/// root's token, where logins are asked for. While users are made beside it, etcd may refuse a request that it
/// began to look at before.
async fn login(connection: &EtcdConnection, root: &Secret) -> io::Result<Option<Secret>> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let answer = match asks_for_logins(connection).await {
            Ok(false) => Ok(None),
            Ok(true) => token(connection, ROOT, root).await.map(Some),
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if says(&error, OLD_REVISION) && attempts < ATTEMPTS => {
                sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

/// Whether a member answers only to those who have logged in.
///
/// # Errors
/// When it does not say so.
pub(super) async fn asks_for_logins(connection: &EtcdConnection) -> io::Result<bool> {
    if let Some(path) = missing_file(connection) {
        return Err(io::Error::other(format!("{path} does not exist yet")));
    }
    let mut question = key(MARKS);
    question["serializable"] = json!(true);
    question["count_only"] = json!(true);
    match post_as(connection, "/v3/kv/range", &question, None).await {
        Ok(_) => Ok(false),
        Err(error) if is_closed(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a member reads with the consent of a quorum. One that refuses to say what it has read has
/// asked the others before (`etcdserver`, `Range`: first the linearizable read, then permission); a
/// common name, though, is refused before anything.
///
/// # Errors
/// When it does not answer, or not in time.
pub(super) async fn reads_with_consent(connection: &EtcdConnection) -> io::Result<()> {
    match post_as(connection, "/v3/kv/range", &key("health"), None).await {
        Err(error) if !is_closed(&error) || says(&error, NEEDS_LOGIN[2]) => Err(error),
        _ => Ok(()),
    }
}

/// Whether an error means that a login is needed.
pub(super) fn is_closed(error: &io::Error) -> bool {
    NEEDS_LOGIN.iter().any(|words| says(error, words))
}

/// Whether an error of etcd's has these words.
pub(super) fn says(error: &io::Error, words: &str) -> bool {
    error.to_string().contains(words)
}

/// Tokens of this process's logins, by user, each with the password that it was got for. A login costs etcd
/// a bcrypt, and a plan looks at many users. All members know a token that one of them gave (etcd's
/// `auth/simple_token.go`: it is assigned when the request is applied); one that does not is logged in to.
static TOKENS: Mutex<BTreeMap<String, (Secret, Secret)>> = Mutex::const_new(BTreeMap::new());

/// A token: one that etcd still knows, or that of a new login. Those who come at the same time wait for
/// one login.
async fn token(connection: &EtcdConnection, user: &str, password: &Secret) -> io::Result<Secret> {
    let mut tokens = TOKENS.lock().await;
    if let Some((earlier, token)) = tokens.get(user)
        && earlier == password
    {
        let mut question = key(MARKS);
        question["serializable"] = json!(true);
        question["count_only"] = json!(true);
        if post_as(connection, "/v3/kv/range", &question, Some(token)).await.is_ok() {
            return Ok(token.clone());
        }
    }
    tokens.remove(user);
    let token = authenticate(connection, user, password).await?;
    tokens.insert(user.to_owned(), (password.clone(), token.clone()));
    Ok(token)
}

async fn authenticate(
    connection: &EtcdConnection,
    user: &str,
    password: &Secret,
) -> io::Result<Secret> {
    let login = json!({ "name": user, "password": password.reveal() });
    let answer = post_as(connection, "/v3/auth/authenticate", &login, None).await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(io::Error::other)?;
    let token = answer.get("token").and_then(Value::as_str);
    token.map(Secret::new).ok_or_else(|| io::Error::other("etcd gives no token"))
}

impl Client<'_> {
    /// Whether etcd asks for logins.
    pub(super) fn has_logged_in(&self) -> bool {
        self.token.is_some()
    }

    /// Puts a question or gives an order.
    ///
    /// # Errors
    /// What etcd, or the connection to it, says.
    pub(super) async fn call(&self, path: &str, question: &Value) -> io::Result<Value> {
        let token = self.token.as_ref();
        let mut attempts = 0;
        loop {
            attempts += 1;
            match post_as(self.connection, path, question, token).await {
                Err(error) if says(&error, OLD_REVISION) && attempts < ATTEMPTS => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
                Ok(answer) => return serde_json::from_slice(&answer).map_err(io::Error::other),
            }
        }
    }

    /// The same, where one answer means that it is done already, or that there is none.
    ///
    /// # Errors
    /// Everything else that etcd says.
    pub(super) async fn call_unless(
        &self,
        path: &str,
        question: &Value,
        words: &str,
    ) -> io::Result<Option<Value>> {
        match self.call(path, question).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if says(&error, words) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A key's value.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) async fn get(&self, name: &str) -> io::Result<Option<String>> {
        let answer = self.call("/v3/kv/range", &key(name)).await?;
        let value = answer.pointer("/kvs/0/value").and_then(Value::as_str);
        Ok(value.and_then(decoded))
    }

    /// Writes a key.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) async fn put(&self, name: &str, value: &str) -> io::Result<()> {
        let mut pair = key(name);
        pair["value"] = json!(STANDARD.encode(value));
        self.call("/v3/kv/put", &pair).await.map(drop)
    }

    /// Whether a user was given this password last: etcd itself cannot be asked while it asks for no
    /// logins, and makes every login costly (bcrypt) when it does.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) async fn was_given(&self, user: &str, password: &Secret) -> io::Result<bool> {
        Ok(self.get(&format!("{MARKS}{user}")).await? == Some(mark(user, password)))
    }

    /// Whether a user's login is taken. While etcd asks for none, it takes nobody's, and cannot be asked.
    ///
    /// # Errors
    /// What etcd says, other than that the password is wrong.
    pub(super) async fn lets_in(&self, user: &str, password: &Secret) -> io::Result<bool> {
        match authenticate(self.connection, user, password).await {
            Ok(_) => Ok(true),
            Err(error) if says(&error, WRONG_LOGIN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a user; `false` where it is there already.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) async fn add_user(&self, user: &str, password: &Secret) -> io::Result<bool> {
        let login = json!({ "name": user, "password": password.reveal() });
        let made =
            self.call_unless("/v3/auth/user/add", &login, "user name already exists").await?;
        if made.is_some() {
            self.put(&format!("{MARKS}{user}"), &mark(user, password)).await?;
        }
        Ok(made.is_some())
    }

    /// Gives a user another password. Whoever has logged in by the old one is logged out.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) async fn change_password(&self, user: &str, password: &Secret) -> io::Result<()> {
        let login = json!({ "name": user, "password": password.reveal() });
        self.call("/v3/auth/user/changepw", &login).await?;
        if user == ROOT && self.has_logged_in() {
            // That was this conversation's own login; root's mark counts only while none is needed.
            return Ok(());
        }
        self.put(&format!("{MARKS}{user}"), &mark(user, password)).await
    }

    /// The roles of a user, sorted; `None` where there is no such user.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) async fn roles(&self, user: &str) -> io::Result<Option<Vec<String>>> {
        let question = json!({ "name": user });
        let answer =
            self.call_unless("/v3/auth/user/get", &question, "user name not found").await?;
        let Some(answer) = answer else { return Ok(None) };
        let roles = answer.get("roles").and_then(Value::as_array).into_iter().flatten();
        let mut roles: Vec<String> = roles.filter_map(Value::as_str).map(str::to_owned).collect();
        roles.sort();
        Ok(Some(roles))
    }
}

fn mark(user: &str, password: &Secret) -> String {
    digest(format!("{user}\n{}", password.reveal()).as_bytes())
}

/// A request about one key.
pub(super) fn key(name: &str) -> Value {
    json!({ "key": STANDARD.encode(name) })
}

/// A text in the gateway's Base64.
pub(super) fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// An error for a person, with what to do about a root whose password is another one.
pub(super) fn refused() -> HostError {
    HostError::new("etcd asks for logins, and refuses root with `etcd_root_password`").with_hint(
        "set `etcd_root_password` to root's password as it is now; where nobody knows it: \
         docs/operations.md, \"etcd's logins\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_to_those_without_a_login_is_understood() {
        for words in [
            r#"400 Bad Request {"error":"etcdserver: user name is empty","code":3}"#,
            r#"403 Forbidden {"error":"etcdserver: permission denied","code":7}"#,
            "400 Bad Request CommonName of client sending a request against gateway will be ignored",
        ] {
            assert!(is_closed(&io::Error::other(words)), "{words}");
        }
        for words in ["503 Service Unavailable etcdserver: no leader", "connection refused"] {
            assert!(!is_closed(&io::Error::other(words)), "{words}");
        }
    }

    #[test]
    fn a_mark_tells_passwords_and_users_apart_and_shows_neither() {
        let one = mark("pg-a", &Secret::new("secret"));
        assert_ne!(one, mark("pg-b", &Secret::new("secret")));
        assert_ne!(one, mark("pg-a", &Secret::new("another")));
        assert!(!one.contains("secret") && !one.contains("pg-a"));
    }
}
