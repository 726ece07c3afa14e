//! The fields of structured parameters: users, databases, services, rules, extensions and others.

use super::ParameterType::{
    Bool, Ip, List, Mapping, One, Password, Port, Text, TextList, TextOrList, Username,
};
use super::kind::{ParameterType, any_of, integer, integer_or, one_of};

/// One field of a structured parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: ParameterType,
    /// What holds when it is absent, in words or as a value; empty when absent means absent.
    pub default: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Older spellings.
    pub aliases: &'static [&'static str],
    /// Whether an entry without it is an error.
    pub required: bool,
}

/// A structured parameter's entries.
#[derive(Debug, Clone, Copy)]
pub struct Structure {
    /// One entry, in words: `user`.
    pub name: &'static str,
    /// The documents' name of a list of them: `user[]`.
    pub list_name: &'static str,
    /// The fields.
    pub fields: &'static [Field],
    /// The field that a bare text in place of a mapping stands for.
    pub shorthand: Option<&'static str>,
    /// Whether fields beyond the known ones are fine.
    pub open: bool,
}

impl PartialEq for Structure {
    fn eq(&self, other: &Self) -> bool {
        // Structures may contain each other; their names tell them apart.
        self.name == other.name && self.list_name == other.list_name
    }
}

impl Structure {
    /// A field by its name or an older spelling.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name || field.aliases.contains(&name))
    }
}

const fn field(
    name: &'static str,
    kind: ParameterType,
    default: &'static str,
    description: &'static str,
) -> Field {
    Field { name, kind, default, description, aliases: &[], required: false }
}

