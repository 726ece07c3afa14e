//! Privileges as the server itself works them out: asked of one object for each set of objects with
//! the same owner and grants, so that thousands of tables cost no more than one.

use crate::HostError;
use crate::real::pg_inside::each;
use crate::sql::{Session, quote_array};
use keddah_resource::Observation;
use keddah_resource::kind::pg_grants::{Objects, Observed, Spec};

/// Every object of the database's users, with what was granted on it spelled out.
const OBJECTS: &str = "\
    select 'database' as kind, d.oid, d.datname::text as name, d.datdba as owner, \
      coalesce(d.datacl, acldefault('d', d.datdba)) as acl \
    from pg_database d where d.datname = current_database() \
    union all \
    select 'schema', n.oid, n.nspname::text, n.nspowner, \
      coalesce(n.nspacl, acldefault('n', n.nspowner)) \
    from spaces n \
    union all \
    select case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'view' \
        else 'table' end, c.oid, n.nspname || '.' || c.relname, c.relowner, \
      coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::\"char\", c.relowner)) \
    from pg_class c join spaces n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S') and not exists (select 1 from members m \
      where m.classid = 'pg_class'::regclass and m.objid = c.oid) \
    union all \
    select 'function', p.oid, n.nspname || '.' || p.proname, p.proowner, \
      coalesce(p.proacl, acldefault('f', p.proowner)) \
    from pg_proc p join spaces n on n.oid = p.pronamespace \
    where not exists (select 1 from members m \
      where m.classid = 'pg_proc'::regclass and m.objid = p.oid) \
    union all \
    select 'type', t.oid, n.nspname || '.' || t.typname, t.typowner, \
      coalesce(t.typacl, acldefault('T', t.typowner)) \
    from pg_type t join spaces n on n.oid = t.typnamespace \
    where t.typtype in ('d', 'e', 'r') and not exists (select 1 from members m \
      where m.classid = 'pg_type'::regclass and m.objid = t.oid)";

fn query(spec: &Spec) -> String {
    format!(
        "with members as materialized (select classid, objid from pg_depend where deptype = 'e'), \
         spaces as materialized (select n.* from pg_namespace n where n.nspname !~ '^pg_' \
           and n.nspname <> 'information_schema' and not exists (select 1 from members m \
             where m.classid = 'pg_namespace'::regclass and m.objid = n.oid)), \
         alike as materialized (select kind, owner, acl::text as grants, min(oid::int8)::oid as one, \
             count(*) as count, (array_agg(name order by name))[1:3] as names \
           from ({OBJECTS}) o group by 1, 2, 3) \
         select kind, pg_get_userbyid(owner) as owner, count, to_json(names) as names, \
         coalesce((select json_object_agg(held.role, held.privileges) from ( \
           select r.role, json_agg(p.privilege) as privileges \
           from unnest({roles}) r (role), unnest(case kind \
             when 'database' then array['CREATE', 'CONNECT', 'TEMPORARY'] \
             when 'schema' then array['USAGE', 'CREATE'] \
             when 'sequence' then array['SELECT', 'USAGE', 'UPDATE'] \
             when 'function' then array['EXECUTE'] \
             when 'type' then array['USAGE'] \
             else array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] \
             end) p (privilege) \
           where case kind \
             when 'database' then has_database_privilege(r.role, one, p.privilege) \
             when 'schema' then has_schema_privilege(r.role, one, p.privilege) \
             when 'sequence' then has_sequence_privilege(r.role, one, p.privilege) \
             when 'function' then has_function_privilege(r.role, one, p.privilege) \
             when 'type' then has_type_privilege(r.role, one, p.privilege) \
             else has_table_privilege(r.role, one, p.privilege) end \
           group by r.role) held), '{{}}') as held, \
         coalesce((select json_object_agg(given.grantee, given.privileges) from ( \
           select coalesce(pg_get_userbyid(nullif(a.grantee, 0))::text, 'public') as grantee, \
             json_agg(distinct a.privilege_type) as privileges \
           from aclexplode(grants::aclitem[]) a group by 1) given), '{{}}') as granted \
         from alike order by kind, owner, one",
        roles = format_args!(
            "(select array_agg(name) from unnest({}) name \
              where name = 'public' or name in (select rolname from pg_roles))",
            quote_array(spec.roles.iter().map(String::as_str))
        )
    )
}

/// Looks at privileges in the session's database.
pub(super) async fn read(
    session: &Session,
    specs: &[&Spec],
) -> Vec<Result<Observation, HostError>> {
    each::<_, Objects>(session, specs, query, |_, rows| Observed { objects: rows.clone() }.into())
        .await
}
