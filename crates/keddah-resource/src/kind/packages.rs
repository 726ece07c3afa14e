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
}

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
        Difference::update(Class::InPlace, fields.0, reason)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            installed: self.names.iter().map(|name| (name.clone(), String::new())).collect(),
            candidates: BTreeMap::new(),
            policy_left: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
