//! At least one full backup of a cluster, so that point-in-time recovery is possible from day one;
//! and a last one before a cluster is removed.

use crate::difference::Fields;
use crate::{Action, Class, Difference};
use keddah_core::Secret;
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The stanza, which is the cluster's name.
    pub stanza: String,
    /// The account that runs pgBackRest.
    pub account: String,
    /// How long the backup may take, in seconds.
    pub patience_seconds: u32,
    /// When the newest backup must have ended at the earliest, in seconds since 1970: for the last
    /// backup of a cluster that goes. `None` when any full backup will do.
    pub not_before: Option<i64>,
    /// Whether WAL goes to this repository from now on: what was written before is not there, so no
    /// backup that is there leads on to it.
    #[serde(default)]
    pub moves: bool,
    /// How many full backups the repository keeps from now on; `None` where it counts days, or keeps
    /// all. pgBackRest deletes what is more than that after the next backup.
    #[serde(default)]
    pub keeps: Option<u32>,
    /// The whole configuration under which pgBackRest will work when the plan is done: the node's own may
    /// still name the place that the backups leave. Nothing for the node's own.
    #[serde(with = "keddah_core::expose", default)]
    pub configuration: Secret,
    /// The repository, where it is a directory of the node: whether what it lists is there is looked at.
    #[serde(default)]
    pub repository: Option<String>,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Number of full backups in the repository, without those whose files are gone.
    pub full_backups: u32,
    /// When the newest backup of any sort ended, in seconds since 1970; 0 without one.
    pub newest: i64,
}

impl Spec {
    /// The stanza.
    pub fn name(&self) -> String {
        self.stanza.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        if observed.full_backups == 0 {
            fields.optional("full backups", Some("0".to_owned()), Some("1".to_owned()));
        }
        let late = self.not_before.filter(|&time| observed.newest < time);
        let reason = match late {
            _ if observed.full_backups == 0 => "there is no full backup to recover from",
            Some(_) if self.moves => "WAL goes here from now on, and no backup here leads on to it",
            Some(_) => "the last backup before the cluster goes",
            None => return None,
        };
        if late.is_some() && observed.full_backups > 0 {
            fields.new_value("backup", "of today");
        }
        let mut difference = Difference::update(Class::InPlace, fields.0, reason)?;
        difference.action = Action::Create;
        Some(difference)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { full_backups: 1, newest: self.not_before.unwrap_or_default() }
    }
}
