//! A plan that was written to a file, reviewed, and comes back to be applied.

use crate::commands::cert::write_private;
use crate::error::CommandError;
use crate::steps::{SelectionArgs, Signer};
use keddah_plan::Plan;
use keddah_resource::FieldChange;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Counts changes of the file's form.
const FORMAT: u32 = 1;

/// The file of `plan -o`. Holds no secret, but the shape of a fleet, so only its owner reads it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reviewed {
    format: u32,
    /// What was selected; apply selects the same.
    pub selection: SelectionArgs,
    digest: String,
    /// The plan that was reviewed.
    pub plan: Plan,
}

impl Reviewed {
    /// A plan to be written down.
    pub fn new(plan: &Plan, selection: &SelectionArgs, signer: &Signer) -> Self {
        Self {
            format: FORMAT,
            selection: selection.clone(),
            digest: digest(plan, signer),
            plan: plan.clone(),
        }
    }

    /// Writes it for its owner alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| CommandError::internal("cannot write a plan").caused_by(&error))?;
        write_private(path, &text)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// When the file is not one of ours.
    pub fn read(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CommandError::user(format!("cannot read {}", path.display())).caused_by(&error)
        })?;
        let reviewed: Self = serde_json::from_str(&text).map_err(|error| {
            CommandError::user(format!("{} is not a plan of `keddah plan -o`", path.display()))
                .caused_by(&error)
        })?;
        if reviewed.format != FORMAT {
            return Err(CommandError::user(format!(
                "{} was written by another version of keddah",
                path.display()
            ))
            .hint("plan again"));
        }
        Ok(reviewed)
    }

    /// Whether a new plan says the same.
    pub fn agrees(&self, plan: &Plan, signer: &Signer) -> bool {
        self.digest == digest(plan, signer)
    }
}

/// An authority that is not written down yet is another one on every run; that one is made was
/// reviewed, not its random key.
fn digest(plan: &Plan, signer: &Signer) -> String {
    if signer.authority.fresh_key().is_none() {
        return plan.digest();
    }
    let mut plan = plan.clone();
    let pem = signer.authority.certificate_pem();
    for change in &mut plan.changes {
        for field in &mut change.difference.fields {
            if let FieldChange::Text { after, .. } = field {
                *after = after.replace(pem, "(the new authority)");
            }
        }
    }
    plan.digest()
}
