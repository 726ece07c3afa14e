//! Parameters of the PGSQL module for backups, access, monitoring and removal.

use super::default::{NO, NONE, YES, int, json, text};
use super::kind::ParameterType::{
    Arguments, Bool, Cidr4, DatabaseUrl, List, Mapping, Path, Port, Text, TextList,
};
use super::kind::{any_of, integer, one_of};
use super::{Decision, Levels, Module, Parameter, Support, defaults, row, section, structures};

pub(super) const PG_BACKUP: &[Parameter] = &section(
    Module::Pgsql,
    "PG_BACKUP",
    Support::Managed,
    [
        row(
            "pgbackrest_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether pgBackRest archives the write-ahead log and takes backups.",
        ),
        row(
            "pgbackrest_clean",
            Bool,
            Levels::C,
            NONE,
            "Whether existing backups of the cluster are wiped when it is created anew.",
        )
.decided(&Decision {
value: NO,
instead: "existing backups are never wiped; `keddah remove CLUSTER --destroy` deletes them",
}),
        row(
            "pgbackrest_log_dir",
            Path,
            Levels::C,
            text("/pg/log/pgbackrest"),
            "Directory for pgBackRest's log files.",
        ),
        row(
            "pgbackrest_method",
            any_of(&["local", "minio"]),
            Levels::C,
            text("local"),
            "Which entry of `pgbackrest_repo` backups go to.",
        ),
        row(
            "pgbackrest_init_backup",
            Bool,
            Levels::C,
            YES,
            "Whether a first full backup is taken as soon as the repository is ready.",
        ),
        row(
            "pgbackrest_repo",
            Mapping,
            Levels::G_C,
            json(defaults::PGBACKREST_REPO),
            "Backup repositories by name; each holds pgBackRest's repository options with \
         underscores instead of hyphens.",
        ),
    ],
);

