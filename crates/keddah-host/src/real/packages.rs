//! Packages, by Debian's own tools.

use super::package_obstacles::obstacles;
use super::policy;
use crate::command::{Command, Output};
use crate::{HostError, RealHost};
use keddah_resource::kind::packages::{Observed, Spec};
use keddah_resource::{Difference, Observation};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Where dpkg keeps what it knows.
const DPKG: &str = "/var/lib/dpkg";

/// The largest sets (PostgreSQL with its extensions) take a minute on a slow disk; mirrors may be
/// slow too. Whoever waits longer than this waits for nothing.
const INSTALL_PATIENCE: Duration = Duration::from_secs(1800);

/// Lists come over the network as well.
const UPDATE_PATIENCE: Duration = Duration::from_secs(300);

/// How long to wait for somebody else who installs, such as unattended upgrades, or what an
/// earlier run has started.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// Looks at package sets: one question for all of them, and a second one when something is missing.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    match look(specs).await {
        Ok(all) => all.into_iter().map(|one| Ok(Observation::Known(one.into()))).collect(),
        Err(error) => specs.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn look(specs: &[&Spec]) -> Result<Vec<Observed>, HostError> {
    let policy_left = policy::left()?;
    let wanted: BTreeSet<&str> =
        specs.iter().flat_map(|spec| &spec.names).map(String::as_str).collect();
    let installed = installed(&wanted).await?;
    let missing: Vec<&str> =
        wanted.into_iter().filter(|name| !installed.contains_key(*name)).collect();
    let candidates = candidates(&missing).await?;
    let of = |versions: &BTreeMap<String, String>, spec: &Spec| {
        let names = spec.names.iter();
        names.filter_map(|name| Some((name.clone(), versions.get(name)?.clone()))).collect()
    };
    let mut all = Vec::new();
    for spec in specs {
        let candidates: BTreeMap<String, String> = of(&candidates, spec);
        let obstacles = obstacles(&candidates.keys().cloned().collect::<Vec<_>>()).await?;
        let installed = of(&installed, spec);
        all.push(Observed { installed, candidates, policy_left, obstacles });
    }
    Ok(all)
}

async fn installed(names: &BTreeSet<&str>) -> Result<BTreeMap<String, String>, HostError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    if names.iter().copied().all(is_plain)
        && let Some(status) = dpkg_status(Path::new(DPKG))
    {
        return Ok(installed_by(&status, names));
    }
    let command = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${Version} ${Status}\n", "--"])
        .args(names);
    let output = command.run().await?;
    // 1 says that a name is unknown; the known ones are listed all the same.
    if output.code > 1 {
        return Err(command.failure(&output));
    }
    Ok(parse_installed(&output.stdout))
}

/// A name that stands for one package; others are patterns, or name an architecture, which dpkg reads.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// dpkg's list of packages, where it holds everything: what dpkg does at the moment, and what it was ended in
/// the middle of, stands in `updates` beside it (its manual, "FILES"; `lib/dpkg/dbmodify.c`).
fn dpkg_status(directory: &Path) -> Option<String> {
    let mut updates = std::fs::read_dir(directory.join("updates")).ok()?;
    if updates.next().is_some() {
        return None;
    }
    let text = std::fs::read(directory.join("status")).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// What `dpkg-query` would tell of these packages.
fn installed_by(status: &str, names: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let paragraphs = status.split("\n\n").filter_map(|paragraph| {
        let of = |field: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
        };
        let name = of("Package").filter(|name| names.contains(name))?;
        let installed = of("Status")?.ends_with(" installed");
        Some((name.to_owned(), of("Version").filter(|_| installed)?.to_owned()))
    });
    paragraphs.collect()
}

fn parse_installed(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [name, version, _, _, "installed"] => Some((name.to_owned(), version.to_owned())),
                _ => None,
            }
        })
        .collect()
}

/// The versions that would be installed now; a package without one is left out.
pub(crate) async fn candidates<T: AsRef<str>>(
    names: &[T],
) -> Result<BTreeMap<String, String>, HostError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let command = Command::new("apt-cache").args(["policy", "--"]).args(names);
    Ok(parse_policy(&command.succeed().await?))
}

