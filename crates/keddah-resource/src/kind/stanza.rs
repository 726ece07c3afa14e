//! A pgBackRest stanza: the name under which a cluster's backups and WAL are kept.

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
    /// Whether PostgreSQL on this node is asked when the stanza is made. Otherwise it is made from its
    /// files alone: on a replica's node, so that WAL is archived from the moment the replica becomes the
    /// primary; and of a cluster that exists, whose server may have another port by now.
    pub online: bool,
    /// The whole configuration under which pgBackRest will work when the plan is done. The stanza is made
    /// under it before it is in its place, so that WAL is archived all the time when a cluster's
    /// repository becomes another one. Nothing for the node's own.
    #[serde(with = "keddah_core::expose", default)]
    pub configuration: Secret,
    /// Where the server's files are: a stanza is for one system.
    #[serde(default)]
    pub data_directory: String,
    /// Whether this very instance has run here before, so that backups may have been, too.
    #[serde(default)]
    pub ran_before: bool,
}

/// What is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// pgBackRest's own word for it: `status.code` of `pgbackrest info`; 0 is ok, 2 is "no valid
    /// backups", 1 is "missing stanza path".
    pub status: i64,
    /// The identifier of the system whose WAL it takes, where it takes any.
    #[serde(default)]
    pub takes: Option<String>,
    /// The identifier of the system whose files are on the node, where there are any.
    #[serde(default)]
    pub system: Option<String>,
    /// The directory of this node in which the server has archived a backup's end under this very
    /// configuration: the stanza was there.
    #[serde(default)]
    pub archived_in: Option<String>,
}

/// The file on a node that says in which repository a stanza was made. It stands where backups do not: on a
/// disk that is not mounted it would be out of sight with them.
pub fn mark(stanza: &str) -> String {
    format!("/etc/pgbackrest/{stanza}.made")
}

impl Spec {
    /// The stanza.
    pub fn name(&self) -> String {
        self.stanza.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let Observed { status, takes, system, archived_in } = observed;
        if let (Some(takes), Some(system)) = (takes, system)
            && takes != system
        {
            let name = &self.stanza;
            let difference = Difference::new(
                Action::Update,
                Class::InPlace,
                "the repository takes another system's WAL under this name",
            );
            return Some(difference.impossible(format!(
                "{name} is system {system}, and the repository keeps backups and WAL of system {takes} under \
                 that name: pgBackRest would archive nothing. Give `pgbackrest_repo` another path, or move \
                 away what is there; only where this very cluster went through pg_upgrade: `sudo -u {} \
                 pgbackrest --stanza={name} stanza-upgrade` on its primary, then a full backup",
                self.account
            )));
        }
        let missing = !matches!(status, 0 | 2);
        if let Some(path) = archived_in
            && missing
            && self.ran_before
        {
            let (name, account) = (&self.stanza, &self.account);
            let difference =
                Difference::create("the repository is gone in which the cluster has been archived");
            return Some(difference.impossible(format!(
                "{name} has kept its backups and WAL in {path} on this node, and nothing of it is there any \
                 more: what is archived now would lie beneath a disk that is not mounted. Mount the disk, and \
                 plan again; only where the backups are gone for good, say so on this node: `sudo install -d -o \
                 {account} -m 700 \"$(readlink -m {path})\"`, then `sudo -u {account} pgbackrest --stanza={name} \
                 --no-online stanza-create`, then apply"
            )));
        }
        let reason = if self.ran_before {
            "the repository does not know the cluster, which has run before: if a disk for backups is not \
             mounted there, mount it first"
        } else {
            "the repository does not know the cluster yet"
        };
        missing.then(|| Difference::create(reason))
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { status: 2, ..Observed::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_of_another_system_is_told_before_it_is_used() {
        let spec = Spec {
            stanza: "pg-test".to_owned(),
            account: "postgres".to_owned(),
            online: false,
            configuration: Secret::default(),
            data_directory: "/pg/data".to_owned(),
            ran_before: false,
        };
        let with = |status, takes: Option<&str>, system: Option<&str>| {
            let name = |name: &str| name.to_owned();
            let (takes, system) = (takes.map(name), system.map(name));
            spec.diff(&Observed { status, takes, system, archived_in: None })
        };
        assert_eq!(with(0, Some("7"), Some("7")), None);
        assert_eq!(with(2, None, Some("7")), None, "its list cannot be read");
        assert_eq!(with(1, None, Some("7")).expect("it is made").impossible, None);
        let again = Spec { ran_before: true, ..spec.clone() };
        let missing = again.diff(&Observed { status: 1, ..Observed::default() });
        assert!(missing.expect("it is made").reason.contains("mount it first"));
        // Where it has been archived, it is not made a second time; one that has just been made is.
        let mut gone = Observed { status: 1, ..Observed::default() };
        gone.archived_in = Some("/pg/backup".to_owned());
        let why = again.diff(&gone).expect("it differs").impossible.expect("it is refused");
        assert!(
            why.contains("in /pg/backup on this node") && why.contains("stanza-create"),
            "{why}"
        );
        assert_eq!(spec.diff(&gone).expect("it is made").impossible, None, "it begins");
        gone.status = 2;
        assert_eq!(again.diff(&gone), None, "it is there");
        for status in [0, 2] {
            let other = with(status, Some("6"), Some("7")).expect("it differs");
            let why = other.impossible.expect("nothing could be archived");
            assert!(why.starts_with("pg-test is system 7") && why.contains("system 6"), "{why}");
        }
    }
}
