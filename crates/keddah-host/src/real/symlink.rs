//! Symbolic links.

use super::held::{Held, LastLink, Missing};
use super::write::{candidate_name, on_disk};
use crate::{HostError, RealHost};
use keddah_resource::kind::symlink::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::collections::BTreeSet;
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
            Ok(Observed::Link {
                target: target.to_string_lossy().into_owned(),
                holds: holds(path)?,
            })
        }
        Ok(found) => {
            Ok(Observed::Other(if found.is_dir() { "directory" } else { "file" }.to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Observed::Absent),
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// What of value lies where a link leads: an instance's directory, a data directory, or a pgBackRest
/// repository.
fn holds(link: &Path) -> Result<Option<String>, HostError> {
    for control in ["data/global/pg_control", "global/pg_control"] {
        let path = link.join(control);
        match path.try_exists() {
            Ok(true) => return Ok(Some("PostgreSQL's data".to_owned())),
            Ok(false) => {}
            // A link to a program leads to no data.
            Err(error) if is_no_directory(&error) => {}
            Err(error) => return Err(HostError::path("look at", &path, &error)),
        }
    }
    let mut stanzas = BTreeSet::new();
    for (part, file) in [("backup", "backup.info"), ("archive", "archive.info")] {
        let directory = link.join(part);
        let failed = |error: io::Error| HostError::path("read", &directory, &error);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if is_no_directory(&error) => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.path().join(file).try_exists().map_err(failed)? {
                stanzas.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    let names: Vec<String> = stanzas.into_iter().collect();
    Ok((!names.is_empty()).then(|| format!("a repository with backups of {}", names.join(", "))))
}

fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_lies_behind_a_link_is_told() {
        let base = tempfile::tempdir().unwrap();
        let place = base.path().join("pg-a-17");
        let link = base.path().join("pg");
        symlink(&place, &link).unwrap();
        let told = || match look(&link).unwrap() {
            Observed::Link { holds, .. } => holds,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(), None, "it leads nowhere");
        fs::create_dir_all(place.join("data")).unwrap();
        fs::create_dir_all(place.join("backup/pg-a")).unwrap();
        assert_eq!(told(), None, "directories alone are no data");
        fs::write(place.join("backup/pg-a/backup.info"), "").unwrap();
        assert_eq!(told().unwrap(), "a repository with backups of pg-a");
        fs::create_dir_all(place.join("data/global")).unwrap();
        fs::write(place.join("data/global/pg_control"), "").unwrap();
        assert_eq!(told().unwrap(), "PostgreSQL's data");
        let program = place.join("program");
        fs::write(&program, "").unwrap();
        assert_eq!(holds(&program).unwrap(), None, "a file holds none");
    }
}
