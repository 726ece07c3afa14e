//! Witnesses: each member of a cluster, asked from within its own node whether it takes commits.
//!
//! They sit in the nodes, so that a node that is cut off or frozen is seen, too. All nodes of a sandbox have the
//! same clock.

use super::MEMBERS;
use crate::failure::{Failure, Outcome};
use crate::postgres::superuser;
use crate::sandbox::Sandbox;
use std::time::Duration;

const UNIT: &str = "keddah-witness";

/// One commit at a time, each with when it was asked for and when it was acknowledged. One that the server only
/// made here, giving up on its standby, is told by a warning and does not count; nor does one that takes a second.
const SCRIPT: &str = r#"cd /
while :; do
    begun=$(date +%s%N)
    if said=$(timeout 1 psql -X -q -A -t -d postgres -c 'INSERT INTO witness VALUES (1)' 2>&1) && [ -z "$said" ]; then
        echo "$begun $(date +%s%N)" >> /tmp/keddah-witness
    fi
    sleep 0.1
done"#;

/// A member that takes no commit for so long, in nanoseconds, may have lost its part and won it again: no lease is
/// shorter. One that leads takes some in each second.
const PAUSE: u64 = 5_000_000_000;

/// When a commit was asked for and when it was acknowledged, in nanoseconds of the machine's clock.
pub(super) type Commit = (u64, u64);

/// Witnesses at work.
pub(super) struct Witnesses;

impl Witnesses {
    /// Begins to ask all members; `leader` is where the table can be made.
    pub(super) fn start(sandbox: &Sandbox, leader: u8) -> Outcome<Self> {
        superuser(
            sandbox,
            leader,
            "postgres",
            "DROP TABLE IF EXISTS witness; CREATE TABLE witness (n int)",
        )?;
        for node in MEMBERS {
            let start = format!(
                "rm -f /tmp/keddah-witness; systemctl reset-failed {UNIT} 2>/dev/null; \
                 systemd-run --quiet --unit={UNIT} --uid=postgres sh -c '{}'",
                SCRIPT.replace('\'', r"'\''")
            );
            sandbox.shell(node, &start)?.success()?;
        }
        Ok(Self)
    }

    /// Ends it, and returns each member's commits.
    pub(super) fn finish(self, sandbox: &Sandbox) -> Outcome<Vec<Vec<Commit>>> {
        let read = |node: &u8| -> Outcome<Vec<Commit>> {
            let end = format!("systemctl stop {UNIT}; cat /tmp/keddah-witness 2>/dev/null; true");
            let told = sandbox.shell(*node, &end)?.success()?;
            Ok(told
                .stdout
                .lines()
                .filter_map(|line| {
                    let (begun, ended) = line.split_once(' ')?;
                    Some((begun.parse().ok()?, ended.parse().ok()?))
                })
                .collect())
        };
        let all = MEMBERS.iter().map(read).collect::<Outcome<Vec<_>>>()?;
        if all.iter().all(Vec::is_empty) {
            return Err(Failure::new("no member took a witness's commit: they prove nothing"));
        }
        Ok(all)
    }
}

/// How long two members certainly took commits at the same time: from the first to the last commit of one that lies
/// between two of another.
pub(super) fn together(members: &[Vec<Commit>]) -> Duration {
    let mut longest = 0;
    for (index, one) in members.iter().enumerate() {
        for (_, other) in members.iter().enumerate().filter(|(other, _)| *other != index) {
            let mut within = one.iter().filter(|commit| goes_on_around(other, **commit));
            if let Some(first) = within.next() {
                longest = longest.max(within.next_back().unwrap_or(first).1 - first.0);
            }
        }
    }
    Duration::from_nanos(longest)
}

/// Whether a member took commits right before and right after this one of another.
fn goes_on_around(member: &[Commit], (begun, ended): Commit) -> bool {
    let before = member.iter().map(|(_, ended)| *ended).filter(|moment| *moment < begun).max();
    let after = member.iter().map(|(begun, _)| *begun).filter(|moment| *moment > ended).min();
    matches!((before, after), (Some(before), Some(after)) if after - before < PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A commit each 100 ms.
    fn commits(from: u64, to: u64) -> Vec<Commit> {
        (from..to).map(|tenth| (tenth * 100_000_000, tenth * 100_000_000 + 10_000_000)).collect()
    }

    #[test]
    fn one_after_another_is_not_together() {
        assert_eq!(together(&[commits(0, 50), commits(350, 900), Vec::new()]), Duration::ZERO);
        // It led, another did, it leads again.
        let again = [commits(0, 50), commits(700, 900)].concat();
        assert_eq!(together(&[again, commits(350, 600)]), Duration::ZERO);
    }

    #[test]
    fn a_commit_between_two_of_another_is_together() {
        let late = [commits(0, 50), vec![(60_050_000_000, 60_060_000_000)]].concat();
        assert_eq!(together(&[late, commits(350, 900)]), Duration::from_millis(10));
        let shifted =
            commits(0, 400).iter().map(|(a, b)| (a + 50_000_000, b + 50_000_000)).collect();
        assert!(together(&[shifted, commits(350, 900)]) > Duration::from_secs(4));
    }
}
