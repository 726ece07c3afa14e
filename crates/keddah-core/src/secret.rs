//! A string that cannot be printed by accident.

use serde::{Deserialize, Deserializer};
use std::fmt;
use zeroize::Zeroizing;

/// A password, key or hash that must never reach output, logs, plans, process arguments, or
/// world-readable files.
///
/// `Debug` and `Display` show `********`, and there is no `Serialize`: a field that must cross
/// the encrypted wire to a node says so with `#[serde(with = "keddah_core::expose")]`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text; it is wiped from memory when the last copy is dropped.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Every call site is a place to review.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to keep secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("********")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("********")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// Serde adapter for the one place where a secret may be written in full: the SSH stream to a node.
pub mod expose {
    use super::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the secret in full.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.reveal())
    }

    /// Reads a secret.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        Secret::deserialize(deserializer)
    }

    /// The same for an optional secret.
    pub mod option {
        use super::super::Secret;
        use serde::{Deserialize, Deserializer, Serializer};

        /// Writes the secret in full, or null.
        pub fn serialize<S: Serializer>(
            secret: &Option<Secret>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match secret {
                Some(secret) => serializer.serialize_some(secret.reveal()),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a secret, or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Secret>, D::Error> {
            Option::<Secret>::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_never_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "******** ********");
    }

    #[test]
    fn the_wire_adapter_round_trips() {
        #[derive(serde::Serialize, Deserialize)]
        struct Wire {
            #[serde(with = "expose")]
            password: Secret,
            #[serde(with = "expose::option")]
            other: Option<Secret>,
        }
        let text =
            serde_json::to_string(&Wire { password: Secret::new("pw"), other: None }).unwrap();
        assert_eq!(text, r#"{"password":"pw","other":null}"#);
        let back: Wire = serde_json::from_str(&text).unwrap();
        assert_eq!(back.password.reveal(), "pw");
    }
}
