//! The node's host name, in the kernel and in `/etc/hostname`.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The host name.
    pub hostname: String,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The kernel's.
    pub kernel: String,
    /// `/etc/hostname`, empty when there is no such file.
    pub file: String,
}

impl Spec {
    /// Always `hostname`: a node has one.
    pub fn name(&self) -> String {
        "hostname".to_owned()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        fields.value("kernel", &observed.kernel, &self.hostname);
        fields.value("/etc/hostname", &observed.file, &self.hostname);
        Difference::update(Class::InPlace, fields.0, "the node has another name")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { kernel: self.hostname.clone(), file: self.hostname.clone() }
    }
}
