//! A whole file: content, owner and mode, or its absence.
//!
//! Secrets live in files of their own, so that every other file's change can be shown in full.

use super::directory::Permissions;
use crate::difference::Fields;
use crate::{Class, Difference};
use keddah_core::Secret;
use keddah_core::hba::{self, Effect, Memberships};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Text that a plan may show.
    Text(String),
    /// Text that nothing may show.
    Secret(#[serde(with = "keddah_core::expose")] Secret),
}

impl Content {
    /// The bytes to write.
    pub fn reveal(&self) -> &str {
        match self {
            Content::Text(text) => text,
            Content::Secret(secret) => secret.reveal(),
        }
    }

    /// The SHA-256 of the bytes in hexadecimal digits.
    pub fn digest(&self) -> String {
        digest(self.reveal().as_bytes())
    }
}

/// The SHA-256 of bytes in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Absolute path.
    pub path: String,
    /// Its content and permissions; `None` means it must not exist.
    pub present: Option<Present>,
}

/// Files that a unit's command line gives to its program, such as HAProxy's by `-f`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFiles {
    /// The unit.
    pub unit: String,
    /// The option before each file or directory.
    pub option: String,
    /// How names of files end that are loaded of a directory.
    pub ending: String,
}

/// A file that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The content.
    pub content: Content,
    /// Owner and mode.
    pub permissions: Permissions,
    /// A command that must succeed before the new content takes the old one's place; `{}` stands
    /// for the path of the candidate, and a word behind `{if PATH}` is left out where there is no such
    /// path.
    pub check: Option<Vec<String>>,
    /// What else a unit gives to the same program, with which the candidate has to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_with: Option<UnitFiles>,
    /// Of a file of client authentication rules: who is a member of which roles, so that a plan can
    /// say who gains and who loses access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_for: Option<Memberships>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The file, when it exists.
    pub present: Option<ObservedFile>,
}

/// A file that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedFile {
    /// SHA-256 of the content in hexadecimal digits.
    pub digest: String,
    /// The text, unless the spec calls the content secret or it is not UTF-8.
    pub text: Option<String>,
    /// Owner and mode.
    pub permissions: Permissions,
    /// Whether it is what its package brought, unchanged: nobody's work is in it.
    #[serde(default)]
    pub sample: bool,
}

/// Why a file that nobody has touched since its package brought it becomes another.
pub const SAMPLE: &str = "it replaces the sample of its package";

impl Spec {
    /// A file whose content a plan may show.
    pub fn text(
        path: impl Into<String>,
        text: impl Into<String>,
        permissions: Permissions,
    ) -> Self {
        Self {
            path: path.into(),
            present: Some(Present {
                content: Content::Text(text.into()),
                permissions,
                check: None,
                check_with: None,
                access_for: None,
            }),
        }
    }

    /// A file whose content nothing may show.
    pub fn secret(path: impl Into<String>, secret: Secret, permissions: Permissions) -> Self {
        Self {
            path: path.into(),
            present: Some(Present {
                content: Content::Secret(secret),
                permissions,
                check: None,
                check_with: None,
                access_for: None,
            }),
        }
    }

    /// A file that should not exist.
    pub fn absent(path: impl Into<String>) -> Self {
        Self { path: path.into(), present: None }
    }

    /// Adds a command that must accept the candidate, `{}` standing for its path.
    #[must_use]
    pub fn checked_by(mut self, command: &[&str]) -> Self {
        if let Some(present) = &mut self.present {
            present.check = Some(command.iter().map(|&word| word.to_owned()).collect());
        }
        self
    }

    /// Has it tested together with the other files that a unit will load with it.
    #[must_use]
    pub fn checked_with_files_of(mut self, unit: &str, option: &str, ending: &str) -> Self {
        if let Some(present) = &mut self.present {
            let [unit, option, ending] = [unit, option, ending].map(str::to_owned);
            present.check_with = Some(UnitFiles { unit, option, ending });
        }
        self
    }

    /// Calls it a file of client authentication rules, of roles with these memberships.
    #[must_use]
    pub fn access_rules(mut self, memberships: Memberships) -> Self {
        if let Some(present) = &mut self.present {
            present.access_for = Some(memberships);
        }
        self
    }

    /// The path.
    pub fn name(&self) -> String {
        self.path.clone()
    }

    /// Whether the content must not be shown or sent back.
    pub fn is_secret(&self) -> bool {
        matches!(&self.present, Some(Present { content: Content::Secret(_), .. }))
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match (&self.present, &observed.present) {
            (None, None) => None,
            (None, Some(_)) => {
                Some(Difference::delete(Class::InPlace, "it should no longer exist"))
            }
            (Some(wanted), None) => {
                match &wanted.content {
                    Content::Text(text) => fields.text("content", "", text),
                    Content::Secret(_) => fields.secret("content"),
                }
                wanted.permissions.state(&mut fields);
                Some(Difference::create("it does not exist").with(fields.0))
            }
            (Some(wanted), Some(present)) => {
                let mut reason = "it differs from what is declared";
                if present.sample {
                    reason = SAMPLE;
                }
                if wanted.content.digest() != present.digest {
                    match (&wanted.content, &present.text) {
                        (Content::Text(after), Some(before)) => {
                            if let Some(memberships) = &wanted.access_for
                                && !access(before, after, memberships, &mut fields)
                                && !present.sample
                            {
                                reason = "it differs from what is declared; nobody gains or loses \
                                          access";
                            }
                            fields.text("content", before, after);
                        }
                        (Content::Text(_), None) => {
                            fields.optional("content", Some("(not text)".to_owned()), None);
                        }
                        (Content::Secret(_), _) => fields.secret("content"),
                    }
                }
                wanted.permissions.compare(&present.permissions, &mut fields);
                Difference::update(Class::InPlace, fields.0, reason)
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            present: self.present.as_ref().map(|present| ObservedFile {
                digest: present.content.digest(),
                text: match &present.content {
                    Content::Text(text) => Some(text.clone()),
                    Content::Secret(_) => None,
                },
                permissions: present.permissions.clone(),
                sample: false,
            }),
        }
    }
}

/// States who gains and who loses access; false when nobody does.
fn access(before: &str, after: &str, memberships: &Memberships, fields: &mut Fields) -> bool {
    let ((before, _), (after, _)) = (hba::parse(before), hba::parse(after));
    // Beyond what can be told in words, the text itself says it.
    let Some(changes) = hba::changes(&before, &after, memberships) else { return true };
    for hba::Change { effect, access, before, after } in &changes {
        match effect {
            Effect::Gained => fields.optional("gains", None, Some(format!("{access} {after}"))),
            Effect::Lost => fields.optional("loses", Some(format!("{access} {before}")), None),
            Effect::Proof => {
                let was = Some(format!("{access} {before}"));
                fields.optional("proof", was, Some(after.clone()));
            }
        }
    }
    !changes.is_empty()
}
