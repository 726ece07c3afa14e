//! The certificate authority: the one under files/pki/ca, or a new one that apply writes there.

use crate::cli::Context;
use crate::error::CommandError;
use crate::steps::base_directory;
use keddah_compile::Authority as Known;
use keddah_fleet::pki::Authority;
use keddah_inventory::{Inventory, Params};

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
        let directory = base_directory(context)?.join(CA_DIRECTORY);
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
}
