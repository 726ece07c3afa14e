//! The edits: each one field, and what the plan must say of it.

use super::subject::Subject;
use crate::keddah::{Expected, expected};

/// One change of the inventory.
pub struct Edit {
    /// What it is.
    pub what: &'static str,
    /// Makes it.
    pub change: fn(&mut Subject),
    /// What the plan must have, and nothing else.
    pub expected: Vec<Expected>,
    /// What must be named because it will be lost.
    pub destroys: Option<&'static str>,
}

/// What edits cost, seen from the primary's address.
struct Cost<'a> {
    leads: &'a str,
}

impl Cost<'_> {
    /// The role on the primary.
    fn role(&self) -> Vec<Expected> {
        vec![expected("pg-role", "subject").times(1).action("update").on(self.leads)]
    }

    /// The database on the primary.
    fn database(&self) -> Vec<Expected> {
        vec![expected("pg-database", "field").times(1).action("update").on(self.leads)]
    }

    /// One of PgBouncer's files on every member.
    fn pool(&self, file: &str) -> Vec<Expected> {
        vec![
            expected("file", file).times(3).action("update"),
            expected("unit", "pgbouncer.service").times(3).class("reload"),
        ]
    }

    /// PostgreSQL's access rules on every member.
    fn rules(&self) -> Vec<Expected> {
        vec![
            expected("file", "pg_hba.conf").times(3).action("update"),
            expected("postmaster", "pg-test-").times(3).class("reload"),
        ]
    }

    /// The services on every member.
    fn services(&self) -> Vec<Expected> {
        vec![
            expected("file", "/etc/haproxy/haproxy.cfg").times(3).action("update"),
            expected("unit", "haproxy.service").times(3).class("reload"),
        ]
    }

    /// Parameters that all members read again.
    fn parameters(&self) -> Vec<Expected> {
        vec![expected("patroni-config", "pg-test").times(1).on(self.leads)]
    }

    /// What every new database brings.
    fn contents(&self, database: &'static str) -> Vec<Expected> {
        ["pg-schema", "pg-extension", "pg-function", "pg-privileges"]
            .map(|kind| expected(kind, database).on(self.leads))
            .to_vec()
    }
}

fn both(mut one: Vec<Expected>, other: Vec<Expected>) -> Vec<Expected> {
    one.extend(other);
    one
}

