//! The function by which PgBouncer looks up passwords that its own list lacks
//! (`pgbouncer_auth_query`; `auth_query` in PgBouncer's manual).

use super::Cluster;
use crate::compiler::{Compiler, Problem, problem};
use keddah_core::Secret;
use keddah_inventory::model::{DatabaseState, PgDatabase, PgUser};
use keddah_inventory::parameters;
use keddah_resource::kind::pg_function;
use keddah_resource::{Kind, ResourceId, scram};
use std::collections::BTreeSet;

/// Where the function lives; PgBouncer's template names it, too.
pub(super) const LOOKUP_SCHEMA: &str = "monitor";
const FUNCTION: &str = "pgbouncer_auth";

/// Roles that could do more than use their databases are never looked up: their verifiers stay in
/// the server, and who wants them to pass the pool says so in the inventory.
const BODY: &str = "select rolname::text, rolpassword from pg_catalog.pg_authid \
                    where rolname = $1 and rolcanlogin and not rolsuper and not rolreplication \
                    and (rolvaliduntil is null or rolvaliduntil > now())";

impl Cluster<'_> {
    /// The roles as which PgBouncer looks passwords up; empty when it does not.
    pub(super) fn lookup_roles(&self) -> BTreeSet<String> {
        let params = &self.params;
        if !params.get(parameters::PGBOUNCER_ENABLED)
            || !params.get(parameters::PGBOUNCER_AUTH_QUERY)
        {
            return BTreeSet::new();
        }
        PgDatabase::business(params)
            .into_iter()
            .filter(|database| database.pgbouncer && database.state != DatabaseState::Absent)
            .filter_map(|database| database.pool_auth_user)
            .chain([params.get(parameters::PG_MONITOR_USERNAME)])
            .collect()
    }
}

impl Compiler<'_> {
    /// The function in one database, or its absence, and the roles it comes after.
    pub(super) fn pool_lookup(
        &self,
        cluster: &Cluster<'_>,
        database: &str,
    ) -> (pg_function::Spec, Vec<ResourceId>) {
        let callers = cluster.lookup_roles();
        let node = &cluster.leader().node.name;
        let connection = cluster.connection();
        let roles = callers
            .iter()
            .map(|role| ResourceId::new(node, Kind::PgRole, format!("{}/{role}", connection.port)))
            .filter(|role| self.fleet.get(role).is_some())
            .collect();
        let spec = pg_function::Spec {
            connection,
            database: database.to_owned(),
            schema: LOOKUP_SCHEMA.to_owned(),
            function: FUNCTION.to_owned(),
            arguments: "role_name text".to_owned(),
            present: (!callers.is_empty()).then(|| pg_function::Function {
                returns: "TABLE(username text, password text)".to_owned(),
                body: BODY.to_owned(),
                callers,
            }),
        };
        (spec, roles)
    }

    /// What PgBouncer's list holds of a user: what proves a client's password, and of a role that
    /// PgBouncer itself logs in as, the password.
    pub(super) fn pool_secret(
        &self,
        cluster: &Cluster<'_>,
        user: &PgUser,
    ) -> Result<Option<Secret>, Problem> {
        if !cluster.lookup_roles().contains(&user.name) {
            return Ok(self.verifiers.kept(user, &cluster.stored));
        }
        let hashed = |password: &Secret| {
            scram::is_verifier(password.reveal()) || super::verifier::is_md5(password.reveal())
        };
        match &user.password {
            Some(password) if !hashed(password) => Ok(Some(password.clone())),
            _ => Err(problem(
                "password-needed",
                user.password_span.or(user.name_span),
                format!(
                    "PgBouncer of {} looks passwords up as `{}` (pgbouncer_auth_query), for which \
                     it needs that role's password itself; the inventory has {}",
                    cluster.name,
                    user.name,
                    if user.password.is_some() { "a hash of it" } else { "none" }
                ),
            )),
        }
    }
}