pub(super) const PG_ACCESS: &[Parameter] = &section(
    Module::Pgsql,
    "PG_ACCESS",
    Support::Managed,
    [
        row(
            "pgbouncer_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether PgBouncer, the connection pool, runs beside each instance.",
        ),
        row("pgbouncer_port", Port, Levels::C, int(6432), "TCP port of PgBouncer."),
        row(
            "pgbouncer_log_dir",
            Path,
            Levels::C,
            text("/pg/log/pgbouncer"),
            "Directory for PgBouncer's log files.",
        ),
        row(
            "pgbouncer_auth_query",
            Bool,
            Levels::C,
            NO,
            "Whether PgBouncer asks PostgreSQL for the passwords of users that its own list \
         lacks.",
        ),
        row(
            "pgbouncer_poolmode",
            one_of(&["transaction", "session", "statement"]),
            Levels::C,
            text("transaction"),
            "When a server connection goes back to the pool: after a transaction, a session, \
         or a statement.",
        ),
        row(
            "pgbouncer_sslmode",
            one_of(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
            Levels::C,
            text("disable"),
            "Whether clients of PgBouncer may or must use TLS.",
        ),
        row(
            "pgbouncer_ignore_param",
            TextList,
            Levels::C,
            json(defaults::PGBOUNCER_IGNORE_PARAM),
            "Start-up parameters that PgBouncer accepts from clients and ignores.",
        ),
        row(
            "pg_weight",
            integer(0, 256),
            Levels::I,
            int(100),
            "Share of a service's traffic this instance gets, relative to the others; 0 takes \
         it out.",
        ),
        row(
            "pg_service_provider",
            Text,
            Levels::G_C,
            text(""),
            "Group of dedicated load balancer nodes that expose this cluster's services; \
         empty means the cluster's own nodes.",
        ),
        row(
            "pg_default_service_dest",
            one_of(&["pgbouncer", "postgres"]),
            Levels::G_C,
            text("pgbouncer"),
            "Where services whose destination is `default` send their traffic.",
        ),
        row(
            "pg_default_services",
            List(&structures::SERVICE),
            Levels::G_C,
            json(defaults::PG_DEFAULT_SERVICES),
            "Services every cluster has: primary, replica, default, offline.",
        ),
        row(
            "pg_vip_enabled",
            Bool,
            Levels::C,
            NO,
            "Whether a virtual address follows the primary.",
        ),
        row(
            "pg_vip_address",
            Cidr4,
            Levels::C,
            text("127.0.0.1/24"),
            "The virtual address with its prefix length, such as `10.10.10.2/24`.",
        ),
        row(
            "pg_vip_interface",
            Text,
            Levels::C_I,
            text("auto"),
            "Network interface that carries the virtual address; `auto` finds the one with \
         the node's address.",
        ),
        row(
            "pg_dns_suffix",
            Text,
            Levels::C,
            text(""),
            "Text appended to the cluster's name in DNS.",
        ),
        row(
            "pg_dns_target",
            any_of(&["auto", "primary", "vip", "none"]),
            Levels::C,
            text("auto"),
            "What the cluster's name in DNS points at: the virtual address if there is one, \
         else the primary (`auto`), one of them, nothing, or a given address.",
        ),
    ],
);

pub(super) const PG_MONITOR: &[Parameter] = &section(
    Module::Pgsql,
    "PG_MONITOR",
    Support::Accepted,
    [
        row(
            "pg_exporter_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether the PostgreSQL metrics exporter runs.",
        ),
        row(
            "pg_exporter_config",
            Text,
            Levels::C,
            text("pg_exporter.yml"),
            "Name of the exporter's collector definition file.",
        ),
        row(
            "pg_exporter_cache_ttls",
            Text,
            Levels::C,
            text("1,10,60,300"),
            "Cache lifetimes in seconds of the exporter's four classes of collectors, \
         separated by commas.",
        ),
        row(
            "pg_exporter_port",
            Port,
            Levels::C,
            int(9630),
            "TCP port of the PostgreSQL metrics exporter.",
        ),
        row(
            "pg_exporter_params",
            Text,
            Levels::C,
            text("sslmode=disable"),
            "Parameters added to the exporter's connection URL.",
        ),
        row(
            "pg_exporter_url",
            DatabaseUrl,
            Levels::C,
            text(""),
            "Connection URL for the exporter that replaces the generated one.",
        ),
        row(
            "pg_exporter_auto_discovery",
            Bool,
            Levels::C,
            YES,
            "Whether the exporter finds databases by itself.",
        ),
        row(
            "pg_exporter_exclude_database",
            Text,
            Levels::C,
            text("template0,template1,postgres"),
            "Databases that discovery leaves out, separated by commas.",
        ),
        row(
            "pg_exporter_include_database",
            Text,
            Levels::C,
            text(""),
            "Databases that discovery is limited to, separated by commas; empty means all.",
        ),
        row(
            "pg_exporter_connect_timeout",
            integer(1, 600000),
            Levels::C,
            int(200),
            "Milliseconds the exporter waits for a connection.",
        ),
        row(
            "pg_exporter_options",
            Arguments,
            Levels::C,
            text(""),
            "Further command-line options of the exporter.",
        ),
        row(
            "pgbouncer_exporter_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether the PgBouncer metrics exporter runs.",
        ),
        row(
            "pgbouncer_exporter_port",
            Port,
            Levels::C,
            int(9631),
            "TCP port of the PgBouncer metrics exporter.",
        ),
        row(
            "pgbouncer_exporter_url",
            DatabaseUrl,
            Levels::C,
            text(""),
            "Connection URL for the PgBouncer exporter that replaces the generated one.",
        ),
        row(
            "pgbouncer_exporter_options",
            Arguments,
            Levels::C,
            text(""),
            "Further command-line options of the PgBouncer exporter.",
        ),
        row(
            "pgbackrest_exporter_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether the backup metrics exporter runs.",
        ),
        row(
            "pgbackrest_exporter_port",
            Port,
            Levels::C,
            int(9854),
            "TCP port of the backup metrics exporter.",
        ),
        row(
            "pgbackrest_exporter_options",
            Arguments,
            Levels::C,
            text("--collect.interval=120 --log.level=info"),
            "Further command-line options of the backup metrics exporter.",
        ),
    ],
);

pub(super) const PG_REMOVE: &[Parameter] = &section(
    Module::Pgsql,
    "PG_REMOVE",
    Support::Managed,
    [
        row(
            "pg_rm_data",
            Bool,
            Levels::G_C_A,
            YES,
            "Whether removing an instance moves its data aside; `--destroy` deletes it.",
        ),
        row(
            "pg_rm_backup",
            Bool,
            Levels::G_C_A,
            YES,
            "Whether removing an instance moves its node's backups aside; `--destroy` deletes them.",
        ),
        row(
            "pg_rm_pkg",
            Bool,
            Levels::G_C_A,
            YES,
            "Whether removing an instance uninstalls PostgreSQL's packages.",
        )
        .accepted(),
        row(
            "pg_safeguard",
            Bool,
            Levels::G_C_A,
            NO,
            "Refuses every removal of this cluster or its instances while true.",
        ),
    ],
);