/// All of them, in order; each builds on those before it.
pub fn edits(leads: &str) -> Vec<Edit> {
    let cost = Cost { leads };
    let edit =
        |what, change: fn(&mut Subject), expected| Edit { what, change, expected, destroys: None };
    let mut edits = Vec::new();
    macro_rules! user {
        ($field:literal, $value:literal, $expected:expr) => {
            edits.push(edit(
                concat!("user: ", $field, ": ", $value),
                |subject| {
                    subject.user.insert($field, $value);
                },
                $expected,
            ));
        };
    }
    user!("comment", "'a subject of edits'", cost.role());
    user!("connlimit", "20", cost.role());
    user!("createdb", "true", cost.role());
    user!("createrole", "true", cost.role());
    user!("inherit", "false", cost.role());
    user!("bypassrls", "true", cost.role());
    user!("replication", "true", cost.role());
    user!("superuser", "true", cost.role());
    user!("superuser", "false", cost.role());
    user!("expire_at", "'2099-12-31'", cost.role());
    user!("expire_in", "3650", cost.role());
    user!("parameters", "{ work_mem: 8MB }", cost.role());
    user!("roles", "[dbrole_readonly, dbrole_offline]", cost.role());
    user!("roles", "[dbrole_readonly]", cost.role());
    user!("password", "Subject.Two", both(cost.role(), cost.pool("userlist.txt")));
    user!("pool_mode", "session", cost.pool("useropts.txt"));
    user!("pool_connlimit", "10", cost.pool("useropts.txt"));
    user!("login", "false", cost.role());
    user!("login", "true", cost.role());

    macro_rules! database {
        ($field:literal, $value:literal, $expected:expr) => {
            edits.push(edit(
                concat!("database: ", $field, ": ", $value),
                |subject| {
                    subject.database.insert($field, $value);
                },
                $expected,
            ));
        };
    }
    database!("comment", "'a field of edits'", cost.database());
    database!("connlimit", "50", cost.database());
    database!("parameters", "{ statement_timeout: 60s }", cost.database());
    database!("is_template", "true", cost.database());
    database!("is_template", "false", cost.database());
    database!("pool_mode", "session", cost.pool("database.txt"));
    database!("pool_size", "20", cost.pool("database.txt"));
    database!("pool_size_min", "1", cost.pool("database.txt"));
    database!("pool_reserve", "8", cost.pool("database.txt"));
    database!("pool_connlimit", "40", cost.pool("database.txt"));
    database!("schemas", "[app]", vec![expected("pg-schema", "field").times(1).on(leads)]);
    database!(
        "extensions",
        "[{ name: hstore, schema: app }]",
        vec![expected("pg-extension", "field").times(1).action("create").on(leads)]
    );
    database!("revokeconn", "true", cost.database());
    // A schema that names no owner belongs to the database's.
    database!(
        "owner",
        "dbuser_meta",
        both(cost.database(), vec![expected("pg-schema", "field.app").times(1).on(leads)])
    );

    macro_rules! cluster {
        ($what:literal, $field:literal, $value:literal, $expected:expr) => {
            edits.push(edit(
                concat!("cluster: ", $what),
                |subject| {
                    subject.cluster.insert($field, $value);
                },
                $expected,
            ));
        };
    }
    cluster!(
        "an access rule",
        "pg_hba_rules",
        "[{ user: subject, db: all, addr: 10.10.10.1, auth: deny, title: not from the desk, order: 50 }]",
        cost.rules()
    );
    cluster!(
        "an access rule for replicas",
        "pg_hba_rules",
        "[{ user: subject, db: all, addr: 10.10.10.1, auth: deny, role: replica, order: 50 }]",
        vec![
            expected("file", "pg_hba.conf").action("update"),
            expected("postmaster", "pg-test-").class("reload"),
        ]
    );
    cluster!(
        "an access rule of the pool",
        "pgb_hba_rules",
        "[{ user: subject, db: all, addr: 10.10.10.1, auth: deny, title: not from the desk, order: 50 }]",
        cost.pool("pgb_hba.conf")
    );
    cluster!("the pool's mode", "pgbouncer_poolmode", "session", cost.pool("pgbouncer.ini"));
    cluster!(
        "a parameter that reloads",
        "pg_parameters",
        "{ log_min_duration_statement: 500 }",
        cost.parameters()
    );
    cluster!(
        "another value of it",
        "pg_parameters",
        "{ log_min_duration_statement: 800, work_mem: 6MB }",
        cost.parameters()
    );
    cluster!(
        "a service",
        "pg_services",
        "[{ name: readers, port: 5439, dest: postgres, check: /replica, selector: '[]' }]",
        cost.services()
    );
    cluster!(
        "a service's limit",
        "pg_services",
        "[{ name: readers, port: 5439, dest: postgres, check: /replica, selector: '[]', maxconn: 500 }]",
        cost.services()
    );
    edits.push(edit(
        "cluster: the service goes",
        |subject| {
            subject.cluster.remove("pg_services");
        },
        cost.services(),
    ));
    edits.push(edit(
        "a new user",
        |subject| {
            subject.users.push(
                "{ name: guest, password: Guest.One, pgbouncer: true, roles: [dbrole_readwrite] }",
            );
        },
        both(
            vec![expected("pg-role", "guest").times(1).action("create").on(leads)],
            cost.pool("userlist.txt"),
        ),
    ));
    edits.push(edit(
        "a new database",
        |subject| subject.databases.push("{ name: room, owner: guest }"),
        both(
            vec![expected("pg-database", "room").times(1).action("create").on(leads)],
            both(cost.contents("room"), cost.pool("database.txt")),
        ),
    ));
    edits.push(Edit {
        destroys: Some("room"),
        ..edit(
            "a database goes",
            |subject| subject.databases = vec!["{ name: room, state: absent }"],
            both(
                vec![expected("pg-database", "room").times(1).action("delete").on(leads)],
                cost.pool("database.txt"),
            ),
        )
    });
    edits.push(Edit {
        destroys: Some("guest"),
        ..edit(
            "a user goes",
            |subject| subject.users = vec!["{ name: guest, state: absent }"],
            both(
                vec![expected("pg-role", "guest").times(1).action("delete").on(leads)],
                cost.pool("userlist.txt"),
            ),
        )
    });
    edits.push(Edit {
        destroys: Some("field"),
        ..edit(
            "the database under edit goes",
            |subject| {
                subject.database =
                    super::subject::Fields::from([("name", "field"), ("state", "absent")]);
            },
            both(
                vec![expected("pg-database", "field").times(1).action("delete").on(leads)],
                cost.pool("database.txt"),
            ),
        )
    });
    edits.push(Edit {
        destroys: Some("subject"),
        ..edit(
            "the user under edit goes",
            |subject| {
                subject.user =
                    super::subject::Fields::from([("name", "subject"), ("state", "absent")]);
            },
            both(
                vec![expected("pg-role", "subject").times(1).action("delete").on(leads)],
                both(cost.pool("userlist.txt"), vec![expected("file", "useropts.txt").times(3)]),
            ),
        )
    });
    edits
}
