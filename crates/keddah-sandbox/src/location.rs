//! Where a sandbox keeps its things, and what they are called.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The bridge's address: the machine's own foot in the sandbox's network.
pub const BRIDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 1);

/// The network's prefix length.
pub(crate) const PREFIX_LENGTH: u8 = 24;

/// The last octet of the first node's address; the documents' examples begin there.
const FIRST_NODE: u8 = 10;

/// As many nodes as a sandbox may have: far below what the network could number, and more than one machine bears.
const NODES_MAX: u8 = 64;

/// The bridge's name in the sandbox's network namespace.
pub(crate) const BRIDGE: &str = "br0";

/// The directories that sandboxes live in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// State files, keys and logs, one directory per sandbox; gone after a reboot, as the nodes are.
    pub state: PathBuf,
    /// The nodes' own files, one directory per sandbox.
    pub data: PathBuf,
    /// Images and package repositories, shared by all sandboxes.
    pub cache: PathBuf,
}

impl Default for Locations {
    fn default() -> Self {
        Self {
            state: "/run/keddah/sandbox".into(),
            data: "/var/lib/keddah/sandbox".into(),
            cache: "/var/cache/keddah/images".into(),
        }
    }
}

/// The paths and names of one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The sandbox's name.
    pub(crate) name: String,
    /// Its state directory.
    pub(crate) state: PathBuf,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// The directory all sandboxes' state directories are in.
    pub(crate) state_parent: PathBuf,
    /// The directory all sandboxes' data directories are in.
    pub(crate) data_parent: PathBuf,
}

/// The option that names a sandbox on the command line; nothing for the usual one.
#[must_use]
pub fn name_option(name: &str) -> String {
    if name == DEFAULT_NAME { String::new() } else { format!(" --name {name}") }
}

/// The sandbox that is meant where none is named.
pub const DEFAULT_NAME: &str = "default";

impl Place {
    /// The place of the sandbox of that name.
    ///
    /// # Errors
    /// [`Error::InvalidName`]: the name becomes part of paths, mount options and unit names.
    pub(crate) fn new(locations: &Locations, name: &str) -> Result<Self> {
        let valid = (1..=32).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !valid {
            return Err(Error::InvalidName { name: name.into() });
        }
        Ok(Self {
            name: name.into(),
            state: locations.state.join(name),
            data: locations.data.join(name),
            state_parent: locations.state.clone(),
            data_parent: locations.data.clone(),
        })
    }

    /// The state file.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.state.join("state.json")
    }

    /// The file whose lock serialises changes of this sandbox.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.state_parent.join(format!("{}.lock", self.name))
    }

    /// The private key that opens all nodes.
    pub(crate) fn identity(&self) -> PathBuf {
        self.state.join("id_ed25519")
    }

    /// The configuration for `ssh -F`.
    pub(crate) fn ssh_config(&self) -> PathBuf {
        self.state.join("ssh_config")
    }

    /// The nodes' host keys.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.state.join("known_hosts")
    }

    /// The variables that an inventory needs to reach the nodes.
    pub(crate) fn inventory(&self) -> PathBuf {
        self.state.join("inventory.yml")
    }

    /// What a supervised process writes.
    pub(crate) fn log(&self, member: &str) -> PathBuf {
        self.state.join(format!("{member}.log"))
    }

    /// The directory of one node's files.
    pub(crate) fn node(&self, node: &str) -> PathBuf {
        self.data.join(node)
    }

    /// The name of the network namespace that holds the bridge. Sandbox names contain no dot, so
    /// that one sandbox's name is never the beginning of another's.
    pub(crate) fn network_namespace(&self) -> String {
        format!("keddah.{}", self.name)
    }

    /// The name of a node's network namespace.
    pub(crate) fn node_network_namespace(&self, node: &str) -> String {
        format!("keddah.{}.{node}", self.name)
    }

    /// True when that network namespace belongs to this sandbox.
    pub(crate) fn owns_network_namespace(&self, namespace: &str) -> bool {
        namespace
            .strip_prefix(&self.network_namespace())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Where named network namespaces stand.
pub(crate) const NETWORK_NAMESPACES: &str = "/run/netns";

/// The path of a named network namespace.
pub(crate) fn network_namespace_path(namespace: &str) -> PathBuf {
    Path::new(NETWORK_NAMESPACES).join(namespace)
}

/// Names and addresses for that many nodes.
///
/// # Errors
/// [`Error::InvalidNodeCount`]
pub(crate) fn number_nodes(count: u8) -> Result<Vec<(String, Ipv4Addr)>> {
    if count == 0 || count > NODES_MAX {
        return Err(Error::InvalidNodeCount { count });
    }
    let [a, b, c, _] = BRIDGE_ADDRESS.octets();
    Ok((0..count)
        .map(|index| (format!("node-{}", index + 1), Ipv4Addr::new(a, b, c, FIRST_NODE + index)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_are_refused() {
        for name in ["", "..", "a/b", "Upper", "a.b", "1st", "-a", "a,b", &"a".repeat(33)] {
            assert!(Place::new(&Locations::default(), name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_sandbox_owns_only_its_own_namespaces() {
        let place = Place::new(&Locations::default(), "one").unwrap();
        assert!(place.owns_network_namespace("keddah.one"));
        assert!(place.owns_network_namespace("keddah.one.node-1"));
        assert!(!place.owns_network_namespace("keddah.one-more"));
        assert!(!place.owns_network_namespace("keddah.two.node-1"));
    }

    #[test]
    fn nodes_are_numbered_from_ten() {
        let nodes = number_nodes(4).unwrap();
        assert_eq!(nodes[0], ("node-1".into(), Ipv4Addr::new(10, 10, 10, 10)));
        assert_eq!(nodes[3], ("node-4".into(), Ipv4Addr::new(10, 10, 10, 13)));
        assert!(number_nodes(0).is_err());
        assert!(number_nodes(65).is_err());
    }
}
