//! What the kernel does: its parameters, through `/proc/sys`; modules and swap.

use super::system;
use crate::{HostError, RealHost};
use keddah_resource::kind::sysctl::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use rustix::fs::{StatVfsMountFlags, stat, statvfs};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const ROOT: &str = "/proc/sys";

/// Whether `/proc/sys` as a whole cannot be written, as in a container.
pub(crate) fn read_only() -> Result<bool, HostError> {
    mounted_read_only(Path::new(ROOT))
}

/// Parts of `/proc/sys` are mounts of their own in a container: its network's can be written.
fn mounted_read_only(path: &Path) -> Result<bool, HostError> {
    let found = statvfs(path).map_err(|error| HostError::path("read", path, &error.into()))?;
    Ok(found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether a parameter cannot be changed.
fn is_fixed(path: &Path) -> Result<bool, HostError> {
    let file = stat(path).map_err(|error| HostError::path("read", path, &error.into()))?;
    Ok(file.st_mode & 0o222 == 0 || mounted_read_only(path)?)
}

/// The file of a parameter. As in sysctl(8), the first separator tells which of `.` and `/` is
/// one; the other belongs to a name, such as an interface's.
fn path(name: &str) -> PathBuf {
    let separators = if name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'/') {
        name.to_owned()
    } else {
        let swap = |letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        name.chars().map(swap).collect()
    };
    Path::new(ROOT).join(separators)
}

/// Looks at kernel parameters.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    specs.iter().map(|spec| look(spec).map(|found| Observation::Known(found.into()))).collect()
}

fn look(spec: &Spec) -> Result<Observed, HostError> {
    let mut values = BTreeMap::new();
    let mut fixed = BTreeSet::new();
    for name in spec.values.keys() {
        let path = path(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                values.insert(name.clone(), text);
                if is_fixed(&path)? {
                    fixed.insert(name.clone());
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(HostError::path("read", &path, &error)),
        }
    }
    let absent_modules = system::absent(&spec.modules);
    let swaps = if spec.without_swap { system::swaps()? } else { BTreeSet::new() };
    Ok(Observed { values, fixed, absent_modules, swaps })
}

/// Sets what differs.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    for (name, wanted) in &spec.values {
        let differs = observed.values.get(name).is_some_and(|present| present != wanted);
        if differs && !observed.fixed.contains(name) {
            fs::write(path(name), wanted).map_err(|error| {
                HostError::new(format!("the kernel does not take {name} = {wanted}: {error}"))
            })?;
        }
    }
    system::load(&observed.absent_modules).await?;
    if spec.without_swap && !observed.swaps.is_empty() {
        system::stop_swapping().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        assert_eq!(path("vm.swappiness"), Path::new("/proc/sys/vm/swappiness"));
        assert_eq!(
            path("net.ipv4.conf.eth0/1.arp"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.1/arp")
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/arp"),
            Path::new("/proc/sys/net/ipv4/conf/eth0.1/arp")
        );
    }

    #[test]
    fn a_parameter_that_the_kernel_lacks_is_left_out() {
        let names = ["kernel.pid_max", "kernel.no_such_parameter"];
        let values = names.map(|name| (name.to_owned(), "1".to_owned())).into();
        let observed = look(&Spec { values, ..Spec::default() }).unwrap();
        assert!(observed.values["kernel.pid_max"].parse::<u64>().unwrap() > 1);
        assert_eq!(observed.values.len(), 1);
    }
}
