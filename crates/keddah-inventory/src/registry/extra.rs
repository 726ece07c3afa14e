//! Parameters that real inventories hold and the reference table does not: read, never an error.

use super::default::{NO, NONE, int, text};
use super::kind::ParameterType::{Bool, List, Mapping, Path, Port, Text, TextList, TextOrList};
use super::kind::{any_of, integer, one_of};
use super::{Decision, Levels, Module, Parameter, Support, row, section, structures};

const NODE: &[Parameter] = &section(
    Module::Node,
    "EXTRA",
    Support::Accepted,
    [
        row(
            "node_uv_env",
            Text,
            Levels::C,
            NONE,
            "Directory of a Python environment to make; empty for none.",
        ),
        row(
            "node_pip_packages",
            TextOrList,
            Levels::C,
            NONE,
            "Python packages for that environment.",
        ),
    ],
);

const KEDDAH: &[Parameter] = &section(
    Module::Node,
    "KEDDAH",
    Support::Managed,
    [row(
        "keddah_accept",
        TextList,
        Levels::G_C,
        NONE,
        "Names of findings that are known and borne here (docs/findings.md): `keddah status` shows them, \
         and calls the fleet well in spite of them.",
    )],
);

const PGSQL: &[Parameter] = &section(
    Module::Pgsql,
    "EXTRA",
    Support::Managed,
    [
        row(
            "pg_rto_plan",
            Mapping,
            Levels::G_C,
            NONE,
            "Timings behind the names of `pg_rto`: lease, loop, retry, start and margin in \
             seconds, then the load balancer's three check intervals and two counts.",
        ),
        row(
            "patroni_synchronous_mode",
            one_of(&["auto", "off", "on", "quorum"]),
            Levels::C,
            text("auto"),
            "Whether a commit waits for replicas. `auto`: where `pg_conf` is crit.yml or `pg_rpo` \
             is 0. `on`: for those that Patroni chooses; while there are none, commits do not \
             wait. `quorum`: for any of them (Patroni 4.0 and later).",
        ),
        row(
            "patroni_synchronous_node_count",
            integer(1, 100),
            Levels::C,
            int(1),
            "How many replicas a commit waits for in a synchronous mode.",
        ),
        row(
            "patroni_synchronous_mode_strict",
            Bool,
            Levels::C,
            NO,
            "Whether commits wait even while there is no replica to wait for: writes then stop \
             rather than be on one node only.",
        ),
    ],
);

const ETCD: &[Parameter] = &section(
    Module::Etcd,
    "EXTRA",
    Support::Accepted,
    [row("etcd_clean", Bool, Levels::G_C_A, NO, "Whether members are wiped at set-up.")
        .decided(&Decision { value: NO, instead: "a member that has data keeps it" })],
);

const INFRA: &[Parameter] = &section(
    Module::Infra,
    "EXTRA",
    Support::Unmanaged,
    [
        row(
            "infra_services",
            List(&structures::PORTAL_LINK),
            Levels::G,
            NONE,
            "Links on the portal's home page.",
        ),
        row(
            "infra_extra_services",
            List(&structures::PORTAL_LINK),
            Levels::G,
            NONE,
            "Further links on the portal's home page.",
        ),
    ],
);

const REDIS: &[Parameter] = &section(
    Module::Redis,
    "EXTRA",
    Support::Unmanaged,
    [row(
        "redis_type",
        one_of(&["redis", "valkey"]),
        Levels::C,
        text("redis"),
        "Which implementation of Redis to run.",
    )],
);

const MINIO: &[Parameter] = &section(
    Module::Minio,
    "EXTRA",
    Support::Unmanaged,
    [row(
        "minio_type",
        any_of(&["minio", "silo"]),
        Levels::C,
        NONE,
        "Which implementation of the object storage to run.",
    )],
);

const DOCKER: &[Parameter] = &section(
    Module::Docker,
    "EXTRA",
    Support::Unmanaged,
    [
        row("docker_enabled", Bool, Levels::G_C_I, NO, "Whether Docker runs on the node."),
        row("docker_data", Path, Levels::G_C, NONE, "Docker's data directory."),
        row(
            "docker_storage_driver",
            any_of(&["overlay2", "zfs", "btrfs"]),
            Levels::G_C,
            NONE,
            "Docker's storage driver.",
        ),
        row(
            "docker_cgroups_driver",
            one_of(&["systemd", "cgroupfs"]),
            Levels::G_C,
            NONE,
            "Docker's control group driver.",
        ),
        row("docker_registry_mirrors", TextList, Levels::G_C, NONE, "Mirrors of image registries."),
        row("docker_exporter_port", Port, Levels::G_C, NONE, "TCP port of Docker's metrics."),
        row("docker_image", TextList, Levels::G_C, NONE, "Images to pull."),
        row("docker_image_cache", Text, Levels::G_C, NONE, "Image archives to load, as a pattern."),
    ],
);

const APP: &[Parameter] = &section(
    Module::App,
    "EXTRA",
    Support::Unmanaged,
    [
        row("app", Text, Levels::G_C, NONE, "Name of the application to launch."),
        row("apps", Mapping, Levels::G_C, NONE, "Applications, name to definition."),
    ],
);

/// Parameters outside the reference table.
pub fn extra() -> impl Iterator<Item = &'static Parameter> {
    SECTIONS.iter().flat_map(|section| section.iter())
}

pub(super) const SECTIONS: &[&[Parameter]] =
    &[NODE, KEDDAH, PGSQL, ETCD, INFRA, REDIS, MINIO, DOCKER, APP];

/// The part of the stack that an unknown parameter belongs to by its prefix, for parts Keddah does
/// not manage at all: such a parameter is a warning, since a file that uses it is still a good file.
pub fn foreign_family(name: &str) -> Option<&'static str> {
    const FAMILIES: &[(&str, &str)] = &[
        ("docker_", "DOCKER"),
        ("loki_", "INFRA"),
        ("promtail_", "INFRA"),
        ("prometheus_", "INFRA"),
        ("pushgateway_", "INFRA"),
        ("ferret_", "FERRET"),
        ("mongo_", "FERRET"),
        ("juice_", "JUICE"),
        ("kafka_", "KAFKA"),
        ("mysql_", "MYSQL"),
    ];
    FAMILIES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, module)| *module)
}
