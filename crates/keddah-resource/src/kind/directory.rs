//! A directory with its owner and mode, or its absence.

use crate::difference::Fields;
use crate::{Class, Difference, REMOVED};
use serde::{Deserialize, Serialize};

/// Owner, group and mode of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// The owner's account name.
    pub owner: String,
    /// The group's name.
    pub group: String,
    /// The permission bits, such as `0o644`.
    pub mode: u32,
}

impl Permissions {
    /// Permissions of a path.
    pub fn new(owner: &str, group: &str, mode: u32) -> Self {
        Self { owner: owner.to_owned(), group: group.to_owned(), mode }
    }

    /// `root:root` with this mode.
    pub fn root(mode: u32) -> Self {
        Self::new("root", "root", mode)
    }

    pub(crate) fn compare(&self, observed: &Permissions, fields: &mut Fields) {
        fields.value("owner", &observed.owner, &self.owner);
        fields.value("group", &observed.group, &self.group);
        fields.value("mode", &format!("{:04o}", observed.mode), &format!("{:04o}", self.mode));
    }

    pub(crate) fn state(&self, fields: &mut Fields) {
        fields.new_value("owner", format!("{}:{}", self.owner, self.group));
        fields.new_value("mode", format!("{:04o}", self.mode));
    }
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Absolute path.
    pub path: String,
    /// Its permissions; `None` means it must not exist, nor anything in it.
    pub permissions: Option<Permissions>,
    /// Of one that must not exist: it is moved aside, beside its place, and not deleted.
    #[serde(default)]
    pub kept: bool,
    /// It is only a way to others: one that is there stays its owner's, and is opened where nobody else may
    /// pass through it.
    #[serde(default)]
    pub way: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The directory's permissions, when it exists.
    pub permissions: Option<Permissions>,
    /// Whether the name under which it would be kept is taken.
    #[serde(default)]
    pub kept_already: bool,
}

impl Spec {
    /// A directory that should exist.
    pub fn present(path: impl Into<String>, permissions: Permissions) -> Self {
        Self { path: path.into(), permissions: Some(permissions), kept: false, way: false }
    }

    /// A directory on the way to others: root makes it where there is none.
    pub fn way(path: impl Into<String>) -> Self {
        Self { way: true, ..Self::present(path, Permissions::root(0o755)) }
    }

    /// A directory that should not exist; whatever is in it is lost.
    pub fn absent(path: impl Into<String>) -> Self {
        Self { path: path.into(), permissions: None, kept: false, way: false }
    }

    /// A directory that should not stay in its place; it is kept beside it ([`REMOVED`]).
    pub fn moved_aside(path: impl Into<String>) -> Self {
        Self { path: path.into(), permissions: None, kept: true, way: false }
    }

    /// The name under which one is kept that is moved aside.
    pub fn aside(&self) -> String {
        format!("{}{REMOVED}", self.path)
    }

    /// The path.
    pub fn name(&self) -> String {
        self.path.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match (&self.permissions, &observed.permissions) {
            (None, None) => None,
            (None, Some(_)) if self.kept => {
                fields.optional("path", Some(self.path.clone()), Some(self.aside()));
                let mut moved = Difference::delete(Class::InPlace, "it is kept, moved aside");
                if observed.kept_already {
                    moved.impossible = Some(format!(
                        "{} is there already, from an earlier removal: `keddah remove --aside` with the \
                         name of its host takes it away",
                        self.aside()
                    ));
                }
                Some(moved.with(fields.0))
            }
            (None, Some(_)) => {
                Some(Difference::delete(Class::Destroy, "it should no longer exist"))
            }
            (Some(wanted), None) => {
                wanted.state(&mut fields);
                Some(Difference::create("it does not exist").with(fields.0))
            }
            (Some(_), Some(present)) if self.way => {
                let wanted = opened(present);
                wanted.compare(present, &mut fields);
                Difference::update(Class::InPlace, fields.0, "nobody but its owner may pass")
            }
            (Some(wanted), Some(present)) => {
                wanted.compare(present, &mut fields);
                Difference::update(Class::InPlace, fields.0, "its permissions differ")
            }
        }
    }

    /// The permissions that one gets, given those that it has.
    pub fn permissions_over(&self, present: Option<&Permissions>) -> Option<Permissions> {
        match present {
            Some(present) if self.way => Some(opened(present)),
            _ => self.permissions.clone(),
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { permissions: self.permissions.clone(), kept_already: self.kept }
    }
}

/// With a way through for everybody, and all else as it is.
fn opened(present: &Permissions) -> Permissions {
    Permissions { mode: present.mode | 0o011, ..present.clone() }
}
