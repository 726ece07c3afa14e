//! The sandbox's network: a bridge in a namespace without a way out, and a cable to each node.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use crate::error::{FileContext, Result};
use crate::location::{
    BRIDGE, BRIDGE_ADDRESS, NETWORK_NAMESPACES, PREFIX_LENGTH, Place, network_namespace_path,
};
use crate::lock::Shared;
use crate::process::{output, output_with_input, tool};

/// The name of the network interface in a node; the documents' examples say eth0.
pub(crate) const NODE_INTERFACE: &str = "eth0";

/// Runs several `ip` commands in one network namespace.
fn ip(namespace: &str, commands: &str) -> Result<()> {
    output_with_input(tool("ip").args(["-netns", namespace, "-batch", "-"]), commands).map(|_| ())
}

/// Makes the network namespace with the bridge.
///
/// # Errors
/// What `ip` says.
pub(crate) fn create_bridge(place: &Place) -> Result<()> {
    let namespace = place.network_namespace();
    add_namespace(&namespace)?;
    ip(
        &namespace,
        &format!(
            "link set lo up\n\
             link add {BRIDGE} type bridge\n\
             addr add {BRIDGE_ADDRESS}/{PREFIX_LENGTH} dev {BRIDGE}\n\
             link set {BRIDGE} up\n"
        ),
    )
}

/// Makes a named network namespace; `ip` makes the directory of all of them, where it is the first.
fn add_namespace(namespace: &str) -> Result<()> {
    let _shared = Shared::acquire()?;
    output(tool("ip").args(["netns", "add", namespace])).map(|_| ())
}

/// A hardware address that stays the same when the node is switched off and on, as a real card's does.
fn hardware_address(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    // The first byte marks an address that nobody else assigns.
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Makes a node's network namespace and its cable to the bridge, in place of earlier ones.
///
/// # Errors
/// What `ip` says.
pub(crate) fn connect_node(place: &Place, node: &str, address: Ipv4Addr, cut: bool) -> Result<()> {
    disconnect_node(place, node)?;
    let outer = place.network_namespace();
    let inner = place.node_network_namespace(node);
    add_namespace(&inner)?;
    let hardware = hardware_address(address);
    ip(
        &outer,
        &format!(
            "link add {node} type veth peer name {NODE_INTERFACE} address {hardware} netns {inner}\n\
             link set {node} master {BRIDGE}\n\
             link set {node} {}\n",
            if cut { "down" } else { "up" }
        ),
    )?;
    ip(
        &inner,
        &format!(
            "link set lo up\n\
             addr add {address}/{PREFIX_LENGTH} broadcast + dev {NODE_INTERFACE}\n\
             link set {NODE_INTERFACE} up\n"
        ),
    )
}

/// Removes a node's cable and network namespace, if there are any.
///
/// The cable goes first and by name: a namespace with sockets that still wait for an answer is freed
/// late, and its end of the cable with it.
///
/// # Errors
/// What `ip` says.
pub(crate) fn disconnect_node(place: &Place, node: &str) -> Result<()> {
    let outer = place.network_namespace();
    if network_namespace_path(&outer).exists() && has_link(&outer, node)? {
        ip(&outer, &format!("link del {node}\n"))?;
    }
    remove_namespace(&place.node_network_namespace(node))
}

fn has_link(namespace: &str, link: &str) -> Result<bool> {
    let links = output(tool("ip").args(["-netns", namespace, "-oneline", "link", "show"]))?;
    Ok(links.lines().any(|line| {
        line.split(": ").nth(1).is_some_and(|name| name.split('@').next() == Some(link))
    }))
}

/// Takes the node's cable up or down at the bridge's end: the node's own interface loses its carrier,
/// and nothing passes in either direction.
///
/// # Errors
/// What `ip` says.
pub(crate) fn switch_cable(place: &Place, node: &str, up: bool) -> Result<()> {
    let state = if up { "up" } else { "down" };
    ip(&place.network_namespace(), &format!("link set {node} {state}\n"))
}

/// Removes a named network namespace, if it is there.
///
/// # Errors
/// What `ip` says.
pub(crate) fn remove_namespace(namespace: &str) -> Result<()> {
    if !network_namespace_path(namespace).exists() {
        return Ok(());
    }
    match output(tool("ip").args(["netns", "delete", namespace])) {
        Ok(_) => Ok(()),
        // Killed between making the file and mounting the namespace on it, `ip netns add` leaves a
        // plain file, which `ip netns delete` refuses.
        Err(error) => {
            let path = network_namespace_path(namespace);
            fs::remove_file(&path).map_err(|_| error)
        }
    }
}

/// The names of the sandbox's network namespaces, nodes first.
pub(crate) fn namespaces(place: &Place) -> Vec<String> {
    let Ok(entries) = fs::read_dir(NETWORK_NAMESPACES) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| place.owns_network_namespace(name))
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names
}

/// The number by which the kernel tells network namespaces apart, if there is one of that name.
pub(crate) fn namespace_number(namespace: &str) -> Option<u64> {
    fs::metadata(network_namespace_path(namespace)).ok().map(|about| about.ino())
}

/// Removes the directory of named network namespaces once the last is gone, with the mount that `ip`
/// makes of it; `ip` makes both again when they are needed. The caller holds [`Shared`].
pub(crate) fn remove_empty_namespace_directory() {
    let directory = Path::new(NETWORK_NAMESPACES);
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none()) {
        let _ = rustix::mount::unmount(directory, rustix::mount::UnmountFlags::empty());
        let _ = fs::remove_dir(directory);
    }
}

/// Does something inside the sandbox's network, on a thread of its own: a thread's network cannot be
/// given back.
///
/// # Errors
/// The namespace cannot be entered, or what `act` returns.
pub(crate) fn within<T: Send>(place: &Place, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = network_namespace_path(&place.network_namespace());
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let file = fs::File::open(&path).on("open", &path)?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .on("enter", &path)?;
            act()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
