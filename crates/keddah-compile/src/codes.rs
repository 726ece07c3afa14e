//! The names of what compilation may report, each with one line that explains it.

/// Every code that [`crate::compile`] may report, with its meaning; `docs/diagnostics.md` lists them.
pub const CODES: &[(&str, &str)] = &[
    ("database-option", "An option of a database needs a newer PostgreSQL."),
    (
        "foreign-cluster",
        "A node's services were set up by somebody else, and Keddah does not take them over.",
    ),
    ("internal", "Something that Keddah made itself cannot be written: a defect."),
    ("invalid-date", "A user's `expire_at` is not a date."),
    ("invalid-hba-rule", "A rule of access cannot be written as a line of pg_hba.conf."),
    ("invalid-privilege", "A default privilege is not of the form `GRANT … ON … TO …`."),
    ("invalid-selector", "A service's selector cannot be evaluated."),
    ("invalid-sudo", "`node_admin_sudo` is none of its four words."),
    ("membership-options", "Options of a membership need a newer PostgreSQL."),
    ("missing-vip", "A service listens on a virtual address that its node does not have."),
    ("needs-patroni-4", "Quorum commit needs a newer Patroni than a member has."),
    ("no-etcd", "A PostgreSQL cluster needs etcd, and the inventory has none."),
    ("no-interface", "No network interface has the address that a virtual one goes with."),
    ("no-last-backup", "A whole cluster would go, and no last backup of it would be left."),
    ("not-a-copy", "A cluster with data of its own is to follow another one."),
    ("other-places", "A node with one instance shall have several, or the other way round."),
    ("password-needed", "PgBouncer looks passwords up as a role whose own password it lacks."),
    ("removes-etcd", "The last member of etcd would go while clusters need it."),
    ("removes-primary", "The primary of a cluster that stays would go."),
    ("removes-upstream", "A cluster that another one follows would go."),
    ("second-etcd-cluster", "There are two etcd clusters, and one serves all."),
    ("template", "A template cannot be rendered, or does not yield what it should."),
    ("unavailable-version", "A node's package sources lack the PostgreSQL version asked for."),
    ("unknown-repository", "Backups shall go to a repository that is not defined."),
    ("unsupported-distribution", "A node runs a distribution that Keddah does not know."),
];
