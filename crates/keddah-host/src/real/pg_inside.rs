//! What is inside of databases: schemas, extensions, functions, privileges and what nobody declared,
//! read by one session per database, several databases at a time.

use crate::HostError;
use crate::real::{pg_census, pg_extension, pg_function, pg_grants, pg_privileges, pg_schema};
use crate::sql::grouped::{Answers, groups};
use crate::sql::{Purpose, Session, Unreachable};
use futures_util::future::join_all;
use keddah_resource::kind::{self, PgConnection};
use keddah_resource::{Observation, Spec};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// How many databases are read at the same time: few enough for a server with few connections
/// left, many enough to keep its processors busy.
const SESSIONS: usize = 8;

/// A question about something inside of a database.
#[derive(Debug, Clone, Copy)]
pub enum Inside<'a> {
    /// A schema.
    Schema(&'a kind::pg_schema::Spec),
    /// An extension.
    Extension(&'a kind::pg_extension::Spec),
    /// A function.
    Function(&'a kind::pg_function::Spec),
    /// Privileges.
    Privileges(&'a kind::pg_privileges::Spec),
    /// What nobody declared.
    Census(&'a kind::pg_census::Spec),
    /// Who holds which privileges.
    Grants(&'a kind::pg_grants::Spec),
}

impl<'a> Inside<'a> {
    /// The question of a spec, when it is about something inside of a database.
    pub fn of(spec: &'a Spec) -> Option<Self> {
        match spec {
            Spec::PgSchema(spec) => Some(Inside::Schema(spec)),
            Spec::PgExtension(spec) => Some(Inside::Extension(spec)),
            Spec::PgFunction(spec) => Some(Inside::Function(spec)),
            Spec::PgPrivileges(spec) => Some(Inside::Privileges(spec)),
            Spec::PgCensus(spec) => Some(Inside::Census(spec)),
            Spec::PgGrants(spec) => Some(Inside::Grants(spec)),
            _ => None,
        }
    }

    fn place(self) -> (&'a PgConnection, &'a str) {
        match self {
            Inside::Schema(spec) => (&spec.connection, &spec.database),
            Inside::Extension(spec) => (&spec.connection, &spec.database),
            Inside::Function(spec) => (&spec.connection, &spec.database),
            Inside::Privileges(spec) => (&spec.connection, &spec.database),
            Inside::Census(spec) => (&spec.connection, &spec.database),
            Inside::Grants(spec) => (&spec.connection, &spec.database),
        }
    }
}

/// Looks at all of them, in the order of the questions.
pub async fn observe(questions: &[Inside<'_>]) -> Vec<Result<Observation, HostError>> {
    let groups = groups(questions.iter().map(|question| question.place()));
    let permits = Semaphore::new(SESSIONS);
    let readings = groups.iter().map(|((connection, database), members)| {
        let asked: Vec<Inside<'_>> = members.iter().map(|member| questions[*member]).collect();
        let permits = &permits;
        async move {
            let _permit = permits.acquire().await;
            read(connection, database, &asked).await
        }
    });
    let readings = join_all(readings).await;
    let mut answers = Answers::new(questions.len());
    for ((_, members), reading) in groups.iter().zip(readings) {
        answers.fill(members, reading);
    }
    answers.finish()
}

async fn read(
    connection: &PgConnection,
    database: &str,
    questions: &[Inside<'_>],
) -> Result<Vec<Result<Observation, HostError>>, Unreachable> {
    let session = Session::open(connection, database, Purpose::Observe).await?;
    let mut schemas = Vec::new();
    let mut extensions = Vec::new();
    let mut functions = Vec::new();
    let mut privileges = Vec::new();
    let mut censuses = Vec::new();
    let mut grants = Vec::new();
    for question in questions {
        match question {
            Inside::Schema(spec) => schemas.push(*spec),
            Inside::Extension(spec) => extensions.push(*spec),
            Inside::Function(spec) => functions.push(*spec),
            Inside::Privileges(spec) => privileges.push(*spec),
            Inside::Census(spec) => censuses.push(*spec),
            Inside::Grants(spec) => grants.push(*spec),
        }
    }
    let mut schemas = pg_schema::read(&session, &schemas).await.into_iter();
    let mut extensions = pg_extension::read(&session, &extensions).await.into_iter();
    let mut functions = pg_function::read(&session, &functions).await.into_iter();
    let mut privileges = pg_privileges::read(&session, &privileges).await.into_iter();
    let mut censuses = pg_census::read(&session, &censuses).await.into_iter();
    let mut grants = pg_grants::read(&session, &grants).await.into_iter();
    let answers = questions.iter().filter_map(|question| match question {
        Inside::Schema(_) => schemas.next(),
        Inside::Extension(_) => extensions.next(),
        Inside::Function(_) => functions.next(),
        Inside::Privileges(_) => privileges.next(),
        Inside::Census(_) => censuses.next(),
        Inside::Grants(_) => grants.next(),
    });
    Ok(answers.collect())
}

/// The answers of one query for several specs: what each makes of the rows, or the query's error
/// for all of them.
pub(crate) fn answer<S, R>(
    specs: &[&S],
    rows: Result<R, HostError>,
    observed: impl Fn(&S, &R) -> keddah_resource::Observed,
) -> Vec<Result<Observation, HostError>> {
    specs
        .iter()
        .map(|spec| match &rows {
            Ok(rows) => Ok(Observation::Known(observed(spec, rows))),
            Err(error) => Err(error.clone()),
        })
        .collect()
}

/// The answers of a query for each spec.
pub(crate) async fn each<S, R: DeserializeOwned>(
    session: &Session,
    specs: &[&S],
    query: impl Fn(&S) -> String,
    observed: impl Fn(&S, &Vec<R>) -> keddah_resource::Observed,
) -> Vec<Result<Observation, HostError>> {
    let mut answers = Vec::new();
    for spec in specs {
        answers.extend(answer(&[*spec], session.rows::<R>(&query(spec)).await, &observed));
    }
    answers
}
