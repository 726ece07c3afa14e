//! The timings behind `pg_rto`: how fast Patroni and the load balancers notice a dead primary.

use crate::registry;
use crate::{Params, Value, parameters};

/// Timings of failure detection. Seconds are Patroni's, the three intervals HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtoPlan {
    /// Seconds the leader's lease lasts.
    pub ttl: i64,
    /// Seconds between two rounds of Patroni.
    pub loop_wait: i64,
    /// Seconds Patroni keeps trying to reach etcd or PostgreSQL before it gives up.
    pub retry_timeout: i64,
    /// Seconds a crashed primary may take to start again before another one takes over.
    pub primary_start_timeout: i64,
    /// Seconds before the lease's end at which a watchdog fires.
    pub safety_margin: i64,
    /// Time between two health checks of a server.
    pub inter: String,
    /// The same while its state is changing.
    pub fastinter: String,
    /// The same while it is down.
    pub downinter: String,
    /// Good checks until a server is up.
    pub rise: i64,
    /// Bad checks until a server is down.
    pub fall: i64,
}

/// Name, lease, loop, retry, start, margin; check intervals; rise and fall.
type Row = (&'static str, [i64; 5], [&'static str; 3], [i64; 2]);

/// The documents' four plans.
const PLANS: [Row; 4] = [
    ("fast", [20, 5, 5, 15, 5], ["1s", "0.5s", "1s"], [3, 3]),
    ("norm", [30, 5, 10, 25, 5], ["2s", "1s", "2s"], [3, 3]),
    ("safe", [60, 10, 20, 45, 10], ["3s", "1.5s", "3s"], [3, 3]),
    ("wide", [120, 20, 30, 95, 15], ["4s", "2s", "4s"], [3, 3]),
];

impl RtoPlan {
    /// The plan that `pg_rto` asks for: by name, looked up in `pg_rto_plan` first, or by the lease
    /// in seconds, from which older releases derive the rest.
    pub fn of(params: &Params<'_>) -> Self {
        let word = params.get(parameters::PG_RTO);
        if let Ok(ttl) = word.parse::<i64>() {
            return Self::from_ttl(ttl);
        }
        let own = params.get(parameters::PG_RTO_PLAN);
        own.get(word.as_str())
            .and_then(Self::from_row)
            .or_else(|| Self::named(&word))
            .unwrap_or_else(|| Self::from_ttl(30))
    }

    fn named(name: &str) -> Option<Self> {
        let (_, seconds, intervals, counts) = PLANS.iter().find(|(plan, ..)| *plan == name)?;
        let [ttl, loop_wait, retry_timeout, primary_start_timeout, safety_margin] = *seconds;
        let [inter, fastinter, downinter] = intervals.map(str::to_owned);
        let [rise, fall] = *counts;
        Some(Self {
            ttl,
            loop_wait,
            retry_timeout,
            primary_start_timeout,
            safety_margin,
            inter,
            fastinter,
            downinter,
            rise,
            fall,
        })
    }

    /// A third of the lease for loop, retry and start, rounded up; the load balancers keep the
    /// timings of older releases.
    fn from_ttl(ttl: i64) -> Self {
        // Patroni refuses a loop below 1, a retry below 3 and a lease below 20 seconds, and wants
        // the lease to cover a loop and two retries.
        let ttl = ttl.clamp(20, 86_400);
        let third = ttl / 3 + i64::from(ttl % 3 > 0);
        Self {
            ttl,
            loop_wait: ttl - 2 * third,
            retry_timeout: third,
            primary_start_timeout: third,
            safety_margin: 5,
            inter: "3s".into(),
            fastinter: "1s".into(),
            downinter: "5s".into(),
            rise: 3,
            fall: 3,
        }
    }

    pub(crate) fn from_row(row: &Value) -> Option<Self> {
        let items = row.as_list()?;
        let number = |index: usize| items.get(index).and_then(registry::as_integer);
        let text = |index: usize| items.get(index).and_then(registry::scalar_text);
        Some(Self {
            ttl: number(0)?,
            loop_wait: number(1)?,
            retry_timeout: number(2)?,
            primary_start_timeout: number(3)?,
            safety_margin: number(4)?,
            inter: text(5)?,
            fastinter: text(6)?,
            downinter: text(7)?,
            rise: number(8)?,
            fall: number(9)?,
        })
    }
}
