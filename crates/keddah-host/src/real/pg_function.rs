//! Functions with their owner's rights: made whole in one transaction, so that no moment passes in
//! which a role may call one that should not.

use crate::HostError;
use crate::real::RealHost;
use crate::real::pg_inside::answer;
use crate::sql::{Session, Transaction, identifier, quote_array, quote_literal};
use keddah_resource::kind::pg_function::{Function, Observed, ObservedFunction, Spec};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The setting that keeps a caller from putting objects of his own before the catalog's.
const SEARCH_PATH: &str = "search_path=pg_catalog";

#[derive(Debug, Deserialize)]
struct Row {
    schema: String,
    function: String,
    arguments: String,
    owner: String,
    returns: String,
    body: String,
    definer: bool,
    settings: Option<Vec<String>>,
    callers: Vec<String>,
    /// Roles that can use its schema.
    users: Vec<String>,
}

/// A role that a query is about.
#[derive(Debug, Deserialize)]
struct Role {
    name: String,
}

/// Looks at functions of the session's database.
pub(super) async fn read(
    session: &Session,
    specs: &[&Spec],
) -> Vec<Result<Observation, HostError>> {
    if specs.is_empty() {
        return Vec::new();
    }
    let callers: BTreeSet<&str> = specs
        .iter()
        .filter_map(|spec| spec.present.as_ref())
        .flat_map(|wanted| wanted.callers.iter().map(String::as_str))
        .collect();
    let query = format!(
        "select n.nspname as schema, p.proname as function, \
           pg_get_function_identity_arguments(p.oid) as arguments, \
           pg_get_userbyid(p.proowner) as owner, pg_get_function_result(p.oid) as returns, \
           p.prosrc as body, p.prosecdef as definer, p.proconfig as settings, \
           (select coalesce(json_agg(distinct coalesce(g.rolname, 'PUBLIC')), '[]') \
             from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a \
             left join pg_roles g on g.oid = a.grantee \
             where a.grantee <> p.proowner and a.privilege_type = 'EXECUTE') as callers, \
           (select coalesce(json_agg(r.rolname), '[]') from pg_roles r \
             where r.rolname = any({callers}) \
             and has_schema_privilege(r.oid, n.oid, 'usage')) as users \
         from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
         where p.proname = any({names})",
        callers = quote_array(callers.iter().copied()),
        names = quote_array(specs.iter().map(|spec| spec.function.as_str())),
    );
    answer(specs, session.rows::<Row>(&query).await, |spec, rows| {
        let row = rows.iter().find(|row| {
            row.schema == spec.schema
                && row.function == spec.function
                && row.arguments == spec.arguments
        });
        let present = row.map(|row| ObservedFunction {
            owner: row.owner.clone(),
            returns: row.returns.clone(),
            body: row.body.clone(),
            safe: row.definer && row.settings.as_deref() == Some(&[SEARCH_PATH.to_owned()]),
            callers: row.callers.iter().cloned().collect(),
            kept_out: spec
                .present
                .iter()
                .flat_map(|wanted| &wanted.callers)
                .filter(|caller| !row.users.contains(caller))
                .cloned()
                .collect(),
        });
        Observed { present }.into()
    })
}

/// Makes a function anew with exactly its callers, or drops it.
///
/// # Errors
/// When the server refuses: a caller does not exist, or something else depends on the function.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let session = Session::open_for_change(&spec.connection, &spec.database).await?;
    let schema = identifier(&spec.schema)?;
    let name = format!("{schema}.{}", identifier(&spec.function)?);
    let signature = format!("{name}({})", spec.arguments);
    let mut transaction = Transaction::default();
    let Some(Function { returns, body, callers }) = &spec.present else {
        transaction.add(format!("drop function if exists {signature}"));
        return transaction.run(&session).await;
    };
    // What it returns cannot be replaced, and neither can who has been given it by name.
    if observed.present.is_some() {
        transaction.add(format!("drop function if exists {signature}"));
    }
    transaction.add(format!(
        "create function {signature} returns {returns} language sql stable security definer \
         set search_path to pg_catalog as {}",
        quote_literal(body)
    ));
    transaction.add(format!(
        "alter function {signature} owner to {}",
        identifier(&spec.connection.superuser)?
    ));
    let exploded = format!(
        "select distinct r.rolname as name from pg_default_acl d \
         cross join lateral aclexplode(d.defaclacl) a join pg_roles r on r.oid = a.grantee \
         where d.defaclobjtype = 'f' and r.rolname <> {}",
        quote_literal(&spec.connection.superuser)
    );
    let given = session.rows::<Role>(&exploded).await?;
    // Most callers have the schema as readers; a grant of their own would outlive the function.
    let kept_out = format!(
        "select rolname as name from pg_roles where rolname = any({}) \
         and not has_schema_privilege(oid, (select oid from pg_namespace where nspname = {}), 'usage')",
        quote_array(callers.iter().map(String::as_str)),
        quote_literal(&spec.schema)
    );
    for Role { name } in session.rows::<Role>(&kept_out).await? {
        transaction.add(format!("grant usage on schema {schema} to {}", identifier(&name)?));
    }
    transaction.add(format!("revoke all on function {signature} from public"));
    for Role { name } in given {
        transaction.add(format!("revoke all on function {signature} from {}", identifier(&name)?));
    }
    for caller in callers {
        transaction
            .add(format!("grant execute on function {signature} to {}", identifier(caller)?));
    }
    transaction.run(&session).await
}
