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

/// A database as the catalog has it.
#[derive(Debug, Clone, Deserialize)]
struct Row {
    name: String,
    owner: String,
    encoding: String,
    collate_name: String,
    ctype_name: String,
    tablespace: String,
    allow_connections: bool,
    connection_limit: i32,
    public_connect: bool,
    connect_roles: BTreeSet<String>,
    settings: Vec<String>,
    comment: Option<String>,
}

fn query(databases: &[&str]) -> String {
    // An ACL that is null stands for PostgreSQL's default, which `acldefault` spells out.
    let connect = "aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a \
                   where a.privilege_type = 'CONNECT'";
    format!(
        "select d.datname as name, pg_get_userbyid(d.datdba) as owner, \
         pg_encoding_to_char(d.encoding) as encoding, d.datcollate as collate_name, \
         d.datctype as ctype_name, t.spcname as tablespace, \
         d.datallowconn as allow_connections, d.datconnlimit as connection_limit, \
         exists (select 1 from {connect} and a.grantee = 0) as public_connect, \
         coalesce((select json_agg(distinct pg_get_userbyid(a.grantee)) from {connect} \
           and a.grantee <> 0), '[]') as connect_roles, \
         coalesce((select to_json(s.setconfig) from pg_db_role_setting s \
           where s.setdatabase = d.oid and s.setrole = 0), '[]') as settings, \
         shobj_description(d.oid, 'pg_database') as comment \
         from pg_database d join pg_tablespace t on t.oid = d.dattablespace \
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
    Ok(specs
        .iter()
        .map(|spec| {
            let present = rows
                .get(spec.database.as_str())
                .map(|row| observed((*row).clone(), spec.present.as_ref()));
            Ok(Observation::Known(Observed { present }.into()))
        })
        .collect())
}

fn observed(row: Row, wanted: Option<&Database>) -> ObservedDatabase {
    let Row {
        name: _,
        owner,
        encoding,
        collate_name,
        ctype_name,
        tablespace,
        allow_connections,
        connection_limit,
        public_connect,
        mut connect_roles,
        mut settings,
        comment,
    } = row;
    // The owner may connect anyway; he counts only where he is declared.
    if !wanted.is_some_and(|wanted| wanted.connect_roles.contains(&owner)) {
        connect_roles.remove(&owner);
    }
    settings.retain(|setting| !setting.starts_with("keddah."));
    let spelled = |found: String, wanted: Option<&String>| match wanted {
        Some(wanted) if same_spelling(wanted, &found) => wanted.clone(),
        _ => found,
    };
    ObservedDatabase {
        encoding: spelled(encoding, wanted.and_then(|wanted| wanted.encoding.as_ref())),
        collate: spelled(collate_name, wanted.and_then(|wanted| wanted.collate.as_ref())),
        ctype: spelled(ctype_name, wanted.and_then(|wanted| wanted.ctype.as_ref())),
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
/// and `en_US.utf8` alike, and PostgreSQL takes `utf-8` for `UTF8`.
fn same_spelling(one: &str, other: &str) -> bool {
    let normal = |text: &str| {
        // In `en_US.UTF-8` only the part after the dot names an encoding.
        let (locale, encoding) = match text.split_once('.') {
            Some((locale, encoding)) => (locale, encoding),
            None if text.to_ascii_lowercase().starts_with("utf") => ("", text),
            None => (text, ""),
        };
        (locale.to_owned(), encoding.replace(['-', '_'], "").to_lowercase())
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
    if find(session, name).await?.is_none() {
        let template = template(session, wanted).await?;
        session.execute(&creation(name, wanted, template.as_deref())?).await?;
    }
    let Some(row) = find(session, name).await? else {
        return Err(HostError::new(format!("the database {name} was dropped while it was made")));
    };
    let present = observed(row, Some(wanted));
    let quoted = identifier(name)?;
    let transaction = adjustment(&quoted, wanted, &present)?;
    if !transaction.is_empty() {
        transaction.run(session).await?;
    }
    if let Some(tablespace) = wanted.tablespace.as_ref().filter(|it| **it != present.tablespace) {
        let statement =
            format!("alter database {quoted} set tablespace {}", identifier(tablespace)?);
        session.execute(&statement).await?;
    }
    Ok(())
}

async fn find(session: &Session, name: &str) -> Result<Option<Row>, HostError> {
    Ok(session.rows(&query(&[name])).await?.pop())
}

/// Which database to copy. Only `template0` can be copied into another encoding or locale.
async fn template(session: &Session, wanted: &Database) -> Result<Option<String>, HostError> {
    if wanted.template.is_some() {
        return Ok(wanted.template.clone());
    }
    let Some(usual) = find(session, "template1").await? else { return Ok(None) };
    let usual = observed(usual, Some(wanted));
    let same = |wanted: &Option<String>, usual: &String| {
        wanted.as_ref().is_none_or(|wanted| wanted == usual)
    };
    let fits = same(&wanted.encoding, &usual.encoding)
        && same(&wanted.collate, &usual.collate)
        && same(&wanted.ctype, &usual.ctype);
    Ok((!fits).then(|| "template0".to_owned()))
}

fn creation(name: &str, wanted: &Database, template: Option<&str>) -> Result<String, HostError> {
    let mut statement =
        format!("create database {} owner {}", identifier(name)?, identifier(&wanted.owner)?);
    if let Some(template) = template {
        statement.push_str(&format!(" template {}", identifier(template)?));
    }
    for (word, value) in [
        ("encoding", &wanted.encoding),
        ("lc_collate", &wanted.collate),
        ("lc_ctype", &wanted.ctype),
    ] {
        if let Some(value) = value {
            statement.push_str(&format!(" {word} {}", quote_literal(value)));
        }
    }
    if let Some(tablespace) = &wanted.tablespace {
        statement.push_str(&format!(" tablespace {}", identifier(tablespace)?));
    }
    statement.push_str(&format!(
        " allow_connections {} connection limit {}",
        wanted.allow_connections, wanted.connection_limit
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
    if wanted.owner != present.owner {
        transaction.add(format!("alter database {quoted} owner to {}", identifier(&wanted.owner)?));
    }
    if wanted.allow_connections != present.allow_connections {
        let allow = wanted.allow_connections;
        transaction.add(format!("alter database {quoted} allow_connections {allow}"));
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
            let owner = identifier(&wanted.owner)?;
            transaction.add(format!(
                "grant connect, temporary on database {quoted} to {owner} with grant option"
            ));
        }
        for role in wanted.connect_roles.difference(&present.connect_roles) {
            let role = identifier(role)?;
            transaction.add(format!("grant connect on database {quoted} to {role}"));
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
