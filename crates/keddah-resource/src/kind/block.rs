//! A marked block of lines in a file that others also write to, such as `/etc/hosts`.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// Where a block goes that is not there yet; one that is there stays where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Before everything else.
    Top,
    /// After everything else.
    #[default]
    End,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The file; it is made, world-readable, when it does not exist.
    pub path: String,
    /// What the marker lines call the block.
    pub marker: String,
    /// The lines between the markers, each ended by a line feed; empty removes the block.
    pub text: String,
    /// Where it goes.
    pub place: Place,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The text between the markers; `None` when there are no markers.
    pub text: Option<String>,
}

impl Spec {
    /// The path.
    pub fn name(&self) -> String {
        self.path.clone()
    }

    /// The line that opens the block.
    pub fn begin(&self) -> String {
        format!("# BEGIN keddah {}", self.marker)
    }

    /// The line that closes the block.
    pub fn end(&self) -> String {
        format!("# END keddah {}", self.marker)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        let before = observed.text.as_deref().unwrap_or_default();
        fields.text("block", before, &self.text);
        Difference::update(Class::InPlace, fields.0, "the managed block differs")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { text: (!self.text.is_empty()).then(|| self.text.clone()) }
    }
}
