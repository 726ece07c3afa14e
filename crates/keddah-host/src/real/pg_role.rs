//! Roles: read by one query per server, changed in one transaction each.

use crate::HostError;
use crate::real::RealHost;
use crate::sql::grouped::{Answers, groups};
use crate::sql::{
    Purpose, Session, Transaction, Unreachable, as_declared, assignments, identifier, quote_array,
    quote_literal,
};
use keddah_resource::kind::PgConnection;
use keddah_resource::kind::pg_role::{Membership, Observed, ObservedRole, Role, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A role as the catalog has it. Several grants of one role to another, by different grantors, are
/// one membership with all of their options; PostgreSQL before 16 has no column for two of these.
/// The verifier's digest is made by the server, so that the verifier
/// does not even travel over the socket.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    login: bool,
    superuser: bool,
    createdb: bool,
    createrole: bool,
    inherit: bool,
    replication: bool,
    bypassrls: bool,
    connection_limit: i32,
    valid_until: Option<String>,
    verifier_digest: Option<String>,
    member_of: BTreeMap<String, Membership>,
    settings: Vec<String>,
    comment: Option<String>,
}

fn query(roles: &[&str]) -> String {
    format!(
        "select r.rolname as name, rolcanlogin as login, rolsuper as superuser, \
         rolcreatedb as createdb, rolcreaterole as createrole, rolinherit as inherit, \
         rolreplication as replication, rolbypassrls as bypassrls, \
         rolconnlimit as connection_limit, \
         case when rolvaliduntil = 'infinity' then null \
           when rolvaliduntil = '-infinity' then '-infinity' \
           else regexp_replace(to_char(rolvaliduntil at time zone 'UTC', \
             'YYYY-MM-DD HH24:MI:SS'), ' 00:00:00$', '') end as valid_until, \
         encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex') as verifier_digest, \
         coalesce((select json_object_agg(g.rolname, json_build_object(\
             'admin', m.admin, 'inherit', m.inherit, 'set', m.set)) \
           from (select roleid, bool_or(admin_option) as admin, \
               bool_or(coalesce((to_jsonb(a)->>'inherit_option')::bool, r.rolinherit)) as inherit, \
               bool_or(coalesce((to_jsonb(a)->>'set_option')::bool, true)) as set \
             from pg_auth_members a where a.member = r.oid group by roleid) m \
           join pg_authid g on g.oid = m.roleid), '{{}}') as member_of, \
         coalesce((select to_json(s.setconfig) from pg_db_role_setting s \
           where s.setrole = r.oid and s.setdatabase = 0), '[]') as settings, \
         shobj_description(r.oid, 'pg_authid') as comment \
         from pg_authid r where r.rolname = any({})",
        quote_array(roles.iter().copied())
    )
}

/// Looks at roles.
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
    let names: Vec<&str> = specs.iter().map(|spec| spec.role.as_str()).collect();
    let rows: Vec<Row> = session.rows(&query(&names)).await.map_err(Unreachable::Failed)?;
    let mut rows: BTreeMap<String, Row> =
        rows.into_iter().map(|row| (row.name.clone(), row)).collect();
    Ok(specs
        .iter()
        .map(|spec| {
            let present = rows.remove(&spec.role).map(|row| observed(spec, row));
            Ok(Observation::Known(Observed { present }.into()))
        })
        .collect())
}

fn observed(spec: &Spec, row: Row) -> ObservedRole {
    let declared = spec.present.as_ref().map(|role| &role.parameters);
    let Row {
        name: _,
        login,
        superuser,
        createdb,
        createrole,
        inherit,
        replication,
        bypassrls,
        connection_limit,
        valid_until,
        verifier_digest,
        member_of,
        settings,
        comment,
    } = row;
    ObservedRole {
        login,
        superuser,
        createdb,
        createrole,
        inherit,
        replication,
        bypassrls,
        connection_limit,
        valid_until,
        verifier_digest,
        member_of,
        parameters: as_declared(&settings, declared),
        comment,
    }
}

