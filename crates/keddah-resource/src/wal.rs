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

    /// How many bytes this has that one which runs and leads has not: behind the place at which their
    /// histories part, or behind the other's end. None where a history that is missing would tell.
    pub fn beyond(&self, running: &Self) -> Option<u64> {
        let own = start_of_page(self.position);
        let past = |position: u64| own.saturating_sub(start_of_page(position));
        let unknown = |end: &Self| end.forks.is_empty() && end.timeline > 1;
        if unknown(self) || unknown(running) {
            if self.timeline == running.timeline {
                return Some(past(running.position));
            }
            let left = running.forks.iter().find(|(timeline, _)| *timeline == self.timeline);
            return left.map(|(_, position)| past(*position));
        }
        let mut shared = None;
        for ((ours, our_end), (theirs, their_end)) in self.way().zip(running.way()) {
            if ours != theirs {
                break;
            }
            shared = Some(our_end.min(their_end));
            if our_end != their_end {
                break;
            }
        }
        // On the same timeline to the end, both.
        let same = |end: u64| if end == u64::MAX { running.position } else { end };
        shared.map(|end| past(same(end)))
    }

    /// The timelines that it came by and its own, each with its end.
    fn way(&self) -> impl Iterator<Item = (u32, u64)> {
        self.forks.iter().copied().chain([(self.timeline, u64::MAX)])
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

/// A place behind the header of a page as the beginning of that page: no record lies between, and one server
/// says the one, another the other (`XLogShortPHD` and `XLogLongPHD` in PostgreSQL's `access/xlog_internal.h`;
/// the long one begins a segment, which has a megabyte at least).
fn start_of_page(position: u64) -> u64 {
    match (position % 8192, position % (1 << 20)) {
        (24, _) => position - 24,
        (_, 40) => position - 40,
        _ => position,
    }
}

/// Members of a cluster that are stopped. Where nobody leads, whoever is started first may lead, and what
/// others have beyond it is thrown away when they follow; where somebody does, whoever is started follows, and
/// what it has of its own is thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedCluster {
    /// Its name.
    pub name: String,
    /// Its members, the one to start first before all others.
    pub members: Vec<StoppedMember>,
    /// Members whose nodes cannot be asked, with these.
    pub silent: Vec<String>,
    /// Members, with their nodes, that have been made and whose data is not there.
    #[serde(default)]
    pub lost: Vec<String>,
    /// Who leads it; nobody where no Patroni of it answers.
    #[serde(default)]
    pub led: Option<Led>,
}

/// Who leads a cluster, and what a stopped member of it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Led {
    /// The leader and its node.
    pub by: String,
    /// How far the leader has come; absent where that cannot be read.
    pub wal: Option<WalEnd>,
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
    /// Its data's directory, where it was restored and its recovery has not ended.
    #[serde(default)]
    pub restored: Option<String>,
    /// Whether Patroni never lets it lead (`nofailover`): it stays behind on purpose.
    #[serde(default)]
    pub barred: bool,
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
    fn what_a_leader_has_not_is_counted_from_where_the_histories_part() {
        let leader = WalEnd { exact: false, ..end(3, 900, &[(1, 200), (2, 300)]) };
        let beyond = |stopped: WalEnd| stopped.beyond(&leader);
        assert_eq!(beyond(end(1, 200, &[])), Some(0), "it stopped at the fork");
        assert_eq!(beyond(end(1, 100, &[])), Some(0));
        assert_eq!(beyond(end(1, 260, &[])), Some(60), "it went on behind it");
        assert_eq!(beyond(end(2, 350, &[(1, 200)])), Some(50));
        assert_eq!(beyond(end(2, 350, &[(1, 150)])), Some(200), "another timeline 2");
        assert_eq!(beyond(end(3, 800, &[(1, 200), (2, 300)])), Some(0), "it followed");
        assert_eq!(beyond(end(3, 950, &[(1, 200), (2, 300)])), Some(50), "the leader went back");
        assert_eq!(beyond(end(3, 800, &[(1, 200), (2, 250)])), Some(550), "another timeline 3");
        let restored = end(4, 650, &[(1, 200), (2, 300), (3, 600)]);
        assert_eq!(beyond(restored.clone()), Some(50), "restored, and recovered to its end");
        assert_eq!(restored.beyond(&end(1, 640, &[])), Some(450));
    }

    #[test]
    fn a_history_that_is_missing_is_no_other_one() {
        let leader = end(3, 900, &[(1, 200), (2, 300)]);
        assert_eq!(end(2, 350, &[]).beyond(&leader), Some(50));
        assert_eq!(end(3, 800, &[]).beyond(&leader), Some(0));
        assert_eq!(end(4, 800, &[]).beyond(&leader), None, "where it comes from cannot be said");
        assert_eq!(end(1, 100, &[]).beyond(&end(3, 900, &[])), None);
    }

    #[test]
    fn the_header_of_a_page_is_no_record() {
        let leader = end(2, 9 << 20, &[(1, 3 << 20)]);
        assert_eq!(end(1, (3 << 20) + 40, &[]).beyond(&leader), Some(0), "that of a segment");
        let leader = end(2, 9 << 20, &[(1, (3 << 20) + 8192)]);
        assert_eq!(end(1, (3 << 20) + 8192 + 24, &[]).beyond(&leader), Some(0));
        assert_eq!(end(1, (3 << 20) + 8192 + 56, &[]).beyond(&leader), Some(56));
    }

    #[test]
    fn positions_are_written_as_postgresql_does() {
        assert_eq!(end(3, 0x1000_00A0, &[]).to_string(), "timeline 3, 0/100000A0");
        let least = WalEnd { exact: false, ..end(1, 0x2_1234_5678, &[]) };
        assert_eq!(least.to_string(), "timeline 1, at least 2/12345678");
    }
}
