//! Parameters of the PGSQL module that shape a cluster when it is built and filled.

use super::default::{NO, NONE, YES, float, int, json, text};
use super::kind::ParameterType::{
    Bool, Interval, IpList, List, Mapping, Password, Path, PathList, Port, RelativePath, Size,
    Text, TextList, Username,
};
use super::kind::{any_of, integer, integer_or, number, one_of};
use super::{Decision, Levels, Module, Parameter, Support, defaults, row, section, structures};

pub(super) const PG_BOOTSTRAP: &[Parameter] = &section(
    Module::Pgsql,
    "PG_BOOTSTRAP",
    Support::Managed,
    [
        row(
            "pg_data",
            Path,
            Levels::C,
            text("/pg/data"),
            "Data directory as clients and configuration see it; a link into `pg_fs_main`.",
        ),
        row(
            "pg_fs_main",
            Path,
            Levels::C,
            text("/data/postgres"),
            "Directory or mount point that holds the data of all clusters on the host.",
        ),
        row(
            "pg_fs_backup",
            Path,
            Levels::C,
            text("/data/backups"),
            "Directory or mount point that holds local backups.",
        ),
        row(
            "pg_storage_type",
            one_of(&["SSD", "HDD"]),
            Levels::C,
            text("SSD"),
            "Kind of disk behind the data: chooses planner costs and I/O concurrency.",
        ),
        row(
            "pg_dummy_filesize",
            Size,
            Levels::C,
            text("64MiB"),
            "Size of a placeholder file kept beside the data, to be deleted when a full disk \
         must be freed at once.",
        )
        .accepted(),
        row(
            "pg_listen",
            IpList,
            Levels::C_I,
            text("0.0.0.0"),
            "Addresses PostgreSQL and PgBouncer listen on, separated by commas. `${ip}` is \
         the node's address, `${vip}` the cluster's virtual address, `${lo}` the loopback \
         address.",
        ),
        row("pg_port", Port, Levels::C, int(5432), "TCP port of PostgreSQL."),
        row(
            "pg_localhost",
            Path,
            Levels::C,
            text("/var/run/postgresql"),
            "Directory of the Unix socket for local connections.",
        ),
        row(
            "pg_namespace",
            Path,
            Levels::C,
            text("/pg"),
            "Prefix in etcd below which Patroni and the virtual address manager keep their \
         keys.",
        ),
        row("patroni_enabled", Bool, Levels::C, YES, "Whether the cluster is run by Patroni.")
            .decided(&Decision {
                value: YES,
                instead: "Patroni runs every instance; a host without `pg_seq` has none",
            }),
        row(
            "patroni_mode",
            one_of(&["default", "pause", "remove"]),
            Levels::C,
            text("default"),
            "What Patroni does after the set-up: manage the cluster, or watch it without acting \
         (`pause`). `default` ends no pause, which may be somebody's own: `patronictl resume` does. \
         `remove` is not obeyed: no cluster runs without Patroni.",
        ),
        row(
            "patroni_port",
            Port,
            Levels::C,
            int(8008),
            "TCP port of Patroni's REST interface, which load balancers ask about an \
         instance's role.",
        ),
        row(
            "patroni_log_dir",
            Path,
            Levels::C,
            text("/pg/log/patroni"),
            "Directory for Patroni's log files.",
        ),
        row(
            "patroni_ssl_enabled",
            Bool,
            Levels::G,
            NO,
            "Whether Patroni's REST interface is served over TLS.",
        ),
        row(
            "patroni_watchdog_mode",
            one_of(&["off", "automatic", "required"]),
            Levels::C,
            text("off"),
            "Use of a hardware or kernel watchdog that resets a primary whose Patroni hangs: \
         never, when there is one, or only start with one.",
        ),
        row(
            "patroni_username",
            Username,
            Levels::C,
            text("postgres"),
            "Name that Patroni's REST interface asks for before it changes anything.",
        ),
        row(
            "patroni_password",
            Password,
            Levels::C,
            text("Patroni.API"),
            "Password that belongs to `patroni_username`. The default is public: change it.",
        ),
        row(
            "pg_primary_db",
            Text,
            Levels::C,
            text("postgres"),
            "Main database of the cluster, which layouts such as Citus work in.",
        ),
        row(
            "pg_parameters",
            Mapping,
            Levels::C,
            json("{}"),
            "PostgreSQL parameters, name to value, set in addition to the template's and \
         overriding them.",
        ),
        row(
            "pg_files",
            PathList,
            Levels::C,
            json("[]"),
            "Files of the controller to copy into the data directory, such as licences.",
        )
        .accepted(),
        row(
            "pg_conf",
            any_of(&["oltp.yml", "olap.yml", "crit.yml", "tiny.yml"]),
            Levels::C,
            text("oltp.yml"),
            "Template that sizes and tunes the cluster: transactions (`oltp`), analytics \
         (`olap`), no data loss (`crit`), or small machines (`tiny`).",
        ),
        row(
            "pg_max_conn",
            integer_or(&["auto"]),
            Levels::C,
            text("auto"),
            "Upper limit of connections to PostgreSQL; `auto` takes what the template finds \
         fit.",
        ),
        row(
            "pg_shared_buffer_ratio",
            number(0.01, 0.8),
            Levels::C,
            float(0.25),
            "Share of the node's memory that PostgreSQL's buffer cache takes; sensible from \
         0.1 to 0.4.",
        ),
        row(
            "pg_rto",
            integer_or(&["fast", "norm", "safe", "wide"]),
            Levels::C,
            text("norm"),
            "How fast a dead primary is replaced: a plan's name (`fast`, `norm`, `safe`, \
         `wide`) or Patroni's lease in seconds. Less time means more false alarms on a \
         shaky network.",
        ),
        row(
            "pg_rpo",
            integer(0, i64::MAX),
            Levels::C,
            int(1048576),
            "Largest replication lag, in bytes, with which a replica may still be promoted \
         automatically: the data one is ready to lose.",
        ),
        row(
            "pg_libs",
            Text,
            Levels::C,
            text("pg_stat_statements, auto_explain"),
            "Libraries to preload when PostgreSQL starts, separated by commas. What a declared \
         extension cannot do without (citus, pg_cron, pg_stat_kcache, pgaudit, pglogical, \
         timescaledb) is added.",
        ),
        row(
            "pg_delay",
            Interval,
            Levels::I,
            int(0),
            "How far the leader of a standby cluster stays behind on purpose, such as `1h`; 0 \
         means not at all.",
        ),
        row(
            "pg_checksum",
            Bool,
            Levels::C,
            YES,
            "Whether data pages carry checksums, so that silent disk corruption is noticed.",
        ),
        row(
            "pg_pwd_enc",
            one_of(&["scram-sha-256", "md5"]),
            Levels::C,
            text("scram-sha-256"),
            "How passwords are hashed when they are stored and checked.",
        ),
        row(
            "pg_encoding",
            any_of(&["UTF8", "SQL_ASCII", "LATIN1"]),
            Levels::C,
            text("UTF8"),
            "Character encoding of the cluster.",
        ),
        row(
            "pg_locale",
            any_of(&["C", "C.UTF-8", "en_US.UTF-8"]),
            Levels::C,
            text("C"),
            "Locale the cluster is initialised with.",
        ),
        row(
            "pg_lc_collate",
            any_of(&["C", "C.UTF-8", "en_US.UTF-8"]),
            Levels::C,
            text("C"),
            "Sort order the cluster is initialised with.",
        ),
        row(
            "pg_lc_ctype",
            any_of(&["C", "C.UTF-8", "en_US.UTF-8"]),
            Levels::C,
            text("C"),
            "Character classification the cluster is initialised with.",
        ),
        row(
            "pg_io_method",
            one_of(&["auto", "sync", "worker", "io_uring", "fsync"]),
            Levels::C,
            text("worker"),
            "How PostgreSQL 18 and later reads asynchronously; ignored by older versions.",
        ),
        row(
            "pg_etcd_password",
            Password,
            Levels::C,
            text(""),
            "Password of the cluster's own user in etcd, who reaches that cluster's keys alone; empty means the cluster's name.",
        ),
        row(
            "pgsodium_key",
            Text,
            Levels::C,
            NONE,
            "Root key for the pgsodium extension as 64 hexadecimal digits; derived from the \
         cluster's name when absent.",
        )
        .accepted(),
        row(
            "pgsodium_getkey_script",
            RelativePath,
            Levels::C,
            NONE,
            "Script from which pgsodium reads its root key.",
        )
        .accepted(),
    ],
);

