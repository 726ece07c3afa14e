//! SQL sessions over the Unix socket, as the database superuser, by peer authentication.

pub(crate) mod grouped;
mod parameter;
mod peer;
mod quote;
mod transaction;

pub(crate) use parameter::parameter_name;
pub use parameter::{as_declared, assignments};
pub use quote::{identifier, quote_array, quote_identifier, quote_literal};
pub use transaction::Transaction;

use crate::{HostError, round};
use futures_util::FutureExt;
use keddah_resource::kind::PgConnection;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A local server that has not answered after this time hangs.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The database in which questions about a server as a whole are put.
const WHOLE: &str = "postgres";

/// What a session is for; it decides how long it may wait and whether it may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look only: a standby will do, and nothing can be changed by accident.
    Observe,
    /// To change something; never waits long behind somebody's lock.
    Change,
}

impl Purpose {
    /// Settings that must hold whatever the role or the database has as defaults. The search path
    /// keeps objects that users made from being called instead of the catalog's. Our queries are
    /// small and run once; compiling them to machine code would cost more than they do.
    fn options(self) -> &'static str {
        match self {
            Purpose::Observe => {
                "-c search_path=pg_catalog -c statement_timeout=30s -c lock_timeout=10s \
                 -c default_transaction_read_only=on -c client_min_messages=error \
                 -c standard_conforming_strings=on -c datestyle=ISO -c jit=off"
            }
            // Ten minutes: copying a large template takes minutes. 15 s for a lock: longer than
            // any statement of ours holds one.
            Purpose::Change => {
                "-c search_path=pg_catalog -c statement_timeout=600s -c lock_timeout=15s \
                 -c default_transaction_read_only=off -c client_min_messages=error \
                 -c standard_conforming_strings=on -c datestyle=ISO -c jit=off"
            }
        }
    }
}

/// Why there is no session.
#[derive(Debug, Clone)]
pub enum Unreachable {
    /// The server or the database is not there yet: what a plan may wait for.
    NotYet {
        /// What has to happen first.
        because: String,
    },
    /// The server runs, and its rules of authentication let the superuser of the node itself not in.
    KeptOut(HostError),
    /// Anything else.
    Failed(HostError),
}

impl Unreachable {
    /// For a change, which cannot wait: no session is an error, whatever the reason.
    pub fn into_error(self) -> HostError {
        match self {
            Unreachable::NotYet { because } => HostError::new(because),
            Unreachable::KeptOut(error) | Unreachable::Failed(error) => error,
        }
    }
}

/// A session in one database.
#[derive(Debug, Clone)]
pub struct Session {
    client: Arc<Client>,
    database: String,
    /// Who is asked, as a round knows it.
    who: String,
}

/// A server, as a round knows it.
pub(crate) fn server(port: u16) -> String {
    format!("PostgreSQL on port {port}")
}

/// A database whose queries wait, for a lock or for ever, beside others that answer.
fn database_on(database: &str, port: u16) -> String {
    format!("the database {database} on port {port}")
}

