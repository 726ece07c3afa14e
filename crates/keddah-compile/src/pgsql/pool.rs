//! PgBouncer on an instance's node: one pool a database, in front of the local server.

use super::layout::Files;
use super::{Cluster, Instance, place};
use crate::compiler::{Compiler, Problem};
use keddah_core::Secret;
use keddah_inventory::model::{DatabaseState, Dialect, PgDatabase, PgUser, State};
use keddah_inventory::{Params, parameters};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{file, unit};
use keddah_resource::{Kind, Module, Resource, ResourceId, Spec};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Clients a pool holds at the most, where the limit of open files allows it.
const MOST_CLIENTS: u64 = 20_000;

impl Compiler<'_> {
    pub(super) fn pool(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
        files: &Files,
    ) -> Result<(), Problem> {
        let node = &instance.node;
        let params = &instance.member.params;
        let unit = instance.pgbouncer();
        let place = &instance.place;
        let directory = place.pgbouncer_directory();
        let resource =
            |spec: Spec| Resource::new(&node.name, Module::Pgsql, spec).in_cluster(&cluster.name);
        if !params.get(parameters::PGBOUNCER_ENABLED) {
            let spec = unit::Spec::stopped(place.pgbouncer_unit());
            self.fleet.add(resource(spec.into()).after([files.packages.clone()]));
            if place.own_name().is_some() {
                self.plain_unit_stopped(instance, place::PGBOUNCER_UNIT, files);
            }
            return Ok(());
        }
        let superuser = cluster.superuser();
        let owned = || Permissions::new(&superuser, &superuser, 0o640);
        let databases = database_lines(cluster, params);
        let users = PgUser::all(params);
        let awkward = PgDatabase::business(params)
            .into_iter()
            .filter(|database| database.pgbouncer)
            .map(|database| database.name)
            .chain(users.iter().filter(|user| user.pgbouncer).map(|user| user.name.clone()))
            .filter(|name| !is_key(name));
        for name in awkward {
            self.notes.push(format!(
                "{}: PgBouncer's files cannot hold the name `{name}`; reach it past the pool",
                cluster.name
            ));
        }
        let rules = self.hba(
            cluster,
            instance,
            Dialect::PgBouncer,
            &format!("{directory}/pgb_hba.conf"),
            owned(),
        )?;
        let settings = self.render(
            "pgbouncer/pgbouncer.ini",
            json!({
                "directory": directory,
                "process": place.pgbouncer_unit().trim_end_matches(".service"),
                "log_directory": params.get(parameters::PGBOUNCER_LOG_DIR),
                "auth_query": params.get(parameters::PGBOUNCER_AUTH_QUERY),
                "monitor": params.get(parameters::PG_MONITOR_USERNAME),
                "admin": params.get(parameters::PG_ADMIN_USERNAME),
                "superuser": superuser,
                "pool_mode": params.get(parameters::PGBOUNCER_POOLMODE),
                "max_client_conn": (node.facts.open_files_limit / 2).min(MOST_CLIENTS),
                "default_pool_size": 64,
                "max_db_connections": 100,
                "ignored_parameters": params.get(parameters::PGBOUNCER_IGNORE_PARAM),
                "client_sslmode": params.get(parameters::PGBOUNCER_SSLMODE),
                "certificates": place.certificates(),
            }),
        )?;
        // Apart, because PgBouncer takes these only when it starts.
        let listen = format!(
            "; Written by Keddah: a change of these restarts PgBouncer.\nlisten_addr = {}\n\
             listen_port = {}\nunix_socket_dir = {}\n",
            params.get(parameters::PG_LISTEN),
            params.get(parameters::PGBOUNCER_PORT),
            params.get(parameters::PG_LOCALHOST),
        );
        let mut userlist = String::new();
        // Whoever is not in the list is no user, not even for its console over the socket.
        let console = self.verifiers.of_nobody(&superuser);
        let known =
            |user: &PgUser| user.name == superuser && user.pgbouncer && user.password.is_some();
        if !users.iter().any(known) {
            let _ = writeln!(userlist, "{} {}", quoted(&superuser), quoted(console.reveal()));
        }
        let lookups = cluster.lookup_roles();
        for user in users.iter().filter(|user| user.state == State::Present) {
            if !user.pgbouncer && !lookups.contains(&user.name) {
                continue;
            }
            if let Some(secret) = self.pool_secret(cluster, user)? {
                let _ = writeln!(userlist, "{} {}", quoted(&user.name), quoted(secret.reveal()));
            }
        }
        let mut before = vec![files.packages.clone(), files.certificate.clone()];
        before.extend(files.directories.clone());
        let mut above = vec![files.packages.clone()];
        if place.own_name().is_some() {
            // The package makes the directory above it, and that of a node's only instance.
            let spec = directory::Spec::present(
                directory.clone(),
                Permissions::new(&superuser, &superuser, 0o750),
            );
            above.push(self.fleet.add(resource(spec.into()).after([files.packages.clone()])));
        }
        let texts = [
            ("pgbouncer.ini", settings),
            ("database.txt", databases),
            ("useropts.txt", user_lines(&users)),
        ];
        let texts = texts
            .map(|(name, text)| file::Spec::text(format!("{directory}/{name}"), text, owned()));
        // A database that is left out of the inventory stays in PostgreSQL, and is not offered by the pool.
        let texts = texts.map(|spec| match spec.path.ends_with("/database.txt") {
            true => spec.listing(file::Entries::PooledDatabases),
            false => spec,
        });
        for spec in texts.into_iter().chain([rules]) {
            let added = resource(spec.into()).after(above.clone()).reloads(&unit);
            before.push(self.fleet.add(added));
        }
        let spec = file::Spec::text(format!("{directory}/listen.ini"), listen, owned());
        before.push(self.fleet.add(resource(spec.into()).after(above.clone()).restarts(&unit)));
        let path = format!("{directory}/userlist.txt");
        let spec = file::Spec::secret(path, Secret::new(userlist), owned())
            .listing(file::Entries::PooledLogins);
        // After the roles: a list that is ahead of PostgreSQL rejects every pooled login until the
        // apply has come that far, and for ever where it fails before.
        // Where nobody leads who was asked, roles wait, and so do the lists of pools that serve.
        if cluster.is_led() || node.facts.patroni_of(&cluster.name).is_none() {
            let roles = self.pooled_roles(cluster, &users);
            let list = resource(spec.into()).after(above).after(roles).reloads(&unit);
            before.push(self.fleet.add(list));
        }
        let context = json!({
            "cluster": cluster.name,
            "superuser": superuser,
            "configuration": format!("{directory}/pgbouncer.ini"),
            "open_files": node.facts.open_files_limit.min(1_048_576),
        });
        before.extend(if place.own_name().is_some() {
            self.own_unit(instance, &unit, "systemd/pgbouncer.service", context, files)?
        } else {
            let name = place::PGBOUNCER_UNIT;
            self.drop_in(node, Module::Pgsql, name, "systemd/pgbouncer.conf", context, Some(&unit))?
        });
        let spec = unit::Spec::running(place.pgbouncer_unit())
            .started_with(&[&format!("{directory}/pgbouncer.ini")])
            .ready_when_open(&node.address, params.get(parameters::PGBOUNCER_PORT));
        self.fleet.add(resource(spec.into()).after(before));
        Ok(())
    }
}

