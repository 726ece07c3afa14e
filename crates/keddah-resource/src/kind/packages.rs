//! The packages of one node, installed in one transaction of the distribution's own tool.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// A name for the set, such as `node` or `pgsql`.
    pub set: String,
    /// Package names as the distribution spells them, sorted.
    pub names: Vec<String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Versions of the wanted packages that are installed.
    pub installed: BTreeMap<String, String>,
    /// Versions that could be installed, for wanted packages that are not; a package missing here
    /// too is unknown to the node's sources, or the lists were never fetched.
    pub candidates: BTreeMap<String, String>,
    /// Whether an installation that was killed has left what keeps services from being started.
    pub policy_left: bool,
    /// Why what is missing cannot be installed as things are, or what would go for it.
    #[serde(default)]
    pub obstacles: Obstacles,
}

/// What stands in the way of an installation, as the distribution's own tools say beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacles {
    /// Installed packages that would be removed.
    pub removes: Vec<String>,
    /// What the tool says where it refuses.
    pub says: Vec<String>,
    /// Programs that a missing package brings and another one owns already: dpkg would end half-way.
    pub taken: Vec<Taken>,
}

/// A program of two packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The missing package.
    pub package: String,
    /// The program.
    pub path: String,
    /// The installed package that owns it.
    pub owner: String,
}

/// Packages that give way to a declared one by Debian's own design, with no loss: one clock has one keeper.
const GIVES_WAY: [(&str, &str); 1] = [("systemd-timesyncd", "chrony")];

/// The set that every node has, which speaks for the node where something is not of any one set.
const OF_THE_NODE: &str = "node";

impl Spec {
    /// The set's name.
    pub fn name(&self) -> String {
        self.set.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        for name in &self.names {
            if !observed.installed.contains_key(name) {
                let version = observed
                    .candidates
                    .get(name)
                    .map_or("(version known after apt-get update)", String::as_str);
                fields.new_value(name, version);
            }
        }
        let count = fields.0.len();
        if count == 0 && observed.policy_left && self.set == OF_THE_NODE {
            fields.optional("/usr/sbin/policy-rc.d", Some("Keddah's".to_owned()), None);
            let reason = "an installation that was killed has left what keeps packages from starting services";
            return Difference::update(Class::InPlace, fields.0, reason);
        }
        let reason = if count == 1 {
            "1 package is missing".to_owned()
        } else {
            format!("{count} packages are missing")
        };
        if count == 0 {
            return None;
        }
        for package in &observed.obstacles.removes {
            fields.optional(package, Some("installed".to_owned()), None);
        }
        let refused = self.refused(&observed.obstacles);
        let difference = Difference::update(Class::InPlace, fields.0, reason)?;
        Some(match refused {
            Some(why) => difference.impossible(why),
            None => difference,
        })
    }

    /// Why the packages are not installed beside what is there.
    pub fn refused(&self, obstacles: &Obstacles) -> Option<String> {
        let Obstacles { removes, says, taken } = obstacles;
        let mut reasons: Vec<String> = taken
            .iter()
            .map(|Taken { package, path, owner }| {
                format!("{path}, which {package} brings, belongs to the package {owner}")
            })
            .collect();
        let gives_way = |package: &str| {
            GIVES_WAY
                .iter()
                .any(|(old, new)| *old == package && self.names.iter().any(|n| n == new))
        };
        let lost: Vec<&str> =
            removes.iter().map(String::as_str).filter(|package| !gives_way(package)).collect();
        if !lost.is_empty() {
            reasons.push(format!("apt would remove {}", lost.join(", ")));
        }
        if !says.is_empty() {
            reasons.push(format!("apt says: {}", says.join(" ")));
        }
        (!reasons.is_empty()).then(|| {
            format!(
                "{}; remove what is in the way yourself (apt-get remove) once nothing needs it, or \
                 change the inventory",
                reasons.join("; ")
            )
        })
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            installed: self.names.iter().map(|name| (name.clone(), String::new())).collect(),
            candidates: BTreeMap::new(),
            policy_left: false,
            obstacles: Obstacles::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_go_for_a_package_is_named_and_refused_unless_it_gives_way_by_design() {
        let set = Spec {
            set: "x".to_owned(),
            names: vec!["chrony".to_owned(), "etcd-server".to_owned()],
        };
        let with = |obstacles: Obstacles| {
            let observed = Observed { installed: BTreeMap::new(), obstacles, ..set.settled() };
            set.diff(&observed).expect("two packages are missing")
        };
        let removes = |packages: &[&str]| Obstacles {
            removes: packages.iter().map(|&package| package.to_owned()).collect(),
            ..Obstacles::default()
        };
        let usual = with(removes(&["systemd-timesyncd"]));
        assert_eq!(usual.impossible, None);
        assert!(usual.fields.iter().any(|field| field.field() == "systemd-timesyncd"), "{usual:?}");
        let lost = with(removes(&["systemd-timesyncd", "etcd"])).impossible.expect("a loss");
        assert!(lost.starts_with("apt would remove etcd;"), "{lost}");
        let taken = Taken {
            package: "etcd-server".to_owned(),
            path: "/usr/bin/etcd".to_owned(),
            owner: "etcd".to_owned(),
        };
        let taken = with(Obstacles { taken: vec![taken], ..Obstacles::default() });
        let why = taken.impossible.expect("dpkg would refuse");
        assert!(why.contains("belongs to the package etcd"), "{why}");
        // What is there already is nobody's obstacle.
        let there = Observed { obstacles: removes(&["etcd"]), ..set.settled() };
        assert_eq!(set.diff(&there), None);
    }

    #[test]
    fn what_a_killed_installation_left_is_a_change_of_the_node_alone() {
        let set = |name: &str| Spec { set: name.to_owned(), names: vec!["etcd-server".to_owned()] };
        let left = |set: &Spec| Observed { policy_left: true, ..set.settled() };
        let node = set("node");
        let change = node.diff(&left(&node)).expect("the plan says it");
        assert!(change.reason.contains("killed"), "{change:?}");
        assert_eq!(node.diff(&node.settled()), None);
        let etcd = set("etcd");
        assert_eq!(etcd.diff(&left(&etcd)), None);
    }
}
