//! Parameters of the PGSQL module that name a cluster, its members and its business objects.

use super::default::{NO, NONE, YES, int, json, text};
use super::kind::ParameterType::{
    Bool, Ip, List, Mapping, Password, Path, Text, TextList, Username,
};
use super::kind::{integer, natural, one_of};
use super::{Levels, Module, Parameter, Support, row, section, structures};

pub(super) const PG_ID: &[Parameter] = &section(
    Module::Pgsql,
    "PG_ID",
    Support::Managed,
    [
        row(
            "pg_mode",
            one_of(&[
                "pgsql", "citus", "mssql", "mysql", "ivory", "pgtde", "polar", "gpsql", "agens",
                "oriole", "pgedge",
            ]),
            Levels::C,
            text("pgsql"),
            "Which PostgreSQL kernel and cluster layout to run. Keddah runs `pgsql`; any \
         other value is refused with an error.",
        ),
        row(
            "pg_cluster",
            Text,
            Levels::C,
            NONE,
            "Name of the PostgreSQL cluster this host belongs to; letters, digits and \
         hyphens. Part of the identity: instances are named `<pg_cluster>-<pg_seq>`.",
        ),
        row(
            "pg_seq",
            natural(),
            Levels::I,
            NONE,
            "Number of this instance inside its cluster, unique there and never reused for \
         another machine. Part of the identity.",
        ),
        row(
            "pg_role",
            one_of(&["primary", "replica", "offline", "standby", "delayed"]),
            Levels::I,
            NONE,
            "Part this instance plays when the cluster is first built and in service \
         selectors: `primary`, `replica`, `offline` (`standby` and `delayed` are read as \
         replicas). Who leads later is decided by failover, not by this value.",
        ),
        row(
            "pg_instances",
            Mapping,
            Levels::I,
            NONE,
            "Several instances on one host, as a mapping from each one's `pg_port` to its variables, \
         which hold over the host's. Ports it does not set are as far from their usual values as \
         its own from 5432; what is a setting of the cluster needs to stand at one of its members \
         only.",
        ),
        row(
            "pg_upstream",
            Ip,
            Levels::I,
            NONE,
            "Address of the server to replicate from. On the primary of a cluster it makes \
         the whole cluster a standby of another one; on a replica it requests cascading \
         replication.",
        ),
        row(
            "pg_shard",
            Text,
            Levels::C,
            NONE,
            "Name that the clusters of one sharded deployment share.",
        )
        .accepted(),
        row(
            "pg_group",
            natural(),
            Levels::C,
            NONE,
            "Index of this cluster among the shards of `pg_shard`, counted from 0.",
        )
        .accepted(),
        row(
            "gp_role",
            one_of(&["master", "segment"]),
            Levels::C,
            NONE,
            "Part of this cluster in a Greenplum deployment. Keddah does not run Greenplum.",
        )
        .accepted(),
        row(
            "pg_exporters",
            Mapping,
            Levels::C,
            NONE,
            "PostgreSQL servers run by others that shall only be monitored, as a mapping from \
         local exporter port to connection facts.",
        )
        .accepted(),
        row(
            "pg_offline_query",
            Bool,
            Levels::I,
            NO,
            "Marks an instance as suited to slow analytical queries: the offline service \
         sends them here first. Who may log in does not depend on it: members of `dbrole_offline` may at \
         every instance, directly and not through PgBouncer, unless rules say otherwise.",
        ),
    ],
);

