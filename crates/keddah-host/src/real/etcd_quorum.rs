//! Whether etcd can spare a member for a moment, asked right before its unit restarts.

use super::etcd_gateway::{list, post};
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
    /// How many members the list has; `None` where it cannot be read. The list counts, not the inventory:
    /// a member that nobody declared has its vote, too.
    members: Option<usize>,
    /// Whether other members are declared.
    alone: bool,
    /// Whether the one that shall restart says itself that it knows no leader.
    leaderless: bool,
    /// Whether it is well.
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
    let (own_health, leaderless, listed, answers) = tokio::join!(
        healthy(own),
        knows_no_leader(own),
        list(own),
        join_all(others.iter().map(healthy))
    );
    let well = answers.iter().filter(|answer| answer.is_ok()).count();
    let told = |(connection, answer): (&EtcdConnection, &Result<(), HostError>)| {
        let error = answer.as_ref().err()?;
        let words = error.log.last().unwrap_or(&error.message);
        Some(format!("{}: {words}", connection.endpoint))
    };
    let all = std::iter::once(own).chain(others);
    let unwell = all.zip(std::iter::once(&own_health).chain(&answers)).filter_map(told).collect();
    Health {
        members: listed.ok().map(|list| list.members.len()),
        alone: others.is_empty(),
        leaderless,
        own: own_health.is_ok(),
        others: well,
        unwell,
    }
}

/// A member answers this from its own memory (`leader` is left out where there is none).
async fn knows_no_leader(connection: &EtcdConnection) -> bool {
    let answer = post(connection, "/v3/maintenance/status", &serde_json::json!({})).await;
    let status: Option<serde_json::Value> =
        answer.ok().and_then(|body| serde_json::from_slice(&body).ok());
    status.is_some_and(|status| {
        status.get("header").is_some()
            && status.get("leader").is_none_or(|leader| leader.as_str() == Some("0"))
    })
}

/// A cluster without a leader has nothing to lose, and may be mended by the restart; where all are well, one
/// at a time is the best that can be done, with two members, too. One that cannot be asked may have its
/// vote all the same.
fn spares(health: &Health) -> bool {
    let Health { members, alone, leaderless, own, others, .. } = health;
    let Some(members) = members else { return *alone || *leaderless };
    let all = *own && others + 1 >= *members;
    *leaderless || all || *others > members / 2 || (*alone && *members <= 1)
}

fn refusal(health: &Health) -> HostError {
    let Health { members, others, unwell, .. } = health;
    let message = match members {
        Some(members) => format!(
            "etcd is not restarted: of {members} members {} are a quorum, and without this one {others} \
             are well",
            members / 2 + 1
        ),
        None => "etcd is not restarted: it does not say who its members are".to_owned(),
    };
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
        for (members, leaderless, own, others, expected) in [
            (Some(1), false, true, 0, true),
            // Alone, it takes nobody else along.
            (Some(1), false, false, 0, true),
            (None, false, false, 0, true),
            (Some(2), false, true, 1, true),
            (Some(2), false, true, 0, false),
            (Some(3), false, true, 2, true),
            (Some(3), false, true, 1, false),
            // It cannot be asked, or nobody can, and may still have its vote.
            (Some(3), false, false, 1, false),
            (Some(3), false, false, 0, false),
            (Some(3), false, false, 2, true),
            (Some(5), false, true, 3, true),
            (Some(5), false, true, 2, false),
            // One that the inventory does not know stands in the list.
            (Some(4), false, true, 2, false),
            // Nobody serves: the restart may be what mends it.
            (Some(3), true, false, 0, true),
            (None, true, false, 0, true),
        ] {
            let alone = members.is_none_or(|members| members == 1) && !leaderless;
            let health = Health { members, alone, leaderless, own, others, unwell: Vec::new() };
            assert_eq!(spares(&health), expected, "{health:?}");
        }
        let unread = Health {
            members: None,
            alone: false,
            leaderless: false,
            own: true,
            others: 2,
            unwell: Vec::new(),
        };
        assert!(!spares(&unread), "how many votes there are is not known");
    }
}
