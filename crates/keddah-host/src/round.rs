//! How long whoever only looks waits for what may be silent: a server, a daemon, a store that hangs must
//! not hold up a plan.
//!
//! All questions of a round have one patience together, counted from the last answer that anybody gave: a
//! machine that is slow, and on which answers still come, is waited for. Who was silent once is not asked
//! again in the same round. What changes something is in no round, and has the limits of its own acts.

use crate::HostError;
use crate::real::Info;
use crate::sql::{Session, Unreachable};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

tokio::task_local! {
    static ROUND: Arc<Round>;
}

/// What is left of the patience in any case, as a part of the whole: what answers at all does so within
/// that, and others that were silent before are no reason not to ask it.
const LEAST_PART: u32 = 3;

/// How long what was told of a unit is good for others: a plan asks for facts, health and resources within
/// that; what is asked later, as where somebody watches, is asked anew.
const FRESH: Duration = Duration::from_secs(2);

/// One look at a machine, in several questions.
#[derive(Debug)]
pub struct Round {
    patience: Duration,
    state: Mutex<State>,
    /// Somebody was found to be silent: others may wait for the same one.
    found: Notify,
    backups: Mutex<Once<Option<Info>, HostError>>,
    sessions: Mutex<Once<Session, Unreachable>>,
    /// What systemd has told of units, and when. Whoever asks it has this meanwhile: the next one then asks
    /// only for what is not here.
    units: tokio::sync::Mutex<BTreeMap<String, (Instant, String)>>,
}

#[derive(Debug)]
struct State {
    /// When anybody answered last.
    heard: Instant,
    /// Until when silence has been counted.
    counted: Instant,
    /// How much silence there was.
    spent: Duration,
    /// Who does not answer.
    silent: BTreeMap<String, Silence>,
}

impl State {
    /// Those who are silent side by side cost the time once.
    fn count(&mut self, begun: Instant, now: Instant) {
        let since = begun.max(self.heard).max(self.counted);
        self.spent += now.saturating_duration_since(since);
        self.counted = now;
    }
}

/// What is done once in a round, by its name, for all who want it.
struct Once<T: Clone, E: Clone>(BTreeMap<String, Shared<BoxFuture<'static, Result<T, E>>>>);

impl<T: Clone, E: Clone> Default for Once<T, E> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone, E: Clone> std::fmt::Debug for Once<T, E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl<T: Clone, E: Clone> Once<T, E> {
    fn get(
        &mut self,
        name: String,
        act: BoxFuture<'static, Result<T, E>>,
    ) -> Shared<BoxFuture<'static, Result<T, E>>> {
        self.0.entry(name).or_insert_with(|| act.shared()).clone()
    }
}

/// There was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    /// How long it was waited for.
    pub waited: Duration,
}

