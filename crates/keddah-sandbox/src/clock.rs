//! Waiting with an end: the only place of this crate that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// The machine's time, in seconds since 1970; for people to read, never to wait by.
#[expect(clippy::disallowed_methods, reason = "a fault's end is told as a time of day")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment after which waiting is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    began: Instant,
    limit: Duration,
}

impl Deadline {
    /// A deadline that many seconds from now.
    #[expect(clippy::disallowed_methods, reason = "waiting for a real machine needs a real clock")]
    pub(crate) fn in_seconds(seconds: u64) -> Self {
        Self { began: Instant::now(), limit: Duration::from_secs(seconds) }
    }

    /// The time since the deadline was set.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// True when the time is over.
    pub(crate) fn passed(&self) -> bool {
        self.elapsed() >= self.limit
    }

    /// Asks again and again until there is an answer; `log` gives the lines that explain a failure.
    ///
    /// # Errors
    /// What `ask` returns, or [`Error::TimedOut`].
    pub(crate) fn poll<T>(
        &self,
        what: &str,
        pause: Duration,
        log: &dyn Fn() -> String,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if self.passed() {
                return Err(Error::TimedOut { what: what.into(), waited: self.limit, log: log() });
            }
            std::thread::sleep(pause);
        }
    }
}
