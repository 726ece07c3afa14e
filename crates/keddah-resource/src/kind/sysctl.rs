//! What a kernel does now: its parameters, its modules, and whether it swaps; the files that keep the
//! first two over a boot are `file`s.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Values by dotted name, such as `vm.swappiness`; white space within is one blank.
    pub values: BTreeMap<String, String>,
    /// Modules that should be loaded.
    #[serde(default)]
    pub modules: BTreeSet<String>,
    /// Whether nothing is swapped. Never asked of a container: its host would stop to swap.
    #[serde(default)]
    pub without_swap: bool,
}

/// What is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Values by name; a parameter that this kernel does not have is missing.
    pub values: BTreeMap<String, String>,
    /// Those that cannot be changed: in a container most of `/proc/sys` is read-only, but not what
    /// belongs to its own network.
    pub fixed: BTreeSet<String>,
    /// Wanted modules that are not loaded.
    #[serde(default)]
    pub absent_modules: BTreeSet<String>,
    /// Where the kernel swaps to, and the lines of `/etc/fstab` that have it do so at the next boot.
    #[serde(default)]
    pub swaps: BTreeSet<String>,
}

impl Spec {
    /// Always `sysctl`: a node has one kernel.
    pub fn name(&self) -> String {
        "sysctl".to_owned()
    }

    /// Compares. What cannot be changed is not a difference: the facts report it.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        for (name, wanted) in &self.values {
            if observed.fixed.contains(name) {
                continue;
            }
            if let Some(present) = observed.values.get(name) {
                fields.value(name, present, wanted);
            }
        }
        for module in self.modules.intersection(&observed.absent_modules) {
            fields.new_value("module", module);
        }
        for swap in observed.swaps.iter().filter(|_| self.without_swap) {
            fields.optional("swap", Some(swap.clone()), None);
        }
        Difference::update(Class::InPlace, fields.0, "what the kernel does differs")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { values: self.values.clone(), ..Observed::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn modules_and_swap_differ_only_where_they_are_asked_for() {
        let observed = Observed {
            absent_modules: set(&["softdog"]),
            swaps: set(&["/dev/sda2"]),
            ..Observed::default()
        };
        assert_eq!(Spec::default().diff(&observed), None);
        let modules = Spec { modules: set(&["softdog", "ip_vs"]), ..Spec::default() };
        let change = modules.diff(&observed).expect("one is not loaded");
        assert_eq!(change.fields.len(), 1, "{change:?}");
        let swap = Spec { without_swap: true, ..Spec::default() };
        let change = swap.diff(&observed).expect("it swaps");
        assert_eq!(change.fields.len(), 1, "{change:?}");
        assert_eq!(swap.diff(&swap.settled()), None);
    }
}
