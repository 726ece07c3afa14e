//! The host name, in the kernel and in the file from which the kernel learns it at boot.
//!
//! Not through `hostnamectl`: it needs a message bus, which a small node may lack.

use super::accounts::Ownership;
use super::write::{on_disk, replace};
use crate::{HostError, RealHost};
use keddah_resource::kind::hostname::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use rustix::fs::{Gid, Uid};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const FILE: &str = "/etc/hostname";

/// The kernel's host name.
pub(crate) fn kernel() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Looks at the host name.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let file = match fs::read_to_string(FILE) {
        Ok(text) => Ok(named(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(HostError::path("read", Path::new(FILE), &error)),
    };
    let answer = file.map(|file| Observation::Known(Observed { kernel: kernel(), file }.into()));
    specs.iter().map(|_| answer.clone()).collect()
}

/// The name in the file, which may have comments (hostname(5)).
fn named(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>().join(" ")
}

/// Sets the host name, in the file first: what a reboot brings back is then the new one.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let name = spec.hostname.clone();
    on_disk(move || {
        let root = Ownership { uid: Uid::ROOT, gid: Gid::ROOT, mode: 0o644 };
        replace(Path::new(FILE), format!("{name}\n").as_bytes(), root)?;
        rustix::system::sethostname(name.as_bytes()).map_err(|error| {
            HostError::new(format!("the kernel does not take the host name {name}: {error}"))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_are_no_name() {
        assert_eq!(super::named("# set by hand\n\npg-meta-1\n"), "pg-meta-1");
    }
}
