//! Where an instance has its files and units on its node (`docs/decisions/pg-instances.md`).
//!
//! The only instance of a node has the node's own places: `/pg`, `patroni.service`,
//! `/etc/patroni/conf.d`. Of several, each has places named after its cluster: the same on all
//! members, because PostgreSQL's parameters, which are one for the whole cluster, hold paths. A
//! cluster has one member on a node at the most.

use keddah_inventory::instance_home;
use keddah_inventory::model::PgMember;

/// The places of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    cluster: String,
    one_of_several: bool,
}

impl Place {
    /// The places of a cluster's member.
    pub fn of(cluster: &str, member: &PgMember<'_>) -> Self {
        Self { cluster: cluster.to_owned(), one_of_several: member.is_one_of_several() }
    }

    /// The cluster's name, where the instance shares its node with others.
    pub fn own_name(&self) -> Option<&str> {
        self.one_of_several.then_some(self.cluster.as_str())
    }

    /// `plain` for the only instance of a node, otherwise a name of its own.
    fn named(&self, plain: &str, own: impl FnOnce(&str) -> String) -> String {
        self.own_name().map_or_else(|| plain.to_owned(), own)
    }

    /// The link to the instance's directory.
    pub fn home(&self) -> String {
        instance_home(&self.cluster, self.one_of_several)
    }

    /// A path below [`Place::home`].
    pub fn below(&self, path: &str) -> String {
        format!("{}/{path}", self.home())
    }

    /// Its certificate and key.
    pub fn certificates(&self) -> String {
        self.below("cert")
    }

    /// The rules that PostgreSQL reads; Patroni is told to leave them alone.
    pub fn hba_file(&self) -> String {
        self.below("conf/pg_hba.conf")
    }

    /// Patroni reads all files of this directory and lays them over each other.
    pub fn patroni_directory(&self) -> String {
        format!("{PATRONI}/{}", self.named(PLAIN_PATRONI, str::to_owned))
    }

    /// The unit that runs Patroni.
    pub fn patroni_unit(&self) -> String {
        self.named(PATRONI_UNIT, |name| format!("patroni-{name}.service"))
    }

    /// Where PgBouncer's files stand.
    pub fn pgbouncer_directory(&self) -> String {
        self.named(PGBOUNCER, |name| format!("{PGBOUNCER}/{name}"))
    }

    /// Those that PgBouncer reads when it is reloaded.
    pub fn pgbouncer_files(&self) -> Vec<String> {
        let directory = self.pgbouncer_directory();
        ["pgbouncer.ini", "database.txt", "useropts.txt", "pgb_hba.conf", "userlist.txt"]
            .map(|name| format!("{directory}/{name}"))
            .to_vec()
    }

    /// The unit that runs PgBouncer.
    pub fn pgbouncer_unit(&self) -> String {
        self.named(PGBOUNCER_UNIT, |name| format!("pgbouncer-{name}.service"))
    }

    /// Where pgBackRest's options for the cluster stand. pgBackRest reads the files of `conf.d`
    /// whenever it is started without `--config`, so that commands need not name any.
    pub fn pgbackrest_configuration(&self) -> String {
        self.named(PGBACKREST, |name| format!("/etc/pgbackrest/conf.d/{name}.conf"))
    }

    /// The section of that file that holds the repository's options: all stanzas', or the
    /// cluster's only.
    pub fn pgbackrest_section(&self) -> &str {
        self.own_name().unwrap_or("global")
    }

    /// Where pgBackRest's passwords stand.
    pub fn pgbackrest_secrets(&self) -> String {
        let name = self.named("secrets", |name| format!("{name}.secrets"));
        format!("/etc/pgbackrest/conf.d/{name}.conf")
    }

    /// The lines of `pg_crontab`.
    pub fn crontab(&self) -> String {
        let plain = "/etc/cron.d/keddah-pgsql";
        self.named(plain, |name| format!("{plain}-{name}"))
    }

    /// The set under which its packages are installed.
    pub fn package_set(&self) -> String {
        self.named("pgsql", |name| format!("pgsql-{name}"))
    }
}

const PATRONI: &str = "/etc/patroni";
const PGBOUNCER: &str = "/etc/pgbouncer";

/// The directory below `/etc/patroni` of a node's only instance.
pub(crate) const PLAIN_PATRONI: &str = "conf.d";

/// Where pgBackRest looks first.
pub(super) const PGBACKREST: &str = "/etc/pgbackrest/pgbackrest.conf";

/// The distribution's units.
pub(super) const PATRONI_UNIT: &str = "patroni.service";
pub(super) const PGBOUNCER_UNIT: &str = "pgbouncer.service";