impl Compiler<'_> {
    /// The roles of the cluster, on its leader, whose passwords a pool's list holds.
    fn pooled_roles(&self, cluster: &Cluster<'_>, users: &[PgUser]) -> Vec<ResourceId> {
        if cluster.follows.is_some()
            || !cluster.params.get(parameters::PG_PROVISION)
            || !cluster.is_led()
        {
            // They come from elsewhere, or wait.
            return Vec::new();
        }
        let (lookups, port) = (cluster.lookup_roles(), cluster.connection().port);
        let node = &cluster.leader().node.name;
        // An instance's own host may list other users than the cluster has.
        let declared: BTreeSet<String> =
            PgUser::all(&cluster.params).into_iter().map(|user| user.name).collect();
        users
            .iter()
            .filter(|user| declared.contains(&user.name))
            .filter(|user| user.state == State::Present && user.password.is_some())
            .filter(|user| user.pgbouncer || lookups.contains(&user.name))
            .map(|user| ResourceId::new(node, Kind::PgRole, format!("{port}/{}", user.name)))
            .collect()
    }
}

/// `database.txt`: the databases that PgBouncer offers, over the socket of its own node's instance,
/// whose parameters are `own`.
fn database_lines(cluster: &Cluster<'_>, own: &Params<'_>) -> String {
    let params = &cluster.params;
    let target =
        format!("host={} port={}", own.get(parameters::PG_LOCALHOST), own.get(parameters::PG_PORT));
    let mut text = String::from("; Written by Keddah; edit the inventory instead.\n");
    // By database and not for all: PgBouncer keeps a global `auth_user` when a reload takes it away,
    // and would look up who uses its console, too.
    let lookups = params.get(parameters::PGBOUNCER_AUTH_QUERY);
    let lookup = |user: &str| if lookups { format!(" auth_user={user}") } else { String::new() };
    let monitor = params.get(parameters::PG_MONITOR_USERNAME);
    let _ = writeln!(text, "postgres = {target} pool_mode=session{}", lookup(&monitor));
    for database in PgDatabase::business(params) {
        let offered = database.pgbouncer
            && database.allowconn
            && database.state != DatabaseState::Absent
            && database.name != "postgres"
            && is_key(&database.name);
        if !offered {
            continue;
        }
        let mut line = format!("{} = {target}", database.name);
        line.push_str(&lookup(database.pool_auth_user.as_deref().unwrap_or(&monitor)));
        if let Some(mode) = database.pool_mode {
            let _ = write!(line, " pool_mode={}", mode.as_str());
        }
        let _ = write!(line, " pool_size={}", database.pool_size);
        let _ = write!(line, " reserve_pool={}", database.pool_reserve);
        let _ = write!(line, " min_pool_size={}", database.pool_size_min);
        if database.pool_connlimit >= 0 {
            let _ = write!(line, " max_db_connections={}", database.pool_connlimit);
        }
        let _ = writeln!(text, "{line}");
    }
    text
}

/// `useropts.txt`: what is said of single users.
fn user_lines(users: &[PgUser]) -> String {
    let mut text = String::from("; Written by Keddah; edit the inventory instead.\n");
    for user in users.iter().filter(|user| user.pgbouncer && user.state == State::Present) {
        let mut options = Vec::new();
        if let Some(mode) = user.pool_mode {
            options.push(format!("pool_mode={}", mode.as_str()));
        }
        if user.pool_connlimit >= 0 {
            options.push(format!("max_user_connections={}", user.pool_connlimit));
        }
        if !options.is_empty() && is_key(&user.name) {
            let _ = writeln!(text, "{} = {}", user.name, options.join(" "));
        }
    }
    text
}

/// Whether a name can be a key of PgBouncer's configuration, which knows no quoting there.
fn is_key(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Names and passwords in PgBouncer's user list: in double quotes, a quote doubled.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
