//! The certificate authorities: those under files/pki, or new ones that apply writes there.

use crate::steps::base_directory;
use crate::{CommandError, Context, counted};
use keddah_compile::{Authorities, Authority as Known, CA_PATH, ETCD_CA_PATH};
use keddah_fleet::pki::Authority;
use keddah_inventory::{Inventory, Params, parameters};
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
        let name = params.as_ref().map(|params| params.get(parameters::CA_CN));
        let name = name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "keddah-ca".to_owned());
        let now = context.environment.now();
        let (fleet, fleet_known) = one(&base.join(CA_DIRECTORY), &name, now)?;
        if fleet.is_fresh() && params.is_some_and(|params| !params.get(parameters::CA_CREATE)) {
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

    /// Refuses to replace an authority that nodes already trust: by one just made because its key is not
    /// here, or by another pair that somebody has put in its place. Every certificate and password verifier
    /// of the fleet would change, and services trust the old one until they restart.
    ///
    /// # Errors
    /// When a node holds another authority's certificate.
    pub fn guard(&self, observed: &BTreeMap<ResourceId, Outcome>) -> Result<(), CommandError> {
        let [fleet, etcd] = &self.authorities;
        for (path, authority, known) in
            [(CA_PATH, fleet, &self.known.fleet), (ETCD_CA_PATH, etcd, &self.known.etcd)]
        {
            if known.fresh_key.is_none() {
                same_key(path, authority, known, observed)?;
                continue;
            }
            let trusting = observed.iter().find(|(id, outcome)| {
                id.name == path
                    && matches!(outcome, Outcome::Observed(Observed::File(file)) if file.present.is_some())
            });
            let Some((id, _)) = trusting else { continue };
            return Err(keyless(id.node.as_str(), path, known));
        }
        Ok(())
    }

    /// Refuses to take anything away with an authority that was made just now: a removal never writes one
    /// down, and what it signs for the members that stay, nobody trusts.
    ///
    /// # Errors
    /// When a key of an authority is not here.
    pub fn guard_removal(&self) -> Result<(), CommandError> {
        let both = [(CA_PATH, &self.known.fleet), (ETCD_CA_PATH, &self.known.etcd)];
        match both.into_iter().find(|(_, known)| known.fresh_key.is_some()) {
            Some((path, known)) => Err(keyless("the fleet", path, known)),
            None => Ok(()),
        }
    }
}

/// A refusal: who trusts it has to be told by the same key.
fn keyless(who: &str, path: &str, known: &Known) -> CommandError {
    CommandError::user(format!(
        "{who} trusts a certificate authority whose key is not at {}",
        known.directory
    ))
    .hint("copy files/pki from where the fleet was applied: it belongs to the inventory")
    .hint(format!(
        "where that key is lost for good the clusters go on all the same: keep {path} on the nodes, for \
         without it services meet certificates that they do not trust. {NOT_REPLACED}"
    ))
}

/// Why an authority stays.
const NOT_REPLACED: &str = "Another authority has to be trusted everywhere before it signs anything, which \
                            Keddah does not do for a running fleet";

