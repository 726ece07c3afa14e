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

/// Who may ask at a time. What takes longer than a turn goes on beside the next.
#[derive(Debug)]
pub(super) struct Turns {
    places: Semaphore,
    turn: Duration,
}

impl Turns {
    /// Two questions for each processor at a time; on a node of a sandbox one, for its processors are those of
    /// its neighbours, too.
    pub fn of_this_machine(sandbox: bool) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(if sandbox { cores } else { 2 * cores }, TURN)
    }

    fn new(count: usize, turn: Duration) -> Self {
        Self { places: Semaphore::new(count), turn }
    }

    /// Asks all, in their order, and answers in it. What is to be asked by a later call waits behind these.
    pub async fn all<T>(
        &self,
        questions: impl IntoIterator<Item = impl Future<Output = T>>,
    ) -> Vec<T> {
        let asked = questions.into_iter().map(|question| async {
            let place = self.places.acquire().await;
            let mut question = pin!(question);
            tokio::select! {
                biased;
                answer = &mut question => return answer,
                () = sleep(self.turn) => drop(place),
            }
            question.await
        });
        join_all(asked).await
    }
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
        let answers = Turns::new(3, TURN).all((0..10).map(question)).await;
        assert_eq!(answers, (0..10).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }

    #[tokio::test]
    async fn what_is_asked_for_first_comes_first() {
        let (turns, order) = (Turns::new(2, TURN), Cell::new(0));
        let question = async |()| {
            let place = order.get();
            order.set(place + 1);
            sleep(Duration::from_millis(2)).await;
            place
        };
        let first = turns.all([(); 6].map(question));
        let second = turns.all([(); 3].map(question));
        let (first, second) = tokio::join!(first, second);
        assert!(first.iter().max() < second.iter().min(), "{first:?} {second:?}");
    }

    #[tokio::test]
    async fn what_hangs_holds_up_nobody_for_long() {
        let begun = Instant::now();
        let (turn, hang) = (Duration::from_millis(20), Duration::from_secs(2));
        let question = async |at: u32| {
            sleep(if at < 4 { hang } else { Duration::ZERO }).await;
            begun.elapsed()
        };
        let answers = Turns::new(2, turn).all((0..6).map(question)).await;
        assert!(answers[5] < Duration::from_secs(1), "{answers:?}");
        assert!(answers[0] >= hang);
    }
}
