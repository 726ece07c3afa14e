//! Kernel parameters that are in force now; the file that keeps them over a boot is a `file`.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Values by dotted name, such as `vm.swappiness`; white space within is one blank.
    pub values: BTreeMap<String, String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Values by name; a parameter that this kernel does not have is missing.
    pub values: BTreeMap<String, String>,
    /// Those that cannot be changed: in a container most of `/proc/sys` is read-only, but not what
    /// belongs to its own network.
    pub fixed: BTreeSet<String>,
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
        Difference::update(Class::InPlace, fields.0, "kernel parameters differ")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { values: self.values.clone(), fixed: BTreeSet::new() }
    }
}
