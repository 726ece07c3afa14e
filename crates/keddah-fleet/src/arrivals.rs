//! When the last login succeeded: a controller that is slow, and gets on, gives nobody up.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use crate::session::lock;

/// Logins of one controller that have come to their end.
#[derive(Debug, Clone)]
pub struct Arrivals {
    last: Arc<Mutex<Instant>>,
    /// Whether others that arrive give more time.
    extend: bool,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { last: Arc::new(Mutex::new(Instant::now())), extend: true }
    }
}

impl Arrivals {
    /// For whoever must have answered within a time, however many arrive.
    pub fn within_a_fixed_time() -> Self {
        Self { extend: false, ..Self::default() }
    }

    /// Nodes begin to be reached.
    pub(crate) fn begin(&self) {
        *lock(&self.last) = Instant::now();
    }

    /// A node has been reached.
    pub(crate) fn note(&self) {
        if self.extend {
            self.begin();
        }
    }

    /// The last of them.
    fn last(&self) -> Instant {
        *lock(&self.last)
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
        let fixed = Arrivals::within_a_fixed_time();
        fixed.begin();
        sleep(limit).await;
        fixed.note();
        let begun = Instant::now();
        assert_eq!(fixed.within(limit, pending::<()>()).await, None);
        assert!(begun.elapsed() < limit, "nobody gets more time");
    }
}