/// Makes, changes or drops a role.
///
/// # Errors
/// When the server refuses, is not the primary any more, or the name is PostgreSQL's own.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    difference: &Difference,
) -> Result<(), HostError> {
    if spec.role.starts_with("pg_") {
        return Err(HostError::new(format!(
            "the role {} cannot be managed: names that begin with pg_ are PostgreSQL's own",
            spec.role
        )));
    }
    let session = Session::open_for_change(&spec.connection, "postgres").await?;
    match &spec.present {
        Some(role) => {
            ensure(&session, &spec.role, role, observed.present.as_ref(), difference).await
        }
        None => drop_role(&session, spec).await,
    }
}

async fn ensure(
    session: &Session,
    name: &str,
    role: &Role,
    present: Option<&ObservedRole>,
    difference: &Difference,
) -> Result<(), HostError> {
    let quoted = identifier(name)?;
    let differs = |field: &str| difference.fields.iter().any(|change| change.field() == field);
    let mut transaction = Transaction::default();
    let exists = format!("select 1 from pg_authid where rolname = {}", quote_literal(name));
    if session.scalar(&exists).await?.is_none() {
        transaction.add(format!("create role {quoted}"));
    }
    transaction.add(attributes(&quoted, role, differs("valid until")));
    if let Some(verifier) = role.verifier.as_ref().filter(|_| differs("password")) {
        let statement =
            format!("alter role {quoted} password {}", quote_literal(verifier.reveal()));
        transaction.add_secret(statement, verifier);
    }
    for statement in memberships(session, name, role).await? {
        transaction.add(statement);
    }
    let nothing = BTreeMap::new();
    let before = present.map_or(&nothing, |present| &present.parameters);
    for statement in assignments(&format!("alter role {quoted}"), before, &role.parameters)? {
        transaction.add(statement);
    }
    if let Some(comment) = &role.comment {
        transaction.add(format!("comment on role {quoted} is {}", quote_literal(comment)));
    }
    transaction.run(session).await
}

fn attributes(quoted: &str, role: &Role, expiry: bool) -> String {
    let word = |yes: bool, word: &str| if yes { word.to_owned() } else { format!("no{word}") };
    let mut statement = format!(
        "alter role {quoted} with {} {} {} {} {} {} {} connection limit {}",
        word(role.login, "login"),
        word(role.superuser, "superuser"),
        word(role.createdb, "createdb"),
        word(role.createrole, "createrole"),
        word(role.inherit, "inherit"),
        word(role.replication, "replication"),
        word(role.bypassrls, "bypassrls"),
        role.connection_limit
    );
    if expiry {
        let until = match role.expiry.date() {
            Some(day) if !day.contains(':') => format!("{day} 00:00:00+00"),
            Some(moment) => format!("{moment}+00"),
            None => "infinity".to_owned(),
        };
        statement.push_str(&format!(" valid until {}", quote_literal(&until)));
    }
    statement
}

/// A grant of one role to another; since PostgreSQL 16 several may stand side by side, each
/// with its own grantor, and only by naming him can it be revoked.
#[derive(Debug, Deserialize)]
struct Grant {
    role: String,
    grantor: Option<String>,
    admin: bool,
    inherit: Option<bool>,
    set: Option<bool>,
    /// Whether the one who grants in Keddah's name made it: PostgreSQL records the bootstrap
    /// superuser for whatever any superuser grants.
    own: bool,
}

impl Grant {
    fn has(&self, wanted: Membership) -> bool {
        self.admin == wanted.admin
            && self.inherit.is_none_or(|inherit| inherit == wanted.inherit)
            && self.set.is_none_or(|set| set == wanted.set)
    }
}

