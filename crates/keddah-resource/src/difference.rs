//! What a change consists of, field by field, and what it costs those who use the service.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is not there and will be made.
    Create,
    /// It is there and will be made different.
    Update,
    /// It is there and will be taken away.
    Delete,
}

/// What a change costs, from harmless to grave; the order is used to find the worst of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Changed where it is; nobody notices.
    InPlace,
    /// A running process reads its configuration again; sessions go on.
    Reload,
    /// A process restarts; its sessions end.
    Restart,
    /// Processes of a cluster restart one after another in a required order.
    OrderedRestart,
    /// A process ends and stays away.
    Stop,
    /// The thing is made anew in place of the old one.
    Replace,
    /// Data or an account is lost for good.
    Destroy,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Class::InPlace => "in place",
            Class::Reload => "reload",
            Class::Restart => "restart",
            Class::OrderedRestart => "rolling restart",
            Class::Stop => "stop",
            Class::Replace => "replace",
            Class::Destroy => "destroy",
        })
    }
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum FieldChange {
    /// A short value; `None` means "not set".
    Value {
        /// The field's name.
        field: String,
        /// What is there now.
        before: Option<String>,
        /// What will be there.
        after: Option<String>,
    },
    /// A text of several lines, to be shown as a unified diff.
    Text {
        /// The field's name.
        field: String,
        /// The text there now.
        before: String,
        /// The text that will be there.
        after: String,
    },
    /// A secret: that it differs is all that may be said.
    Secret {
        /// The field's name.
        field: String,
    },
}

impl FieldChange {
    /// The field's name.
    pub fn field(&self) -> &str {
        match self {
            FieldChange::Value { field, .. }
            | FieldChange::Text { field, .. }
            | FieldChange::Secret { field } => field,
        }
    }
}

/// The difference between a spec and what was observed. No fields and no action means: equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What happens to the resource.
    pub action: Action,
    /// What that costs.
    pub class: Class,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// Why, in one sentence for a person.
    pub reason: String,
    /// Why it cannot be done, and what to do instead; a plan with one of these is not executed.
    pub impossible: Option<String>,
}

impl Difference {
    /// Something that is missing.
    pub fn create(reason: impl Into<String>) -> Self {
        Self::new(Action::Create, Class::InPlace, reason)
    }

    /// Something that is there and should not be.
    pub fn delete(class: Class, reason: impl Into<String>) -> Self {
        Self::new(Action::Delete, class, reason)
    }

    /// A difference of any sort.
    pub fn new(action: Action, class: Class, reason: impl Into<String>) -> Self {
        Self { action, class, fields: Vec::new(), reason: reason.into(), impossible: None }
    }

    /// An update with these fields, or nothing when there are none.
    pub fn update(
        class: Class,
        fields: Vec<FieldChange>,
        reason: impl Into<String>,
    ) -> Option<Self> {
        if fields.is_empty() {
            return None;
        }
        let mut difference = Self::new(Action::Update, class, reason);
        difference.fields = fields;
        Some(difference)
    }

    /// Adds fields.
    #[must_use]
    pub fn with(mut self, fields: Vec<FieldChange>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// Marks the change as impossible.
    #[must_use]
    pub fn impossible(mut self, why: impl Into<String>) -> Self {
        self.impossible = Some(why.into());
        self
    }
}

/// Collects the fields that differ.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub Vec<FieldChange>);

impl Fields {
    /// Compares two short values.
    pub fn value<T: ToString + PartialEq>(&mut self, field: &str, before: &T, after: &T) {
        if before != after {
            self.optional(field, Some(before.to_string()), Some(after.to_string()));
        }
    }

    /// Compares two values that may be unset.
    pub fn optional(&mut self, field: &str, before: Option<String>, after: Option<String>) {
        if before != after {
            self.0.push(FieldChange::Value { field: field.to_owned(), before, after });
        }
    }

    /// States a field of something new.
    pub fn new_value(&mut self, field: &str, after: impl ToString) {
        self.optional(field, None, Some(after.to_string()));
    }

    /// Compares two texts.
    pub fn text(&mut self, field: &str, before: &str, after: &str) {
        if before != after {
            self.0.push(FieldChange::Text {
                field: field.to_owned(),
                before: before.to_owned(),
                after: after.to_owned(),
            });
        }
    }

    /// Notes that a secret differs.
    pub fn secret(&mut self, field: &str) {
        self.0.push(FieldChange::Secret { field: field.to_owned() });
    }
}