pub(super) const PG_PROVISION: &[Parameter] = &section(
    Module::Pgsql,
    "PG_PROVISION",
    Support::Managed,
    [
        row(
            "pg_provision",
            Bool,
            Levels::C,
            YES,
            "Whether default roles, privileges, users and databases are created once the \
         cluster runs.",
        ),
        row(
            "pg_init",
            Text,
            Levels::G_C,
            text("pg-init"),
            "Name of the script that prepares the template databases.",
        )
        .decided(&Decision {
            value: text("pg-init"),
            instead: "`pg_default_roles`, `pg_default_privileges`, `pg_default_schemas` and \
         `pg_default_extensions` prepare the template database, and no script is run",
        }),
        row(
            "pg_default_roles",
            List(&structures::ROLE),
            Levels::G_C,
            json(defaults::PG_DEFAULT_ROLES),
            "Roles every cluster starts with: four groups for privileges and four system \
         users.",
        ),
        row(
            "pg_default_privileges",
            TextList,
            Levels::G_C,
            json(defaults::PG_DEFAULT_PRIVILEGES),
            "`GRANT` clauses that become default privileges for objects the administrators \
         create.",
        ),
        row(
            "pg_default_schemas",
            TextList,
            Levels::G_C,
            json(r#"["monitor"]"#),
            "Schemas that every database gets.",
        ),
        row(
            "pg_default_extensions",
            List(&structures::EXTENSION),
            Levels::G_C,
            json(defaults::PG_DEFAULT_EXTENSIONS),
            "Extensions that every database gets, with the schema each goes to.",
        ),
        row(
            "pg_reload",
            Bool,
            Levels::A,
            YES,
            "Whether services reload when only their rules or settings changed.",
        )
        .decided(&Decision {
            value: YES,
            instead: "services reload when their rules or settings change, as the plan says",
        }),
        row(
            "pg_default_hba_rules",
            List(&structures::HBA),
            Levels::G_C,
            json(defaults::PG_DEFAULT_HBA_RULES),
            "Client authentication rules of PostgreSQL that every cluster has.",
        ),
        row(
            "pgb_default_hba_rules",
            List(&structures::HBA),
            Levels::G_C,
            json(defaults::PGB_DEFAULT_HBA_RULES),
            "Client authentication rules of PgBouncer that every cluster has.",
        ),
    ],
);
