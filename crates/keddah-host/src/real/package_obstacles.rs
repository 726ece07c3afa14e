//! What stands in the way of packages, found before dpkg finds it half-way: what apt would remove for
//! them, why it refuses, and programs that another package owns.
//!
//! apt knows of conflicts that packages declare. Two that bring the same file and do not say so are
//! found by dpkg alone, when it unpacks; the programs that Keddah's packages are wanted for are known,
//! so these are looked for.

use crate::HostError;
use crate::command::Command;
use keddah_resource::kind::packages::{Obstacles, Taken};
use std::path::Path;

/// Packages and the programs for which they are wanted. Others build them, too, under other names.
const PROGRAMS: [(&str, &str); 8] = [
    ("chrony", "/usr/sbin/chronyd"),
    ("etcd-client", "/usr/bin/etcdctl"),
    ("etcd-server", "/usr/bin/etcd"),
    ("haproxy", "/usr/sbin/haproxy"),
    ("keepalived", "/usr/sbin/keepalived"),
    ("patroni", "/usr/bin/patroni"),
    ("pgbackrest", "/usr/bin/pgbackrest"),
    ("pgbouncer", "/usr/sbin/pgbouncer"),
];

/// Looks, for packages that are missing and could be installed. Nothing is changed.
pub(super) async fn obstacles(names: &[String]) -> Result<Obstacles, HostError> {
    if names.is_empty() {
        return Ok(Obstacles::default());
    }
    let mut found = simulate(names).await?;
    for (package, path) in PROGRAMS {
        if !names.iter().any(|name| name == package) || !Path::new(path).exists() {
            continue;
        }
        let Some(owner) = owner(path).await? else { continue };
        // One that gives way is among those to be removed already.
        if owner != package && !found.removes.contains(&owner) {
            let (package, path) = (package.to_owned(), path.to_owned());
            found.taken.push(Taken { package, path, owner });
        }
    }
    Ok(found)
}

async fn simulate(names: &[String]) -> Result<Obstacles, HostError> {
    let output = Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--simulate", "--yes", "--quiet=2", "--no-install-recommends", "--"])
        .args(names)
        .run()
        .await?;
    Ok(read(output.code, &output.stdout, &output.stderr))
}

/// Reads what `apt-get --simulate` says: `Inst …`, `Conf …`, `Remv PACKAGE [VERSION]`, and errors.
fn read(code: i32, stdout: &str, stderr: &str) -> Obstacles {
    let removes = stdout.lines().filter_map(|line| line.strip_prefix("Remv "));
    let removes = removes.filter_map(|line| line.split([' ', ':']).next().map(str::to_owned));
    let mut says = Vec::new();
    // An installation that was ended half-way is finished first, by whoever installs; and lists that
    // are too old are fetched anew.
    let is_final = stdout.contains("unmet dependencies") || stderr.contains("held broken packages");
    let is_mended = stdout.contains("fix-broken") || stderr.contains("fix-broken");
    if code != 0 && is_final && !is_mended {
        let depends = stdout.lines().map(str::trim).filter(|line| {
            ["Depends:", "Breaks:", "Conflicts:", "PreDepends:"]
                .iter()
                .any(|word| line.contains(word))
        });
        let errors = stderr.lines().filter(|line| line.starts_with("E: "));
        says.extend(
            depends.chain(errors).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")),
        );
    }
    Obstacles { removes: removes.collect(), says, taken: Vec::new() }
}

/// The installed package that a path belongs to; nobody's is nobody's, for packages may divert it.
async fn owner(path: &str) -> Result<Option<String>, HostError> {
    let output = Command::new("dpkg-query").args(["--search", "--", path]).run().await?;
    let lines = output.stdout.lines().filter(|line| !line.starts_with("diversion "));
    let owned = |line: &str| {
        let (packages, found) = line.split_once(": ")?;
        (found == path).then(|| packages.split([',', ':']).next().map(str::to_owned)).flatten()
    };
    Ok(lines.filter_map(owned).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_do_is_understood() {
        let text = "Remv systemd-timesyncd [257.7-1]\nInst chrony (4.6.1-3 Debian:13/stable [amd64])\n\
                    Remv ntp:amd64 [1]\nConf chrony (4.6.1-3 Debian:13/stable [amd64])\n";
        assert_eq!(read(0, text, "").removes, ["systemd-timesyncd", "ntp"]);
        let refused = "The following packages have unmet dependencies:\n etcd-server : Breaks: etcd (< 4) \
                       but 3.6 is to be installed\n";
        let error = "E: Unable to correct problems, you have held broken packages.\n";
        assert_eq!(
            read(100, refused, error).says,
            [
                "etcd-server : Breaks: etcd (< 4) but 3.6 is to be installed",
                "E: Unable to correct problems, you have held broken packages."
            ]
        );
        // What an earlier installation has left is no obstacle: it is finished first.
        let left = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\n";
        assert_eq!(read(100, "", left), Obstacles::default());
    }

    #[tokio::test]
    async fn the_owner_of_a_program_is_found_on_this_machine() {
        if !Path::new("/usr/bin/dpkg-query").exists() {
            return;
        }
        assert_eq!(owner("/usr/bin/dpkg-query").await.unwrap().as_deref(), Some("dpkg"));
        assert_eq!(owner("/nowhere/at/all").await.unwrap(), None);
    }
}
