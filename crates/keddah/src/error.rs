//! Errors as the user meets them: what kind, what happened, why, and what to do.

use std::error::Error;
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

/// Why a command ends with exit code 1.
#[derive(Debug)]
pub struct CommandError {
    /// Who has to act.
    pub kind: Kind,
    /// What happened; empty when everything was said already.
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

    /// The problems were shown already; only the exit code is left.
    pub fn shown() -> Self {
        Self::new(Kind::User, "")
    }

    /// Adds the causes of an error, the error itself included.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
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

impl From<keddah_sandbox::Error> for CommandError {
    fn from(error: keddah_sandbox::Error) -> Self {
        let mut message = Self::system(error.to_string());
        if let Some(cause) = error.source() {
            message = message.caused_by(cause);
        }
        message
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

impl From<keddah_fleet::ExecuteError> for CommandError {
    fn from(error: keddah_fleet::ExecuteError) -> Self {
        match &error {
            keddah_fleet::ExecuteError::Locked(_) => {
                Self::system(error.to_string()).hint("wait for them to finish, then apply again")
            }
            keddah_fleet::ExecuteError::UnknownChange(_) => Self::internal(error.to_string()),
        }
    }
}
