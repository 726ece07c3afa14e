//! What the machine must bring: root, and a handful of programs.

use std::path::Path;

use crate::error::{Error, Result};

/// Each program with the Debian package that brings it.
const PROGRAMS: [(&str, &str); 10] = [
    ("systemd-nspawn", "systemd-container"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("apt-get", "apt"),
    ("dpkg", "dpkg"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
];

/// The key ring that debootstrap and apt check Debian's signatures with.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where programs are looked for: administrators' programs are not on every user's path.
const DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// True if the machine has a program of that name.
pub(crate) fn has_program(program: &str) -> bool {
    DIRECTORIES.iter().any(|directory| Path::new(directory).join(program).exists())
}

/// Checks that this process may make sandboxes and has the programs for it.
///
/// # Errors
/// [`Error::NotRoot`], or [`Error::MissingPrograms`] naming everything that is missing at once.
pub fn check_requirements() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let mut programs = Vec::new();
    let mut packages = Vec::new();
    let mut missing = |program, package| {
        programs.push(program);
        if !packages.contains(&package) {
            packages.push(package);
        }
    };
    for (program, package) in PROGRAMS {
        if !has_program(program) {
            missing(program, package);
        }
    }
    if !Path::new(KEYRING).exists() {
        missing("Debian's archive key ring", "debian-archive-keyring");
    }
    if programs.is_empty() { Ok(()) } else { Err(Error::MissingPrograms { programs, packages }) }
}
