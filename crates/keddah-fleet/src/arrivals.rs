//! When the last login succeeded: a controller that is slow, and gets on, gives nobody up.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use crate::session::lock;

/// Logins of one controller that have come to their end.
#[derive(Debug, Clone)]
pub struct Arrivals(Arc<Mutex<Instant>>);

impl Default for Arrivals {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Arrivals {
    /// A node has been reached, or they begin to be.
    pub(crate) fn note(&self) {
        *lock(&self.0) = Instant::now();
    }

    /// The last of them.
    pub(crate) fn last(&self) -> Instant {
        *lock(&self.0)
    }

    /// Waits for something until nobody has arrived for so long; `None` where it did not come.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        something: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(something);
        loop {
            let until = self.last() + limit;
            tokio::select! {
                biased;
                come = &mut something => return Some(come),
                () = sleep_until(until) => {
                    if self.last() + limit <= until {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::sleep;

    #[tokio::test]
    async fn who_hangs_costs_the_limit_after_the_last_of_the_others() {
        let limit = Duration::from_millis(600);
        let arrivals = Arrivals::default();
        let begun = Instant::now();
        let others = async {
            for _ in 0..4 {
                sleep(limit / 2).await;
                arrivals.note();
            }
        };
        let (hangs, ()) = tokio::join!(arrivals.within(limit, pending::<()>()), others);
        assert_eq!(hangs, None);
        assert!(begun.elapsed() >= limit * 3, "{:?}", begun.elapsed());
    }
}
