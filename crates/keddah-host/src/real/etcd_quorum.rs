//! Whether etcd can spare a member for a moment, asked right before its unit restarts.

use super::etcd_gateway::list;
use super::etcd_member::healthy;
use crate::HostError;
use futures_util::future::join_all;
use keddah_resource::kind::etcd_member::EtcdConnection;
use keddah_resource::kind::unit::Quorum;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a member that restarted before may take to catch up: some elections.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two questions.
const STEP: Duration = Duration::from_millis(500);

/// What the members say of themselves. Each is well when it reads with the consent of a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Health {
    /// How many members the list has.
    members: usize,
    /// Whether the one that shall restart is well.
    own: bool,
    /// Of the others, those that are well.
    others: usize,
    /// Those that are not, with what they said.
    unwell: Vec<String>,
}

/// Waits until the member can be spared, for a while: one that restarted before it may still be catching
/// up.
///
/// # Errors
/// When the others alone are no quorum by then. Nothing was stopped.
pub(super) async fn can_spare(quorum: &Quorum) -> Result<(), HostError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = ask(quorum).await;
        if spares(&health) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(refusal(&health));
        }
        sleep(STEP).await;
    }
}

async fn ask(quorum: &Quorum) -> Health {
    let Quorum { own, others } = quorum;
    let (own_health, answers) = tokio::join!(healthy(own), join_all(others.iter().map(healthy)));
    let well = answers.iter().filter(|answer| answer.is_ok()).count();
    let told = |(connection, answer): (&EtcdConnection, &Result<(), HostError>)| {
        let error = answer.as_ref().err()?;
        let words = error.log.last().unwrap_or(&error.message);
        Some(format!("{}: {words}", connection.endpoint))
    };
    let unwell = others.iter().zip(&answers).filter_map(told).collect();
    // The list counts, not the inventory: a member that nobody declared has its vote, too.
    let listed = list(own).await.map(|list| list.members.len());
    let members = listed.unwrap_or(others.len() + 1);
    Health { members, own: own_health.is_ok(), others: well, unwell }
}

/// A cluster without a quorum has nothing to lose, and may be mended by the restart; where all are well,
/// one at a time is the best that can be done, with two members, too.
fn spares(health: &Health) -> bool {
    let Health { members, own, others, .. } = health;
    let serves = *own || *others > 0;
    let all = *own && others + 1 >= *members;
    !serves || all || *others > members / 2
}

fn refusal(health: &Health) -> HostError {
    let Health { members, own: _, others, unwell } = health;
    let quorum = members / 2 + 1;
    let message = format!(
        "etcd is not restarted: of {members} members {quorum} are a quorum, and without this one {others} \
         are well"
    );
    let mut error = HostError::new(message)
        .with_hint("make the other members well first (etcdctl endpoint health), then apply again");
    error.log.extend(unwell.iter().cloned());
    error
}

#[cfg(test)]
mod tests {
    use super::{Health, spares};

    #[test]
    fn a_member_restarts_where_the_others_are_a_quorum_or_nothing_can_be_lost() {
        let health = |members, own, others| Health { members, own, others, unwell: Vec::new() };
        for (members, own, others, expected) in [
            (1, true, 0, true),
            (2, true, 1, true),
            (2, true, 0, false),
            (3, true, 2, true),
            (3, true, 1, false),
            // It does not answer itself and may still have its vote.
            (3, false, 1, false),
            (3, false, 2, true),
            (5, true, 3, true),
            (5, true, 2, false),
            // One that the inventory does not know stands in the list.
            (4, true, 2, false),
            // Nobody serves: the restart may be what mends it.
            (3, false, 0, true),
        ] {
            assert_eq!(spares(&health(members, own, others)), expected, "{members} {own} {others}");
        }
    }
}
