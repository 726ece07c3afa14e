//! Databases: read by one query per server; made in one statement, then brought in line.

use crate::HostError;
use crate::real::RealHost;
use crate::sql::grouped::{Answers, groups};
use crate::sql::{
    Purpose, Session, Transaction, Unreachable, as_declared, assignments, identifier, quote_array,
    quote_literal,
};
use keddah_resource::kind::PgConnection;
use keddah_resource::kind::pg_database::{Database, Observed, ObservedDatabase, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The database's setting that says that it was made anew because the inventory asked for that.
const RECREATED: &str = "keddah.recreated";

/// A database as the catalog has it.
#[derive(Debug, Clone, Deserialize)]
struct Row {
    name: String,
    owner: String,
    encoding: String,
    collate_name: String,
    ctype_name: String,
    provider: String,
    locale: Option<String>,
    icu_rules: Option<String>,
    is_template: bool,
    tablespace: String,
    allow_connections: bool,
    connection_limit: i32,
    public_connect: bool,
    connect_roles: BTreeSet<String>,
    settings: Vec<String>,
    comment: Option<String>,
}

impl Row {
    fn was_recreated(&self) -> bool {
        self.settings.iter().any(|setting| setting.starts_with(RECREATED))
    }
}

fn query(databases: &[&str]) -> String {
    // An ACL that is null stands for PostgreSQL's default, which `acldefault` spells out. Columns
    // that not every version has are read by way of JSON.
    let connect = "aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
                   where a.privilege_type = 'CONNECT'";
    format!(
        "select d.datname as name, pg_get_userbyid(d.datdba) as owner, \
         pg_encoding_to_char(d.encoding) as encoding, d.datcollate as collate_name, \
         d.datctype as ctype_name, \
         case d.columns->>'datlocprovider' when 'i' then 'icu' when 'b' then 'builtin' \
           else 'libc' end as provider, \
         coalesce(d.columns->>'datlocale', d.columns->>'daticulocale') as locale, \
         d.columns->>'daticurules' as icu_rules, \
         d.datistemplate as is_template, t.spcname as tablespace, \
         d.datallowconn as allow_connections, d.datconnlimit as connection_limit, \
         exists (select 1 from {connect} and a.grantee = 0) as public_connect, \
         coalesce((select json_agg(distinct pg_get_userbyid(a.grantee)) from {connect} \
           and a.grantee <> 0), '[]') as connect_roles, \
         coalesce((select to_json(s.setconfig) from pg_db_role_setting s \
           where s.setdatabase = d.oid and s.setrole = 0), '[]') as settings, \
         shobj_description(d.oid, 'pg_database') as comment \
         from (select d.*, to_jsonb(d) as columns from pg_database d) d \
         join pg_tablespace t on t.oid = d.dattablespace \
         where d.datname = any({})",
        quote_array(databases.iter().copied())
    )
}

/// Looks at databases.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let mut answers = Answers::new(specs.len());
    for (connection, members) in groups(specs.iter().map(|spec| &spec.connection)) {
        let wanted: Vec<&Spec> = members.iter().map(|member| specs[*member]).collect();
        answers.fill(&members, read(connection, &wanted).await);
    }
    answers.finish()
}

async fn read(
    connection: &PgConnection,
    specs: &[&Spec],
) -> Result<Vec<Result<Observation, HostError>>, Unreachable> {
    let session = Session::open(connection, "postgres", Purpose::Observe).await?;
    let names: Vec<&str> = specs.iter().map(|spec| spec.database.as_str()).collect();
    let rows: Vec<Row> = session.rows(&query(&names)).await.map_err(Unreachable::Failed)?;
    let rows: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.name.as_str(), row)).collect();
    let named =
        specs.iter().any(|spec| spec.present.as_ref().is_some_and(|it| it.tablespace.is_some()));
    let tablespaces = match named {
        true => tablespaces(&session).await.map_err(Unreachable::Failed)?,
        false => BTreeSet::new(),
    };
    Ok(specs
        .iter()
        .map(|spec| {
            let present = rows
                .get(spec.database.as_str())
                .map(|row| Box::new(observed((*row).clone(), spec.present.as_ref())));
            let tablespaces = tablespaces.clone();
            Ok(Observation::Known(Observed { present, tablespaces }.into()))
        })
        .collect())
}

