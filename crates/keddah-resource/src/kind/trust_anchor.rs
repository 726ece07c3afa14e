//! A CA certificate in the system's trust store.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The file's name under `/usr/local/share/ca-certificates`, without `.crt`.
    pub anchor: String,
    /// The certificate in PEM.
    pub certificate: String,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether the system's bundle holds this certificate.
    pub trusted: bool,
}

impl Spec {
    /// The anchor's name.
    pub fn name(&self) -> String {
        self.anchor.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        fields.value("trusted", &observed.trusted, &true);
        Difference::update(Class::InPlace, fields.0, "the system does not trust this CA")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { trusted: true }
    }
}
