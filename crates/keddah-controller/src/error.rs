//! Errors: what kind, what happened, why, and what to do.

use crate::Read;
use keddah_core::Diagnostic;
use keddah_fleet::ExecuteError;
use keddah_plan::Plan;
use std::error::Error as Caused;
use std::fmt::Display;

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The user's input is wrong, or the answer is no.
    User,
    /// A machine, a file or a network does not play along.
    System,
    /// A defect in Keddah.
    Internal,
}

/// Why a trip has ended before its end.
#[derive(Debug)]
pub enum Error {
    /// The inventory is wrong, or cannot be for these nodes: the problems, with the lines they are in.
    Problems(Box<Read>),
    /// The machines or the inventory are no longer as they were when the plan was reviewed.
    NotAsReviewed {
        /// What was reviewed.
        reviewed: Box<Plan>,
        /// What would be done now.
        now: Box<Plan>,
    },
    /// The answer was no.
    NotApproved,
    /// Carrying out was not begun, as where somebody else holds a node.
    NotBegun(ExecuteError),
    /// Anything else, as a person reads it.
    Other(CommandError),
}

impl Error {
    /// The problems of a file.
    pub fn problems(read: Read) -> Self {
        Self::Problems(Box::new(read))
    }

    /// What compiling found in a file; the trip ends with it.
    pub(crate) fn refused(read: &mut Read, problems: Vec<Diagnostic>) -> Self {
        Self::problems(Read { diagnostics: problems, ..std::mem::take(read) })
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        Self::Other(error)
    }
}

impl From<keddah_plan::PlanError> for Error {
    fn from(error: keddah_plan::PlanError) -> Self {
        Self::Other(error.into())
    }
}

impl From<ExecuteError> for Error {
    fn from(error: ExecuteError) -> Self {
        Self::NotBegun(error)
    }
}

/// What a person is told: whoever gave the command that ends with it.
#[derive(Debug)]
pub struct CommandError {
    /// Who has to act.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// Why, each the cause of the one before.
    pub causes: Vec<String>,
    /// Lines of a log that say more.
    pub log: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

impl CommandError {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, causes: Vec::new(), log: Vec::new(), hints: Vec::new() }
    }

    /// Something the user has to mend.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// Something around us does not play along.
    pub fn system(message: impl Into<String>) -> Self {
        Self::new(Kind::System, message)
    }

    /// A defect in Keddah.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds the causes of an error, the error itself included.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Caused) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }
}

impl From<keddah_fleet::pki::PkiError> for CommandError {
    fn from(error: keddah_fleet::pki::PkiError) -> Self {
        let mut message = Self::user(error.to_string());
        if let Some(cause) = error.source() {
            message = message.caused_by(cause);
        }
        message.hints.extend(error.hint());
        message
    }
}

impl From<keddah_plan::PlanError> for CommandError {
    fn from(error: keddah_plan::PlanError) -> Self {
        Self::internal("this inventory cannot be ordered").caused_by(&error)
    }
}

impl From<ExecuteError> for CommandError {
    fn from(error: ExecuteError) -> Self {
        match &error {
            ExecuteError::Locked(_) => {
                Self::system(error.to_string()).hint("wait for them to finish, then apply again")
            }
            ExecuteError::UnknownChange(_) => Self::internal(error.to_string()),
        }
    }
}
