//! SSH without questions: one key opens all nodes, and every node's host key is known before it boots.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{FileContext, Result};
use crate::location::{Place, name_option};
use crate::process::{output, tool};
use crate::state::{State, write_whole};

/// Makes a key pair at `path` and `path.pub`; returns the public line.
///
/// # Errors
/// What `ssh-keygen` says.
pub(crate) fn generate_key(path: &Path, comment: &str) -> Result<String> {
    output(
        tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(path),
    )?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).on("protect", path)?;
    let public = path.with_added_extension("pub");
    fs::read_to_string(&public).on("read", &public)
}

/// Writes the files that a client needs: `host_keys` are the nodes' public lines, in their order.
///
/// # Errors
/// [`crate::Error::File`]
pub(crate) fn write_client_files(place: &Place, state: &State, host_keys: &[String]) -> Result<()> {
    let known: String = state
        .nodes
        .iter()
        .zip(host_keys)
        .map(|(node, key)| format!("{},{} {}\n", node.name, node.address, key.trim_end()))
        .collect();
    write_whole(&place.known_hosts(), &known)?;
    write_whole(&place.ssh_config(), &client_configuration(place, state))?;
    write_whole(&place.inventory(), &inventory(place, state))
}

/// The configuration for `ssh -F`.
fn client_configuration(place: &Place, state: &State) -> String {
    let mut text = format!(
        "# Works inside the sandbox's network: keddah sandbox in{} -- ssh -F {} {}\n",
        name_option(&place.name),
        place.ssh_config().display(),
        state.nodes.first().map_or("NODE", |node| node.name.as_str()),
    );
    for node in &state.nodes {
        text.push_str(&format!(
            "Host {} {}\n    HostName {}\n",
            node.name, node.address, node.address
        ));
    }
    text.push_str(&format!(
        "Host *\n    User root\n    IdentityFile {}\n    IdentitiesOnly yes\n    \
         UserKnownHostsFile {}\n    GlobalKnownHostsFile /dev/null\n    \
         StrictHostKeyChecking yes\n    BatchMode yes\n    ConnectTimeout 5\n    \
         # The post-quantum exchange costs a tenth of a second; nobody listens on this bridge.\n    \
         KexAlgorithms curve25519-sha256\n",
        place.identity().display(),
        place.known_hosts().display()
    ));
    text
}

/// An inventory that names the nodes and says how to reach them; to be merged with one that says what
/// they should be.
fn inventory(place: &Place, state: &State) -> String {
    let mut text = format!(
        "all:\n  vars:\n    ansible_user: root\n    ansible_ssh_private_key_file: {}\n    \
         ansible_ssh_common_args: '-F {}'\n  hosts:\n",
        place.identity().display(),
        place.ssh_config().display()
    );
    for node in &state.nodes {
        text.push_str(&format!("    {}: {{ nodename: {} }}\n", node.address, node.name));
    }
    text
}
