//! What `ansible-inventory` prints with `--list`, `--host` and `--graph`.

use super::python_json::{Node, UnsafeTexts, dump};
use crate::inventory::{Group, HostVars, Inventory};
use keddah_core::NodeName;
use std::collections::HashSet;

/// Variables that Ansible computes itself; `ansible-inventory` hides them, even when a file sets
/// them.
const INTERNAL: [&str; 33] = [
    "ansible_async_path",
    "ansible_collection_name",
    "ansible_config_file",
    "ansible_dependent_role_names",
    "ansible_diff_mode",
    "ansible_facts",
    "ansible_forks",
    "ansible_inventory_sources",
    "ansible_limit",
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_role_names",
    "ansible_playbook_python",
    "ansible_role_name",
    "ansible_role_names",
    "ansible_run_tags",
    "ansible_skip_tags",
    "ansible_verbosity",
    "ansible_version",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "play_hosts",
    "playbook_dir",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
];

fn visible(vars: &HostVars) -> Node<'_> {
    Node::Map(
        vars.iter()
            .filter(|(name, _)| !INTERNAL.contains(name))
            .map(|(name, sourced)| (name, Node::Value(&sourced.value)))
            .collect(),
    )
}

/// The whole inventory as a dynamic inventory script prints it: every group with its children and
/// hosts, and all host variables under `_meta`. Placeholders stay as written.
pub fn list_json(inventory: &Inventory) -> String {
    let resolved: Vec<(&str, HostVars)> =
        inventory.hosts().map(|host| (host.name.as_str(), inventory.resolve(&host.name))).collect();
    let hostvars = resolved
        .iter()
        .map(|(name, vars)| (*name, visible(vars)))
        .filter(|(_, vars)| !matches!(vars, Node::Map(entries) if entries.is_empty()))
        .collect();
    let meta = vec![("hostvars", Node::Map(hostvars)), ("profile", Node::Text("inventory_legacy"))];
    let mut document = vec![("_meta", Node::Map(meta))];
    // Only what hangs below `all` is listed, which is everything unless `all` itself is a child.
    for group in inventory.descendants("all") {
        let mut entries = Vec::new();
        if !group.children.is_empty() {
            let children = group.children.iter().map(|name| Node::Text(name)).collect();
            entries.push(("children", Node::List(children)));
        }
        if group.name != "all" && !group.hosts.is_empty() {
            let hosts = group.hosts.iter().map(|name| Node::Text(name.as_str())).collect();
            entries.push(("hosts", Node::List(hosts)));
        }
        if !entries.is_empty() {
            document.push((group.name.as_str(), Node::Map(entries)));
        }
    }
    dump(Node::Map(document), UnsafeTexts::Marked)
}

/// The merged variables of one host as JSON; `None` for an unknown host.
pub fn host_json(inventory: &Inventory, host: &NodeName) -> Option<String> {
    inventory.host(host.as_str())?;
    Some(dump(visible(&inventory.resolve(host)), UnsafeTexts::Plain))
}

/// The tree of groups and hosts below a group; `None` for an unknown group.
///
/// A group with several parents is drawn in full below each, as Ansible does.
pub fn graph(inventory: &Inventory, group: &str) -> Option<String> {
    let mut lines = Vec::new();
    let mut open = HashSet::new();
    draw(inventory, inventory.group(group)?, 0, &mut open, &mut lines);
    Some(lines.join("\n"))
}

fn draw<'inventory>(
    inventory: &'inventory Inventory,
    group: &'inventory Group,
    depth: usize,
    open: &mut HashSet<&'inventory str>,
    lines: &mut Vec<String>,
) {
    // The loader refuses cycles; this keeps a broken inventory that is shown anyway finite.
    if !open.insert(&group.name) {
        return;
    }
    let indented = |text: String, depth: usize| match depth {
        0 => text,
        _ => format!("{}--{text}", "  |".repeat(depth)),
    };
    lines.push(indented(format!("@{}:", group.name), depth));
    for child in group.children.iter().filter_map(|name| inventory.group(name)) {
        draw(inventory, child, depth + 1, open, lines);
    }
    if group.name != "all" {
        lines.extend(group.hosts.iter().map(|host| indented(host.to_string(), depth + 1)));
    }
    open.remove(group.name.as_str());
}
