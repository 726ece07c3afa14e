//! Whether etcd can spare a member, asked right before its unit restarts or stops and before it is struck.

use super::etcd_gateway::{List, Member, list, post};
use super::etcd_member::healthy;
use crate::HostError;
use futures_util::future::join_all;
use keddah_resource::kind::etcd_member::{EtcdConnection, Spec, TOOL};
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
    /// How many members of the list vote; `None` where it cannot be read. The list counts, not the inventory:
    /// a member that nobody declared has its vote, too.
    members: Option<usize>,
    /// Whether other members are declared.
    alone: bool,
    /// Whether the one that shall restart says itself that it knows no leader.
    leaderless: bool,
    /// Whether it is a learner, without a vote that could be missed.
    learner: bool,
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
    let (own_health, (leaderless, learner), listed, answers) = tokio::join!(
        healthy(own),
        knows_no_leader_or_has_no_vote(own),
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
        members: listed.ok().map(|list| voters(&list.members)),
        alone: others.is_empty(),
        leaderless,
        learner,
        own: own_health.is_ok(),
        others: well,
        unwell,
    }
}

fn voters(members: &[Member]) -> usize {
    members.iter().filter(|member| !member.learner).count()
}

/// A member answers this from its own memory (`leader` is left out where there is none), a learner, too,
/// which does not say who the members are.
async fn knows_no_leader_or_has_no_vote(connection: &EtcdConnection) -> (bool, bool) {
    let answer = post(connection, "/v3/maintenance/status", &serde_json::json!({})).await;
    let status: Option<serde_json::Value> =
        answer.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let Some(status) = status.filter(|status| status.get("header").is_some()) else {
        return (false, false);
    };
    let leaderless = status.get("leader").is_none_or(|leader| leader.as_str() == Some("0"));
    let learner = status.get("isLearner").and_then(serde_json::Value::as_bool) == Some(true);
    (leaderless, learner)
}

/// Whether those that stay are a quorum of the voters that are left when a member is struck.
///
/// # Errors
/// When they are not. Nothing was struck.
pub(super) async fn can_strike(
    spec: &Spec,
    members: &[Member],
    struck: &Member,
) -> Result<(), HostError> {
    if struck.learner {
        return Ok(());
    }
    let left = voters(members) - 1;
    let asked: Vec<&EtcdConnection> =
        std::iter::once(&spec.connection).chain(&spec.others).collect();
    let what = format!("{} is not struck from etcd's list", spec.member);
    enough(&what, left, &asked).await
}

/// Whether a member of which somebody may still need the vote can stop for good.
///
/// # Errors
/// When it is listed with a vote and the others are no quorum, or do not say who the members are. Nothing
/// was stopped.
pub(super) async fn can_stop(quorum: &Quorum) -> Result<(), HostError> {
    let Quorum { own, others } = quorum;
    let lists = join_all(others.iter().map(list)).await;
    let Some(List { members, .. }) = lists.into_iter().find_map(Result::ok) else {
        return Err(HostError::new(
            "etcd is not stopped: none of the members that stay says who the members are",
        )
        .with_hint("make the members that stay answer first (systemctl status etcd)"));
    };
    let own = members.iter().find(|one| one.client_urls.contains(&own.endpoint));
    if own.is_none_or(|one| one.learner) {
        return Ok(());
    }
    let asked: Vec<&EtcdConnection> = others.iter().collect();
    enough("etcd is not stopped", voters(&members), &asked).await
}

/// Whether enough of these are well for so many voters.
async fn enough(what: &str, voters: usize, asked: &[&EtcdConnection]) -> Result<(), HostError> {
    let answers = join_all(asked.iter().map(|one| healthy(one))).await;
    let well = answers.iter().filter(|answer| answer.is_ok()).count();
    let quorum = voters / 2 + 1;
    if well >= quorum || voters == 0 {
        return Ok(());
    }
    let mut error = HostError::new(format!(
        "{what}: of {voters} members {quorum} are a quorum, and without this one {well} are well"
    ))
    .with_hint(make_well("try"));
    error.log = asked
        .iter()
        .zip(&answers)
        .filter_map(|(connection, answer)| {
            let error = answer.as_ref().err()?;
            let words = error.log.last().unwrap_or(&error.message);
            Some(format!("{}: {words}", connection.endpoint))
        })
        .collect();
    Err(error)
}

/// A cluster without a leader has nothing to lose, and may be mended by the restart; where all are well, one
/// at a time is the best that can be done, with two members, too. One that cannot be asked may have its
/// vote all the same.
fn spares(health: &Health) -> bool {
    let Health { members, alone, leaderless, learner, own, others, .. } = health;
    if *learner {
        return true;
    }
    let Some(members) = members else { return *alone || *leaderless };
    let all = *own && others + 1 >= *members;
    *leaderless || all || *others > members / 2 || (*alone && *members <= 1)
}

fn make_well(then: &str) -> String {
    format!(
        "make the other members well first (as root on a member: {TOOL} endpoint health --cluster), then \
         {then} again"
    )
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
    let mut error = HostError::new(message).with_hint(make_well("apply"));
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
            let unwell = Vec::new();
            let learner = false;
            let health = Health { members, alone, leaderless, learner, own, others, unwell };
            assert_eq!(spares(&health), expected, "{health:?}");
        }
        let unread = Health {
            members: None,
            alone: false,
            leaderless: false,
            learner: false,
            own: true,
            others: 2,
            unwell: Vec::new(),
        };
        assert!(!spares(&unread), "how many votes there are is not known");
        let learner = Health { learner: true, own: false, others: 0, ..unread };
        assert!(spares(&learner), "a learner has no vote that could be missed");
    }
}

#[cfg(test)]
#[path = "etcd_quorum_tests.rs"]
mod live;
