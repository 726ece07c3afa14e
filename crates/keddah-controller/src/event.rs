//! What happens on the way, told to whoever drives the trip.

use crate::{Context, Read};
use keddah_core::Diagnostic;
use keddah_plan::Plan;

/// Something that happened.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    /// An error of the inventory keeps from looking at a part of it; the trip goes on with the rest.
    Unread {
        /// The file.
        read: &'a Read,
        /// The error.
        problem: &'a Diagnostic,
    },
    /// The inventory means something else than whoever wrote it may think, or opens something.
    Doubtful {
        /// The file.
        read: &'a Read,
        /// The warning.
        problem: &'a Diagnostic,
    },
    /// How many warnings there are of which none was told by itself.
    OtherWarnings {
        /// Their number.
        count: usize,
        /// Whether others were told before.
        more: bool,
    },
    /// Something that takes a moment has begun. One at a time.
    Began(Work),
    /// It has ended, well or not.
    Ended(Work),
    /// A plan begins to be carried out.
    Executing(&'a Plan),
    /// How carrying it out goes.
    Execution(&'a keddah_plan::Event),
    /// Carrying it out has ended, well or not.
    Executed,
}

/// Something that takes a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nodes are reached and asked what they are and how they do.
    Reaching {
        /// How many, this machine as the controller left out.
        nodes: usize,
    },
    /// Nodes are asked once more what they are.
    AskingFacts,
}

/// Tells that work has begun, and, however it ends, that it has.
pub(crate) struct Working<'a> {
    context: &'a Context,
    work: Work,
}

impl<'a> Working<'a> {
    pub(crate) fn on(context: &'a Context, work: Work) -> Self {
        context.tell(&Event::Began(work));
        Self { context, work }
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.context.tell(&Event::Ended(self.work));
    }
}