/// Refuses a pair whose key is not the one of the certificate that nodes trust. What is no certificate is
/// put right like any file.
fn same_key(
    path: &str,
    authority: &Authority,
    known: &Known,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Result<(), CommandError> {
    let mut others = Vec::new();
    let mut trust_it = false;
    for (id, outcome) in observed.iter().filter(|(id, _)| id.name == path) {
        let Outcome::Observed(Observed::File(file)) = outcome else { continue };
        let text = file.present.as_ref().and_then(|file| file.text.as_deref());
        match text.and_then(|text| authority.has_key_of(text)) {
            Some(true) => trust_it = true,
            Some(false) => others.push(&id.node),
            None => {}
        }
    }
    let Some(first) = others.first() else { return Ok(()) };
    let who = match others.len() {
        1 => format!("{first} trusts"),
        count => format!("{first} and {} trust", counted(count - 1, "other node")),
    };
    let error = CommandError::user(format!(
        "{who} another certificate authority ({path}) than the one in {}",
        known.directory
    ));
    let directory = &known.directory;
    if trust_it {
        return Err(error.hint(format!(
            "where {first} comes from another fleet and serves nothing that is needed, delete {path} on it"
        )));
    }
    Err(error
        .hint(format!(
            "put {directory}/ca.crt and {directory}/ca.key back as they were when the fleet was applied: the \
             certificate is {path} on {first}, and the key is the one that belongs to it"
        ))
        .hint(NOT_REPLACED))
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

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::Kind;
    use keddah_resource::kind::directory::Permissions;
    use keddah_resource::kind::file;

    const NOW: i64 = 1_800_000_000;

    fn made(name: &str) -> Authority {
        Authority::fresh(name, CA_DAYS, NOW).expect("an authority")
    }

    /// Whoever has these authorities at hand, which were not made just now.
    fn signer(fleet: Authority, etcd: Authority) -> Signer {
        let known = |authority: &Authority, directory: &str| Known {
            certificate_pem: authority.certificate_pem().to_owned(),
            fingerprint: authority.fingerprint().to_owned(),
            fresh_key: None,
            directory: directory.to_owned(),
            seed: authority.seed(),
        };
        let known = Authorities {
            fleet: known(&fleet, CA_DIRECTORY),
            etcd: known(&etcd, ETCD_CA_DIRECTORY),
        };
        Signer { authorities: [fleet, etcd], known }
    }

    /// Nodes that have these texts at a path.
    fn trusted(path: &str, texts: &[&str]) -> BTreeMap<ResourceId, Outcome> {
        let one = |(last, text): (usize, &&str)| {
            let present = file::ObservedFile {
                digest: String::new(),
                text: Some((*text).to_owned()),
                entries: BTreeMap::new(),
                permissions: Permissions::root(0o644),
                sample: false,
            };
            let observed = Observed::File(file::Observed { present: Some(present) });
            let node = NodeName::new(format!("10.10.10.1{last}"));
            (ResourceId::new(&node, Kind::File, path), Outcome::Observed(observed))
        };
        texts.iter().enumerate().map(one).collect()
    }

    #[test]
    fn nothing_is_removed_with_an_authority_made_just_now() {
        let mut signer = signer(made("keddah-ca"), made("keddah-ca-etcd"));
        assert!(signer.guard_removal().is_ok());
        signer.known.etcd.fresh_key = signer.authorities[1].fresh_key();
        let refused = signer.guard_removal().expect_err("its key is elsewhere");
        let words = "trusts a certificate authority whose key is not at files/pki/etcd";
        assert!(refused.message.contains(words), "{refused:?}");
        assert!(refused.hints[0].contains("copy files/pki"), "{refused:?}");
    }

    #[test]
    fn another_pair_in_an_authoritys_place_is_refused() {
        let (fleet, etcd, old) =
            (made("keddah-ca"), made("keddah-ca-etcd"), made("keddah-ca-etcd"));
        let own = etcd.certificate_pem().to_owned();
        let signer = signer(fleet, etcd);
        let guard = |path: &str, texts: &[&str]| signer.guard(&trusted(path, texts));
        assert!(guard(ETCD_CA_PATH, &[&own, &own]).is_ok());
        assert!(guard(ETCD_CA_PATH, &["not a certificate"]).is_ok(), "it is put right");
        assert!(signer.guard(&BTreeMap::new()).is_ok(), "nobody trusts anything yet");
        let old = old.certificate_pem();
        let refused = guard(ETCD_CA_PATH, &[old, old, old]).expect_err("all trust another one");
        assert!(refused.message.contains("10.10.10.10 and 2 other nodes trust"), "{refused:?}");
        assert!(refused.message.contains("files/pki/etcd"), "{refused:?}");
        assert!(format!("{refused:?}").contains("files/pki/etcd/ca.key back"), "{refused:?}");
        let refused = guard(ETCD_CA_PATH, &[&own, old]).expect_err("one trusts another one");
        assert!(refused.message.contains("10.10.10.11 trusts another"), "{refused:?}");
        assert!(format!("{refused:?}").contains("comes from another fleet"), "{refused:?}");
        // etcd's and the fleet's are two.
        let refused = guard(CA_PATH, &[&own]).expect_err("it is not the fleet's");
        assert!(refused.message.contains("files/pki/ca"), "{refused:?}");
    }
}
