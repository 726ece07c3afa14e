//! Symbolic links.

use super::held::{Held, LastLink, Missing};
use super::write::{candidate_name, on_disk};
use crate::{HostError, RealHost};
use keddah_resource::kind::symlink::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Looks at links.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    specs
        .iter()
        .map(|spec| look(Path::new(&spec.path)).map(|found| Observation::Known(found.into())))
        .collect()
}

fn look(path: &Path) -> Result<Observed, HostError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let target =
                fs::read_link(path).map_err(|error| HostError::path("read", path, &error))?;
            Ok(Observed::Link(target.to_string_lossy().into_owned()))
        }
        Ok(found) => {
            Ok(Observed::Other(if found.is_dir() { "directory" } else { "file" }.to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Observed::Absent),
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// Makes one link, or lets it point elsewhere without a moment in which it is missing.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let spec = spec.clone();
    on_disk(move || {
        let path = Path::new(&spec.path);
        if let Observed::Other(what) = look(path)? {
            return Err(HostError::new(format!("{} is a {what}, not a link", spec.path))
                .with_hint("it may hold data; move it away first"));
        }
        let failed = |error: io::Error| HostError::path("make the link", path, &error);
        let held = Held::reach(path, Missing::Fails, LastLink::IsMeant)?;
        let waiting = held.beside(&candidate_name(held.name()));
        match fs::remove_file(&waiting) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        std::os::unix::fs::symlink(&spec.target, &waiting).map_err(failed)?;
        fs::rename(&waiting, held.here()).map_err(failed)?;
        held.sync().map_err(failed)
    })
    .await
}
