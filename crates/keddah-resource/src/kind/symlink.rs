//! A symbolic link, or its absence.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Where the link stands.
    pub path: String,
    /// What it points to.
    pub target: String,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// Nothing is there.
    Absent,
    /// A link to this target.
    Link(String),
    /// Something that is not a link, such as `directory`; it is never replaced.
    Other(String),
}

impl Spec {
    /// The path.
    pub fn name(&self) -> String {
        self.path.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match observed {
            Observed::Absent => {
                fields.new_value("target", &self.target);
                Some(Difference::create("it does not exist").with(fields.0))
            }
            Observed::Link(target) => {
                fields.value("target", target, &self.target);
                Difference::update(Class::InPlace, fields.0, "it points elsewhere")
            }
            Observed::Other(what) => {
                fields.optional("target", Some(what.clone()), Some(self.target.clone()));
                Difference::update(Class::Replace, fields.0, "something else stands there").map(
                    |difference| {
                        difference.impossible(format!(
                            "{} is a {what}, and it may hold data; move it away first",
                            self.path
                        ))
                    },
                )
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed::Link(self.target.clone())
    }
}
