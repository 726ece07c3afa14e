//! A server that hangs is waited for once in a round of looking, against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its server has failed")]

mod scratch;

use keddah_host::{Host, HostError, Round};
use keddah_resource::{Observation, Spec};
use scratch::{Server, skipped};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a round waits; the session's own limits are ten seconds and more.
const PATIENCE: Duration = Duration::from_millis(700);

async fn look(
    server: &Server,
    round: &Arc<Round>,
    specs: &[Spec],
) -> (Vec<Result<Observation, HostError>>, Duration) {
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    let begun = Instant::now();
    let answers = round.clone().within(server.host.observe(specs)).await;
    (answers, begun.elapsed())
}

fn refused(answers: &[Result<Observation, HostError>], words: &str) -> bool {
    answers.iter().all(|one| one.as_ref().is_err_and(|error| error.message.contains(words)))
}

#[tokio::test]
async fn what_waits_for_a_lock_is_not_waited_for() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let role = [server.role("postgres", None)];
    let inside = [server.schema("template1", "public", None, true)];
    let holder = server.session("postgres").await;
    holder.execute("begin; lock table pg_auth_members in access exclusive mode").await.unwrap();
    let round = Round::new(PATIENCE);
    let (answers, took) = look(&server, &round, &role).await;
    assert!(refused(&answers, "got no answer"), "{answers:?}");
    assert!(took >= PATIENCE && took < PATIENCE * 4, "{took:?}");
    let (answers, took) = look(&server, &round, &role).await;
    assert!(refused(&answers, "got no answer") && took < PATIENCE, "asked again: {took:?}");
    holder.execute("rollback").await.unwrap();
    let both: Vec<Spec> = role.iter().chain(&inside).cloned().collect();
    let (answers, _) = look(&server, &Round::new(PATIENCE * 10), &both).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test]
async fn a_frozen_postmaster_is_waited_for_once() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let specs = [server.role("postgres", None), server.schema("template1", "public", None, true)];
    let pid = std::fs::read_to_string(server.data().join("postmaster.pid")).unwrap();
    let signal = |name: &str| {
        let pid = pid.lines().next().unwrap();
        assert!(Command::new("kill").args([name, pid]).status().unwrap().success());
    };
    signal("-STOP");
    let round = Round::new(PATIENCE);
    let (answers, took) = look(&server, &round, &specs).await;
    let (again, at_once) = look(&server, &round, &specs).await;
    signal("-CONT");
    for answers in [&answers, &again] {
        assert!(refused(answers, "accepts connections but does not answer"), "{answers:?}");
    }
    assert!(took >= PATIENCE && took < PATIENCE * 4, "both wait side by side: {took:?}");
    assert!(at_once < PATIENCE, "it is not asked again: {at_once:?}");
    let (answers, _) = look(&server, &Round::new(PATIENCE * 10), &specs).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}
