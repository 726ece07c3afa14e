//! The certificate authorities: those under files/pki, or new ones that apply writes there.

use crate::cli::Context;
use crate::error::CommandError;
use crate::steps::base_directory;
use keddah_compile::{Authorities, Authority as Known, CA_PATH, ETCD_CA_PATH};
use keddah_fleet::pki::Authority;
use keddah_inventory::{Inventory, Params};
use keddah_plan::Outcome;
use keddah_resource::{Observed, ResourceId};
use std::collections::BTreeMap;
use std::path::Path;

/// Where the fleet's CA is, beside the inventory.
pub const CA_DIRECTORY: &str = "files/pki/ca";

/// Where etcd's own CA is, beside the inventory.
const ETCD_CA_DIRECTORY: &str = "files/pki/etcd";

/// Days a new CA is valid: a hundred years. It ends with the fleet, not before; replacing it means
/// restarting everything at once.
const CA_DAYS: u32 = 36_500;

/// Who signs, and what the compiler knows of it.
pub struct Signer {
    /// They sign.
    pub authorities: [Authority; 2],
    /// Is compiled into files.
    pub known: Authorities,
}

impl Signer {
    /// Reads the authorities, or makes them in memory.
    ///
    /// # Errors
    /// When the files under files/pki cannot be used.
    pub fn load(context: &Context, inventory: &Inventory) -> Result<Self, CommandError> {
        // Whole, for a plan that is saved names it, and may be applied from another directory.
        let base = base_directory(context)?;
        let base = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
        let base = std::fs::canonicalize(base).map_err(|error| {
            CommandError::user(format!("cannot find {}", base.display())).caused_by(&error)
        })?;
        let host = inventory.hosts().next().map(|host| host.name.clone());
        let params = host.map(|host| Params::new(inventory, &host));
        let name = params.as_ref().map(|params| params.str("ca_cn"));
        let name = name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "keddah-ca".to_owned());
        let now = context.environment.now();
        let (fleet, fleet_known) = one(&base.join(CA_DIRECTORY), &name, now)?;
        if fleet.is_fresh() && params.is_some_and(|params| !params.bool("ca_create")) {
            return Err(CommandError::user(format!(
                "there is no certificate authority in {}, and ca_create is false",
                fleet_known.directory
            ))
            .hint("put your own ca.crt and ca.key there, or set ca_create: true"));
        }
        let (etcd, etcd_known) = one(&base.join(ETCD_CA_DIRECTORY), &format!("{name}-etcd"), now)?;
        let known = Authorities { fleet: fleet_known, etcd: etcd_known };
        Ok(Self { authorities: [fleet, etcd], known })
    }

    /// Refuses to replace an authority that nodes already trust by one just made because its key
    /// is not here: every certificate and password verifier of the fleet would change.
    ///
    /// # Errors
    /// When an authority is new and a node holds another one's certificate.
    pub fn guard(&self, observed: &BTreeMap<ResourceId, Outcome>) -> Result<(), CommandError> {
        for (path, known) in [(CA_PATH, &self.known.fleet), (ETCD_CA_PATH, &self.known.etcd)] {
            if known.fresh_key.is_none() {
                continue;
            }
            let trusting = observed.iter().find(|(id, outcome)| {
                id.name == path
                    && matches!(outcome, Outcome::Observed(Observed::File(file)) if file.present.is_some())
            });
            let Some((id, _)) = trusting else { continue };
            return Err(CommandError::user(format!(
                "{} trusts a certificate authority whose key is not at {}",
                id.node, known.directory
            ))
            .hint("copy files/pki from where the fleet was applied: it belongs to the inventory")
            .hint(format!(
                "where that key is lost for good the clusters go on all the same: keep {path} on the nodes, for \
                 without it services meet certificates that they do not trust. Another authority has to be \
                 trusted everywhere before it signs anything, which Keddah does not do for a running fleet"
            )));
        }
        Ok(())
    }
}

fn one(directory: &Path, name: &str, now: i64) -> Result<(Authority, Known), CommandError> {
    let authority = match Authority::load(directory)? {
        Some(authority) if authority.not_after() <= now => {
            let place = directory.join("ca.crt");
            return Err(CommandError::user(format!(
                "{} has expired, and with it every certificate it has signed",
                place.display()
            ))
            .hint("make a new certificate of the same key and name, and put it in its place"));
        }
        Some(authority) => authority,
        None => Authority::fresh(name, CA_DAYS, now)?,
    };
    let known = Known {
        certificate_pem: authority.certificate_pem().to_owned(),
        fingerprint: authority.fingerprint().to_owned(),
        fresh_key: authority.fresh_key(),
        directory: directory.display().to_string(),
        seed: authority.seed(),
    };
    Ok((authority, known))
}
