//! A member in etcd's own list, added or removed through a member that runs.
//!
//! A cluster that is being made lists its members by itself; this kind is for changing one that
//! serves ("Runtime reconfiguration" in etcd's operations guide: one member at a time).

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// Bytes at which etcd's store takes no more writes (`--quota-backend-bytes`); etcd's own default is 2 GiB.
pub const STORE_QUOTA: i64 = 16 << 30;

/// What a person calls on a member's node: `etcdctl` with the member, its certificate and root's login.
pub const TOOL: &str = "keddah-etcdctl";

/// Where it is: in root's path, also in that of `sudo`.
pub const TOOL_PATH: &str = "/usr/local/sbin/keddah-etcdctl";

/// How to reach etcd from this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdConnection {
    /// Client URL of a member that runs, on this node.
    pub endpoint: String,
    /// The CA's path.
    pub ca_path: String,
    /// A client certificate's path.
    pub certificate_path: String,
    /// Its key's path.
    pub key_path: String,
}

/// What of a member is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// That it stands in the list.
    #[default]
    Listed,
    /// That it votes: a learner that has caught up is promoted.
    Votes,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The member's name, such as `etcd-2`.
    pub member: String,
    /// Its peer URL.
    pub peer_url: String,
    /// Whether it should be in the list.
    pub present: bool,
    /// The id of the listed member whose place it takes, in decimal digits: that one's data is gone,
    /// and a member without data must not come back under the id of one that had (etcd's operations
    /// guide, "Runtime reconfiguration": remove the failed member, then add it anew).
    pub replaces: Option<String>,
    /// Whether that is a place in the list or a vote. A new member joins as a learner, so that one that
    /// does not start, or has not caught up, is none of those of which a quorum must answer.
    #[serde(default)]
    pub stage: Stage,
    /// The other declared members that stay, of which enough must answer when one is struck.
    #[serde(default)]
    pub others: Vec<EtcdConnection>,
    /// Through whom to ask.
    pub connection: EtcdConnection,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The peer URL under which it is listed, when it is.
    pub peer_url: Option<String>,
    /// Its id in decimal digits, when it is listed.
    pub id: Option<String>,
    /// Whether it is listed as a learner.
    #[serde(default)]
    pub learner: bool,
    /// Whether somebody answers at the peer URL under which it is listed, where that is another one than
    /// it should be.
    #[serde(default)]
    pub answers: bool,
}

/// The name of a member's vote, which is a resource of its own: it comes after the member's start.
pub fn vote(member: &str) -> String {
    format!("{member}-vote")
}

impl Spec {
    /// The member's name.
    pub fn name(&self) -> String {
        match self.stage {
            Stage::Listed => self.member.clone(),
            Stage::Votes => vote(&self.member),
        }
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        if self.stage == Stage::Votes {
            let struck = self.replaces.is_some() && self.replaces == observed.id;
            if observed.peer_url.is_some() && !observed.learner && !struck {
                return None;
            }
            fields.value("vote", &"no", &"yes");
            let reason = "it joins as a learner, and votes once it has caught up";
            return Difference::update(Class::InPlace, fields.0, reason);
        }
        match (self.present, &observed.peer_url) {
            (false, None) => None,
            (false, Some(_)) => {
                Some(Difference::delete(Class::Destroy, "it should no longer be a member"))
            }
            (true, None) => {
                fields.new_value("peer url", &self.peer_url);
                Some(Difference::create("it is not a member yet").with(fields.0))
            }
            (true, Some(_)) if self.replaces.is_some() && self.replaces == observed.id => {
                fields.optional("id", observed.id.clone(), None);
                let reason = "its data is gone from the node: it is struck, and joins anew";
                Difference::update(Class::Replace, fields.0, reason)
            }
            (true, Some(present)) => {
                fields.value("peer url", present, &self.peer_url);
                let changed = Difference::update(Class::InPlace, fields.0, "its peer URL differs")?;
                Some(if observed.answers {
                    changed.impossible(format!(
                        "somebody answers at {present}, where etcd's members know {}: it lives there, and would \
                         be cut off. To move it, add the new host under a number of its own, apply, and \
                         `keddah remove` the old one",
                        self.member
                    ))
                } else {
                    changed
                })
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        let learner = self.present && self.stage == Stage::Listed;
        Observed {
            peer_url: self.present.then(|| self.peer_url.clone()),
            id: None,
            learner,
            answers: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_answers_where_the_others_know_it_is_not_moved() {
        let spec = Spec {
            member: "etcd-3".to_owned(),
            peer_url: "https://10.10.10.12:2380".to_owned(),
            present: true,
            replaces: None,
            stage: Stage::Listed,
            others: Vec::new(),
            connection: EtcdConnection {
                endpoint: String::new(),
                ca_path: String::new(),
                certificate_path: String::new(),
                key_path: String::new(),
            },
        };
        let listed = |answers| Observed {
            peer_url: Some("https://10.10.10.13:2380".to_owned()),
            id: Some("7".to_owned()),
            learner: false,
            answers,
        };
        assert_eq!(spec.diff(&listed(false)).unwrap().impossible, None);
        let why = spec.diff(&listed(true)).unwrap().impossible.unwrap();
        assert!(why.contains("answers at https://10.10.10.13:2380"), "{why}");
    }
}
