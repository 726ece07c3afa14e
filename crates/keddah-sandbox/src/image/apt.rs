//! Fetching packages of any Debian release with the machine's own apt: its mirror, proxy and
//! credentials, but a state of our own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, FileContext, Result};
use crate::image::Suite;
use crate::process::{output, tool};
use crate::requirements::KEYRING;

/// Debian's names for the releases that a machine's own sources may speak of.
const RELEASES: [&str; 9] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "stable",
    "oldstable",
    "testing",
    "unstable",
];

/// Where this machine gets Debian's packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// The archive itself.
    pub(super) main: String,
    /// True if the archive has a suite for updates between point releases.
    updates: bool,
    /// The archive of security updates, if the machine uses one.
    security: Option<String>,
    /// The proxy that apt is told to use.
    pub(super) proxy: Option<String>,
}

impl Mirror {
    /// The mirror that was given, or the one that the machine's package sources name.
    ///
    /// # Errors
    /// [`Error::NoMirror`], or what apt says.
    pub(super) fn find(given: Option<&str>) -> Result<Self> {
        let proxy = output(tool("apt-config").args(["dump", "Acquire::http::Proxy"]))?;
        let proxy = proxy
            .lines()
            .find_map(|line| line.strip_prefix("Acquire::http::Proxy \""))
            .and_then(|rest| rest.strip_suffix("\";"))
            .filter(|proxy| !proxy.is_empty() && *proxy != "DIRECT")
            .map(str::to_owned);
        if let Some(main) = given {
            return Ok(Self { main: main.to_owned(), updates: false, security: None, proxy });
        }
        let targets = output(tool("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]))?;
        Self::from_targets(&targets, proxy).ok_or(Error::NoMirror)
    }

    /// Reads lines of address, release and component.
    fn from_targets(targets: &str, proxy: Option<String>) -> Option<Self> {
        let mut main = None;
        let mut updates = false;
        let mut security = None;
        for line in targets.lines() {
            let mut words = line.split(' ');
            let (Some(address), Some(release), Some("main")) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (name, pocket) = release.split_once(['-', '/']).unwrap_or((release, ""));
            if !RELEASES.contains(&name) {
                continue;
            }
            match pocket {
                "" => main = main.or(Some(address.to_owned())),
                "updates" if address.contains("security") => {
                    security = security.or(Some(address.to_owned()));
                }
                "updates" => updates = true,
                "security" => security = security.or(Some(address.to_owned())),
                _ => {}
            }
        }
        Some(Self { main: main?, updates, security, proxy })
    }

    /// The package sources of that suite.
    fn sources(&self, suite: Suite) -> String {
        let updates = if self.updates { format!(" {suite}-updates") } else { String::new() };
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}{updates}\nComponents: main\nSigned-By: {KEYRING}\n",
            self.main
        );
        if let Some(security) = &self.security {
            text.push_str(&format!(
                "\nTypes: deb\nURIs: {security}\nSuites: {suite}-security\nComponents: main\nSigned-By: {KEYRING}\n"
            ));
        }
        text
    }
}

/// An apt with its own sources, lists and idea of what is installed.
#[derive(Debug)]
pub(super) struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Sets one up in `directory`; `status` is the dpkg status file of the system to install on.
    ///
    /// # Errors
    /// A file cannot be written, or apt does not answer.
    pub(super) fn new(
        directory: &Path,
        status: &Path,
        suite: Suite,
        mirror: &Mirror,
    ) -> Result<Self> {
        for part in ["lists/partial", "archives/partial", "sources"] {
            let part = directory.join(part);
            fs::create_dir_all(&part).on("create", &part)?;
        }
        let sources = directory.join("sources/debian.sources");
        fs::write(&sources, mirror.sources(suite)).on("write", &sources)?;
        let here = directory.display();
        let mut configuration = format!(
            "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{here}/sources\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::State::lists \"{here}/lists\";\nDir::State::status \"{}\";\n\
             Dir::State::extended_states \"{here}/extended_states\";\nDir::Cache \"{here}\";\n\
             Dir::Cache::archives \"{here}/archives\";\nDir::Log \"{here}\";\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n",
            status.display()
        );
        // How the machine reaches its mirror: proxies, certificates, time limits.
        let machine = output(tool("apt-config").args(["dump", "Acquire"]))?;
        for line in machine.lines().filter(|line| carries_over(line)) {
            configuration.push_str(line);
            configuration.push('\n');
        }
        let file = directory.join("apt.conf");
        fs::write(&file, configuration).on("write", &file)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// One of apt's programs with this configuration.
    pub(super) fn program(&self, program: &str) -> Command {
        let mut command = tool(program);
        command.env("APT_CONFIG", self.directory.join("apt.conf"));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// The directory that packages are downloaded to.
    pub(super) fn archives(&self) -> PathBuf {
        self.directory.join("archives")
    }

    /// The date in the suite's own signed index.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn release_date(&self, suite: Suite) -> Result<String> {
        let lists = self.directory.join("lists");
        let ending = format!("_dists_{suite}_InRelease");
        let index = fs::read_dir(&lists)
            .on("read", &lists)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().ends_with(&ending));
        let text = match index {
            Some(path) => fs::read_to_string(&path).on("read", &path)?,
            None => String::new(),
        };
        text.lines().find_map(|line| line.strip_prefix("Date: ")).map(str::to_owned).ok_or_else(
            || Error::PackageIndex {
                message: format!("the mirror has no signed index of {suite}"),
            },
        )
    }
}

/// True for settings about reaching a mirror; what to fetch from it is decided here.
fn carries_over(line: &str) -> bool {
    let elsewhere = ["Acquire::IndexTargets", "Acquire::Languages", "Acquire::GzipIndexes"];
    line.starts_with("Acquire::") && !elsewhere.iter().any(|prefix| line.starts_with(prefix))
}

/// Splits an index into its entries, by package and version.
pub(super) fn index_entries(text: &str) -> BTreeMap<(String, String), &str> {
    text.split("\n\n")
        .map(str::trim)
        .filter_map(|entry| {
            Some(((field(entry, "Package")?.into(), field(entry, "Version")?.into()), entry))
        })
        .collect()
}

/// The value of a one-line field of an entry.
pub(super) fn field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_sources_name_the_mirror() {
        let mirror = Mirror::from_targets(
            "https://example.com/node nodistro main\n\
             http://mirror.example/debian/ bookworm main\n\
             http://mirror.example/debian/ bookworm-updates main\n\
             http://mirror.example/debian-security/ bookworm-security main\n",
            None,
        )
        .unwrap();
        assert_eq!(mirror.main, "http://mirror.example/debian/");
        let sources = mirror.sources(Suite::Trixie);
        assert!(sources.contains("Suites: trixie trixie-updates\n"), "{sources}");
        assert!(sources.contains("Suites: trixie-security\n"), "{sources}");
    }

    #[test]
    fn another_distributions_sources_name_none() {
        let targets = "http://archive.example/ubuntu noble main\n";
        assert_eq!(Mirror::from_targets(targets, None), None);
    }

    #[test]
    fn entries_are_found_by_package_and_version() {
        let text = "Package: a\nVersion: 1\nSize: 3\n\nPackage: a\nVersion: 2\nSize: 4\n";
        let entries = index_entries(text);
        assert_eq!(field(entries[&("a".into(), "2".into())], "Size"), Some("4"));
        assert_eq!(entries.len(), 2);
    }
}
