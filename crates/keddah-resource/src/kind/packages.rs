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
}

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
        }
    }
}
