//! Users of the pool that PostgreSQL does not let PgBouncer log in as: their pooled logins would fail, and nobody
//! would have said so.

use super::{Report, warning};
use crate::model::{
    AuthenticationFile, DatabaseState, Dialect, PgDatabase, PgUser, State, infra_addresses,
};
use crate::parameters;
use keddah_core::hba::{Client, Origin, roles_of};

/// Methods that a password passes, which is what PgBouncer has.
const BY_PASSWORD: &[&str] = &["scram-sha-256", "md5", "password", "trust"];

pub(super) fn check(report: &mut Report<'_>) {
    let infra = infra_addresses(report.inventory);
    for cluster in report.clusters.clone() {
        // The rules of roles are the same on all members, or have been looked at on the first.
        let Some(member) = cluster.members.first() else { continue };
        let params = &member.params;
        if !params.get(parameters::PGBOUNCER_ENABLED) {
            continue;
        }
        let memberships = crate::model::memberships(params);
        let pooled = |user: &PgUser| {
            user.pgbouncer && user.login && user.state == State::Present && !user.superuser
        };
        let own = ["pg_hba_rules", "pg_default_hba_rules"];
        let default = own.iter().all(|name| params.set(name).is_none());
        // By the default rules, these get in.
        let reads = |user: &PgUser| roles_of(&user.name, &memberships).contains("dbrole_readonly");
        let users: Vec<PgUser> = PgUser::business(params)
            .into_iter()
            .filter(|user| pooled(user) && !(default && reads(user)))
            .collect();
        if users.is_empty() {
            continue;
        }
        let file =
            AuthenticationFile::of(member, Dialect::PostgreSql, &infra, &cluster.addresses());
        // Rules that cannot be read are told already.
        let Ok(file) = file else { continue };
        let lines = file.lines();
        let databases: Vec<String> = PgDatabase::business(params)
            .into_iter()
            .filter(|one| one.state != DatabaseState::Absent && one.allowconn && one.pgbouncer)
            .map(|one| one.name)
            .collect();
        for user in users {
            let member_of = roles_of(&user.name, &memberships);
            let enters = |database: &String| {
                let client = Client {
                    origin: Origin::Local,
                    database,
                    user: &user.name,
                    member_of: &member_of,
                    replication: false,
                };
                let line = client.decided_by(&lines);
                line.is_some_and(|line| BY_PASSWORD.contains(&line.method.as_str()))
            };
            if databases.is_empty() || databases.iter().any(enters) {
                continue;
            }
            let name = &user.name;
            let message = format!(
                "user `{name}` is in the pool's list, and no access rule lets PgBouncer log in as it: its pooled \
                 logins fail"
            );
            report.add(warning("refused-by-pool", user.name_span.or(user.span), message).help(
                format!(
                    "take `pgbouncer: true` away, and it logs in directly; or give it dbrole_readonly or a role \
                     above that; or let it in: pg_hba_rules: [{{ user: {name}, db: all, addr: local, auth: pwd }}]"
                ),
            ));
        }
    }
}
