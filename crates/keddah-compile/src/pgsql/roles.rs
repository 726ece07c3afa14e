//! Roles of a cluster: the default ones and those of the business (access control document).

use super::Cluster;
use crate::compiler::{Compiler, Problem, problem};
use keddah_core::NodeName;
use keddah_core::Secret;
use keddah_inventory::is_public_login;
use keddah_inventory::model::{PgUser, State};
use keddah_inventory::parameters;
use keddah_inventory::registry::Handle;
use keddah_resource::kind::pg_role::{self, Membership};
use keddah_resource::{Kind, Module, Resource, ResourceId};
use std::collections::{BTreeMap, BTreeSet};

impl Compiler<'_> {
    /// All roles, on the leader; returns what databases wait for.
    pub(super) fn roles(
        &mut self,
        cluster: &Cluster<'_>,
        settled: &[ResourceId],
    ) -> Result<Vec<ResourceId>, Problem> {
        if !cluster.params.get(parameters::PG_PROVISION) {
            return Ok(settled.to_vec());
        }
        let mut users: BTreeMap<String, PgUser> = BTreeMap::new();
        for user in PgUser::all(&cluster.params) {
            // A business user of a default role's name takes its place.
            users.insert(user.name.clone(), user);
        }
        let declared: BTreeSet<String> = users.keys().cloned().collect();
        let node = &cluster.leader().node.name;
        let connection = cluster.connection();
        let id =
            |name: &str| ResourceId::new(node, Kind::PgRole, format!("{}/{name}", connection.port));
        let mut ids = Vec::new();
        for user in users.values() {
            let parents: Vec<ResourceId> = user
                .roles
                .iter()
                .filter(|membership| {
                    users.get(&membership.role).is_some_and(|role| role.state == State::Present)
                })
                .map(|membership| id(&membership.role))
                .collect();
            let spec = pg_role::Spec {
                connection: connection.clone(),
                role: user.name.clone(),
                present: match user.state {
                    State::Absent => None,
                    State::Present => Some(self.role(cluster, user, &declared)?),
                },
            };
            let role = self.fleet.add(
                Resource::new(node, Module::Pgsql, spec)
                    .in_cluster(&cluster.name)
                    .after(settled.iter().cloned())
                    .after(parents),
            );
            self.door_by_role(cluster, user, &role);
            ids.push(role);
        }
        Ok(ids)
    }

    /// A role that logs in by a password that everyone knows, on all members: where a cluster is
    /// there and cannot be asked, the roles by which it works are, too.
    fn door_by_role(&mut self, cluster: &Cluster<'_>, user: &PgUser, by: &ResourceId) {
        if !is_public_login(user) {
            return;
        }
        const OWN: [(Handle<String>, Handle<Secret>); 4] = [
            (parameters::PG_DBSU, parameters::PG_DBSU_PASSWORD),
            (parameters::PG_REPLICATION_USERNAME, parameters::PG_REPLICATION_PASSWORD),
            (parameters::PG_ADMIN_USERNAME, parameters::PG_ADMIN_PASSWORD),
            (parameters::PG_MONITOR_USERNAME, parameters::PG_MONITOR_PASSWORD),
        ];
        let own = OWN.iter().find(|(name, _)| cluster.params.get(*name) == user.name);
        let name = match own {
            Some((_, password)) => format!("`{password}`"),
            None => format!("user `{}`", user.name),
        };
        let members: Vec<NodeName> =
            self.members(cluster).map(|member| member.node.clone()).collect();
        let members: Vec<&NodeName> = members.iter().collect();
        self.door(&name, by, &members, cluster.exists && own.is_some());
    }

    fn role(
        &self,
        cluster: &Cluster<'_>,
        user: &PgUser,
        declared: &BTreeSet<String>,
    ) -> Result<pg_role::Role, Problem> {
        // The role that initdb makes has everything, and PostgreSQL does not let it lose that.
        let everything = user.name == cluster.superuser();
        let mut member_of = BTreeMap::new();
        for membership in user.roles.iter().filter(|one| one.state == State::Present) {
            let wanted = Membership {
                admin: membership.admin,
                inherit: membership.inherit.unwrap_or(user.inherit),
                set: membership.set.unwrap_or(true),
            };
            if cluster.version < 16 && (!wanted.set || wanted.inherit != user.inherit) {
                return Err(problem(
                    "membership-options",
                    membership.span.or(user.span),
                    format!(
                        "`set` and `inherit` of a membership need PostgreSQL 16, and {} runs {}",
                        cluster.name, cluster.version
                    ),
                )
                .help(format!(
                    "leave them out; `inherit: false` of the user `{}` itself keeps it from \
                     having the privileges of any of its roles without SET ROLE",
                    user.name
                ))
                .into());
            }
            member_of.insert(membership.role.clone(), wanted);
        }
        Ok(pg_role::Role {
            login: user.login,
            superuser: user.superuser || everything,
            createdb: user.createdb || everything,
            createrole: user.createrole || everything,
            inherit: user.inherit,
            replication: user.replication || everything,
            bypassrls: user.bypassrls || everything,
            connection_limit: i32::try_from(user.connlimit).unwrap_or(-1),
            expiry: self.expiry(user)?,
            verifier: self.verifiers.kept(user, &cluster.stored),
            member_of,
            declared: declared.clone(),
            parameters: user.parameters.iter().cloned().collect(),
            comment: user.comment.clone(),
        })
    }

    fn expiry(&self, user: &PgUser) -> Result<pg_role::Expiry, Problem> {
        if let Some(days) = user.expire_in.and_then(|days| u32::try_from(days).ok()) {
            return Ok(pg_role::Expiry::Within {
                days,
                date: date(self.input.today + i64::from(days)),
                renew_before: date(self.input.today + i64::from(days.div_ceil(2))),
            });
        }
        match user.expires_at() {
            Ok(None) => Ok(pg_role::Expiry::Never),
            Ok(Some(moment)) => Ok(pg_role::Expiry::At(moment)),
            Err(why) => Err(problem("invalid-date", user.span, why)),
        }
    }
}

/// A day as `YYYY-MM-DD`, counted from 1970-01-01; days beyond the calendar become its last.
pub(super) fn date(days: i64) -> String {
    let epoch =
        time::Date::from_calendar_date(1970, time::Month::January, 1).expect("1970-01-01 is a day");
    let day = epoch.checked_add(time::Duration::days(days)).unwrap_or(time::Date::MAX);
    format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_become_dates() {
        assert_eq!(super::date(0), "1970-01-01");
        assert_eq!(super::date(20_778), "2026-11-21");
    }
}
