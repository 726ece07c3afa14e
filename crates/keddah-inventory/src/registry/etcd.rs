//! Parameters of the ETCD module: the consensus store that Patroni elects leaders through.

use super::default::{NO, NONE, YES, int, text};
use super::kind::ParameterType::{Bool, Password, Path, Port, Text};
use super::kind::{integer, natural, one_of};
use super::{Decision, Levels, Module, Parameter, Support, row, section};

pub(super) const ETCD: &[Parameter] = &section(
    Module::Etcd,
    "",
    Support::Managed,
    [
        row(
            "etcd_seq",
            natural(),
            Levels::I,
            NONE,
            "Number of this etcd member, unique in its cluster. Part of the identity: members \
         are named `<etcd_cluster>-<etcd_seq>`.",
        ),
        row(
            "etcd_cluster",
            Text,
            Levels::C,
            text("etcd"),
            "Name of the etcd cluster, and of the group its members stand in.",
        ),
        row(
            "etcd_learner",
            Bool,
            Levels::I_A,
            NO,
            "Whether a member that joins a cluster stays a learner, which follows without a vote; \
         every other one joins as a learner, too, and votes once it has caught up.",
        ),
        row(
            "etcd_data",
            Path,
            Levels::C,
            text("/data/etcd"),
            "Directory in which etcd keeps its data.",
        ),
        row("etcd_port", Port, Levels::C, int(2379), "TCP port for clients."),
        row(
            "etcd_peer_port",
            Port,
            Levels::C,
            int(2380),
            "TCP port on which members talk to each other.",
        ),
        row(
            "etcd_init",
            one_of(&["new", "existing"]),
            Levels::C,
            text("new"),
            "Whether the members form a new cluster or join a running one.",
        )
.decided(&Decision {
value: text("new"),
            instead: "whether a cluster is made or joined follows from what its members hold: none is made \
         where one exists",
}),
        row(
            "etcd_election_timeout",
            integer(10, 50000),
            Levels::C,
            int(1000),
            "Milliseconds without a heartbeat after which members elect a new leader; at \
         least five times the heartbeat.",
        ),
        row(
            "etcd_heartbeat_interval",
            integer(1, 50000),
            Levels::C,
            int(100),
            "Milliseconds between two heartbeats of the leader.",
        ),
        row(
            "etcd_root_password",
            Password,
            Levels::G,
            text("Etcd.Root"),
            "Password of etcd's root user, who makes a user for each cluster. A change of it is carried out in place.",
        ),
        row(
            "etcd_safeguard",
            Bool,
            Levels::G_C_A,
            NO,
            "Refuses every removal of etcd members while true.",
        ),
        row(
            "etcd_rm_data",
            Bool,
            Levels::G_C_A,
            YES,
            "Whether removing a member moves its data aside; `--destroy` deletes it.",
        ),
        row(
            "etcd_rm_pkg",
            Bool,
            Levels::G_C_A,
            NO,
            "Whether removing a member uninstalls etcd's packages.",
        )
.accepted(),
    ],
);
