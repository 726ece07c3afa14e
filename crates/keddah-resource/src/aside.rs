//! What a failed rewind has left beside an instance's data directory.

use serde::{Deserialize, Serialize};

/// What follows a data directory's name in the name of the copy that a node has moved aside.
pub const ASIDE: &str = ".aside";

/// What follows the name of a directory that a removal has moved aside.
pub const REMOVED: &str = ".removed";

/// A copy that a node has moved aside after a failed rewind, or that it could not move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideFacts {
    /// The instance, such as `pg-test-1`.
    pub instance: String,
    /// Its cluster.
    pub cluster: String,
    /// The copy; absent where there is none.
    pub copy: Option<String>,
    /// When it was moved; empty where nothing says so.
    pub moved: String,
    /// Where its WAL parts from the cluster's: a position and a timeline.
    pub fork: String,
    /// Bytes of WAL past that, if they could be counted.
    pub bytes: Option<u64>,
    /// Why the member stays stopped after a failed rewind.
    pub stopped: Option<String>,
}
