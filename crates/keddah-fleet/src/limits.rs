//! How long a node is waited for. No wait of the controller's is without one of these limits.

use std::time::Duration;

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
    /// A question to which the answer lies on the node: an overloaded one takes long, and a frozen
    /// one for ever.
    pub answer: Duration,
    /// How often an agent that takes long is asked whether it still answers. What it does is bounded
    /// on its node; that it does anything is not.
    pub pulse: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(60),
            copying: Duration::from_secs(60),
            ending: Duration::from_secs(10),
            answer: Duration::from_secs(300),
            pulse: Duration::from_secs(30),
        }
    }
}