fn parse_policy(text: &str) -> BTreeMap<String, String> {
    let mut candidates = BTreeMap::new();
    let mut package = None;
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = Some(name);
        } else if let Some(version) = line.strip_prefix("  Candidate: ")
            && let Some(name) = package
            && version != "(none)"
        {
            candidates.insert(name.to_owned(), version.to_owned());
        }
    }
    candidates
}

/// Installs what is missing in one transaction. Only one at a time: the tools lock anyway, and
/// waiting for one's own other half would look like a hang.
pub async fn apply(
    host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let _turn = host.installing.lock().await;
    policy::tidy()?;
    // Another set may have brought what this one lacked, and the lists may have been fetched.
    let Some(now) = look(&[spec]).await?.pop() else { return Ok(()) };
    let missing = |have: &BTreeMap<String, String>| -> Vec<String> {
        spec.names.iter().filter(|name| !have.contains_key(*name)).cloned().collect()
    };
    let wanted = missing(&now.installed);
    if wanted.is_empty() {
        return Ok(());
    }
    let mut updated = None;
    if wanted.iter().any(|name| !now.candidates.contains_key(name)) {
        updated = Some(update().await?);
        let candidates = candidates(&wanted).await?;
        let unknown: Vec<&String> =
            wanted.iter().filter(|name| !candidates.contains_key(*name)).collect();
        if !unknown.is_empty() {
            return Err(unknown_packages(&unknown, updated.as_ref()).await);
        }
    }
    let mut configured = false;
    loop {
        // The lists may have been fetched since the plan was made.
        if let Some(why) = spec.refused(&obstacles(&wanted).await?) {
            return Err(HostError::new(why));
        }
        let command = install(&wanted);
        let output = command.run().await?;
        policy::tidy()?;
        let said = format!("{}\n{}", output.stdout, output.stderr);
        if output.code == 0 {
            return Ok(());
        } else if said.contains("dpkg was interrupted") && !configured {
            configured = true;
            configure().await?;
        } else if said.contains("Failed to fetch") && updated.is_none() {
            // The lists name files that the mirror has replaced since.
            updated = Some(update().await?);
        } else {
            let errors = said.lines().filter(|line| line.starts_with("E: "));
            let log = errors.collect::<Vec<_>>().join("\n");
            let failure = command.failure(&output);
            return Err(if failure.log.is_empty() { failure.with_log(&log) } else { failure });
        }
    }
}

/// Sets the environment in which package scripts neither ask nor restart anything.
fn quiet(program: &str) -> Command {
    Command::new(program)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("APT_LISTCHANGES_FRONTEND", "none")
        .env("NEEDRESTART_SUSPEND", "1")
        .outlives_us()
}

