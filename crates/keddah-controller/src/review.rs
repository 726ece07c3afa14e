//! A plan that was written to a file, reviewed, and comes back to be applied.

use crate::private::write_private;
use crate::steps::{Choice, Read, Signer, digest_of};
use crate::{CommandError, Context};
use keddah_fleet::quote;
use keddah_plan::Plan;
use keddah_resource::FieldChange;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use std::path::{Path, PathBuf};

/// Counts changes of the file's form.
const FORMAT: u64 = 2;

/// The file of `plan -o`. Holds no secret, but the shape of a fleet, so only its owner reads it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reviewed {
    /// Tells this file from any other JSON, and its form from other versions' forms.
    keddah_plan: u64,
    /// The inventory it was made of.
    inventory: InventoryFile,
    /// What was selected; apply selects the same.
    pub selection: Choice,
    digest: String,
    /// The plan that was reviewed.
    pub plan: Plan,
}

/// Which inventory a plan was made of.
#[derive(Debug, Serialize, Deserialize)]
struct InventoryFile {
    /// Where it was, without links and relative parts.
    path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal digits.
    digest: String,
}

impl Reviewed {
    /// A plan to be written down.
    ///
    /// # Errors
    /// When the inventory's place cannot be named.
    pub fn new(
        plan: &Plan,
        selection: &Choice,
        read: &Read,
        signer: &Signer,
    ) -> Result<Self, CommandError> {
        let path = std::fs::canonicalize(&read.path).map_err(|error| {
            CommandError::system(format!("cannot find {}", read.path.display())).caused_by(&error)
        })?;
        Ok(Self {
            keddah_plan: FORMAT,
            inventory: InventoryFile { path, digest: read.digest.clone() },
            selection: selection.clone(),
            digest: digest(plan, signer),
            plan: plan.clone(),
        })
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
        let name = path.display();
        let bytes = std::fs::read(path).map_err(|error| {
            CommandError::user(format!("cannot read the plan {name}")).caused_by(&error)
        })?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| {
            let ours =
                bytes.starts_with(b"{") && bytes.windows(13).any(|at| at == b"\"keddah_plan\"");
            if ours && error.classify() == Category::Eof {
                CommandError::user(format!("{name} is only the beginning of a plan"))
                    .hint(format!("it was cut off when it was written or copied; {AGAIN}"))
            } else {
                not_a_plan(path, &bytes)
            }
        })?;
        match value.get("keddah_plan").and_then(serde_json::Value::as_u64) {
            Some(FORMAT) => {}
            Some(_) => return Err(of_another_version(path)),
            None if value.get("format").is_some() && value.get("plan").is_some() => {
                return Err(of_another_version(path));
            }
            None => return Err(not_a_plan(path, &bytes)),
        }
        serde_json::from_value(value).map_err(|error| {
            CommandError::user(format!("{name} is a plan that was changed by hand or damaged"))
                .caused_by(&error)
                .hint(AGAIN)
        })
    }

    /// The same context with the inventory that the plan was made of, unless one is named.
    ///
    /// # Errors
    /// When the inventory is not there any more, or says something else than when it was reviewed.
    pub fn context(&self, context: &Context) -> Result<Context, CommandError> {
        let mut context = context.clone();
        let InventoryFile { path: reviewed, digest } = &self.inventory;
        let path = context.inventory.get_or_insert_with(|| reviewed.clone()).clone();
        let bytes = std::fs::read(&path).map_err(|error| {
            CommandError::user(format!("cannot read the plan's inventory {}", path.display()))
                .caused_by(&error)
                .hint("if it has moved, say where it is: keddah apply -i FILE PLANFILE")
        })?;
        if digest_of(&bytes) != *digest {
            let message = if path == *reviewed {
                format!("{} is not as it was when the plan was made", path.display())
            } else {
                format!(
                    "{} does not say what the plan's inventory, {}, said",
                    path.display(),
                    reviewed.display()
                )
            };
            return Err(CommandError::user(message)
                .hint(format!("{AGAIN}, review, and apply the new plan")));
        }
        Ok(context)
    }

    /// Whether a new plan says the same.
    pub fn agrees(&self, plan: &Plan, signer: &Signer) -> bool {
        self.digest == digest(plan, signer)
    }
}

const AGAIN: &str = "plan again: keddah plan -o PLANFILE";

fn of_another_version(path: &Path) -> CommandError {
    CommandError::user(format!("{} was written by another version of keddah", path.display()))
        .hint(AGAIN)
}

/// Says what the file looks like instead, for what it is tells what was meant.
fn not_a_plan(path: &Path, bytes: &[u8]) -> CommandError {
    let name = quote(&path.display().to_string());
    let error =
        |what: &str| CommandError::user(format!("{} is not a plan, but {what}", path.display()));
    let write = "a plan is written with: keddah plan -o PLANFILE";
    let is_json = serde_json::from_slice::<serde_json::Value>(bytes);
    match (is_json, std::str::from_utf8(bytes)) {
        (Ok(value), _) if value.get("digest").is_some() && value.get("plan").is_some() => {
            error("the output of `keddah plan --json`").hint(write)
        }
        (Ok(_), _) => error("some other JSON").hint(write),
        (_, Err(_)) => error("a binary file").hint(write),
        (_, Ok(text)) if text.trim().is_empty() => error("empty").hint(write),
        (_, Ok(_)) => error("some other text")
            .hint(format!("if it is an inventory, name it with -i: keddah apply -i {name}"))
            .hint(write),
    }
}

/// An authority that is not written down yet is another one on every run; that one is made was
/// reviewed, not its random key.
fn digest(plan: &Plan, signer: &Signer) -> String {
    let mut plan = plan.clone();
    for authority in signer.authorities.iter().filter(|one| one.is_fresh()) {
        let pem = authority.certificate_pem();
        for change in &mut plan.changes {
            for field in &mut change.difference.fields {
                if let FieldChange::Text { after, .. } = field {
                    *after = after.replace(pem, "(the new authority)");
                }
            }
        }
    }
    plan.digest()
}
