//! Default privileges in one database, and what PUBLIC may create there.

use crate::HostError;
use crate::real::RealHost;
use crate::real::pg_inside::answer;
use crate::sql::{Session, Transaction, identifier, quote_array};
use keddah_resource::kind::pg_privileges::{
    DefaultPrivilege, Observed, SchemaPrivilege, Spec, is_public,
};
use keddah_resource::{Difference, Observation};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// All that the catalog says, in one row.
#[derive(Debug, Deserialize)]
struct Row {
    defaults: Vec<Default>,
    /// Absent when there is no schema `public`.
    public_schema: Option<Vec<Granted>>,
    public_create: bool,
}

#[derive(Debug, Deserialize)]
struct Granted {
    privilege: String,
    /// Absent for PUBLIC, which is no role.
    grantee: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Default {
    creator: String,
    objects: String,
    privilege: String,
    /// Absent for PUBLIC, which is no role.
    grantee: Option<String>,
}

/// A creator without an entry of his own has the privileges that PostgreSQL is built with, and
/// granting those again makes no entry; so they count as there.
fn query(creators: &BTreeSet<&str>) -> String {
    format!(
        "select coalesce((select json_agg(json_build_object('creator', r.rolname, \
           'objects', t.objects, 'privilege', a.privilege_type, 'grantee', g.rolname)) \
           from pg_authid r \
           cross join (values ('r', 'r', 'TABLES'), ('S', 's', 'SEQUENCES'), \
             ('f', 'f', 'FUNCTIONS'), ('T', 'T', 'TYPES'), ('n', 'n', 'SCHEMAS')) \
             as t (type, built_in, objects) \
           left join pg_default_acl d on d.defaclrole = r.oid and d.defaclnamespace = 0 \
             and d.defaclobjtype = t.type::\"char\" \
           cross join lateral aclexplode(coalesce(d.defaclacl, \
             acldefault(t.built_in::\"char\", r.oid))) a \
           left join pg_authid g on g.oid = a.grantee \
           where (g.oid is not null or a.grantee = 0) and r.rolname = any({creators})), '[]') \
           as defaults, \
         (select (select coalesce(json_agg(json_build_object('privilege', a.privilege_type, \
             'grantee', g.rolname)), '[]') \
             from aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
             left join pg_authid g on g.oid = a.grantee) \
           from pg_namespace n where n.nspname = 'public') as public_schema, \
         exists (select 1 from pg_database b cross join lateral \
             aclexplode(coalesce(b.datacl, acldefault('d', b.datdba))) a \
             where b.datname = current_database() and a.grantee = 0 \
             and a.privilege_type = 'CREATE') \
           or exists (select 1 from pg_namespace n cross join lateral \
             aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
             where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE') \
           as public_create",
        creators = quote_array(creators.iter().copied())
    )
}

/// Looks at privileges in the session's database.
pub(super) async fn read(
    session: &Session,
    specs: &[&Spec],
) -> Vec<Result<Observation, HostError>> {
    if specs.is_empty() {
        return Vec::new();
    }
    let creators: BTreeSet<&str> = specs
        .iter()
        .flat_map(|spec| &spec.defaults)
        .map(|privilege| privilege.creator.as_str())
        .collect();
    answer(specs, session.rows::<Row>(&query(&creators)).await, |spec, rows| {
        let row = rows.first();
        let defaults = row
            .into_iter()
            .flat_map(|row| &row.defaults)
            .map(|found| DefaultPrivilege {
                creator: found.creator.clone(),
                objects: found.objects.clone(),
                privilege: found.privilege.clone(),
                grantee: found.grantee.clone().unwrap_or_else(|| public_in(spec)),
            })
            .collect();
        let public_schema = row.and_then(|row| row.public_schema.as_ref()).map(|granted| {
            let role = |found: &Granted| {
                let (privilege, grantee) = (found.privilege.clone(), found.grantee.clone()?);
                Some(SchemaPrivilege { privilege, grantee })
            };
            granted.iter().filter_map(role).collect()
        });
        let public_create = row.is_some_and(|row| row.public_create);
        Observed { defaults, public_schema, public_create }.into()
    })
}

/// PUBLIC, spelled as the spec spells it; no role can have that name in any case.
fn public_in(spec: &Spec) -> String {
    let declared = spec.defaults.iter().map(|privilege| &privilege.grantee);
    declared.into_iter().find(|grantee| is_public(grantee)).cloned().unwrap_or("PUBLIC".to_owned())
}

/// Grants the default privileges that are missing, and sets what PUBLIC may create.
///
/// # Errors
/// When the server refuses: a role of a privilege does not exist, or it is the primary no more.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let session = Session::open_for_change(&spec.connection, &spec.database).await?;
    let mut transaction = Transaction::default();
    for (change, direction) in [("grant", "to"), ("revoke", "from")] {
        let privileges: Vec<&DefaultPrivilege> = match change {
            "grant" => spec.defaults.difference(&observed.defaults).collect(),
            _ => spec.excess(observed).collect(),
        };
        for ((creator, objects, grantee), privileges) in together(&privileges) {
            for word in privileges.iter().chain([&objects]) {
                if !word.chars().all(|letter| letter.is_ascii_alphabetic() || letter == ' ') {
                    return Err(HostError::new(format!("{word:?} is no privilege or object type")));
                }
            }
            let grantee =
                if is_public(grantee) { "public".to_owned() } else { identifier(grantee)? };
            transaction.add(format!(
                "alter default privileges for role {} {change} {} on {objects} {direction} \
                 {grantee}",
                identifier(creator)?,
                privileges.join(", ")
            ));
        }
    }
    for granted in observed.public_schema.iter().flat_map(|has| spec.public_schema.difference(has))
    {
        transaction.add(grant_on_schema("public", granted)?);
    }
    let database = identifier(&spec.database)?;
    let exists = session.scalar("select 1 from pg_namespace where nspname = 'public'").await?;
    match (spec.public_create, observed.public_create) {
        (false, true) => {
            transaction.add(format!("revoke create on database {database} from public"));
            if exists.is_some() {
                transaction.add("revoke create on schema public from public");
            }
        }
        // In the database itself PostgreSQL never lets PUBLIC create, nor does Keddah.
        (true, false) if exists.is_some() => {
            transaction.add("grant create on schema public to public");
        }
        _ => {}
    }
    transaction.run(&session).await
}

/// One statement for privileges of the same creator, objects and grantee.
fn together<'a>(
    privileges: &[&'a DefaultPrivilege],
) -> BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a str>> {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for DefaultPrivilege { creator, objects, privilege, grantee } in privileges {
        let key = (creator.as_str(), objects.as_str(), grantee.as_str());
        groups.entry(key).or_default().push(privilege);
    }
    groups
}

/// The statement that grants a privilege on a schema.
pub(super) fn grant_on_schema(
    schema: &str,
    granted: &SchemaPrivilege,
) -> Result<String, HostError> {
    let SchemaPrivilege { privilege, grantee } = granted;
    let privilege = match privilege.as_str() {
        "USAGE" => "usage",
        "CREATE" => "create",
        other => return Err(HostError::new(format!("{other:?} is no privilege on a schema"))),
    };
    let grantee = if is_public(grantee) { "public".to_owned() } else { identifier(grantee)? };
    Ok(format!("grant {privilege} on schema {} to {grantee}", identifier(schema)?))
}