impl Silence {
    /// The time, for a sentence: `2.3 s`.
    pub fn seconds(self) -> String {
        format!("{:.1} s", self.waited.as_secs_f64())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has left whole values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Round {
    /// A round with this patience.
    pub fn new(patience: Duration) -> Arc<Self> {
        let now = Instant::now();
        let (spent, silent) = (Duration::ZERO, BTreeMap::new());
        Arc::new(Self {
            patience,
            state: Mutex::new(State { heard: now, counted: now, spent, silent }),
            found: Notify::new(),
            backups: Mutex::default(),
            sessions: Mutex::default(),
            units: tokio::sync::Mutex::default(),
        })
    }

    /// Looks, as a part of this round.
    pub async fn within<F: Future>(self: Arc<Self>, looking: F) -> F::Output {
        ROUND.scope(self, looking).await
    }

    /// Ends the sessions that were shared: a person may think a plan over for an hour.
    pub fn hang_up(&self) {
        lock(&self.sessions).0.clear();
    }

    /// How much of its patience has been spent on silence.
    pub fn spent(&self) -> Duration {
        lock(&self.state).spent
    }

    /// On other machines that are looked at beside this one, so much has been spent: what they have waited
    /// for side by side costs the plan once, and what comes afterwards has the rest.
    pub fn spent_elsewhere(&self, spent: Duration) {
        let state = &mut *lock(&self.state);
        state.spent = state.spent.max(spent);
    }

    fn silence(&self, who: &str) -> Option<Silence> {
        lock(&self.state).silent.get(who).copied()
    }

    /// When a question that was put at this time is given up, as it stands now.
    fn end(&self, begun: Instant) -> Instant {
        let State { heard, spent, .. } = &*lock(&self.state);
        let rest = self.patience.saturating_sub(*spent);
        begun.max(*heard) + rest.max(self.patience / LEAST_PART)
    }

    fn give_up(&self, who: &str, begun: Instant) -> Silence {
        let now = Instant::now();
        let state = &mut *lock(&self.state);
        state.count(begun, now);
        let silence = Silence { waited: now.saturating_duration_since(begun) };
        state.silent.insert(who.to_owned(), silence);
        self.found.notify_waiters();
        silence
    }
}

/// Somebody has answered.
pub(crate) fn heard() {
    let _ = ROUND.try_with(|round| lock(&round.state).heard = Instant::now());
}

/// Somebody who was asked at this time was not waited for any longer, and may still answer others.
pub(crate) fn waited_since(begun: Instant) {
    let _ = ROUND.try_with(|round| lock(&round.state).count(begun, Instant::now()));
}

/// Whether somebody was found to be silent in this round.
pub(crate) fn silence(who: &str) -> Option<Silence> {
    ROUND.try_with(|round| round.silence(who)).ok().flatten()
}

/// Waits for an answer of somebody's: for as long as the round's patience lasts, and never longer than
/// `limit`, which alone counts outside of a round.
///
/// # Errors
/// When there is none, or was none before.
pub(crate) fn ask<T>(
    who: &str,
    limit: Option<Duration>,
    question: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Silence>> {
    // On the heap: all kinds are looked at at once, and each holds some questions.
    wait(who, limit, Box::pin(question))
}

async fn wait<T>(
    who: &str,
    limit: Option<Duration>,
    mut question: Pin<Box<impl Future<Output = T>>>,
) -> Result<T, Silence> {
    let Ok(round) = ROUND.try_with(Arc::clone) else {
        let Some(waited) = limit else { return Ok(question.await) };
        return timeout(waited, question).await.map_err(|_| Silence { waited });
    };
    let begun = Instant::now();
    let own = limit.map(|limit| begun + limit);
    loop {
        let found = round.found.notified();
        if let Some(silence) = round.silence(who) {
            return Err(silence);
        }
        let end = round.end(begun);
        let until = own.map_or(end, |own| own.min(end));
        tokio::select! {
            biased;
            answer = &mut question => {
                heard();
                return Ok(answer);
            }
            () = sleep_until(until) => {
                if own.is_some_and(|own| until >= own) {
                    // It may still answer somebody who has more time.
                    waited_since(begun);
                    return Err(Silence { waited: until.saturating_duration_since(begun) });
                }
                if round.end(begun) <= until {
                    return Err(round.give_up(who, begun));
                }
            }
            () = found => {}
        }
    }
}

/// What is known of backups under a configuration that this name stands for; of those who ask in one
/// round, only the first one looks.
pub(crate) async fn backups(
    name: String,
    look: BoxFuture<'static, Result<Option<Info>, HostError>>,
) -> Result<Option<Info>, HostError> {
    let Ok(round) = ROUND.try_with(Arc::clone) else { return look.await };
    let known = lock(&round.backups).get(name, look);
    known.await
}

/// A session that all share who look in one round.
pub(crate) async fn session(
    name: String,
    opening: BoxFuture<'static, Result<Session, Unreachable>>,
) -> Result<Session, Unreachable> {
    let Ok(round) = ROUND.try_with(Arc::clone) else { return opening.await };
    let session = lock(&round.sessions).get(name, opening);
    session.await
}

/// What is told of units; of those who want to know it in one round, only the first one asks. Nothing is kept
/// of a question that was not answered.
pub(crate) async fn units<F>(
    names: &[&str],
    ask: impl FnOnce(Vec<String>) -> F,
) -> Result<Vec<String>, HostError>
where
    F: Future<Output = Result<Vec<String>, HostError>>,
{
    let owned = |names: &mut dyn Iterator<Item = &&str>| -> Vec<String> {
        names.map(|name| (*name).to_owned()).collect()
    };
    let Ok(round) = ROUND.try_with(Arc::clone) else {
        return ask(owned(&mut names.iter())).await;
    };
    let told = &mut *round.units.lock().await;
    told.retain(|_, (at, _)| at.elapsed() < FRESH);
    let missing: BTreeSet<&str> =
        names.iter().copied().filter(|name| !told.contains_key(*name)).collect();
    if !missing.is_empty() {
        let missing = owned(&mut missing.iter());
        let now = Instant::now();
        let answers = ask(missing.clone()).await?;
        told.extend(missing.into_iter().zip(answers.into_iter().map(|text| (now, text))));
    }
    let of = |name: &&str| told.get(*name).map(|(_, text)| text.clone()).unwrap_or_default();
    Ok(names.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::sleep;

    /// Long enough for a machine under load to tell parts of it apart.
    const PATIENCE: Duration = Duration::from_millis(900);

    async fn silent(who: &str) -> Silence {
        ask(who, Some(Duration::from_secs(60)), pending::<()>()).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_silent_costs_one_patience_however_often_it_is_asked_for() {
        let begun = Instant::now();
        Round::new(PATIENCE)
            .within(async {
                let later = async {
                    sleep(PATIENCE / 2).await;
                    silent("PostgreSQL").await
                };
                let (one, other, later) =
                    tokio::join!(silent("PostgreSQL"), silent("Patroni"), later);
                assert!(one.waited >= PATIENCE && other.waited >= PATIENCE);
                assert_eq!(later, one, "it learns it from the first one");
                assert_eq!(silent("PostgreSQL").await, one, "it is not asked again");
                assert!(begun.elapsed() < PATIENCE * 13 / 10, "{:?}", begun.elapsed());
                let third = silent("pgBackRest").await.waited;
                let least = PATIENCE / LEAST_PART;
                assert!(third >= least && third < least * 2, "what is left at least: {third:?}");
                assert_eq!(ask("etcd", None, async { 7 }).await, Ok(7), "others are asked");
            })
            .await;
    }

    #[tokio::test]
    async fn a_slow_machine_on_which_answers_come_is_waited_for() {
        Round::new(PATIENCE)
            .within(async {
                let slow = async {
                    for _ in 0..5 {
                        ask("others", None, sleep(PATIENCE / 2)).await.unwrap();
                    }
                };
                let slowest = ask("the slowest", None, sleep(PATIENCE * 5 / 2));
                let (slowest, ()) = tokio::join!(slowest, slow);
                assert_eq!(slowest, Ok(()));
            })
            .await;
    }

    #[tokio::test]
    async fn a_question_of_little_patience_of_its_own_condemns_nobody() {
        Round::new(PATIENCE)
            .within(async {
                let short = Some(Duration::from_millis(50));
                let silence = ask("PostgreSQL", short, pending::<()>()).await.unwrap_err();
                assert!(silence.waited < PATIENCE);
                assert_eq!(ask("PostgreSQL", None, async { 1 }).await, Ok(1));
            })
            .await;
    }

    #[tokio::test]
    async fn outside_of_a_round_only_the_own_limit_counts() {
        let waited = Duration::from_millis(20);
        for _ in 0..2 {
            let silence = ask("PostgreSQL", Some(waited), pending::<()>()).await.unwrap_err();
            assert_eq!(silence, Silence { waited });
        }
        assert_eq!(ask("PostgreSQL", None, async { 1 }).await, Ok(1));
    }

    #[tokio::test]
    async fn a_unit_is_asked_for_once_while_its_answer_is_fresh() {
        let asked = Mutex::new(Vec::new());
        let look = async |names: &[&str]| {
            let ask = async |names: Vec<String>| {
                lock(&asked).push(names.join(" "));
                // Another one comes meanwhile.
                sleep(Duration::from_millis(20)).await;
                Ok(names.iter().map(|name| format!("Id={name}")).collect())
            };
            units(names, ask).await.unwrap().join(" ")
        };
        let round = Round::new(PATIENCE);
        round
            .clone()
            .within(async {
                let (one, other) = tokio::join!(look(&["b", "a"]), look(&["a", "c", "b", "a"]));
                assert_eq!(one, "Id=b Id=a");
                assert_eq!(other, "Id=a Id=c Id=b Id=a");
                let failing = units(&["d"], async |_| Err(HostError::new("no"))).await;
                assert!(failing.is_err());
                assert_eq!(look(&["d"]).await, "Id=d", "a failure is not kept");
                if let Some((at, _)) = round.units.lock().await.get_mut("a") {
                    *at -= FRESH;
                }
                look(&["a", "b"]).await;
            })
            .await;
        look(&["a", "b"]).await;
        let asked = asked.into_inner().unwrap();
        assert_eq!(asked, ["a b", "c", "d", "a", "a b"], "outside of a round everything is");
    }

    #[tokio::test]
    async fn backups_are_looked_at_once_in_a_round_whoever_gives_up_meanwhile() {
        static LOOKS: AtomicU32 = AtomicU32::new(0);
        let look = || {
            let act = async {
                LOOKS.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(200)).await;
                Ok(None)
            };
            backups("pg-test".to_owned(), act.boxed())
        };
        Round::new(PATIENCE)
            .within(async {
                assert!(timeout(Duration::from_millis(20), look()).await.is_err());
                let (one, other) = tokio::join!(look(), look());
                assert!(one.unwrap().is_none() && other.unwrap().is_none());
            })
            .await;
        assert_eq!(LOOKS.load(Ordering::Relaxed), 1);
    }
}
