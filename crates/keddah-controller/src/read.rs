//! Load and check: from the inventory's file to an inventory that may be acted upon.

use crate::steps::templates;
use crate::{CommandError, Context, Error, Event};
use keddah_core::{Diagnostic, Severity, SourceMap};
use keddah_inventory::Inventory;
use keddah_plan::health::FINDINGS;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Names that are looked for when none is given.
const USUAL_NAMES: [&str; 2] = ["keddah.yml", "pigsty.yml"];

/// What came of reading an inventory's file.
#[derive(Debug, Default)]
pub struct Read {
    /// The file as it was named.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub digest: String,
    /// The file's text, for messages.
    pub sources: SourceMap,
    /// The inventory, unless the file makes no sense at all.
    pub inventory: Option<Inventory>,
    /// All problems.
    pub diagnostics: Vec<Diagnostic>,
}

fn path(context: &Context) -> Result<PathBuf, CommandError> {
    if let Some(path) = &context.inventory {
        return Ok(path.clone());
    }
    let usual = USUAL_NAMES.iter().map(PathBuf::from).find(|path| path.exists());
    usual.ok_or_else(|| {
        CommandError::user("there is no inventory here")
            .hint(format!("name it with -i FILE, or call it {}", USUAL_NAMES[0]))
    })
}

/// The directory that files/ and templates/ are looked for in: the inventory's own.
///
/// # Errors
/// When there is no inventory.
pub fn base_directory(context: &Context) -> Result<PathBuf, CommandError> {
    Ok(path(context)?.parent().map(Path::to_owned).unwrap_or_default())
}

/// SHA-256 in hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads and checks; problems are values.
///
/// # Errors
/// When the file cannot be read.
pub fn read(context: &Context) -> Result<Read, CommandError> {
    let path = path(context)?;
    let bytes = std::fs::read(&path).map_err(|error| {
        let unreadable =
            CommandError::user(format!("cannot read the inventory {}", path.display()))
                .caused_by(&error);
        match error.kind() {
            std::io::ErrorKind::IsADirectory => {
                unreadable.hint("name the file in it: an inventory of Keddah is one file")
            }
            _ => unreadable,
        }
    })?;
    let mut sources = SourceMap::default();
    let name = path.display().to_string();
    let (inventory, mut diagnostics) = keddah_inventory::load(&mut sources, &name, &bytes);
    let broken = diagnostics.iter().any(|one| one.severity == Severity::Error);
    if let (Some(inventory), false) = (&inventory, broken) {
        diagnostics.extend(keddah_inventory::check(&sources, inventory));
        diagnostics.extend(keddah_compile::check_templates(inventory, &templates(context)?));
        let findings: Vec<&str> = FINDINGS.iter().map(|(name, ..)| *name).collect();
        diagnostics.extend(keddah_compile::check_accepted(inventory, &findings));
    }
    let digest = digest_of(&bytes);
    Ok(Read { path, digest, sources, inventory, diagnostics })
}

/// Warnings that every command shows, and does not merely count: what would be opened, and where an
/// inventory means something else than whoever wrote it thinks, such as a host that stands twice, or a
/// part of it that is skipped: what is not read is not looked at either.
const TOLD: &[&str] = &[
    "empty-group",
    "group-not-mapping",
    "group-unexpected-key",
    "host-forgotten",
    "host-named-as-group",
    "host-range",
    "public-password",
    "unknown-finding",
    "yaml-duplicate-key",
    "yaml-merge-readings",
];

/// Tells, one by one, what keeps the inventory from saying what is there: its errors, and what is
/// skipped in it. For a command that goes on all the same; returns how many errors there are.
pub fn tell_what_is_missing(context: &Context, read: &Read) -> usize {
    let mut errors = 0;
    for problem in &read.diagnostics {
        match problem.severity {
            Severity::Error => {
                errors += 1;
                context.tell(&Event::Unread { read, problem });
            }
            Severity::Warning
                if TOLD.contains(&problem.code) && problem.code != "public-password" =>
            {
                context.tell(&Event::Doubtful { read, problem });
            }
            Severity::Warning => {}
        }
    }
    errors
}

/// Loads and checks; errors end the trip, warnings are told only.
///
/// # Errors
/// When the file cannot be read, or something in it is wrong.
pub fn checked(context: &Context) -> Result<(Read, Inventory), Error> {
    let mut read = read(context)?;
    let failed = read.diagnostics.iter().any(|one| one.severity == Severity::Error);
    match read.inventory.take() {
        Some(inventory) if !failed => {
            let (told, others): (Vec<_>, Vec<_>) =
                read.diagnostics.iter().partition(|one| TOLD.contains(&one.code));
            for problem in &told {
                context.tell(&Event::Doubtful { read: &read, problem });
            }
            let count = others.len();
            if count > 0 {
                context.tell(&Event::OtherWarnings { count, more: !told.is_empty() });
            }
            Ok((read, inventory))
        }
        inventory => {
            read.inventory = inventory;
            Err(Error::problems(read))
        }
    }
}
