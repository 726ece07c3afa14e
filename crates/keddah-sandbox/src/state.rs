//! What is remembered of a sandbox between two commands, and what is told about it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::error::{Error, FileContext, Result};
use crate::fault::ActiveFault;
use crate::image::{ImageKind, Suite};
use crate::location::Place;

/// How a node is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// The system shuts down in its own order.
    Orderly,
    /// The power fails: the network falls silent first, then every process is killed.
    PowerLoss,
}

/// What a sandbox was made of. Whether its nodes run is never remembered but looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The sandbox's name.
    pub(crate) name: String,
    /// The Debian release of its nodes.
    pub(crate) suite: Suite,
    /// Which packages the nodes were made with.
    pub(crate) image: ImageKind,
    /// The root file system that all nodes share, unchanged.
    pub(crate) image_root: PathBuf,
    /// The directory that the repository's server serves.
    pub(crate) repository: PathBuf,
    /// True if the nodes' files are kept in memory.
    pub(crate) in_memory: bool,
    /// False until all nodes have answered once: a sandbox whose making was cut short.
    pub(crate) complete: bool,
    /// The nodes in the order of their addresses.
    pub(crate) nodes: Vec<NodeState>,
}

/// What is remembered of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeState {
    /// Its name, such as node-1.
    pub(crate) name: String,
    /// Its address in the sandbox's network.
    pub(crate) address: Ipv4Addr,
    /// True if its cable is cut; it stays so when the node is switched off and on.
    pub(crate) cut: bool,
    /// The file systems of its own, outer ones first.
    #[serde(default)]
    pub(crate) disks: Vec<Disk>,
    /// The faults in force.
    #[serde(default)]
    pub(crate) faults: Vec<ActiveFault>,
}

impl NodeState {
    /// A node without disks and faults.
    pub(crate) fn new(name: String, address: Ipv4Addr) -> Self {
        Self { name, address, cut: false, disks: Vec::new(), faults: Vec::new() }
    }
}

/// The node by its name, its address, or its number.
///
/// # Errors
/// [`Error::UnknownNode`]
pub(crate) fn find_node<'a>(nodes: &'a [NodeState], wanted: &str) -> Result<&'a NodeState> {
    nodes
        .iter()
        .find(|node| {
            node.name == wanted
                || node.address.to_string() == wanted
                || node.name.strip_prefix("node-") == Some(wanted)
        })
        .ok_or_else(|| Error::UnknownNode {
            node: wanted.into(),
            known: nodes.iter().map(|node| node.name.clone()).collect(),
        })
}

impl State {
    /// Reads the state file; none if there is no such sandbox.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub(crate) fn read(place: &Place) -> Result<Option<Self>> {
        let path = place.state_file();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.on("read", &path)?,
        };
        serde_json::from_str(&text).map(Some).map_err(|source| Error::State { path, source })
    }

    /// Writes the state file in one step.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(crate) fn write(&self, place: &Place) -> Result<()> {
        let path = place.state_file();
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| Error::State { path: path.clone(), source })?;
        write_whole(&path, &text)
    }

    /// The node by its name, its address, or its number.
    ///
    /// # Errors
    /// [`Error::UnknownNode`]
    pub(crate) fn node(&self, wanted: &str) -> Result<&NodeState> {
        find_node(&self.nodes, wanted)
    }
}

/// Writes a file so that a reader, or a crash, never sees half of it.
///
/// # Errors
/// [`Error::File`]
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).on("write", &draft)?;
    fs::rename(&draft, path).on("replace", path)
}

/// A sandbox as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The sandbox's name.
    pub name: String,
    /// The Debian release of its nodes.
    pub suite: Suite,
    /// Which packages the nodes were made with.
    pub image: ImageKind,
    /// False if its making was cut short: take it down.
    pub complete: bool,
    /// The bridge's address, which is this machine's in the sandbox's network.
    pub bridge: Ipv4Addr,
    /// The name of the bridge's network namespace, as `ip netns` knows it.
    pub network_namespace: String,
    /// The package repository that the nodes install from.
    pub repository: String,
    /// True if the repository's server runs.
    pub repository_served: bool,
    /// The private key that opens all nodes as root.
    pub identity: PathBuf,
    /// The configuration for `ssh -F`, to be used inside the sandbox's network.
    pub ssh_config: PathBuf,
    /// The nodes' host keys.
    pub known_hosts: PathBuf,
    /// The variables that an inventory needs to reach the nodes, as an inventory file.
    pub inventory: PathBuf,
    /// The nodes in the order of their addresses.
    pub nodes: Vec<NodeStatus>,
}

/// A node as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it runs.
    pub state: NodeCondition,
    /// True if its cable is cut.
    pub cut: bool,
    /// The file systems of its own.
    pub disks: Vec<Disk>,
    /// The faults in force.
    pub faults: Vec<ActiveFault>,
    /// Its first process, numbered as this machine sees it.
    pub pid: Option<u32>,
    /// What it writes to its console.
    pub console: PathBuf,
}

/// Whether a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeCondition {
    /// Its systemd is there.
    Running,
    /// Its container is being set up.
    Starting,
    /// No process of it is there.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            name: "default".into(),
            suite: Suite::Trixie,
            image: ImageKind::Bare,
            image_root: "/image".into(),
            repository: "/repository".into(),
            in_memory: false,
            complete: true,
            nodes: crate::location::number_nodes(3)
                .unwrap()
                .into_iter()
                .map(|(name, address)| NodeState::new(name, address))
                .collect(),
        }
    }

    #[test]
    fn a_node_is_found_by_name_address_or_number() {
        let state = state();
        for wanted in ["node-2", "10.10.10.11", "2"] {
            assert_eq!(state.node(wanted).unwrap().name, "node-2", "{wanted}");
        }
        let error = state.node("node-9").unwrap_err().to_string();
        assert_eq!(error, "no node \"node-9\": there are node-1, node-2, node-3");
    }

    #[test]
    fn the_state_survives_writing_and_reading() {
        let directory = std::env::temp_dir().join(format!("keddah-state-{}", std::process::id()));
        let locations = crate::Locations { state: directory.clone(), ..Default::default() };
        let place = Place::new(&locations, "default").unwrap();
        assert_eq!(State::read(&place).unwrap(), None);
        fs::create_dir_all(&place.state).unwrap();
        state().write(&place).unwrap();
        assert_eq!(State::read(&place).unwrap(), Some(state()));
        fs::remove_dir_all(directory).unwrap();
    }
}
