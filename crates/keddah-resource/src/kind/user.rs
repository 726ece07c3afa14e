//! An operating system account with its primary group.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The account and the name of its primary group.
    pub account: String,
    /// The numeric id wanted when the account is made; an existing account keeps its own.
    pub uid: Option<u32>,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Supplementary groups it must be in; others are left alone.
    pub groups: Vec<String>,
    /// Keys that may log in, each a line of `authorized_keys`; others are left alone.
    pub authorized_keys: Vec<String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The account, when it exists.
    pub present: Option<Account>,
}

/// An account that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// All its supplementary groups.
    pub groups: Vec<String>,
    /// The lines of its `authorized_keys`.
    pub authorized_keys: Vec<String>,
}

impl Spec {
    /// The account's name.
    pub fn name(&self) -> String {
        self.account.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        let Some(present) = &observed.present else {
            if let Some(uid) = self.uid {
                fields.new_value("uid", uid);
            }
            fields.new_value("home", &self.home);
            fields.new_value("shell", &self.shell);
            if !self.groups.is_empty() {
                fields.new_value("groups", self.groups.join(", "));
            }
            if !self.authorized_keys.is_empty() {
                fields.new_value("authorized keys", self.authorized_keys.len());
            }
            return Some(Difference::create("it does not exist").with(fields.0));
        };
        fields.value("home", &present.home, &self.home);
        fields.value("shell", &present.shell, &self.shell);
        for group in self.groups.iter().filter(|group| !present.groups.contains(group)) {
            fields.new_value("group", group);
        }
        for key in self.authorized_keys.iter().filter(|key| !present.authorized_keys.contains(key))
        {
            let comment = key.split_whitespace().nth(2).unwrap_or("(no comment)");
            fields.new_value("authorized key", comment);
        }
        Difference::update(Class::InPlace, fields.0, "the account differs")
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            present: Some(Account {
                home: self.home.clone(),
                shell: self.shell.clone(),
                groups: self.groups.clone(),
                authorized_keys: self.authorized_keys.clone(),
            }),
        }
    }
}
