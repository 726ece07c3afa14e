//! Certificates and their keys.

use super::accounts::Accounts;
use super::write::{Candidate, on_disk, set_permissions};
use crate::{HostError, RealHost};
use keddah_core::Secret;
use keddah_resource::kind::certificate::{Observed, ObservedCertificate, Spec};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::file::digest;
use keddah_resource::private_key::as_pkcs8;
use keddah_resource::{Difference, Observation};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::pem::{Pem, parse_x509_pem};
use x509_parser::prelude::{GeneralName, X509Certificate};

const SECONDS_OF_A_DAY: i64 = 86_400;

/// Looks at certificates.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let accounts = match Accounts::read() {
        Ok(accounts) => accounts,
        Err(error) => return specs.iter().map(|_| Err(error.clone())).collect(),
    };
    let now = now();
    specs
        .iter()
        .map(|spec| {
            let authority = Authority::read(Path::new(&spec.authority_path))?;
            let present = look(spec, &accounts, authority.as_ref(), now)?;
            Ok(Observation::Known(Observed { present }.into()))
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "how long a certificate is still valid is observed")]
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// The CA's certificate as the node has it.
struct Authority {
    pem: Pem,
    fingerprint: String,
}

impl Authority {
    /// Something that is no certificate is as good as none: nothing was signed by it.
    fn read(path: &Path) -> Result<Option<Self>, HostError> {
        let Some((text, _)) = read(path)? else { return Ok(None) };
        let Ok((_, pem)) = parse_x509_pem(&text) else { return Ok(None) };
        let fingerprint = digest(&pem.contents);
        Ok(Some(Self { pem, fingerprint }))
    }

    fn has_signed(&self, certificate: &X509Certificate<'_>) -> bool {
        self.pem.parse_x509().is_ok_and(|authority| {
            certificate.verify_signature(Some(authority.public_key())).is_ok()
        })
    }
}

/// Content and permissions; `None` when the file does not exist.
fn read(path: &Path) -> Result<Option<(Vec<u8>, std::fs::Metadata)>, HostError> {
    let failed = |error| HostError::path("read", path, &error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(Some((content, file.metadata().map_err(failed)?)))
}

/// A pair of which one is missing, cannot be parsed, or does not belong to the other, is none.
fn look(
    spec: &Spec,
    accounts: &Accounts,
    authority: Option<&Authority>,
    now: i64,
) -> Result<Option<ObservedCertificate>, HostError> {
    let Some((text, _)) = read(Path::new(&spec.certificate_path))? else { return Ok(None) };
    let Some((key, of_key)) = read(Path::new(&spec.key_path))? else { return Ok(None) };
    let Ok(key) = String::from_utf8(key).map(Secret::new) else { return Ok(None) };
    let Ok((_, pem)) = parse_x509_pem(&text) else { return Ok(None) };
    let Ok(certificate) = pem.parse_x509() else { return Ok(None) };
    let Some(key) = as_pkcs8(key.reveal()) else { return Ok(None) };
    let Ok(pair) = rcgen::KeyPair::from_pem(key.reveal()) else { return Ok(None) };
    if pair.public_key_raw() != &*certificate.public_key().subject_public_key.data {
        return Ok(None);
    }
    let authority = authority.filter(|authority| {
        authority.fingerprint == spec.issuer && authority.has_signed(&certificate)
    });
    let (dns_names, addresses) = names(&certificate);
    let seconds_left = certificate.validity().not_after.timestamp() - now;
    Ok(Some(ObservedCertificate {
        common_name: common_name(&certificate),
        dns_names,
        addresses,
        issuer: authority.map(|authority| authority.fingerprint.clone()).unwrap_or_default(),
        days_left: seconds_left.div_euclid(SECONDS_OF_A_DAY),
        permissions: accounts.permissions(of_key.uid(), of_key.gid(), of_key.mode()),
    }))
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    let mut names = certificate.subject().iter_common_name();
    names.next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned()
}

fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<String>) {
    let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let address = <[u8; 4]>::try_from(*bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                addresses.extend(address.ok().map(|address| address.to_string()));
            }
            _ => {}
        }
    }
    dns_names.sort();
    addresses.sort();
    (dns_names, addresses)
}

/// Sets owner and mode of a pair that is otherwise right.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    if spec.needs_issue(observed) {
        return Err(HostError::new(format!(
            "{} has to be issued, and the controller has sent no certificate",
            spec.certificate_path
        )));
    }
    let spec = spec.clone();
    on_disk(move || {
        let accounts = Accounts::read()?;
        let key = accounts.ownership(&spec.permissions)?;
        set_permissions(Path::new(&spec.key_path), key)?;
        let certificate = accounts.ownership(&readable(&spec.permissions))?;
        set_permissions(Path::new(&spec.certificate_path), certificate)
    })
    .await
}

/// The certificate is no secret: whoever connects is shown it.
fn readable(key: &Permissions) -> Permissions {
    Permissions { mode: 0o644, ..key.clone() }
}

/// Puts a newly issued pair in place. Both wait on disk before the first takes its place; between
/// the two they do not belong together, which the next look would see.
pub async fn install(spec: &Spec, certificate: &str, key: &Secret) -> Result<(), HostError> {
    let (spec, certificate, key) = (spec.clone(), certificate.to_owned(), key.clone());
    on_disk(move || {
        let accounts = Accounts::read()?;
        let write = |path: &str, content: &str, permissions: &Permissions| {
            let ownership = accounts.ownership(permissions)?;
            Candidate::write(Path::new(path), content.as_bytes(), ownership)
        };
        let key = write(&spec.key_path, key.reveal(), &spec.permissions)?;
        let permissions = readable(&spec.permissions);
        let certificate = write(&spec.certificate_path, &certificate, &permissions)?;
        key.commit()?;
        certificate.commit()
    })
    .await
}

#[cfg(test)]
mod tests;
