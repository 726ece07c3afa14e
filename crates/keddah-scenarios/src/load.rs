//! A writer that never rests: one transaction every 20 ms, and what became of each.

use crate::failure::{Failure, Outcome};
use crate::sandbox::Sandbox;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Between two transactions.
const PACE: Duration = Duration::from_millis(20);

/// A transaction that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a writer went through.
#[derive(Debug, Clone)]
pub struct Record {
    /// Acknowledged transactions.
    pub commits: usize,
    /// Transactions that were not acknowledged, and connections that were refused.
    pub failures: usize,
    /// The longest time without an acknowledged transaction.
    pub outage: Duration,
    /// Acknowledged transactions that are not there afterwards.
    pub lost: usize,
    /// What the first failures said.
    pub errors: Vec<String>,
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commits, failures, outage, lost, errors: _ } = self;
        write!(
            formatter,
            "{commits} commits, {failures} failed transactions, {:.2} s outage, {lost} acknowledged \
             writes lost",
            outage.as_secs_f64()
        )
    }
}

/// How a writer connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Once, and again after a failure.
    Lasting,
    /// Anew for each transaction: every one depends on where the service leads at that moment.
    PerTransaction,
}

/// A writer at work on a thread of its own, inside the sandbox's network.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Record>>,
}

impl Load {
    /// Makes the table and begins to write; `connection` is a connection string without options.
    pub fn start(
        sandbox: &Sandbox,
        connection: &str,
        table: &str,
        session: Session,
    ) -> Outcome<Self> {
        let network = File::open(sandbox.network())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, connection, table) = (stop.clone(), connection.to_owned(), table.to_owned());
        let (ready, begun) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| Failure::new(format!("cannot enter the network: {error}")))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                prepare(&connection, &table).await?;
                let _ = ready.send(());
                write(&connection, &table, session, &told).await
            })
        });
        if begun.recv_timeout(Duration::from_secs(30)).is_err() {
            stop.store(true, Ordering::Relaxed);
            return match thread.join() {
                Ok(Err(failure)) => Err(failure),
                _ => Err(Failure::new("the writer did not begin")),
            };
        }
        Ok(Self { stop, thread })
    }

    /// Ends the writing and counts what is there. The table goes unless it lacks something.
    pub fn finish(self) -> Outcome<Record> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::new("the writer panicked"))?
    }
}

async fn connect(connection: &str) -> Result<Client, String> {
    let attempt = tokio_postgres::connect(connection, NoTls);
    match tokio::time::timeout(PATIENCE, attempt).await {
        Err(_) => Err("no connection in time".to_owned()),
        Ok(Err(error)) => Err(described(&error)),
        Ok(Ok((client, connection))) => {
            tokio::spawn(async move {
                let _ = connection.await;
            });
            Ok(client)
        }
    }
}

fn described(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        },
        |error| format!("{}: {}", error.code().code(), error.message()),
    )
}

async fn prepare(connection: &str, table: &str) -> Outcome {
    let client = connect(connection).await.map_err(Failure::new)?;
    let sql = format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (number bigint)");
    client.batch_execute(&sql).await.map_err(|error| Failure::new(described(&error)))
}

async fn write(
    connection: &str,
    table: &str,
    session: Session,
    stop: &AtomicBool,
) -> Outcome<Record> {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut client = None;
    let mut acknowledged = BTreeSet::new();
    let mut record =
        Record { commits: 0, failures: 0, outage: Duration::ZERO, lost: 0, errors: Vec::new() };
    let mut last = Instant::now();
    let mut number: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        number += 1;
        match transaction(connection, table, number, &mut client).await {
            Ok(()) => {
                acknowledged.insert(number);
                record.outage = record.outage.max(last.elapsed());
                last = Instant::now();
                if session == Session::PerTransaction {
                    client = None;
                }
            }
            Err(error) => {
                client = None;
                record.failures += 1;
                if record.errors.len() < 20 && !record.errors.contains(&error) {
                    record.errors.push(error);
                }
            }
        }
    }
    record.outage = record.outage.max(last.elapsed());
    record.commits = acknowledged.len();
    for found in written(connection, table).await? {
        acknowledged.remove(&found);
    }
    record.lost = acknowledged.len();
    if record.lost == 0 {
        let client = connect(connection).await.map_err(Failure::new)?;
        let sql = format!("DROP TABLE {table}");
        client.batch_execute(&sql).await.map_err(|error| Failure::new(described(&error)))?;
    }
    Ok(record)
}

async fn transaction(
    connection: &str,
    table: &str,
    number: u64,
    client: &mut Option<Client>,
) -> Result<(), String> {
    let connected = match client.take() {
        Some(connected) => connected,
        None => connect(connection).await?,
    };
    let sql = format!("INSERT INTO {table} VALUES ({number})");
    match tokio::time::timeout(PATIENCE, connected.batch_execute(&sql)).await {
        Ok(Ok(())) => {
            *client = Some(connected);
            Ok(())
        }
        Ok(Err(error)) => Err(described(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// All numbers in the table; asked again for a while, for the cluster may still be on its way up.
async fn written(connection: &str, table: &str) -> Outcome<Vec<u64>> {
    let started = Instant::now();
    loop {
        let answer = match connect(connection).await {
            Ok(client) => {
                let sql = format!("SELECT number FROM {table}");
                client.simple_query(&sql).await.map_err(|error| described(&error))
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(rows) => {
                let numbers = rows.iter().filter_map(|row| match row {
                    SimpleQueryMessage::Row(row) => row.get(0).and_then(|text| text.parse().ok()),
                    _ => None,
                });
                return Ok(numbers.collect());
            }
            Err(error) if started.elapsed() > Duration::from_secs(60) => {
                return Err(Failure::new(format!("what was written cannot be read: {error}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}
