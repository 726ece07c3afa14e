//! How long a node is waited for. No wait of the controller's is without one of these limits.

use std::time::Duration;

/// How long a plan waits for what is silent, on a node or on the way to it: a login, an agent, a server, a
/// store. What takes longer is a finding.
pub const LOOKING: Duration = Duration::from_secs(3);

/// The part of such a time that a node has for its own questions, so that it says who was silent before
/// it is given up itself.
pub fn nodes_part(patience: Duration) -> Duration {
    patience.mul_f64(0.75)
}

/// How long each step of reaching a node, and of talking to it, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A login and the start of an agent, with the second attempt where a shared connection leads
    /// nowhere: a chain of jump hosts, a slow directory service, and a machine under load together
    /// take some seconds.
    pub opening: Duration,
    /// While the agent is copied: until the next part of it is taken, and until it is in its place.
    /// A slow line takes long, and is no fault.
    pub copying: Duration,
    /// Until a process ends that has said all it had to say.
    pub ending: Duration,
    /// Until whoever only looks waits no longer for what is silent, counted from the last answer of
    /// anybody: nobody who is looked at costs more than this.
    pub looking: Duration,
    /// A question to which the answer lies on the node: an overloaded one takes long, and a frozen
    /// one for ever.
    pub answer: Duration,
    /// How often an agent that takes long is asked whether it still answers. What it does is bounded
    /// on its node; that it does anything is not.
    pub pulse: Duration,
}

impl Limits {
    /// Those of whoever looks, and changes what he has seen: what is silent is given up after `patience`,
    /// and what is changed gets its time.
    pub fn looking(patience: Duration) -> Self {
        Self { opening: patience, looking: patience, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(60),
            copying: Duration::from_secs(60),
            ending: Duration::from_secs(10),
            looking: LOOKING,
            answer: Duration::from_secs(300),
            pulse: Duration::from_secs(30),
        }
    }
}
