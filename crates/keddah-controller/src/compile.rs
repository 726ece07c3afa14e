//! Compile: from an inventory and facts to what should be, with the files that the user brings.

use crate::steps::{Read, Signer, base_directory};
use crate::{CommandError, Context, Error};
use keddah_compile::{Compiled, Input, Removing, Templates};
use keddah_core::{Diagnostic, NodeName};
use keddah_inventory::{Inventory, Params, parameters};
use keddah_resource::NodeFacts;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Compiles; what is in `removing` is taken away.
///
/// # Errors
/// When the inventory asks for something these nodes cannot be.
pub fn compile(
    context: &Context,
    read: &mut Read,
    inventory: &Inventory,
    facts: &BTreeMap<NodeName, NodeFacts>,
    signer: &Signer,
    removing: &Removing,
) -> Result<Compiled, Error> {
    attempt(context, inventory, facts, signer, removing)?
        .map_err(|problems| Error::refused(read, problems))
}

/// The same, where a refusal is an answer to go on with.
///
/// # Errors
/// When a file that the user brings cannot be read.
pub fn attempt(
    context: &Context,
    inventory: &Inventory,
    facts: &BTreeMap<NodeName, NodeFacts>,
    signer: &Signer,
    removing: &Removing,
) -> Result<Result<Compiled, Vec<Diagnostic>>, CommandError> {
    let base = base_directory(context)?;
    let templates = templates(context)?;
    let input = Input {
        inventory,
        facts,
        authorities: &signer.known,
        templates: &templates,
        baselines: &baselines(&base.join("files"), inventory)?,
        public_keys: &context.environment.public_keys,
        today: context.environment.now().div_euclid(86_400),
        controller_user: context.environment.user.clone(),
        controller_group: context.environment.group.clone(),
        removing,
    };
    Ok(keddah_compile::compile(&input))
}

/// Our templates, and the user's in place of ours.
///
/// # Errors
/// When one of the user's cannot be read, or is no template.
pub fn templates(context: &Context) -> Result<Templates, CommandError> {
    Templates::new(&overrides(&base_directory(context)?.join("templates"))?)
        .map_err(|error| CommandError::user("a template is wrong").caused_by(&error))
}

/// The user's templates by their path below `templates/`.
fn overrides(directory: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&next, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&next, &error))?;
            let path = entry.path();
            // A link is followed as a file, never as a directory: no loops.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else if let Ok(name) = path.strip_prefix(directory) {
                let text =
                    std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
                found.insert(name.display().to_string(), text);
            }
        }
    }
    Ok(found)
}

/// The SQL files that databases name; one that is missing is the compiler's to report.
fn baselines(
    directory: &Path,
    inventory: &Inventory,
) -> Result<BTreeMap<String, String>, CommandError> {
    let mut names = BTreeSet::new();
    for host in inventory.hosts() {
        for instance in Params::instances(inventory, &host.name) {
            for database in instance.get(parameters::PG_DATABASES) {
                let name = database.get("baseline").and_then(|name| name.as_str());
                names.extend(name.map(str::to_owned));
            }
        }
    }
    let mut found = BTreeMap::new();
    for name in names {
        let path = directory.join(&name);
        match std::fs::read_to_string(&path) {
            Ok(text) => found.insert(name, text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path, &error)),
        };
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::user(format!("cannot read {}", path.display())).caused_by(error)
}
