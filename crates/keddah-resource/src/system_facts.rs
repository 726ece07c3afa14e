//! What a node's system offers of what an inventory names: kernel modules, time zones.

use serde::{Deserialize, Serialize};

/// What the controller wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemProbe {
    /// Kernel modules that are to be loaded.
    pub modules: Vec<String>,
    /// The time zone that the node is to have.
    pub timezone: Option<String>,
}

/// What the node says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemFacts {
    /// Those of the modules that its kernel does not have.
    pub missing_modules: Vec<String>,
    /// Whether it is a container: its kernel, with modules and swap, is its host's.
    #[serde(default)]
    pub container: bool,
    /// Whether it has the time zone; absent where it has none at all, before tzdata is installed.
    pub has_timezone: Option<bool>,
}
