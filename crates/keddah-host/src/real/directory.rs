//! Directories.

use super::accounts::Accounts;
use super::held::{Held, LastLink, Missing};
use super::write::{on_disk, set_ownership};
use crate::{HostError, RealHost};
use keddah_resource::kind::directory::{Observed, Permissions, Spec};
use keddah_resource::{Difference, Observation};
use rustix::fs::OFlags;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path};

/// Opens a directory, and nothing that was put in its place.
const DIRECTORY_ITSELF: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW);

/// Looks at directories.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let accounts = match Accounts::read() {
        Ok(accounts) => accounts,
        Err(error) => return specs.iter().map(|_| Err(error.clone())).collect(),
    };
    specs
        .iter()
        .map(|spec| look(spec, &accounts).map(|observed| Observation::Known(observed.into())))
        .collect()
}

fn look(spec: &Spec, accounts: &Accounts) -> Result<Observed, HostError> {
    let path = Path::new(&spec.path);
    // Where a directory should be, a link to one will do; where none should be, it will not.
    let found =
        if spec.permissions.is_some() { fs::metadata(path) } else { fs::symlink_metadata(path) };
    match found {
        Ok(found) if found.is_dir() => {
            let permissions = accounts.permissions(found.uid(), found.gid(), found.mode());
            let kept_already = spec.kept && fs::symlink_metadata(spec.aside()).is_ok();
            Ok(Observed { permissions: Some(permissions), kept_already })
        }
        Ok(found) => Err(not_a_directory(path, &found)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(Observed { permissions: None, kept_already: false })
        }
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

fn not_a_directory(path: &Path, found: &fs::Metadata) -> HostError {
    let what = if found.is_symlink() { "symbolic link" } else { "file" };
    HostError::new(format!("{} is a {what}, not a directory", path.display()))
        .with_hint("move it away if it is not needed")
}

/// Makes, changes or removes one directory.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let spec = spec.clone();
    let permissions = spec.permissions_over(observed.permissions.as_ref());
    on_disk(move || match &permissions {
        Some(permissions) => ensure(Path::new(&spec.path), permissions),
        None if spec.kept => move_aside(Path::new(&spec.path), &spec.aside()),
        None => remove_all(Path::new(&spec.path)),
    })
    .await
}

/// Missing parents are made too, for root to write and all to pass.
fn ensure(path: &Path, permissions: &Permissions) -> Result<(), HostError> {
    let ownership = Accounts::read()?.ownership(permissions)?;
    let held = Held::reach(path, Missing::IsMade, LastLink::IsFollowed)?;
    let failed = |error: io::Error| HostError::path("make", held.path(), &error);
    // Closed at first: a run that is killed now leaves a mode that differs, never one too open.
    match DirBuilder::new().mode(0o700).create(held.here()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(DIRECTORY_ITSELF.bits()).unwrap_or_default())
        .open(held.here())
        .map_err(failed)?;
    set_ownership(&directory, ownership).map_err(failed)?;
    held.sync().map_err(failed)
}

/// Removes a directory with all in it. Links inside are removed, not followed.
fn remove_all(path: &Path) -> Result<(), HostError> {
    let Some(held) = held_for_removal(path)? else { return Ok(()) };
    let failed = |error: io::Error| HostError::path("remove", path, &error);
    fs::remove_dir_all(held.here()).map_err(failed)?;
    held.sync().map_err(failed)
}

/// Gives a directory another name beside its own, and never one that something else has: what an
/// earlier removal has kept may be all that is left of its data.
fn move_aside(path: &Path, aside: &str) -> Result<(), HostError> {
    let Some(held) = held_for_removal(path)? else { return Ok(()) };
    let failed = |error: io::Error| {
        let kind = error.kind();
        let mut error = HostError::path("move aside", path, &error);
        error.message = format!("{} (to {aside})", error.message);
        match kind {
            ErrorKind::AlreadyExists => {
                error.with_hint("`keddah remove --aside` with the name of this host takes it away")
            }
            ErrorKind::ResourceBusy => error
                .with_hint("something is mounted there: unmount it and keep it, then remove again"),
            _ => error,
        }
    };
    let name = Path::new(aside).file_name().unwrap_or_default();
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        held.here(),
        rustix::fs::CWD,
        held.beside(name),
        rustix::fs::RenameFlags::NOREPLACE,
    )
    .map_err(|error| failed(error.into()))?;
    held.sync().map_err(failed)
}

