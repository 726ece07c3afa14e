//! CAs that the system trusts, in Debian's bundle.

use super::accounts::Ownership;
use super::write::{on_disk, replace};
use crate::command::Command;
use crate::{HostError, RealHost};
use keddah_resource::kind::trust_anchor::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use rustix::fs::{Gid, Uid};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What programs read.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// From where the bundle is made anew whenever a package asks for it.
const LOCAL: &str = "/usr/local/share/ca-certificates";

fn source(spec: &Spec) -> PathBuf {
    Path::new(LOCAL).join(format!("{}.crt", spec.anchor))
}

/// Looks at trusted CAs.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let bundle = read(Path::new(BUNDLE)).map(|text| plain(&text));
    specs
        .iter()
        .map(|spec| {
            let bundle = bundle.as_ref().map_err(Clone::clone)?;
            let wanted = plain(&spec.certificate);
            // It must be in the bundle now and still be when the bundle is made anew.
            let trusted = bundle.contains(&wanted) && plain(&read(&source(spec))?) == wanted;
            Ok(Observation::Known(Observed { trusted }.into()))
        })
        .collect()
}

fn read(path: &Path) -> Result<String, HostError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// Without white space, which two PEM texts of one certificate may set differently.
fn plain(pem: &str) -> String {
    pem.split_whitespace().collect()
}

/// Adds a CA and makes the bundle anew.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let (path, text) = (source(spec), spec.certificate.clone());
    on_disk(move || {
        fs::create_dir_all(LOCAL)
            .map_err(|error| HostError::path("make", Path::new(LOCAL), &error))?;
        let root = Ownership { uid: Uid::ROOT, gid: Gid::ROOT, mode: 0o644 };
        replace(&path, text.as_bytes(), root)
    })
    .await?;
    Command::new("update-ca-certificates")
        .succeed()
        .await
        .map(drop)
        .map_err(|error| error.with_hint("the package ca-certificates has this program"))
}