impl Field {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    const fn formerly(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}

const POOL_MODES: ParameterType = one_of(&["transaction", "session", "statement"]);
/// A limit of connections; -1 lifts it.
const LIMIT: ParameterType = integer(-1, i32::MAX as i64);
const COUNT: ParameterType = integer(0, i32::MAX as i64);

const ROLE_FIELDS: &[Field] = &[
    field("name", Username, "", "Name of the role.").required(),
    field(
        "state",
        one_of(&["create", "present", "absent"]),
        "create",
        "Whether the role shall exist; `absent` drops it.",
    ),
    field("password", Password, "", "Password, in plain text or already hashed as SCRAM-SHA-256."),
    field("login", Bool, "true", "Whether one can log in as this role; groups say false."),
    field("superuser", Bool, "false", "Whether all permission checks are bypassed."),
    field("createdb", Bool, "false", "Whether it may create databases."),
    field("createrole", Bool, "false", "Whether it may create roles."),
    field(
        "inherit",
        Bool,
        "true",
        "Whether it has the privileges of its groups without `SET ROLE`.",
    ),
    field("replication", Bool, "false", "Whether it may stream the write-ahead log."),
    field("bypassrls", Bool, "false", "Whether row level security does not apply to it."),
    field("pgbouncer", Bool, "false", "Whether it may connect through PgBouncer."),
    field("connlimit", LIMIT, "-1", "Most connections it may hold; -1 for no limit."),
    field(
        "expire_in",
        integer(0, 365_000),
        "",
        "Days from the moment of applying until its password expires; goes before `expire_at`.",
    ),
    field(
        "expire_at",
        Text,
        "",
        "Day or time at which its password expires, such as `2030-12-31`; `infinity` for never.",
    ),
    field("comment", Text, "", "Comment stored with the role."),
    field("roles", List(&MEMBERSHIP), "[]", "Roles it is a member of."),
    field("parameters", Mapping, "{}", "Settings its sessions start with, as `ALTER ROLE … SET`."),
    field("pool_mode", POOL_MODES, "the database's", "PgBouncer's pool mode for this user."),
    field(
        "pool_connlimit",
        LIMIT,
        "-1",
        "Most server connections PgBouncer opens for this user; -1 for no limit.",
    ),
];

/// A business user, `pg_users`.
pub static USER: Structure = Structure {
    name: "user",
    list_name: "user[]",
    fields: ROLE_FIELDS,
    shorthand: None,
    open: false,
};

/// A default role, `pg_default_roles`; the same fields as a user.
pub static ROLE: Structure = Structure {
    name: "role",
    list_name: "role[]",
    fields: ROLE_FIELDS,
    shorthand: None,
    open: false,
};

/// A user's membership in a role.
pub static MEMBERSHIP: Structure = Structure {
    name: "membership",
    list_name: "membership[]",
    fields: &[
        field("name", Username, "", "The role to be a member of.").required(),
        field("admin", Bool, "false", "Whether the member may grant the role to others."),
        field(
            "set",
            Bool,
            "true",
            "Whether the member may `SET ROLE` to it (PostgreSQL 16 and later).",
        ),
        field(
            "inherit",
            Bool,
            "the member's own",
            "Whether the member has the role's privileges (PostgreSQL 16 and later).",
        ),
        field(
            "state",
            one_of(&["create", "present", "absent"]),
            "create",
            "Whether the membership shall exist; `absent` revokes it.",
        ),
    ],
    shorthand: Some("name"),
    open: false,
};

/// A business database, `pg_databases`.
pub static DATABASE: Structure = Structure {
    name: "database",
    list_name: "database[]",
    fields: &[
        field("name", Text, "", "Name of the database.").required(),
        field(
            "state",
            one_of(&["create", "present", "absent", "recreate"]),
            "create",
            "Whether the database shall exist; `absent` drops it, `recreate` drops it and starts anew.",
        ),
        field(
            "baseline",
            Text,
            "",
            "SQL file of the controller that fills the database when it is created.",
        ),
        field("schemas", List(&SCHEMA), "[]", "Schemas to create."),
        field("extensions", List(&EXTENSION), "[]", "Extensions to create."),
        field("comment", Text, "", "Comment stored with the database."),
        field("pgbouncer", Bool, "true", "Whether it can be reached through PgBouncer."),
        field(
            "owner",
            Username,
            "the database superuser, for a new one",
            "Role that owns the database. Left out, one that exists keeps its owner.",
        ),
        field("template", Text, "template1", "Database it is copied from."),
        field(
            "strategy",
            one_of(&["FILE_COPY", "WAL_LOG", "file_copy", "wal_log"]),
            "PostgreSQL's own",
            "How the template is copied (PostgreSQL 15 and later).",
        ),
        field("encoding", Text, "the template's", "Character encoding."),
        field("locale", Text, "the template's", "Locale."),
        field("lc_collate", Text, "the template's", "Sort order."),
        field("lc_ctype", Text, "the template's", "Character classification."),
        field(
            "locale_provider",
            one_of(&["libc", "icu", "builtin"]),
            "the template's",
            "Library behind the locale (PostgreSQL 15 and later).",
        ),
        field("icu_locale", Text, "", "Locale for the ICU provider (PostgreSQL 15 and later)."),
        field(
            "icu_rules",
            Text,
            "",
            "Additional sort rules for the ICU provider (PostgreSQL 16 and later).",
        ),
        field(
            "builtin_locale",
            Text,
            "",
            "Locale for the builtin provider (PostgreSQL 17 and later).",
        ),
        field("tablespace", Text, "pg_default", "Tablespace the database lives in."),
        field(
            "is_template",
            Bool,
            "false",
            "Whether any role that may create databases may copy it.",
        ),
        field("allowconn", Bool, "true", "Whether one can connect at all."),
        field(
            "revokeconn",
            Bool,
            "false",
            "Whether only the owner and the system's roles may connect, instead of everyone.",
        ),
        field("register_datasource", Bool, "true", "Whether dashboards get a data source for it."),
        field("connlimit", LIMIT, "-1", "Most connections to it; -1 for no limit."),
        field(
            "parameters",
            Mapping,
            "{}",
            "Settings that sessions in it start with, as `ALTER DATABASE … SET`.",
        ),
        field(
            "pool_auth_user",
            Username,
            "",
            "User with which PgBouncer looks passwords up for this database, with `pgbouncer_auth_query`; else the monitoring user.",
        ),
        field(
            "pool_mode",
            POOL_MODES,
            "pgbouncer_poolmode",
            "PgBouncer's pool mode for this database.",
        ),
        field("pool_size", COUNT, "64", "Server connections PgBouncer keeps per user."),
        field(
            "pool_reserve",
            COUNT,
            "32",
            "Further server connections PgBouncer opens when clients wait too long.",
        )
        .formerly(&["pool_size_reserve"]),
        field(
            "pool_size_min",
            COUNT,
            "0",
            "Server connections PgBouncer keeps open even when idle.",
        ),
        field(
            "pool_connlimit",
            LIMIT,
            "100",
            "Most server connections PgBouncer opens to it over all users.",
        )
        .formerly(&["pool_max_db_conn"]),
    ],
    shorthand: None,
    open: false,
};

/// A schema of a database.
pub static SCHEMA: Structure = Structure {
    name: "schema",
    list_name: "schema[]",
    fields: &[
        field("name", Text, "", "Name of the schema.").required(),
        field("owner", Username, "the database's owner", "Role that owns the schema."),
        field(
            "state",
            one_of(&["create", "present", "absent"]),
            "create",
            "Whether the schema shall exist; `absent` drops it.",
        ),
    ],
    shorthand: Some("name"),
    open: false,
};

/// An extension of a database.
pub static EXTENSION: Structure = Structure {
    name: "extension",
    list_name: "extension[]",
    fields: &[
        field("name", Text, "", "Name of the extension as in `CREATE EXTENSION`.").required(),
        field("schema", Text, "the extension's own", "Schema to create it in."),
        field("version", Text, "the newest", "Version to create."),
        field(
            "state",
            one_of(&["create", "present", "absent"]),
            "create",
            "Whether the extension shall exist; `absent` drops it.",
        ),
    ],
    shorthand: Some("name"),
    open: false,
};

/// A service of a cluster, `pg_services`.
pub static SERVICE: Structure = Structure {
    name: "service",
    list_name: "service[]",
    fields: &[
        field("name", Text, "", "Name of the service; in full it is `<pg_cluster>-<name>`.").required(),
        field("port", Port, "", "Port the load balancers listen on.").required().formerly(&["src_port"]),
        field("ip", Text, "*", "Address the load balancers listen on: `*` for all, `vip` for the virtual address, or an address.").formerly(&["src_ip"]),
        field("dest", integer_or(&["default", "postgres", "pgbouncer"]), "default", "Where the traffic goes on an instance: PostgreSQL, PgBouncer, what `pg_default_service_dest` says, or a port.").formerly(&["dst_port"]),
        field("selector", Text, "", "JMESPath expression over the cluster's instances that picks the members.").required(),
        field("backup", Text, "", "JMESPath expression that picks the members that serve only when all others are down.").formerly(&["selector_backup"]),
        field("check", Text, "/", "Path of the health check; a member serves while it answers as expected.").formerly(&["check_url"]),
        field("check_method", one_of(&["http"]), "http", "Kind of the health check."),
        field("check_port", integer_or(&["patroni", "pg_exporter"]), "patroni", "Port of the health check: Patroni's, the metrics exporter's, or a number."),
        field("check_code", integer(100, 599), "200", "HTTP status that means healthy."),
        field("maxconn", COUNT, "3000", "Most client connections per load balancer."),
        field("balance", any_of(&["roundrobin", "leastconn", "static-rr", "source"]), "roundrobin", "How the load balancer picks a member."),
        field("options", TextOrList, "", "HAProxy's server options for all members, in place of the ones made from `pg_rto`."),
        field("haproxy", One(&SERVICE_HAPROXY), "{}", "Older place of `maxconn`, `balance` and `options`."),
    ],
    shorthand: None,
    open: false,
};

/// The older place of a service's load balancer settings.
pub static SERVICE_HAPROXY: Structure = Structure {
    name: "load balancer setting",
    list_name: "dict",
    fields: &[
        field("maxconn", COUNT, "3000", "Most client connections per load balancer."),
        field(
            "balance",
            any_of(&["roundrobin", "leastconn"]),
            "roundrobin",
            "How the load balancer picks a member.",
        ),
        field(
            "default_server_options",
            TextOrList,
            "",
            "HAProxy's server options for all members.",
        ),
    ],
    shorthand: None,
    open: false,
};

/// A client authentication rule, `pg_hba_rules`.
pub static HBA: Structure = Structure {
    name: "rule",
    list_name: "hba[]",
    fields: &[
        field("title", Text, "", "Comment above the rule."),
        field(
            "role",
            one_of(&["common", "default", "primary", "replica", "offline", "standby", "delayed"]),
            "common",
            "Instances the rule applies to, by their `pg_role` in the inventory; `offline` is also those with `pg_offline_query`.",
        ),
        field(
            "order",
            COUNT,
            "1000",
            "Place among the rules; lower comes first, equal keeps the order of the file.",
        ),
        field(
            "user",
            TextOrList,
            "all",
            "Who: a role, `+role` for its members, `all`, or `${dbsu}`, `${repl}`, `${monitor}`, `${admin}` for the system's roles.",
        ),
        field("db", TextOrList, "all", "Where to: a database, `all`, or `replication`."),
        field(
            "addr",
            TextOrList,
            "",
            "Where from: `world`, `intra`, `infra`, `admin`, `cluster`, `local`, `localhost`, an address or a network.",
        ),
        field(
            "auth",
            one_of(&[
                "pwd",
                "ssl",
                "ssl-sha",
                "ssl-md5",
                "sha",
                "scram",
                "scram-sha-256",
                "md5",
                "cert",
                "ident",
                "os",
                "peer",
                "trust",
                "deny",
                "reject",
            ]),
            "pwd",
            "How one proves who one is, or `deny`.",
        ),
        field(
            "rules",
            TextList,
            "",
            "Raw lines for `pg_hba.conf`, in place of `user`, `db`, `addr` and `auth`.",
        ),
    ],
    shorthand: None,
    open: false,
};

/// A service on a node's load balancer, `haproxy_services`.
pub static NODE_SERVICE: Structure = Structure {
    name: "service",
    list_name: "service[]",
    fields: &[
        field("name", Text, "", "Name of the service.").required(),
        field("port", Port, "", "Port the load balancer listens on.").required(),
        field("ip", Text, "*", "Address the load balancer listens on."),
        field(
            "protocol",
            one_of(&["tcp", "http"]),
            "tcp",
            "What the load balancer understands of the traffic.",
        ),
        field(
            "balance",
            any_of(&["roundrobin", "leastconn", "static-rr", "source"]),
            "roundrobin",
            "How the load balancer picks a server.",
        ),
        field("maxconn", COUNT, "3000", "Most client connections."),
        field("default", TextOrList, "", "Server options for all servers."),
        field(
            "options",
            TextOrList,
            "",
            "Further HAProxy lines of the service, such as health checks.",
        ),
        field("servers", List(&NODE_SERVICE_SERVER), "[]", "Servers behind the service."),
    ],
    shorthand: None,
    open: false,
};

/// A server behind a node's service.
pub static NODE_SERVICE_SERVER: Structure = Structure {
    name: "server",
    list_name: "server[]",
    fields: &[
        field("name", Text, "", "Name of the server.").required(),
        field("ip", Text, "", "Address of the server.").required(),
        field("port", Port, "", "Port of the server.").required(),
        field("options", TextOrList, "", "HAProxy's options for this server."),
    ],
    shorthand: None,
    open: false,
};

/// A package repository, `repo_upstream`.
pub static UPSTREAM: Structure = Structure {
    name: "repository",
    list_name: "upstream[]",
    fields: &[
        field("name", Text, "", "Name of the repository.").required(),
        field("description", Text, "", "What it holds."),
        field("module", Text, "", "Group it belongs to."),
        field("releases", TextOrList, "", "Releases of the distribution it serves."),
        field("arch", TextOrList, "", "Architectures it serves."),
        field("baseurl", Mapping, "", "Its URL by region."),
    ],
    shorthand: None,
    open: true,
};

/// A primary that sentinels watch, `redis_sentinel_monitor`.
pub static SENTINEL_PRIMARY: Structure = Structure {
    name: "primary",
    list_name: "master[]",
    fields: &[
        field("name", Text, "", "Name of the primary.").required(),
        field("host", Ip, "", "Its address.").required(),
        field("port", Port, "", "Its port.").required(),
        field("password", Password, "", "Its password."),
        field("quorum", integer(1, 100), "", "How many sentinels must agree that it is down."),
    ],
    shorthand: None,
    open: true,
};

/// A bucket of the object storage, `minio_buckets`.
pub static BUCKET: Structure = Structure {
    name: "bucket",
    list_name: "bucket[]",
    fields: &[
        field("name", Text, "", "Name of the bucket.").required(),
        field("versioning", Bool, "false", "Whether older versions of objects are kept."),
    ],
    shorthand: None,
    open: true,
};

/// A user of the object storage, `minio_users`.
pub static OBJECT_USER: Structure = Structure {
    name: "user",
    list_name: "user[]",
    fields: &[
        field("access_key", Username, "", "Name of the user.").required(),
        field("secret_key", Password, "", "Password of the user."),
        field("policy", Text, "", "Policy that says what the user may do."),
    ],
    shorthand: None,
    open: true,
};

/// A link on the portal's home page, `infra_services`.
pub static PORTAL_LINK: Structure = Structure {
    name: "link",
    list_name: "link[]",
    fields: &[
        field("name", Text, "", "Text of the link.").required(),
        field("url", Text, "", "Where it leads."),
    ],
    shorthand: None,
    open: true,
};

/// Every structure, for the reference page.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Structure)> {
    [
        ("pg_users, pg_default_roles", &USER),
        ("roles of a user", &MEMBERSHIP),
        ("pg_databases", &DATABASE),
        ("schemas of a database", &SCHEMA),
        ("extensions of a database, pg_default_extensions", &EXTENSION),
        ("pg_services, pg_default_services", &SERVICE),
        ("pg_hba_rules, pgb_hba_rules and their defaults", &HBA),
        ("haproxy_services", &NODE_SERVICE),
        ("servers of a service in haproxy_services", &NODE_SERVICE_SERVER),
    ]
    .into_iter()
}