/// Holds a directory that shall go; nothing where it is not there. The path is looked at once more,
/// because what is lost is lost for good: absolute, without `..`, at least two names deep after links on
/// the way to it are resolved, itself not a link, and no server running in it.
fn held_for_removal(path: &Path) -> Result<Option<Held>, HostError> {
    let refused =
        |why: &str| Err(HostError::new(format!("{} is not removed: {why}", path.display())));
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return refused("the path is not absolute and plain");
    }
    if path.file_name().is_none() {
        return refused("it is the root directory");
    }
    let failed = |error: io::Error| HostError::path("remove", path, &error);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !found.is_dir() {
        return Err(not_a_directory(path, &found));
    }
    let held = Held::reach(path, Missing::Fails, LastLink::IsMeant)?;
    let names =
        held.path().components().filter(|part| matches!(part, Component::Normal(_))).count();
    if names < 2 {
        return refused("it stands directly below the root directory");
    }
    if let Some(process) = server_in(held.path()).map_err(failed)? {
        return refused(&format!("a PostgreSQL server (process {process}) runs in it"));
    }
    Ok(Some(held))
}

/// The server that runs in a directory, or in the data directory of the instance whose directory it is:
/// its working directory is its data directory, whatever a file says that an earlier one has left.
pub(super) fn server_in(directory: &Path) -> io::Result<Option<u32>> {
    for data in [directory.to_owned(), directory.join("data")] {
        let text = match fs::read_to_string(data.join("postmaster.pid")) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(process) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok())
        else {
            continue;
        };
        let runs_in = fs::read_link(format!("/proc/{process}/cwd"));
        if runs_in.is_ok_and(|cwd| fs::canonicalize(&data).is_ok_and(|data| data == cwd)) {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn removing_keeps_to_what_was_named() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("data"), "precious").unwrap();
        let inside = directory.path().join("inside");
        fs::create_dir_all(inside.join("deeper")).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        let link = directory.path().join("link");
        symlink(&outside, &link).unwrap();

        assert!(remove_all(&link).unwrap_err().message.contains("symbolic link"));
        remove_all(&inside).unwrap();
        assert!(!inside.exists());
        assert_eq!(fs::read(outside.join("data")).unwrap(), b"precious");
        remove_all(&inside).unwrap();
    }

    #[test]
    fn roots_and_crooked_paths_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let crooked = directory.path().join("a/../..");
        for path in [Path::new("/"), Path::new("/etc"), Path::new("relative/path"), &crooked] {
            assert!(remove_all(path).unwrap_err().message.contains("is not removed"));
        }
    }

    #[test]
    fn what_is_moved_aside_is_kept_and_never_replaces_another() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("pg-a-17");
        let aside = format!("{}.removed", data.display());
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("row"), "first").unwrap();
        move_aside(&data, &aside).unwrap();
        assert!(!data.exists());
        move_aside(&data, &aside).unwrap();
        fs::create_dir_all(&data).unwrap();
        let refused = move_aside(&data, &aside).unwrap_err();
        assert!(refused.message.contains("pg-a-17.removed"), "{refused:?}");
        assert!(data.exists());
        assert_eq!(fs::read(Path::new(&aside).join("row")).unwrap(), b"first");
    }

    #[test]
    fn data_is_not_deleted_beneath_a_server() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("pg-a-17/data");
        fs::create_dir_all(&data).unwrap();
        // Whatever runs there: a server's working directory is its data directory.
        let mut server =
            std::process::Command::new("sleep").arg("60").current_dir(&data).spawn().unwrap();
        fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", server.id(), data.display()))
            .unwrap();
        let whole = directory.path().join("pg-a-17");
        for path in [&whole, &data] {
            let refused = remove_all(path).unwrap_err();
            assert!(refused.message.contains("runs in it"), "{refused:?}");
        }
        server.kill().unwrap();
        server.wait().unwrap();
        remove_all(&whole).unwrap();
        assert!(!whole.exists(), "what a server has left behind is no server");
    }
}
