//! Many machines at once: transports, the agent conversation, and the execution of a Plan.
