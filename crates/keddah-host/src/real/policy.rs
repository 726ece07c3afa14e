//! Keeps packages from starting their services while they are installed: Keddah starts units, in
//! the order of the plan and with their configuration in place.
//!
//! Debian's way is a program `/usr/sbin/policy-rc.d` that exits with 101. An administrator's own is
//! left alone. Ours is made and removed by apt's hooks, so that it is there only while apt holds
//! its lock, even when this process does not live to see the end.

use super::accounts::Ownership;
use super::write::{remove, replace};
use crate::HostError;
use rustix::fs::{FlockOperation, Gid, Uid};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What apt holds while it works.
const LOCK: &str = "/var/lib/dpkg/lock-frontend";

/// Tells ours from an administrator's.
const MARK: &str = "# keddah: services are started when their configuration is in place";

fn script() -> String {
    format!("#!/bin/sh\n{MARK}\nexit 101\n")
}

/// Options by which apt puts the policy in place before it calls dpkg, and takes it away after.
pub(crate) fn apt_options() -> Vec<String> {
    let make = format!(
        "test -e {POLICY} || {{ printf '%s\\n' '#!/bin/sh' '{MARK}' 'exit 101' > {POLICY}.keddah \
         && chmod 755 {POLICY}.keddah && mv {POLICY}.keddah {POLICY}; }}"
    );
    let take_away = format!("if grep -qsF '{MARK}' {POLICY}; then rm -f {POLICY}; fi");
    ["-o".to_owned(), format!("DPkg::Pre-Invoke::={make}"), "-o".to_owned()]
        .into_iter()
        .chain([format!("DPkg::Post-Invoke::={take_away}")])
        .collect()
}

/// Puts the policy in place, for dpkg without apt.
pub(crate) fn forbid() -> Result<(), HostError> {
    let path = Path::new(POLICY);
    if path.exists() {
        return Ok(());
    }
    let root = Ownership { uid: Uid::ROOT, gid: Gid::ROOT, mode: 0o755 };
    replace(path, script().as_bytes(), root)
}

/// Whether ours stands there although nobody installs. Changes nothing, and holds up nobody.
pub(crate) fn left() -> Result<bool, HostError> {
    left_at(Path::new(POLICY), Path::new(LOCK))
}

fn left_at(policy: &Path, lock: &Path) -> Result<bool, HostError> {
    if !is_ours(policy)? {
        return Ok(false);
    }
    let failed = |error: std::io::Error| HostError::path("look at", lock, &error);
    let file = match fs::File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
    };
    let asked = Flock::from(FlockType::WriteLock);
    let held = fcntl_getlk(&file, &asked).map_err(|error| failed(error.into()))?;
    Ok(held.is_none())
}

fn is_ours(path: &Path) -> Result<bool, HostError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.contains(MARK)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            Ok(false)
        }
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// Takes away ours when an installation was killed and could not; never while one goes on.
pub(crate) fn tidy() -> Result<(), HostError> {
    let path = Path::new(POLICY);
    if !is_ours(path)? {
        return Ok(());
    }
    let lock = Path::new(LOCK);
    let failed = |error: std::io::Error| HostError::path("lock", lock, &error);
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(lock)
        .map_err(failed)?;
    match rustix::fs::fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => remove(path),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_seen_and_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let (policy, lock) = (directory.path().join("policy-rc.d"), directory.path().join("lock"));
        assert!(!left_at(&policy, &lock).unwrap());
        fs::write(&policy, script()).unwrap();
        assert!(left_at(&policy, &lock).unwrap());
        fs::write(&lock, "").unwrap();
        assert!(left_at(&policy, &lock).unwrap());
        assert!(policy.exists(), "a look changes nothing");
        fs::write(&policy, "#!/bin/sh\nexit 101\n").unwrap();
        assert!(!left_at(&policy, &lock).unwrap(), "an administrator's own");
    }
}