async fn memberships(session: &Session, name: &str, role: &Role) -> Result<Vec<String>, HostError> {
    let grants: Vec<Grant> = session
        .rows(&format!(
            "select g.rolname as role, o.rolname as grantor, m.admin_option as admin, \
             (to_jsonb(m)->>'inherit_option')::bool as inherit, \
             (to_jsonb(m)->>'set_option')::bool as set, m.grantor = 10 as own \
             from pg_auth_members m \
             join pg_authid g on g.oid = m.roleid join pg_authid r on r.oid = m.member \
             left join pg_authid o on o.oid = m.grantor where r.rolname = {}",
            quote_literal(name)
        ))
        .await?;
    let per_grant = session.version().await? >= 160_000;
    let quoted = identifier(name)?;
    let mut statements = Vec::new();
    let revoke = |grant: &Grant, what: &str| -> Result<String, HostError> {
        let mut statement = format!("revoke {what}{} from {quoted}", identifier(&grant.role)?);
        if let Some(grantor) = grant.grantor.as_ref().filter(|_| per_grant) {
            statement.push_str(&format!(" granted by {}", identifier(grantor)?));
        }
        Ok(statement)
    };
    let declared = |group: &String| role.declared.contains(group) || group.starts_with("pg_");
    for grant in &grants {
        if !role.member_of.contains_key(&grant.role) && declared(&grant.role) {
            statements.push(revoke(grant, "")?);
        }
    }
    for (group, wanted) in &role.member_of {
        let present: Vec<&Grant> = grants.iter().filter(|grant| grant.role == *group).collect();
        if !present.is_empty() && present.iter().all(|grant| grant.has(*wanted)) {
            continue;
        }
        for grant in present {
            if per_grant && !grant.own {
                statements.push(revoke(grant, "")?);
            } else if grant.admin && !wanted.admin {
                statements.push(revoke(grant, "admin option for ")?);
            }
        }
        let mut statement = format!("grant {} to {quoted}", identifier(group)?);
        if per_grant {
            let Membership { admin, inherit, set } = wanted;
            statement.push_str(&format!(" with admin {admin}, inherit {inherit}, set {set}"));
        } else if wanted.admin {
            statement.push_str(" with admin option");
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// Drops a role: nobody can log in as it any more, its sessions end, what it owns in every
/// database goes to the superuser, its privileges go. Killed on the way, it is there still, and
/// the next run goes on.
async fn drop_role(session: &Session, spec: &Spec) -> Result<(), HostError> {
    let superuser = &spec.connection.superuser;
    if spec.role == *superuser {
        return Err(HostError::new(format!("the superuser {superuser} is never dropped")));
    }
    let quoted = identifier(&spec.role)?;
    let literal = quote_literal(&spec.role);
    let exists = format!("select 1 from pg_authid where rolname = {literal}");
    if session.scalar(&exists).await?.is_none() {
        return Ok(());
    }
    session.execute(&format!("alter role {quoted} nologin")).await?;
    session
        .execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = {literal}"
        ))
        .await?;
    let databases: Vec<Database> = session
        .rows("select datname as name from pg_database where datallowconn and datconnlimit <> -2")
        .await?;
    for database in databases {
        let inside = match Session::open(&spec.connection, &database.name, Purpose::Change).await {
            Ok(inside) => inside,
            // It was dropped a moment ago.
            Err(Unreachable::NotYet { .. }) => continue,
            Err(Unreachable::KeptOut(error) | Unreachable::Failed(error)) => return Err(error),
        };
        let mut transaction = Transaction::default();
        transaction.add(format!("reassign owned by {quoted} to {}", identifier(superuser)?));
        transaction.add(format!("drop owned by {quoted}"));
        transaction.run(&inside).await?;
    }
    let mut transaction = Transaction::default();
    transaction.add(format!("drop role {quoted}"));
    transaction.run(session).await.map_err(|mut error| {
        error.hint = Some(format!(
            "{} cannot log in any more and owns nothing in the databases that can be connected to; \
             what is left is named above",
            spec.role
        ));
        error
    })
}

#[derive(Debug, Deserialize)]
struct Database {
    name: String,
}
