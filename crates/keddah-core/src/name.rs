//! Names that mean different things have different types.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    /// What kind of name was wanted, such as `cluster name`.
    pub what: &'static str,
    /// The offending text.
    pub text: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is not a valid {}: {}", self.text, self.what, self.rule)
    }
}

impl std::error::Error for InvalidName {}

/// A node as the inventory names it: the key under `hosts`, usually its IP address. Copies share
/// the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Wraps the inventory's host key; any text an inventory can hold is a node name.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for NodeName {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// A cluster's name: `[a-zA-Z0-9-]+`, a domain label without dots (cluster model, "Naming
/// Convention").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// Checks the naming convention.
    ///
    /// # Errors
    /// When the text is empty, longer than 63 bytes, or has a character outside `[a-zA-Z0-9-]`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let valid = !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidName {
                what: "cluster name",
                text,
                rule: "use 1 to 63 of the characters a-z, A-Z, 0-9 and '-'",
            })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ClusterName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names_follow_the_convention() {
        assert!(ClusterName::new("pg-meta").is_ok());
        for bad in ["", "pg.meta", "pg_meta", "ünï", &"x".repeat(64)] {
            assert!(ClusterName::new(bad).is_err(), "{bad}");
        }
    }
}
