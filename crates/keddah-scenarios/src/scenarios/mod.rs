//! The scenarios, in the order in which they run.

mod again;
mod aside;
mod backups;
mod connect;
mod edits;
mod etcd;
mod examples;
mod failover;
mod fields;
mod follow;
mod foreign;
mod groups;
mod instances;
mod interrupted;
mod lost;
mod privileges;
mod scale;
mod secrets;
mod services;
mod silent;
mod single;
mod status;
mod stopped;
mod topology;
mod values;

pub use failover::deaths;
pub use groups::{GROUPS, Group};

use crate::failure::Outcome;
use crate::world::World;

/// One scenario.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&mut World) -> Outcome,
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "single",
        about: "one bare node becomes a PostgreSQL that is reached through its service",
        run: single::run,
    },
    Scenario {
        name: "values",
        about: "each value of each parameter: the programs take what comes of it",
        run: values::run,
    },
    Scenario {
        name: "foreign",
        about: "a node that another tool has set up is refused; one of ours edited by hand is not",
        run: foreign::run,
    },
    Scenario {
        name: "examples",
        about: "the documents' two long examples, applied as they are written",
        run: examples::run,
    },
    Scenario {
        name: "services",
        about: "four nodes: services, users, access rules, TLS, backups",
        run: services::run,
    },
    Scenario {
        name: "again",
        about: "applying again changes nothing and restarts nothing",
        run: again::run,
    },
    Scenario {
        name: "status",
        about: "what is not well is told with its remedy, and gone after it; most of the fleet goes dark",
        run: status::run,
    },
    Scenario {
        name: "silent",
        about: "whoever hangs does not hold up a plan, and is named by it",
        run: silent::run,
    },
    Scenario {
        name: "edits",
        about: "edits of the inventory, and damage done by hand: planned exactly, applied exactly",
        run: edits::run,
    },
    Scenario {
        name: "connect",
        about: "every way in: drivers, access rules, pools, services and TLS, with sessions held open",
        run: connect::run,
    },
    Scenario {
        name: "fields",
        about: "each field of users, databases, rules and services changed once, under pgbench",
        run: fields::run,
    },
    Scenario {
        name: "privileges",
        about: "every default role tries everything on every kind of object: the documents' matrix",
        run: privileges::run,
    },
    Scenario {
        name: "scale",
        about: "an instance comes and goes while a writer writes",
        run: scale::run,
    },
    Scenario {
        name: "topology",
        about: "cascades, delays, synchronous commit, and a standby cluster with its promotion",
        run: topology::run,
    },
    Scenario {
        name: "instances",
        about: "two clusters share two nodes: pg_instances",
        run: instances::run,
    },
    Scenario {
        name: "failover",
        about: "the primary is killed, its node loses power: the cluster heals",
        run: failover::run,
    },
    Scenario {
        name: "follow",
        about: "a virtual address and a name follow the primary, whatever becomes of the old one",
        run: follow::run,
    },
    Scenario {
        name: "backups",
        about: "backups go to another place and come back, and a node leads again: no gap unsaid",
        run: backups::run,
    },
    Scenario {
        name: "stopped",
        about: "all members are stopped and do not have the same: what was acknowledged last is kept",
        run: stopped::run,
    },
    Scenario {
        name: "lost",
        about: "a cluster's data is lost, its backups are kept: they are not covered by an empty one",
        run: lost::run,
    },
    Scenario {
        name: "aside",
        about: "a former primary that cannot be rewound keeps its own commits aside, and is cloned",
        run: aside::run,
    },
    Scenario {
        name: "etcd",
        about: "members of etcd are rebuilt, led astray and lost: nothing is born a second time",
        run: etcd::run,
    },
    Scenario {
        name: "interrupted",
        about: "the controller is killed at ten points of an apply: the next one converges",
        run: interrupted::run,
    },
    Scenario {
        name: "secrets",
        about: "no password is found where others could read it",
        run: secrets::run,
    },
];
