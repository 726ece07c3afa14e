//! What the machine does to its packages and services by itself: unattended upgrades, and the restarts of
//! needrestart after any upgrade.

use crate::HostError;
use crate::command::Command;
use keddah_resource::health::{InstalledPackage, Unattended};
use std::fs;
use std::path::Path;

const UPGRADES: &str = "/usr/bin/unattended-upgrade";

/// What makes them; linked to /dev/null where somebody has masked it.
const TIMER: &str = "/etc/systemd/system/apt-daily-upgrade.timer";

const RESTARTS: &str = "/usr/sbin/needrestart";

/// Where needrestart reads what it does (its README, "Configuration").
const RESTARTS_FILE: &str = "/etc/needrestart/needrestart.conf";
const RESTARTS_DIRECTORY: &str = "/etc/needrestart/conf.d";

const PACKAGES: &str = "/var/lib/dpkg/status";

/// Costs two looks for files where neither is installed.
pub(super) async fn look() -> Result<Option<Unattended>, HostError> {
    let mut found = Unattended::default();
    let masked = fs::read_link(TIMER).is_ok_and(|target| target == Path::new("/dev/null"));
    if Path::new(UPGRADES).exists() && !masked {
        let said = Command::new("apt-config").asks("apt").arg("dump").succeed().await?;
        read_apt(&said, &mut found);
    }
    if Path::new(RESTARTS).exists() {
        read_needrestart(&needrestart(), &mut found);
    }
    if !found.upgrades && !found.restarts {
        return Ok(None);
    }
    if found.upgrades {
        let failed = |error| HostError::path("read", Path::new(PACKAGES), &error);
        found.packages = packages(&fs::read_to_string(PACKAGES).map_err(failed)?);
    }
    Ok(Some(found))
}

/// All that needrestart reads, in its order.
fn needrestart() -> String {
    let entries = fs::read_dir(RESTARTS_DIRECTORY).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
    paths.sort();
    let first = fs::read_to_string(RESTARTS_FILE).unwrap_or_default();
    let rest = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}

/// Lines such as `APT::Periodic::Unattended-Upgrade "1";` (apt.conf(5), apt-daily's script).
fn read_apt(said: &str, found: &mut Unattended) {
    let mut periodic = true;
    for line in said.lines() {
        let Some((name, value)) = line.trim_end_matches(';').split_once(' ') else { continue };
        let value = value.trim_matches('"');
        match name {
            "APT::Periodic::Enable" => periodic = value != "0",
            "APT::Periodic::Unattended-Upgrade" => found.upgrades = !matches!(value, "" | "0"),
            "Unattended-Upgrade::Origins-Pattern::" | "Unattended-Upgrade::Allowed-Origins::" => {
                found.origins.push(value.to_owned());
            }
            "Unattended-Upgrade::Package-Blacklist::" => found.left_alone.push(value.to_owned()),
            _ => {}
        }
    }
    found.upgrades &= periodic;
}

/// Perl: `$nrconf{restart} = 'a';`, `$nrconf{override_rc}{qr(^patroni)} = 0;`, `qr(^patroni) => 0,`.
fn read_needrestart(text: &str, found: &mut Unattended) {
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some((_, value)) = line.split_once("$nrconf{restart}") {
            let value = value.trim_start_matches([' ', '=']).trim_start_matches(['\'', '"']);
            found.restarts = value.starts_with('a');
        }
        if let Some((_, rest)) = line.split_once("qr(").or_else(|| line.split_once("q("))
            && let Some((pattern, rest)) = rest.split_once(')')
            && rest.trim_matches([' ', '}', '=', '>', ';', ',']) == "0"
        {
            found.not_restarted.push(pattern.to_owned());
        }
    }
}

/// The servers among the packages that are installed, as dpkg's list has them.
fn packages(text: &str) -> Vec<InstalledPackage> {
    let mut found = Vec::new();
    for entry in text.split("\n\n") {
        let of = |field: &str| {
            entry.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
        };
        let Some(name) = of("Package").filter(|name| is_server(name)) else { continue };
        let status = of("Status").unwrap_or_default();
        if status.ends_with(" ok installed") {
            let (name, version) = (name.to_owned(), of("Version").unwrap_or_default().to_owned());
            found.push(InstalledPackage { name, version, held: status.starts_with("hold ") });
        }
    }
    found
}

/// Those whose upgrade restarts a server, or is in the way of its next start.
fn is_server(package: &str) -> bool {
    let postgresql = package.strip_prefix("postgresql-").is_some_and(|version| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    });
    const OTHERS: [&str; 6] =
        ["etcd", "etcd-server", "haproxy", "keepalived", "patroni", "pgbouncer"];
    postgresql || OTHERS.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_says_whether_and_what_it_upgrades() {
        let said = "APT::Periodic \"\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n\
                    Unattended-Upgrade::Origins-Pattern \"\";\n\
                    Unattended-Upgrade::Origins-Pattern:: \"origin=Debian,label=Debian\";\n\
                    Unattended-Upgrade::Package-Blacklist:: \"^postgresql-\";\n";
        let mut found = Unattended::default();
        read_apt(said, &mut found);
        assert!(found.upgrades);
        assert_eq!(found.origins, ["origin=Debian,label=Debian"]);
        assert_eq!(found.left_alone, ["^postgresql-"]);
        let mut off = Unattended::default();
        read_apt(&format!("{said}APT::Periodic::Enable \"0\";\n"), &mut off);
        assert!(!off.upgrades);
    }

    #[test]
    fn needrestart_says_whether_and_what_it_restarts() {
        let text = "# $nrconf{restart} = 'l';\n$nrconf{restart} = 'a';\n$nrconf{override_rc} = {\n\
                    qr(^dbus) => 0,\n};\n$nrconf{override_rc}{qr(^patroni)} = 0;\n\
                    $nrconf{override_rc}{qr(^etcd)} = 1;\n";
        let mut found = Unattended::default();
        read_needrestart(text, &mut found);
        assert!(found.restarts);
        assert_eq!(found.not_restarted, ["^dbus", "^patroni"]);
        let mut listed = Unattended::default();
        read_needrestart("$nrconf{restart} = \"l\";", &mut listed);
        assert!(!listed.restarts);
    }

    #[test]
    fn servers_are_found_in_the_list_of_packages_with_their_holds() {
        let text = "Package: postgresql-17\nStatus: install ok installed\nVersion: 17.6-0+deb13u1\n\n\
                    Package: postgresql-client-17\nStatus: install ok installed\nVersion: 1\n\n\
                    Package: patroni\nStatus: hold ok installed\nVersion: 4.0.6-1\n\n\
                    Package: haproxy\nStatus: deinstall ok config-files\nVersion: 3\n";
        let found = packages(text);
        let told: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.held)).collect();
        assert_eq!(told, [("postgresql-17", false), ("patroni", true)]);
    }
}
