//! What a node says of the repository that its pgBackRest is configured for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The options of a repository that say where it is and how it is read, without their prefix `repo1-`:
/// another value of one of them is another repository (pgBackRest's configuration reference,
/// "Repository Options"). None of them is a secret.
pub const PLACE_OPTIONS: &[&str] = &[
    "azure-account",
    "azure-container",
    "azure-endpoint",
    "cipher-type",
    "gcs-bucket",
    "gcs-endpoint",
    "host",
    "path",
    "s3-bucket",
    "s3-endpoint",
    "sftp-host",
    "type",
];

/// Those options with their values.
pub type Place = BTreeMap<String, String>;

/// A place with what pgBackRest takes for granted, so that two can be compared.
pub fn with_defaults(mut place: Place) -> Place {
    for (option, value) in
        [("type", "posix"), ("path", "/var/lib/pgbackrest"), ("cipher-type", "none")]
    {
        place.entry(option.to_owned()).or_insert_with(|| value.to_owned());
    }
    place
}

/// What the node has for one cluster, and, where the inventory names another place, what is left there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryFacts {
    /// The name under which the cluster's backups are kept.
    pub stanza: String,
    /// What pgBackRest's configuration on the node says; nothing where it has none for the cluster.
    pub configured: Place,
    /// Whether that is another place than the inventory's, links followed.
    pub moves: bool,
    /// How many backups are there, where the place changes.
    pub backups: u32,
    /// When the newest of these ended, in seconds since 1970.
    pub newest: Option<i64>,
    /// Backups that the inventory's repository lists, where it is a directory of the node, and that are
    /// not there: nothing can be restored from them.
    pub missing: Vec<String>,
    /// The segments of WAL after the newest of its backups that are there, between which some are missing:
    /// a restore ends at the first, whatever comes after it.
    #[serde(default)]
    pub gap: Option<(String, String)>,
    /// The line of `postgresql.auto.conf` by which somebody leads WAL past the archive.
    #[serde(default)]
    pub led_past: Option<String>,
    /// When its newest backup ended, in seconds since 1970.
    pub latest: Option<i64>,
    /// Those of [`crate::NodeFacts::backups`] that are in another place than the inventory's repository.
    pub apart: Vec<String>,
}
