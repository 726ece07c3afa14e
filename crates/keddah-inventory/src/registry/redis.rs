//! Parameters of the REDIS module, which Keddah reads and does not manage.

use super::default::{NO, NONE, YES, int, json, text};
use super::kind::ParameterType::{
    Bool, IpOrEmpty, List, Mapping, Password, Path, Port, Size, Text, TextList,
};
use super::kind::{integer, natural, one_of};
use super::{Levels, Module, Parameter, Support, row, section, structures};

pub(super) const REDIS: &[Parameter] = &section(
    Module::Redis,
    "",
    Support::Unmanaged,
    [
        row(
            "redis_cluster",
            Text,
            Levels::C,
            NONE,
            "Name of the Redis cluster. Part of the identity.",
        ),
        row(
            "redis_instances",
            Mapping,
            Levels::I,
            NONE,
            "Redis instances on this host, as a mapping from port to that instance's options.",
        ),
        row(
            "redis_node",
            natural(),
            Levels::I,
            NONE,
            "Number of this node inside its Redis cluster. Part of the identity.",
        ),
        row(
            "redis_fs_main",
            Path,
            Levels::C,
            text("/data/redis"),
            "Directory in which Redis keeps its data.",
        ),
        row(
            "redis_exporter_enabled",
            Bool,
            Levels::C,
            YES,
            "Whether the Redis metrics exporter runs.",
        ),
        row(
            "redis_exporter_port",
            Port,
            Levels::C,
            int(9121),
            "TCP port of the Redis metrics exporter.",
        ),
        row(
            "redis_exporter_options",
            Text,
            Levels::C_I,
            text(""),
            "Further command-line options of the Redis metrics exporter.",
        ),
        row(
            "redis_mode",
            one_of(&["standalone", "cluster", "sentinel"]),
            Levels::C,
            text("standalone"),
            "Layout: independent instances, a sharded cluster, or sentinels.",
        ),
        row(
            "redis_conf",
            Text,
            Levels::C,
            text("redis.conf"),
            "Name of the configuration template.",
        ),
        row(
            "redis_bind_address",
            IpOrEmpty,
            Levels::C,
            text("0.0.0.0"),
            "Address Redis listens on; empty means the node's own.",
        ),
        row("redis_max_memory", Size, Levels::C_I, text("1GB"), "Memory limit of each instance."),
        row(
            "redis_mem_policy",
            one_of(&[
                "volatile-lru",
                "allkeys-lru",
                "volatile-lfu",
                "allkeys-lfu",
                "volatile-random",
                "allkeys-random",
                "volatile-ttl",
                "noeviction",
            ]),
            Levels::C,
            text("allkeys-lru"),
            "What is evicted when the memory limit is reached.",
        ),
        row(
            "redis_password",
            Password,
            Levels::C,
            text(""),
            "Password clients need; empty switches authentication off.",
        ),
        row(
            "redis_rdb_save",
            TextList,
            Levels::C,
            json(r#"["1200 1"]"#),
            "Snapshot rules, each as seconds and number of changes; an empty list switches \
         snapshots off.",
        ),
        row("redis_aof_enabled", Bool, Levels::C, NO, "Whether every write is appended to a log."),
        row(
            "redis_rename_commands",
            Mapping,
            Levels::C,
            json("{}"),
            "Dangerous commands and their secret new names.",
        ),
        row(
            "redis_cluster_replicas",
            integer(0, 16),
            Levels::C,
            int(1),
            "Replicas per shard in `cluster` mode.",
        ),
        row(
            "redis_sentinel_monitor",
            List(&structures::SENTINEL_PRIMARY),
            Levels::C,
            json("[]"),
            "Primaries that sentinels watch.",
        ),
        row(
            "redis_safeguard",
            Bool,
            Levels::G_C_A,
            NO,
            "Refuses every removal of Redis instances while true.",
        ),
        row(
            "redis_rm_data",
            Bool,
            Levels::G_C_A,
            YES,
            "Whether removing an instance deletes its data.",
        ),
        row(
            "redis_rm_pkg",
            Bool,
            Levels::G_C_A,
            NO,
            "Whether removing an instance uninstalls Redis' packages.",
        ),
    ],
);
