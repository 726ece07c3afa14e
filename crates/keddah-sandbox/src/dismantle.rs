//! Taking a sandbox away, whatever state its making or its use was left in.
//!
//! Nothing here trusts the state file: processes are found by control group, namespaces by name, mounts
//! by path. So a sandbox whose creator was killed at any point goes away as completely as a whole one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{UnmountFlags, unmount};

use crate::bridge;
use crate::clock::Deadline;
use crate::control_group::{Groups, remove_own_mount};
use crate::effect;
use crate::error::{Error, FileContext, Result};
use crate::location::Place;
use crate::lock::Shared;
use crate::state::State;

/// How long what a killed creator had just started may disturb the removal.
const SETTLE_SECONDS: u64 = 5;

/// Removes processes, namespaces, mounts and files of the sandbox. The caller holds its lock.
///
/// # Errors
/// Something could not be removed.
pub(crate) fn dismantle(place: &Place) -> Result<()> {
    let whole = State::read(place).is_ok_and(|state| state.is_none_or(|state| state.complete));
    let deadline = Deadline::in_seconds(SETTLE_SECONDS);
    while let Err(error) = attempt(place) {
        if deadline.passed() {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if whole {
        return Ok(());
    }
    // A creator that was killed a moment ago has left a program such as `ip` at work, for milliseconds:
    // what that made after we looked is taken away by looking again.
    std::thread::sleep(Duration::from_millis(100));
    attempt(place)
}

/// Removes everything once, each kind as soon as nothing uses it any more.
fn attempt(place: &Place) -> Result<()> {
    effect::end_limits(place)?;
    if let Some(groups) = Groups::find(place)? {
        groups.remove()?;
    }
    effect::remove_groups(place)?;
    for namespace in bridge::namespaces(place) {
        if namespace == place.network_namespace() {
            continue;
        }
        if let Some(node) = namespace.rsplit('.').next() {
            bridge::disconnect_node(place, node)?;
        }
    }
    bridge::remove_namespace(&place.network_namespace())?;
    for mount in mounts_below(&[&place.data, &place.state])? {
        // Nothing uses it any more; a lazy unmount also takes what a stranger looks into.
        unmount(&mount, UnmountFlags::DETACH).on("unmount", &mount)?;
    }
    for directory in [&place.data, &place.state] {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).on("remove", directory);
            }
            _ => {}
        }
    }
    let remains = remains(place)?;
    if remains.is_empty() { Ok(()) } else { Err(Error::Remains { remains }) }
}

/// Removes the directories that sandboxes share, as far as they are empty.
pub(crate) fn remove_empty_parents(place: &Place) {
    // What stays for want of it does no harm, and goes with the next sandbox.
    let Ok(_shared) = Shared::acquire() else { return };
    bridge::remove_empty_namespace_directory();
    remove_own_mount();
    let mut last = false;
    for directory in [&place.data_parent, &place.state_parent] {
        // The sandbox's directory and the one of all of Keddah; a directory in use refuses.
        last = fs::remove_dir(directory).is_ok();
        if last && let Some(parent) = directory.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
    // Made for the nodes' container managers where the machine has none of its own. The state directory stays
    // while another sandbox is there, or on its way up: then its nodes may be about to use this one.
    if last {
        let _ = fs::remove_dir("/run/systemd/nspawn");
    }
}

/// What is still there of the sandbox, in words.
///
/// # Errors
/// The machine's tables cannot be read.
pub(crate) fn remains(place: &Place) -> Result<Vec<String>> {
    let mut remains = Vec::new();
    if let Some(groups) = Groups::find(place)? {
        let processes = groups.processes();
        remains.push(format!("control group with processes {processes:?}"));
    }
    for namespace in bridge::namespaces(place) {
        remains.push(format!("network namespace {namespace}"));
    }
    for mount in mounts_below(&[&place.data, &place.state])? {
        remains.push(format!("mount {}", mount.display()));
    }
    for directory in [&place.data, &place.state] {
        if directory.exists() {
            remains.push(format!("directory {}", directory.display()));
        }
    }
    Ok(remains)
}

/// Mount points at or below the directories, innermost first.
fn mounts_below(directories: &[&PathBuf]) -> Result<Vec<PathBuf>> {
    let path = Path::new("/proc/self/mountinfo");
    let table = fs::read_to_string(path).on("read", path)?;
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|point| directories.iter().any(|directory| point.starts_with(directory)))
        .collect();
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::{Locations, network_namespace_path};
    use std::sync::mpsc::channel;

    /// Whether something waits for the right to what sandboxes share; it is carried out in the end.
    fn waits(act: impl FnOnce() + Send) -> bool {
        let (tell, told) = channel();
        let shared = Shared::acquire().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                act();
                tell.send(()).unwrap();
            });
            let waited = told.recv_timeout(Duration::from_millis(300)).is_err();
            drop(shared);
            waited
        })
    }

    #[test]
    fn what_sandboxes_share_is_made_and_removed_by_one_at_a_time() {
        let top = std::env::temp_dir().join(format!("keddah-shared-{}", std::process::id()));
        let locations = Locations {
            state: top.join("state"),
            data: top.join("data"),
            cache: top.join("cache"),
        };
        let place = Place::new(&locations, "test-shared").unwrap();
        let namespace = place.network_namespace();
        // What a failure of this test has left.
        bridge::remove_namespace(&namespace).unwrap();
        if let Some(groups) = Groups::find(&place).unwrap() {
            groups.remove().unwrap();
        }
        assert!(waits(|| bridge::create_bridge(&place).unwrap()));
        assert!(network_namespace_path(&namespace).exists());
        bridge::remove_namespace(&namespace).unwrap();
        assert!(waits(|| remove_empty_parents(&place)));
        assert!(waits(|| drop(Groups::ensure(&place).unwrap())));
        assert!(waits(|| Groups::find(&place).unwrap().unwrap().remove().unwrap()));
        assert!(Groups::find(&place).unwrap().is_none());
    }
}
