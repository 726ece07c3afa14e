//! Questions to many instances of one machine: a few at a time, and none held up by one that hangs.

use futures_util::future::join_all;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How long a question keeps the others waiting: whoever answers has done so by then, and what hangs does no
/// work.
const TURN: Duration = Duration::from_millis(300);

/// Asks all, two for each processor at a time, and answers in their order. What takes longer than a turn goes
/// on beside the next.
pub(super) async fn in_turn<T>(
    questions: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    a_few(2 * cores, TURN, questions).await
}

async fn a_few<T>(
    count: usize,
    turn: Duration,
    questions: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let turns = Semaphore::new(count);
    let asked = questions.into_iter().map(|question| async {
        let place = turns.acquire().await;
        let mut question = pin!(question);
        tokio::select! {
            biased;
            answer = &mut question => return answer,
            () = sleep(turn) => drop(place),
        }
        question.await
    });
    join_all(asked).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_few_are_asked_at_a_time() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let question = async |at: u32| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            sleep(Duration::from_millis(10)).await;
            now.set(now.get() - 1);
            at
        };
        let answers = a_few(3, TURN, (0..10).map(question)).await;
        assert_eq!(answers, (0..10).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }

    #[tokio::test]
    async fn what_hangs_holds_up_nobody_for_long() {
        let begun = Instant::now();
        let (turn, hang) = (Duration::from_millis(20), Duration::from_secs(2));
        let question = async |at: u32| {
            sleep(if at < 4 { hang } else { Duration::ZERO }).await;
            begun.elapsed()
        };
        let answers = a_few(2, turn, (0..6).map(question)).await;
        assert!(answers[5] < Duration::from_secs(1), "{answers:?}");
        assert!(answers[0] >= hang);
    }
}