impl Session {
    /// Opens a session. Those who look in one round and ask about the server as a whole share one: each
    /// costs the server a process.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub async fn open(
        connection: &PgConnection,
        database: &str,
        purpose: Purpose,
    ) -> Result<Self, Unreachable> {
        if purpose == Purpose::Observe && database == WHOLE {
            let PgConnection { socket_directory, port, superuser } = connection;
            let name = format!("{superuser} {socket_directory} {port}");
            let connection = connection.clone();
            let opening = async move { Self::open_new(&connection, WHOLE, purpose).await };
            return round::session(name, opening.boxed()).await;
        }
        Self::open_new(connection, database, purpose).await
    }

    /// Opens a session of its own.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub async fn open_new(
        connection: &PgConnection,
        database: &str,
        purpose: Purpose,
    ) -> Result<Self, Unreachable> {
        let port = connection.port;
        let who = database_on(database, port);
        if let Some(silence) = round::silence(&who) {
            return Err(Unreachable::Failed(unanswered(&who, silence)));
        }
        let opening = Self::open_socket(connection, database, purpose, who);
        match round::ask(&server(port), Some(CONNECT_PATIENCE), opening).await {
            Ok(session) => session,
            Err(_) => Err(Unreachable::Failed(HostError::new(format!(
                "PostgreSQL on port {port} accepts connections but does not answer"
            )))),
        }
    }

    async fn open_socket(
        connection: &PgConnection,
        database: &str,
        purpose: Purpose,
        who: String,
    ) -> Result<Self, Unreachable> {
        let PgConnection { socket_directory, port, superuser } = connection;
        let path = peer::socket_path(socket_directory, *port);
        let mut connected = peer::connect_as(path.clone(), superuser).await;
        if connected.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
            && path.exists()
        {
            // A server that starts has made its socket in between.
            connected = peer::connect_as(path.clone(), superuser).await;
        }
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) if no_server(&error, &path) => {
                return Err(Unreachable::NotYet {
                    because: format!("PostgreSQL does not run on port {port} yet"),
                });
            }
            Err(error) => {
                return Err(Unreachable::Failed(HostError::new(format!(
                    "cannot connect to {} as {superuser}: {error}",
                    path.display()
                ))));
            }
        };
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| tokio::net::UnixStream::from_std(stream))
            .map_err(|error| {
                Unreachable::Failed(HostError::new(format!("{}: {error}", path.display())))
            })?;
        let mut config = Config::new();
        config
            .user(superuser)
            .dbname(database)
            .application_name("keddah")
            .options(purpose.options());
        let (client, driver) =
            config.connect_raw(stream, NoTls).await.map_err(|error| refused(&error, database))?;
        // Ends by itself when the client is dropped; what goes wrong on the way is told to the
        // query that is waiting.
        tokio::spawn(async move {
            let _ = driver.await;
        });
        Ok(Self { client: Arc::new(client), database: database.to_owned(), who })
    }

    /// Opens a session for changes, on a server that takes them.
    ///
    /// # Errors
    /// When there is no session, or when the server is in recovery: it was demoted meanwhile.
    pub async fn open_for_change(
        connection: &PgConnection,
        database: &str,
    ) -> Result<Self, HostError> {
        let session = Self::open(connection, database, Purpose::Change)
            .await
            .map_err(Unreachable::into_error)?;
        if session.scalar("select pg_is_in_recovery()").await?.as_deref() == Some("t") {
            return Err(HostError::new(format!(
                "the server on port {} is not the primary any more; plan again",
                connection.port
            )));
        }
        Ok(session)
    }

    /// Whether a query of it was given up: whoever looks does not wait for what waits itself.
    pub(crate) fn is_silent(&self) -> bool {
        round::silence(&self.who).is_some()
    }

    /// The database it is in.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Reads the rows of a query as values: column names are field names.
    ///
    /// # Errors
    /// When the query fails, or its columns are not those of `T`.
    pub async fn rows<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>, HostError> {
        let wrapped =
            format!("select coalesce(json_agg(answer), '[]')::text from ({query}) answer");
        let text = self.scalar(&wrapped).await?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| {
            HostError::new(format!("PostgreSQL answered in an unknown form: {error}"))
        })
    }

    /// The first column of the first row as text.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn scalar(&self, query: &str) -> Result<Option<String>, HostError> {
        let messages = round::ask(&self.who, None, self.client.simple_query(query)).await;
        let messages = messages
            .map_err(|silence| unanswered(&self.who, silence))?
            .map_err(|error| failed(&error))?;
        Ok(messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
            _ => None,
        }))
    }

    /// Runs one statement outside of a transaction.
    ///
    /// # Errors
    /// When it fails.
    pub async fn execute(&self, statement: &str) -> Result<(), HostError> {
        self.client.batch_execute(statement).await.map_err(|error| failed(&error))
    }

    /// The server's version as in `server_version_num`, such as 150012.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn version(&self) -> Result<u32, HostError> {
        let text = self.scalar("select current_setting('server_version_num')").await?;
        text.as_deref()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| HostError::new("PostgreSQL does not say which version it is".to_owned()))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

fn unanswered(who: &str, silence: round::Silence) -> HostError {
    HostError::new(format!("a query in {who} got no answer within {}", silence.seconds()))
        .with_hint(
            "pg_stat_activity there says what it waits for; a longer `--timeout` waits for it",
        )
}

/// Whether a failed `connect()` means that no server runs.
fn no_server(error: &std::io::Error, path: &std::path::Path) -> bool {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => true,
        // Also when the account itself does not exist yet: then neither does the socket.
        std::io::ErrorKind::NotFound => !path.exists(),
        _ => false,
    }
}

/// What a refused connection means.
fn refused(error: &tokio_postgres::Error, database: &str) -> Unreachable {
    match error.code() {
        Some(&SqlState::CANNOT_CONNECT_NOW) => {
            Unreachable::NotYet { because: "PostgreSQL is starting or stopping".to_owned() }
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => {
            Unreachable::NotYet { because: format!("the database {database} does not exist yet") }
        }
        Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION | &SqlState::INVALID_PASSWORD) => {
            Unreachable::KeptOut(failed(error))
        }
        // Where a rule wants a password, there is none to give, and nobody has asked the server about it.
        None if std::error::Error::source(error)
            .is_some_and(|cause| cause.to_string().contains("password")) =>
        {
            Unreachable::KeptOut(failed(error))
        }
        _ => Unreachable::Failed(failed(error)),
    }
}

/// The server's error for people: message and SQLSTATE, details as log lines.
pub(crate) fn failed(error: &tokio_postgres::Error) -> HostError {
    let Some(told) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        return HostError::new(format!("PostgreSQL: {error}{}", cause.unwrap_or_default()));
    };
    let mut failure =
        HostError::new(format!("PostgreSQL: {} ({})", told.message(), told.code().code()));
    failure.log = told
        .detail()
        .into_iter()
        .chain(told.where_())
        .flat_map(str::lines)
        .map(str::to_owned)
        .collect();
    failure.hint = told.hint().map(str::to_owned);
    failure
}
