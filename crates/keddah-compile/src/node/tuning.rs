//! Kernel parameters and limits for a database node, as far as the kernel lets itself be tuned.

use crate::compiler::{Compiler, Node};
use keddah_inventory::to_json;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{file, sysctl};
use keddah_resource::{Module, Resource};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Values for every database node ("Managing Kernel Resources" in PostgreSQL's manual, and the
/// kernel's own documentation of `vm` and `net`).
const COMMON: &[(&str, &str)] = &[
    // The out-of-memory killer must not meet a postmaster.
    ("vm.overcommit_memory", "0"),
    ("vm.swappiness", "1"),
    // Background writeback starts early, so that a checkpoint never stalls on gigabytes.
    ("vm.dirty_background_ratio", "5"),
    ("vm.dirty_ratio", "20"),
    ("vm.zone_reclaim_mode", "0"),
    ("fs.aio-max-nr", "1048576"),
    ("net.core.somaxconn", "65535"),
    ("net.ipv4.tcp_max_syn_backlog", "8192"),
    ("net.ipv4.tcp_tw_reuse", "1"),
    ("net.ipv4.tcp_keepalive_time", "60"),
    ("net.ipv4.tcp_keepalive_intvl", "10"),
    ("net.ipv4.tcp_keepalive_probes", "6"),
    // HAProxy and keepalived bind a virtual address before they hold it.
    ("net.ipv4.ip_nonlocal_bind", "1"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.ip_local_port_range", "10000 65000"),
];

impl Compiler<'_> {
    pub(super) fn kernel(&mut self, node: &Node<'_>) {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        if node.params.str("node_tune") != "none" {
            values.extend(COMMON.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        }
        let ratio = node.params.float("node_overcommit_ratio");
        if ratio > 0.0 {
            values.insert("vm.overcommit_memory".to_owned(), "2".to_owned());
            let percent = if ratio < 1.0 { ratio * 100.0 } else { ratio };
            values.insert("vm.overcommit_ratio".to_owned(), format!("{percent:.0}"));
        }
        let pages = node.params.int("node_hugepage_count");
        if pages > 0 {
            values.insert("vm.nr_hugepages".to_owned(), pages.to_string());
        }
        for (name, value) in node.params.map("node_sysctl_params") {
            let text = match to_json(&value) {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            values.insert(name.text, text);
        }
        let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
        for (name, value) in &values {
            let _ = writeln!(text, "{name} = {value}");
        }
        let file = self.fleet.add(Resource::new(
            &node.name,
            Module::Node,
            file::Spec::text("/etc/sysctl.d/90-keddah.conf", text, Permissions::root(0o644)),
        ));
        if node.facts.sysctl_read_only {
            self.untuned.push(node.name.to_string());
        }
        self.fleet
            .add(Resource::new(&node.name, Module::Node, sysctl::Spec { values }).after([file]));
        let limits = "# Written by Keddah: a connection is a file, and so is a relation.\n\
             * soft nofile 65536\n* hard nofile 1048576\n\
             * soft nproc unlimited\n* hard nproc unlimited\n\
             * soft stack unlimited\n* hard stack unlimited\n";
        self.fleet.add(Resource::new(
            &node.name,
            Module::Node,
            file::Spec::text(
                "/etc/security/limits.d/90-keddah.conf",
                limits,
                Permissions::root(0o644),
            ),
        ));
    }
}