pub(super) const PG_BUSINESS: &[Parameter] = &section(
    Module::Pgsql,
    "PG_BUSINESS",
    Support::Managed,
    [
        row(
            "pg_users",
            List(&structures::USER),
            Levels::C,
            json("[]"),
            "Business roles of the cluster: login users and groups, with password, \
         attributes, memberships and pool settings.",
        ),
        row(
            "pg_databases",
            List(&structures::DATABASE),
            Levels::C,
            json("[]"),
            "Business databases of the cluster, with owner, schemas, extensions, locale and \
         pool settings.",
        ),
        row(
            "pg_services",
            List(&structures::SERVICE),
            Levels::C,
            json("[]"),
            "Services in addition to `pg_default_services`: a port on every member's load \
         balancer, routed to the instances a selector picks.",
        ),
        row(
            "pg_hba_rules",
            List(&structures::HBA),
            Levels::C,
            json("[]"),
            "Client authentication rules of PostgreSQL in addition to the default ones.",
        ),
        row(
            "pgb_hba_rules",
            List(&structures::HBA),
            Levels::C,
            json("[]"),
            "Client authentication rules of PgBouncer in addition to the default ones.",
        ),
        row(
            "pg_crontab",
            TextList,
            Levels::C,
            json("[]"),
            "Cron lines (five time fields and a command, without a user) that run as the \
         database superuser's account, for example backups.",
        ),
        row(
            "pg_replication_username",
            Username,
            Levels::G,
            text("replicator"),
            "Role that standbys and backups connect with for streaming replication.",
        ),
        row(
            "pg_replication_password",
            Password,
            Levels::G,
            text("DBUser.Replicator"),
            "Password of the replication role. The default is public: change it.",
        ),
        row(
            "pg_admin_username",
            Username,
            Levels::G,
            text("dbuser_dba"),
            "Superuser role for people and tools that administer databases over the network.",
        ),
        row(
            "pg_admin_password",
            Password,
            Levels::G,
            text("DBUser.DBA"),
            "Password of the administrator role. The default is public: change it.",
        ),
        row(
            "pg_monitor_username",
            Username,
            Levels::G,
            text("dbuser_monitor"),
            "Role that metrics exporters connect with.",
        ),
        row(
            "pg_monitor_password",
            Password,
            Levels::G,
            text("DBUser.Monitor"),
            "Password of the monitoring role. The default is public: change it.",
        ),
        row(
            "pg_dbsu_password",
            Password,
            Levels::G_C,
            text(""),
            "Password of the database superuser for network logins; empty means it can log in \
         through the local socket only.",
        ),
    ],
);

pub(super) const PG_INSTALL: &[Parameter] = &section(
    Module::Pgsql,
    "PG_INSTALL",
    Support::Managed,
    [
        row(
            "pg_dbsu",
            Username,
            Levels::C,
            text("postgres"),
            "Operating system account that owns the database files and PostgreSQL's bootstrap \
         superuser of the same name.",
        ),
        row(
            "pg_dbsu_uid",
            integer(1, 65534),
            Levels::C,
            int(26),
            "Numeric user and group id of the superuser's account when it has to be created.",
        ),
        row(
            "pg_dbsu_sudo",
            one_of(&["none", "limit", "all", "nopass"]),
            Levels::C,
            text("limit"),
            "How much sudo the superuser's account gets: nothing, only the database services, \
         everything with a password, or everything without.",
        ),
        row(
            "pg_dbsu_home",
            Path,
            Levels::C,
            text("/var/lib/pgsql"),
            "Home directory of the superuser's account.",
        ),
        row(
            "pg_dbsu_ssh_exchange",
            Bool,
            Levels::C,
            YES,
            "Whether the superuser's accounts of one cluster's members may log in to each \
         other over SSH.",
        )
        .accepted(),
        row(
            "pg_version",
            one_of(&["13", "14", "15", "16", "17", "18"]),
            Levels::C,
            int(18),
            "Major version of PostgreSQL to install. Where nobody sets it, Keddah keeps the one that is there; \
         for a new cluster it takes the newest that the node's package sources offer, which is 17 on \
         Debian 13 and 15 on Debian 12. One that they do not offer is refused.",
        ),
        row(
            "pg_bin_dir",
            Path,
            Levels::C,
            text("/usr/pgsql/bin"),
            "Directory that links to the binaries of the chosen major version.",
        ),
        row(
            "pg_log_dir",
            Path,
            Levels::C,
            text("/pg/log/postgres"),
            "Directory for PostgreSQL's own log files.",
        ),
        row(
            "pg_packages",
            TextList,
            Levels::C,
            json(r#"["pgsql-main pgsql-common"]"#),
            "Packages to install beside those that Keddah needs. Aliases such as `pgsql-main` stand \
         for the latter, those of extensions for what the distribution calls them, `$v` for \
         PostgreSQL's version; several names may share one entry, separated by blanks or \
         commas.",
        ),
        row(
            "pg_extensions",
            TextList,
            Levels::C,
            json("[]"),
            "Packages of extensions to install on every member, by alias or package name. \
         Creating them in a database is `pg_databases`' part.",
        ),
    ],
);