fn install(names: &[String]) -> Command {
    quiet("apt-get")
        .args(["install", "--yes", "--quiet=2", "--no-install-recommends"])
        .args(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", LOCK_PATIENCE.as_secs())])
        .args(["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"])
        .args(["-o", "Dpkg::Use-Pty=0"])
        .args(policy::apt_options())
        .arg("--")
        .args(names)
        .patience(INSTALL_PATIENCE)
}

/// Finishes what an earlier installation, ended half-way, has left.
async fn configure() -> Result<(), HostError> {
    policy::forbid()?;
    let done = quiet("dpkg")
        .args(["--force-confdef", "--force-confold", "--configure", "--pending"])
        .patience(INSTALL_PATIENCE)
        .succeed()
        .await;
    policy::tidy()?;
    done.map(drop)
}

/// Fetches the lists of packages. Sources that do not answer are warnings: what is wanted may
/// come from another one.
async fn update() -> Result<Output, HostError> {
    let command = Command::new("apt-get").args(["update", "--quiet=2"]).patience(UPDATE_PATIENCE);
    let step = Duration::from_secs(2);
    let mut waited = Duration::ZERO;
    loop {
        let output = command.run().await?;
        if output.code == 0 {
            return Ok(output);
        }
        // Unlike dpkg's lock, the lists' lock is not waited for by apt itself.
        if !output.stderr.contains("Could not get lock") || waited >= LOCK_PATIENCE {
            return Err(command.failure(&output));
        }
        tokio::time::sleep(step).await;
        waited += step;
    }
}

async fn unknown_packages(names: &[&String], updated: Option<&Output>) -> HostError {
    let list = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let sources = match Command::new("apt-cache").arg("policy").succeed().await {
        Ok(text) => sources(&text),
        Err(_) => BTreeSet::new(),
    };
    let sources = if sources.is_empty() {
        "the node has no package sources that answer".to_owned()
    } else {
        let list = sources.into_iter().collect::<Vec<_>>().join(", ");
        format!("the node's package sources are {list}")
    };
    let error = HostError::new(format!("no package source of the node knows: {list}"))
        .with_hint(format!("{sources}; add the one that has them, or correct the names"));
    match updated {
        Some(output) => error.with_log(&output.stderr),
        None => error,
    }
}

fn sources(policy: &str) -> BTreeSet<String> {
    policy
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            words.next()?.parse::<i32>().ok()?;
            let address = words.next().filter(|address| address.contains("://"))?;
            Some(format!("{address} {}", words.next()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wholly_installed_counts() {
        let text = "haproxy 3.0.11-1 install ok installed\n\
                    jq 1.7.1-6 deinstall ok config-files\n\
                    etcd-server 3.5 install ok half-configured\n\
                    curl  unknown ok not-installed\n";
        let installed = parse_installed(text);
        assert_eq!(
            installed.into_iter().collect::<Vec<_>>(),
            [("haproxy".to_owned(), "3.0.11-1".to_owned())]
        );
    }

    #[test]
    fn the_list_is_not_read_while_dpkg_has_more_to_write_into_it() {
        let scratch = tempfile::tempdir().unwrap();
        let read = || dpkg_status(scratch.path());
        assert_eq!(read(), None, "there is no dpkg");
        std::fs::create_dir(scratch.path().join("updates")).unwrap();
        std::fs::write(scratch.path().join("status"), "Package: a\n").unwrap();
        assert_eq!(read().as_deref(), Some("Package: a\n"));
        std::fs::write(scratch.path().join("updates/0001"), "Package: b\n").unwrap();
        assert_eq!(read(), None);
        assert!(is_plain("libstdc++6") && !is_plain("libc6:amd64") && !is_plain("postgresql-*"));
    }

    #[tokio::test]
    async fn the_list_says_what_dpkg_says_of_all_packages_of_this_machine() {
        let Some(status) = dpkg_status(Path::new(DPKG)) else { return };
        let names: BTreeSet<&str> =
            status.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
        let format = "${Package} ${Version} ${Status}\n";
        let said = Command::new("dpkg-query").args(["--show", "--showformat", format]);
        let said = parse_installed(&said.succeed().await.unwrap());
        assert!(said.len() > 10);
        assert_eq!(installed_by(&status, &names), said);
        let gone = "Package: jq\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    Package: curl\nStatus: install ok half-installed\nVersion: 1\n\n\
                    Package: haproxy\nStatus: install ok half-configured\nVersion: 3\n";
        assert!(installed_by(gone, &["curl", "haproxy", "jq"].into()).is_empty());
    }

    #[test]
    fn candidates_are_those_with_a_version() {
        let text = "haproxy:\n  Installed: (none)\n  Candidate: 3.0.11-1\n  Version table:\n     \
                    3.0.11-1 500\n        500 http://10.10.10.1 ./ Packages\netcd:\n  Installed: \
                    (none)\n  Candidate: (none)\n  Version table:\n";
        let candidates = parse_policy(text);
        assert_eq!(candidates.get("haproxy").unwrap(), "3.0.11-1");
        assert_eq!(candidates.len(), 1);
    }

    #[test]
    fn sources_are_named_without_what_is_local() {
        let text = "Package files:\n 100 /var/lib/dpkg/status\n     release a=now\n 500 \
                    http://deb.debian.org/debian trixie/main amd64 Packages\n     release o=Debian\n";
        assert_eq!(
            sources(text).into_iter().collect::<Vec<_>>(),
            ["http://deb.debian.org/debian trixie/main"]
        );
    }

    #[tokio::test]
    async fn this_machine_answers() {
        if !std::path::Path::new("/usr/bin/dpkg-query").exists() {
            return;
        }
        let names = ["dpkg", "a-package-that-nobody-makes"].map(str::to_owned).to_vec();
        let spec = Spec { set: "test".to_owned(), names };
        let observed = look(&[&spec]).await.unwrap().pop().unwrap();
        assert!(observed.installed.contains_key("dpkg"));
        assert_eq!(observed.installed.len(), 1);
        assert!(observed.candidates.is_empty());
    }
}
