//! Which scenarios run side by side.

/// Scenarios that run one after another, in one sandbox at a time; beside them runs another group.
pub struct Group {
    /// Its name: on the command line, of its sandbox, of its directory of logs.
    pub name: &'static str,
    /// Its scenarios' names. They run in the order of the list of all, as the nodes of one may serve the next.
    pub scenarios: &'static [&'static str],
    /// Whether it judges or measures how long an outage lasts. Such groups begin when all others have ended, for
    /// these keep the machine busy; they themselves mostly wait, and run side by side with each other.
    pub measures: bool,
}

const fn works(name: &'static str, scenarios: &'static [&'static str]) -> Group {
    Group { name, scenarios, measures: false }
}

const fn measures(name: &'static str, scenarios: &'static [&'static str]) -> Group {
    Group { name, scenarios, measures: true }
}

/// All groups. They begin in this order, each as soon as there is room for it: long ones first, so that the short
/// ones fill what is left at the end.
pub const GROUPS: &[Group] = &[
    // These share the nodes that `conf/sandbox.yml` was applied to.
    works(
        "demo",
        &[
            "services",
            "again",
            "status",
            "silent",
            "edits",
            "connect",
            "fields",
            "privileges",
            "scale",
            "topology",
            "stopped",
            "lost",
        ],
    ),
    works("interrupted", &["interrupted"]),
    works("examples", &["examples"]),
    works("aside", &["aside"]),
    works("etcd", &["etcd"]),
    works("instances", &["instances"]),
    works("backups", &["backups"]),
    works("values", &["values"]),
    works("small", &["single", "foreign", "secrets"]),
    measures("follow", &["follow"]),
    measures("failover", &["failover"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::SCENARIOS;

    #[test]
    fn every_scenario_is_in_exactly_one_group() {
        for scenario in SCENARIOS {
            let groups: Vec<&str> = GROUPS
                .iter()
                .filter(|group| group.scenarios.contains(&scenario.name))
                .map(|group| group.name)
                .collect();
            assert_eq!(groups.len(), 1, "{} is in {groups:?}", scenario.name);
        }
        let known = |name: &&str| SCENARIOS.iter().any(|scenario| scenario.name == *name);
        for group in GROUPS {
            assert!(!group.scenarios.is_empty(), "{} is empty", group.name);
            assert!(group.scenarios.iter().all(known), "{} names what is none", group.name);
        }
    }

    #[test]
    fn groups_can_be_told_apart_and_name_sandboxes() {
        for (index, group) in GROUPS.iter().enumerate() {
            assert!(GROUPS[..index].iter().all(|other| other.name != group.name), "{}", group.name);
            assert!(group.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", group.name);
        }
    }
}
