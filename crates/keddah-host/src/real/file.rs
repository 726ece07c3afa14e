//! Whole files.

use super::accounts::Accounts;
use super::config_test::test;
use super::held::{Held, LastLink, Missing};
use super::samples::Samples;
use super::write::{Candidate, on_disk, remove, set_permissions};
use crate::{HostError, RealHost};
use keddah_resource::kind::file::{Observed, ObservedFile, Present, Spec, digest};
use keddah_resource::{Difference, Observation};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Looks at files.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let accounts = match Accounts::read() {
        Ok(accounts) => accounts,
        Err(error) => return specs.iter().map(|_| Err(error.clone())).collect(),
    };
    let samples = Samples::default();
    specs
        .iter()
        .map(|spec| {
            look(spec, &accounts, &samples).map(|observed| Observation::Known(observed.into()))
        })
        .collect()
}

/// Looks at one file. That a directory on the way to it is missing means "absent" too.
fn look(spec: &Spec, accounts: &Accounts, samples: &Samples) -> Result<Observed, HostError> {
    let path = Path::new(&spec.path);
    let failed = |error| HostError::path("read", path, &error);
    let Some(wanted) = &spec.present else {
        // A link that leads nowhere still has to go.
        return match path.symlink_metadata() {
            Ok(found) if found.is_dir() => Err(is_a_directory(path)),
            Ok(found) => {
                let permissions = accounts.permissions(found.uid(), found.gid(), found.mode());
                let present = ObservedFile {
                    digest: String::new(),
                    text: None,
                    entries: BTreeMap::new(),
                    permissions,
                    sample: false,
                };
                Ok(Observed { present: Some(present) })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Observed { present: None }),
            Err(error) => Err(failed(error)),
        };
    };
    match path.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Observed { present: None }),
        _ => {}
    }
    // What is read here is shown in plans: it is the declared file, not one that somebody leads to.
    let held = Held::reach(path, Missing::Fails, LastLink::IsFollowed)?;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
        .open(held.here())
        .map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.is_dir() {
        return Err(is_a_directory(path));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(failed)?;
    let digest = digest(&content);
    Ok(Observed {
        present: Some(ObservedFile {
            sample: digest != wanted.content.digest() && samples.is_one(&spec.path, &content),
            digest,
            entries: spec
                .entries()
                .map(|kind| kind.of(&String::from_utf8_lossy(&content)))
                .unwrap_or_default(),
            text: if spec.is_secret() { None } else { String::from_utf8(content).ok() },
            permissions: accounts.permissions(found.uid(), found.gid(), found.mode()),
        }),
    })
}

fn is_a_directory(path: &Path) -> HostError {
    HostError::new(format!("{} is a directory, not a file", path.display()))
        .with_hint("move it away if nothing in it is needed")
}

/// Writes or removes one file.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let Some(present) = &spec.present else {
        let path = spec.path.clone();
        return on_disk(move || remove(Path::new(&path))).await;
    };
    let candidate = {
        let (path, present) = (spec.path.clone(), present.clone());
        on_disk(move || candidate(Path::new(&path), &present)).await?
    };
    let Some(candidate) = candidate else { return Ok(()) };
    if let Some(words) = &present.check {
        test(spec, words, present.check_with.as_ref(), candidate.path()).await?;
    }
    on_disk(move || candidate.commit()).await
}

/// The new content beside the old; nothing when only owner and mode had to be set.
fn candidate(path: &Path, present: &Present) -> Result<Option<Candidate>, HostError> {
    let Present { content, permissions, check: _, check_with: _, access_for: _, entries: _ } =
        present;
    let content = content.reveal().as_bytes();
    let ownership = Accounts::read()?.ownership(permissions)?;
    if std::fs::read(path).is_ok_and(|now| now == content) {
        set_permissions(path, ownership)?;
        return Ok(None);
    }
    Candidate::write(path, content, ownership).map(Some)
}