#[derive(Debug, Deserialize)]
struct Tablespace {
    name: String,
}

async fn tablespaces(session: &Session) -> Result<BTreeSet<String>, HostError> {
    let rows: Vec<Tablespace> = session.rows("select spcname as name from pg_tablespace").await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

fn observed(row: Row, wanted: Option<&Database>) -> ObservedDatabase {
    let recreated = row.was_recreated();
    let Row {
        name: _,
        owner,
        encoding,
        collate_name,
        ctype_name,
        provider,
        locale,
        icu_rules,
        is_template,
        tablespace,
        allow_connections,
        connection_limit,
        public_connect,
        connect_roles,
        mut settings,
        comment,
    } = row;
    settings.retain(|setting| !setting.starts_with("keddah."));
    let spelled = |found: String, wanted: Option<&String>| match wanted {
        Some(wanted) if same_spelling(wanted, &found) => wanted.clone(),
        _ => found,
    };
    ObservedDatabase {
        encoding: spelled(encoding, wanted.and_then(|wanted| wanted.encoding.as_ref())),
        collate: spelled(collate_name, wanted.and_then(|wanted| wanted.collate.as_ref())),
        ctype: spelled(ctype_name, wanted.and_then(|wanted| wanted.ctype.as_ref())),
        provider,
        locale: locale
            .map(|found| spelled(found, wanted.and_then(|wanted| wanted.locale.as_ref()))),
        icu_rules,
        is_template,
        recreated,
        owner,
        tablespace,
        allow_connections,
        connection_limit,
        public_connect,
        connect_roles,
        parameters: as_declared(&settings, wanted.map(|wanted| &wanted.parameters)),
        comment,
    }
}

/// Whether two names of an encoding or a locale mean the same: the C library takes `en_US.UTF-8`
/// and `en_US.utf8` alike, PostgreSQL takes `utf-8` for `UTF8`, and writes the ICU locale `en_US`
/// as `en-US`.
fn same_spelling(one: &str, other: &str) -> bool {
    let normal = |text: &str| {
        // In `en_US.UTF-8` only the part after the dot names an encoding.
        let (locale, encoding) = match text.split_once('.') {
            Some((locale, encoding)) => (locale, encoding),
            None if text.to_ascii_lowercase().starts_with("utf") => ("", text),
            None => (text, ""),
        };
        (locale.replace('_', "-"), encoding.replace(['-', '_'], "").to_lowercase())
    };
    normal(one) == normal(other)
}

/// Makes, changes or drops a database.
///
/// # Errors
/// When the server refuses, or is not the primary any more.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    // Nobody can drop or move the database he is in.
    let from = if spec.database == "postgres" { "template1" } else { "postgres" };
    let session = Session::open_for_change(&spec.connection, from).await?;
    match &spec.present {
        Some(wanted) => ensure(&session, &spec.database, wanted).await,
        None => drop_database(&session, &spec.database).await,
    }
}

async fn ensure(session: &Session, name: &str, wanted: &Database) -> Result<(), HostError> {
    let mut found = find(session, name).await?;
    if found.as_ref().is_some_and(|row| wanted.recreate && !row.was_recreated()) {
        drop_database(session, name).await?;
        found = None;
    }
    if found.is_none() {
        let template = template(session, wanted).await?;
        let statement = creation(name, wanted, template.as_deref())?;
        session.execute(&statement).await.map_err(|error| advised(error, wanted))?;
    }
    let Some(row) = find(session, name).await? else {
        return Err(HostError::new(format!("the database {name} was dropped while it was made")));
    };
    let present = observed(row, Some(wanted));
    if let Some(tablespace) = wanted.tablespace.as_ref().filter(|it| **it != present.tablespace) {
        relocate(session, name, tablespace).await?;
    }
    let quoted = identifier(name)?;
    let transaction = adjustment(&quoted, wanted, &present)?;
    if transaction.is_empty() { Ok(()) } else { transaction.run(session).await }
}

