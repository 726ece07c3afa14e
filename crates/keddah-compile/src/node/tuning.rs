//! Kernel parameters and limits for a database node, as far as the kernel lets itself be tuned.

use crate::compiler::{Compiler, Node, Problem, problem};
use keddah_inventory::to_json;
use keddah_inventory::{ParamOrigin, parameters};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{file, sysctl};
use keddah_resource::{Module, Resource};
use std::collections::{BTreeMap, BTreeSet};
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
    pub(super) fn kernel(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        if node.params.get(parameters::NODE_TUNE) != "none" {
            values.extend(COMMON.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        }
        let ratio = node.params.get(parameters::NODE_OVERCOMMIT_RATIO);
        if ratio > 0.0 {
            values.insert("vm.overcommit_memory".to_owned(), "2".to_owned());
            let percent = if ratio < 1.0 { ratio * 100.0 } else { ratio };
            values.insert("vm.overcommit_ratio".to_owned(), format!("{percent:.0}"));
        }
        let pages = huge_pages(node);
        if pages > 0 {
            values.insert("vm.nr_hugepages".to_owned(), pages.to_string());
        }
        for (name, value) in node.params.get(parameters::NODE_SYSCTL_PARAMS) {
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
        let mut modules = modules(node)?;
        let container = node.facts.sysctl_read_only || node.facts.system.container;
        let without_swap = node.params.get(parameters::NODE_DISABLE_SWAP) && !container;
        if container {
            // Both are the host's, and a list of modules would be wrong at every boot.
            modules.clear();
            let named = node.params.origin(parameters::NODE_KERNEL_MODULES) != ParamOrigin::Default;
            let asked = [
                ("node_kernel_modules", named),
                ("node_disable_swap", node.params.get(parameters::NODE_DISABLE_SWAP)),
            ];
            for (name, _) in asked.into_iter().filter(|(_, asked)| *asked) {
                self.notes.push(format!(
                    "{}: {name} does nothing in a container, whose kernel is its host's",
                    node.name
                ));
            }
        }
        let list = if modules.is_empty() {
            file::Spec::absent(MODULES)
        } else {
            let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
            modules.iter().for_each(|module| {
                let _ = writeln!(text, "{module}");
            });
            file::Spec::text(MODULES, text, Permissions::root(0o644))
        };
        let list = self.fleet.add(Resource::new(&node.name, Module::Node, list));
        if node.facts.sysctl_read_only {
            self.untuned.push(node.name.to_string());
        }
        let spec = sysctl::Spec { values, modules, without_swap };
        self.fleet.add(Resource::new(&node.name, Module::Node, spec).after([file, list]));
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
        Ok(())
    }
}

/// Which modules systemd loads at boot (modules-load.d(5)).
const MODULES: &str = "/etc/modules-load.d/keddah.conf";

/// `node_hugepage_count`, or the share of memory that `node_hugepage_ratio` says.
fn huge_pages(node: &Node<'_>) -> i64 {
    const BYTES: f64 = (2 << 20) as f64;
    let count = node.params.get(parameters::NODE_HUGEPAGE_COUNT);
    let ratio = node.params.get(parameters::NODE_HUGEPAGE_RATIO).clamp(0.0, 1.0);
    if count > 0 || ratio == 0.0 {
        return count;
    }
    // A page more or less does not matter.
    (node.facts.memory_bytes as f64 * ratio / BYTES) as i64
}

/// `node_kernel_modules` without those that the kernel does not have. That one of the default list is
/// missing is no mistake of the inventory's: small kernels lack them.
fn modules(node: &Node<'_>) -> Result<BTreeSet<String>, Problem> {
    let mut modules = BTreeSet::new();
    let named = node.params.origin(parameters::NODE_KERNEL_MODULES) != ParamOrigin::Default;
    for module in node.params.get(parameters::NODE_KERNEL_MODULES) {
        let span = node.params.span(parameters::NODE_KERNEL_MODULES);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        if module.is_empty() || !module.chars().all(plain) {
            let message = format!("`{module}` in `node_kernel_modules` is no name of a module");
            return Err(problem("bad-module", span, message));
        }
        if !node.facts.system.missing_modules.contains(&module) {
            modules.insert(module);
        } else if named {
            let message = format!("the kernel of {} has no module `{module}`", node.name);
            return Err(Box::new(problem("bad-module", span, message).help(
                "take it out of `node_kernel_modules` there, or install the kernel that has it",
            )));
        }
    }
    Ok(modules)
}
