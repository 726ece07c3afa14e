//! The certificate authority: the one under files/pki/ca, or a new one that apply writes there.

use crate::cli::Context;
use crate::error::CommandError;
use crate::steps::base_directory;
use keddah_compile::{Authority as Known, CA_PATH};
use keddah_fleet::pki::Authority;
use keddah_inventory::{Inventory, Params};
use keddah_plan::Outcome;
use keddah_resource::{Observed, ResourceId};
use std::collections::BTreeMap;
use std::path::Path;

/// Where the CA is, beside the inventory.
pub const CA_DIRECTORY: &str = "files/pki/ca";

/// Days a new CA is valid: a hundred years. It ends with the fleet, not before; replacing it means
/// restarting everything at once.
const CA_DAYS: u32 = 36_500;

/// Who signs, and what the compiler knows of it.
pub struct Signer {
    /// Signs.
    pub authority: Authority,
    /// Is compiled into files.
    pub known: Known,
}

impl Signer {
    /// Reads the authority, or makes one in memory.
    ///
    /// # Errors
    /// When the files under files/pki/ca cannot be used.
    pub fn load(context: &Context, inventory: &Inventory) -> Result<Self, CommandError> {
        // Whole, for a plan that is saved names it, and may be applied from another directory.
        let base = base_directory(context)?;
        let base = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
        let base = std::fs::canonicalize(base).map_err(|error| {
            CommandError::user(format!("cannot find {}", base.display())).caused_by(&error)
        })?;
        let directory = base.join(CA_DIRECTORY);
        let authority = match Authority::load(&directory)? {
            Some(authority) => authority,
            None => {
                let name = inventory.hosts().next().map(|host| host.name.clone());
                let name = name.map(|host| Params::new(inventory, &host).str("ca_cn"));
                let name = name.filter(|name| !name.is_empty());
                let name = name.unwrap_or_else(|| "keddah-ca".to_owned());
                Authority::fresh(&name, CA_DAYS, context.environment.now())?
            }
        };
        let known = Known {
            certificate_pem: authority.certificate_pem().to_owned(),
            fingerprint: authority.fingerprint().to_owned(),
            fresh_key: authority.fresh_key(),
            directory: directory.display().to_string(),
            seed: authority.seed(),
        };
        Ok(Self { authority, known })
    }

    /// Refuses to replace an authority that nodes already trust by one just made because its key
    /// is not here: every certificate and password verifier of the fleet would change.
    ///
    /// # Errors
    /// When the authority is new and a node holds another one's certificate.
    pub fn guard(&self, observed: &BTreeMap<ResourceId, Outcome>) -> Result<(), CommandError> {
        if self.known.fresh_key.is_none() {
            return Ok(());
        }
        let trusting = observed.iter().find(|(id, outcome)| {
            id.name == CA_PATH
                && matches!(outcome, Outcome::Observed(Observed::File(file)) if file.present.is_some())
        });
        let Some((id, _)) = trusting else { return Ok(()) };
        Err(CommandError::user(format!(
            "{} trusts a certificate authority whose key is not at {}",
            id.node, self.known.directory
        ))
        .hint("copy files/pki from where the fleet was applied: it belongs to the inventory")
        .hint(format!("to begin anew with another authority, delete {CA_PATH} on all nodes")))
    }
}