/// Moves a database's files, which takes that nobody is connected. Killed on the way, it is left
/// closed; opening it is the next difference.
async fn relocate(session: &Session, name: &str, tablespace: &str) -> Result<(), HostError> {
    let quoted = identifier(name)?;
    let tablespace = identifier(tablespace)?;
    let open = session
        .scalar(&format!(
            "select datallowconn from pg_database where datname = {}",
            quote_literal(name)
        ))
        .await?;
    session.execute(&format!("alter database {quoted} allow_connections false")).await?;
    session
        .execute(&format!(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = {}",
            quote_literal(name)
        ))
        .await?;
    let moved =
        session.execute(&format!("alter database {quoted} set tablespace {tablespace}")).await;
    if open.as_deref() == Some("t") {
        session.execute(&format!("alter database {quoted} allow_connections true")).await?;
    }
    moved
}

/// What PostgreSQL leaves unsaid when it refuses to make a database.
fn advised(mut error: HostError, wanted: &Database) -> HostError {
    if error.message.contains("is being accessed by other users") {
        error.hint = Some(format!(
            "nobody may be connected to {} while it is copied; end its sessions, or take it out \
             of PgBouncer with `pgbouncer: false`",
            wanted.template.as_deref().unwrap_or("template1")
        ));
    } else if error.message.contains("locale name") && error.hint.is_none() {
        error.hint = Some(
            "`locale -a` on a member lists the locales it has; one that is missing comes with the \
             package locales"
                .to_owned(),
        );
    }
    error
}

async fn find(session: &Session, name: &str) -> Result<Option<Row>, HostError> {
    Ok(session.rows(&query(&[name])).await?.pop())
}

/// Which database to copy. Only `template0` can be copied into another encoding or locale; saying
/// `template1`, which is the default, is no word against that.
async fn template(session: &Session, wanted: &Database) -> Result<Option<String>, HostError> {
    if wanted.template.as_deref().is_some_and(|template| template != "template1") {
        return Ok(wanted.template.clone());
    }
    let Some(usual) = find(session, "template1").await? else { return Ok(None) };
    let usual = observed(usual, Some(wanted));
    let same = |wanted: &Option<String>, usual: &String| {
        wanted.as_ref().is_none_or(|wanted| wanted == usual)
    };
    let fits = same(&wanted.encoding, &usual.encoding)
        && same(&wanted.collate, &usual.collate)
        && same(&wanted.ctype, &usual.ctype)
        && same(&wanted.provider, &usual.provider)
        && (wanted.locale.is_none() || wanted.locale == usual.locale)
        && (wanted.icu_rules.is_none() || wanted.icu_rules == usual.icu_rules);
    Ok((!fits).then(|| "template0".to_owned()))
}

fn creation(name: &str, wanted: &Database, template: Option<&str>) -> Result<String, HostError> {
    let mut statement = format!("create database {}", identifier(name)?);
    if let Some(owner) = &wanted.owner {
        statement.push_str(&format!(" owner {}", identifier(owner)?));
    }
    if let Some(template) = template {
        statement.push_str(&format!(" template {}", identifier(template)?));
    }
    let provider = wanted.provider.as_deref();
    let builtin = provider == Some("builtin");
    for (word, value) in [
        ("strategy", &wanted.strategy),
        ("encoding", &wanted.encoding),
        ("lc_collate", &wanted.collate),
        ("lc_ctype", &wanted.ctype),
        ("locale_provider", &wanted.provider),
        (if builtin { "builtin_locale" } else { "icu_locale" }, &wanted.locale),
        ("icu_rules", &wanted.icu_rules),
    ] {
        if let Some(value) = value {
            statement.push_str(&format!(" {word} {}", quote_literal(value)));
        }
    }
    if let Some(tablespace) = &wanted.tablespace {
        statement.push_str(&format!(" tablespace {}", identifier(tablespace)?));
    }
    statement.push_str(&format!(
        " allow_connections {} connection limit {} is_template {}",
        wanted.allow_connections, wanted.connection_limit, wanted.is_template
    ));
    Ok(statement)
}

