//! How far the WAL of a server that does not run reaches, and what else would be lost with it.

use crate::ResourceId;
use keddah_core::NodeName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The end of a server's WAL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalEnd {
    /// The timeline of its last records.
    pub timeline: u32,
    /// Where its last record ends.
    pub position: u64,
    /// Whether nothing lies behind that; where the files could not be read to their end, it is a place that
    /// they reach in any case.
    pub exact: bool,
    /// The timelines that it came by, the oldest first, each with the position at which it was left (the
    /// timeline's history file: PostgreSQL's manual, "Timelines").
    pub forks: Vec<(u32, u64)>,
}

impl WalEnd {
    /// Whether it has all that another one has: these end on its own way, and not behind it.
    pub fn holds(&self, other: &Self) -> bool {
        if self.timeline == other.timeline {
            return self.is_of_one_history(other) && self.position >= other.position;
        }
        let Some(at) = self.forks.iter().position(|(timeline, _)| *timeline == other.timeline)
        else {
            return false;
        };
        let came_the_same_way = other.forks.is_empty() || other.forks == self.forks[..at];
        came_the_same_way && other.position <= self.forks[at].1
    }

    /// Two servers may have begun timelines of one number, each for itself.
    fn is_of_one_history(&self, other: &Self) -> bool {
        let unknown = self.forks.is_empty() || other.forks.is_empty();
        unknown || self.forks == other.forks
    }

    /// How many bytes another one has behind the end of this, where it is the same history that goes on.
    pub fn lacks(&self, other: &Self) -> Option<u64> {
        other.holds(self).then(|| other.position - self.position)
    }
}

impl fmt::Display for WalEnd {
    /// As PostgreSQL writes a position.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeline, position, exact, .. } = self;
        let from = if *exact { "" } else { "at least " };
        let (high, low) = (position >> 32, position & 0xffff_ffff);
        write!(formatter, "timeline {timeline}, {from}{high:X}/{low:X}")
    }
}

/// A cluster of which no Patroni runs that answers: whoever is started first may lead, and what others have
/// beyond it is thrown away when they follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedCluster {
    /// Its name.
    pub name: String,
    /// Its members, the one to start first before all others.
    pub members: Vec<StoppedMember>,
    /// Members whose nodes cannot be asked, with these.
    pub silent: Vec<String>,
}

/// A member that does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedMember {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: NodeName,
    /// What starts it.
    pub unit: ResourceId,
    /// Whether it holds data, or is still to be made.
    pub holds_data: bool,
    /// How far its WAL reaches; absent where that cannot be read.
    pub wal: Option<WalEnd>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(timeline: u32, position: u64, forks: &[(u32, u64)]) -> WalEnd {
        WalEnd { timeline, position, exact: true, forks: forks.to_vec() }
    }

    #[test]
    fn whoever_is_further_on_the_same_way_holds_what_the_other_has() {
        let (behind, ahead) = (end(1, 100, &[]), end(1, 300, &[]));
        assert!(ahead.holds(&behind) && !behind.holds(&ahead) && ahead.holds(&ahead));
        assert_eq!(behind.lacks(&ahead), Some(200));
        let promoted = end(2, 250, &[(1, 200)]);
        assert!(promoted.holds(&behind), "it left timeline 1 behind the other's end");
        assert!(!promoted.holds(&ahead), "what comes after the fork is the other's own");
        assert!(!ahead.holds(&promoted) && !behind.holds(&promoted));
        assert_eq!(ahead.lacks(&promoted), None);
        let later = end(4, 500, &[(1, 200), (2, 250)]);
        assert!(later.holds(&promoted) && later.holds(&behind) && !later.holds(&ahead));
    }

    #[test]
    fn timelines_of_one_number_may_be_two_histories() {
        let (one, other) = (end(3, 500, &[(1, 100), (2, 200)]), end(3, 900, &[(1, 100), (2, 300)]));
        assert!(!one.holds(&other) && !other.holds(&one));
        let later = end(4, 950, &[(1, 100), (2, 300), (3, 900)]);
        assert!(later.holds(&other) && !later.holds(&one));
        // A history that cannot be read is no other one.
        assert!(other.holds(&end(3, 400, &[])));
    }

    #[test]
    fn positions_are_written_as_postgresql_does() {
        assert_eq!(end(3, 0x1000_00A0, &[]).to_string(), "timeline 3, 0/100000A0");
        let least = WalEnd { exact: false, ..end(1, 0x2_1234_5678, &[]) };
        assert_eq!(least.to_string(), "timeline 1, at least 2/12345678");
    }
}
