//! Objects that nobody declared: found by one query per database, changed by nothing.

use crate::HostError;
use crate::real::pg_inside::each;
use crate::sql::{Session, quote_array};
use keddah_resource::Observation;
use keddah_resource::kind::pg_census::{Observed, Spec};
use std::collections::BTreeSet;

/// What belongs to an extension was not made by a person.
const SCHEMAS: &str = "select n.nspname from pg_namespace n \
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'public') \
    and not exists (select 1 from pg_depend d where d.classid = 'pg_namespace'::regclass \
      and d.objid = n.oid and d.deptype = 'e')";

/// What another extension requires came with that one.
const EXTENSIONS: &str = "select e.extname from pg_extension e where e.extname <> 'plpgsql' \
    and not exists (select 1 from pg_depend d where d.classid = 'pg_extension'::regclass \
      and d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid)";

const ROLES: &str = "select rolname from pg_authid where rolname !~ '^pg_'";

const DATABASES: &str = "select datname from pg_database \
    where datname not in ('postgres', 'template0', 'template1')";

/// `initdb` gives template0 what it was told; no one can change it there.
const BIRTH: &str = "(select json_build_object( \
      'pg_encoding', pg_encoding_to_char(encoding), 'pg_lc_collate', datcollate, \
      'pg_lc_ctype', datctype, 'pg_checksum', current_setting('data_checksums')) \
    from pg_database where datname = 'template0')";

fn query(spec: &Spec) -> String {
    let beyond = |names: &str, declared: &BTreeSet<String>| {
        format!(
            "(select coalesce(json_agg(found.name), '[]') from ({names}) found (name) \
             where found.name::text <> all({}))",
            quote_array(declared.iter().map(String::as_str))
        )
    };
    let (roles, databases) = match &spec.server {
        Some(server) => (beyond(ROLES, &server.roles), beyond(DATABASES, &server.databases)),
        None => ("'[]'::json".to_owned(), "'[]'::json".to_owned()),
    };
    format!(
        "select {roles} as roles, {databases} as databases, {} as schemas, {} as extensions, \
         {} as birth",
        beyond(SCHEMAS, &spec.schemas),
        beyond(EXTENSIONS, &spec.extensions),
        if spec.server.is_some() { BIRTH } else { "'{}'::json" }
    )
}

/// Looks into the session's database.
pub(super) async fn read(
    session: &Session,
    specs: &[&Spec],
) -> Vec<Result<Observation, HostError>> {
    each::<_, Observed>(session, specs, query, |_, rows| {
        rows.first().cloned().unwrap_or_default().into()
    })
    .await
}