/// What leads from the database that is there to the one that should be, in one transaction.
fn adjustment(
    quoted: &str,
    wanted: &Database,
    present: &ObservedDatabase,
) -> Result<Transaction, HostError> {
    let mut transaction = Transaction::default();
    if let Some(owner) = wanted.owner.as_ref().filter(|owner| **owner != present.owner) {
        transaction.add(format!("alter database {quoted} owner to {}", identifier(owner)?));
    }
    if wanted.allow_connections != present.allow_connections {
        let allow = wanted.allow_connections;
        transaction.add(format!("alter database {quoted} allow_connections {allow}"));
    }
    if wanted.is_template != present.is_template {
        transaction.add(format!("alter database {quoted} is_template {}", wanted.is_template));
    }
    if wanted.recreate != present.recreated {
        transaction.add(match wanted.recreate {
            true => format!("alter database {quoted} set {RECREATED} to 'done'"),
            false => format!("alter database {quoted} reset {RECREATED}"),
        });
    }
    if wanted.connection_limit != present.connection_limit {
        let limit = wanted.connection_limit;
        transaction.add(format!("alter database {quoted} connection limit {limit}"));
    }
    if wanted.public_connect {
        if !present.public_connect {
            transaction.add(format!("grant connect, temporary on database {quoted} to public"));
        }
    } else {
        if present.public_connect {
            transaction.add(format!("revoke connect, temporary on database {quoted} from public"));
        }
        for role in wanted.connect_roles.difference(&present.connect_roles) {
            let owns = wanted.owner.as_ref() == Some(role);
            let what = if owns { "connect, temporary" } else { "connect" };
            let option = if owns { " with grant option" } else { "" };
            let role = identifier(role)?;
            transaction.add(format!("grant {what} on database {quoted} to {role}{option}"));
        }
    }
    let subject = format!("alter database {quoted}");
    for statement in assignments(&subject, &present.parameters, &wanted.parameters)? {
        transaction.add(statement);
    }
    if wanted.comment.is_some() && wanted.comment != present.comment {
        let comment = quote_literal(wanted.comment.as_deref().unwrap_or_default());
        transaction.add(format!("comment on database {quoted} is {comment}"));
    }
    Ok(transaction)
}

async fn drop_database(session: &Session, name: &str) -> Result<(), HostError> {
    if matches!(name, "postgres" | "template0" | "template1") {
        return Err(HostError::new(format!(
            "the database {name} belongs to PostgreSQL itself and is never dropped"
        )));
    }
    let quoted = identifier(name)?;
    let template = format!(
        "select 1 from pg_database where datname = {} and datistemplate",
        quote_literal(name)
    );
    if session.scalar(&template).await?.is_some() {
        session.execute(&format!("alter database {quoted} is_template false")).await?;
    }
    session.execute(&format!("drop database if exists {quoted} with (force)")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_locale_are_equal_and_others_are_not() {
        for (one, other) in
            [("en_US.UTF-8", "en_US.utf8"), ("utf-8", "UTF8"), ("C", "C"), ("C.UTF-8", "C.utf8")]
        {
            assert!(same_spelling(one, other), "{one} {other}");
        }
        for (one, other) in
            [("C", "C.UTF-8"), ("en_US.UTF-8", "en_GB.UTF-8"), ("UTF8", "LATIN1"), ("C", "c")]
        {
            assert!(!same_spelling(one, other), "{one} {other}");
        }
    }
}
