//! What `keddah sandbox` shows: answers to standard output, progress to standard error.

use std::io::{self, Write};

use keddah_sandbox::{ActiveFault, Fault, NodeCondition, NodeStatus, Progress, Removed, Status};

/// Shows what happens while a sandbox is made.
#[derive(Debug, Clone, Copy)]
pub struct UpView {
    verbose: bool,
}

impl UpView {
    /// A view that shows the lines of the programs that build images, or keeps them to itself.
    #[must_use]
    pub fn new(verbose: bool) -> Self {
        Self { verbose }
    }

    /// Shows one event. A reader that went away is no reason to stop.
    pub fn show(&self, event: &Progress) {
        let line = match event {
            Progress::Building { what } => format!("building {what} …"),
            Progress::BuildLine { line } if self.verbose => format!("  {line}"),
            Progress::Built { what } => format!("built {what}"),
            Progress::Ready { node } => format!("{node} is ready"),
            _ => return,
        };
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Shows a sandbox and how to reach its nodes.
pub fn status(status: &Status) {
    let _ = io::stdout().write_all(status_text(status).as_bytes());
}

/// Shows a sandbox as data.
pub fn status_json(status: &Status) {
    let mut text =
        serde_json::to_string_pretty(status).expect("a status has only text, numbers and lists");
    text.push('\n');
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Says that a sandbox is gone.
pub fn down(name: &str, removed: &Removed) {
    let _ = io::stderr().write_all(down_text(name, removed).as_bytes());
}

fn down_text(name: &str, removed: &Removed) -> String {
    let Removed { existed, still_inside } = removed;
    let mut text = format!("sandbox {name} {}\n", if *existed { "is down" } else { "was not up" });
    for (process, command) in still_inside {
        text.push_str(&format!(
            "warning: process {process} ({command}) still runs in what was its network\n"
        ));
    }
    text
}

fn status_text(status: &Status) -> String {
    let Status {
        name,
        suite,
        image,
        complete,
        bridge,
        network_namespace,
        repository,
        repository_served,
        identity: _,
        ssh_config,
        known_hosts: _,
        inventory,
        nodes,
    } = status;
    let mut text = format!("sandbox {name}: {suite}, {image} image\n");
    let option = keddah_sandbox::name_option(name);
    if !complete {
        text.push_str(&format!(
            "  its making was cut short: run `keddah sandbox up{option}` or `keddah sandbox \
             down{option}`\n"
        ));
    }
    for NodeStatus { name, address, state, cut, disks, faults, pid, console: _ } in nodes {
        let state = match state {
            NodeCondition::Running => "running",
            NodeCondition::Starting => "starting",
            NodeCondition::Stopped => "stopped",
        };
        let cut = if *cut { ", cut off" } else { "" };
        let pid = pid.map(|pid| format!("  pid {pid}")).unwrap_or_default();
        text.push_str(&format!("  {name:<8} {:<13} {state}{cut}{pid}\n", address.to_string()));
        for disk in disks {
            text.push_str(&format!("           disk {} of {} MiB\n", disk.path, disk.bytes >> 20));
        }
        for active in faults {
            text.push_str(&format!("           {}\n", fault_text(active)));
        }
    }
    let served = if *repository_served { "" } else { " (not served)" };
    text.push_str(&format!(
        "  bridge      {bridge} in network namespace {network_namespace}\n  \
         packages    {repository}{served}\n  \
         ssh         keddah sandbox in{option} -- ssh -F {} {}\n  \
         inventory   {}\n",
        ssh_config.display(),
        nodes.first().map_or("", |node| node.name.as_str()),
        inventory.display(),
    ));
    text
}

/// A fault in force, with its measure and its end.
fn fault_text(active: &ActiveFault) -> String {
    let name = active.fault.name();
    let about = match &active.fault {
        Fault::SlowDisk { path, bytes_per_second } => {
            format!(" {path}: {bytes_per_second} bytes/s")
        }
        Fault::FullDisk { path, leave } => format!(" {path}: {leave} bytes left"),
        Fault::Starve { percent } => format!(": {percent} % of a core"),
        Fault::SlowLink { bytes_per_second } => format!(": {bytes_per_second} bytes/s"),
        Fault::Lose { percent } => format!(": {percent} % of its packets"),
        Fault::CutFrom { nodes } => format!(": {}", nodes.join(", ")),
        Fault::Freeze | Fault::Cut => String::new(),
    };
    let end = if active.ends.is_some() { "ends by itself" } else { "until it is ended" };
    format!("fault {name}{about}, {end}")
}

#[cfg(test)]
mod tests {
    use keddah_sandbox::{ImageKind, Suite};

    use super::*;

    #[test]
    fn whoever_is_still_inside_is_named() {
        let removed = Removed { existed: true, still_inside: vec![(42, "psql".into())] };
        assert_eq!(
            down_text("default", &removed),
            "sandbox default is down\n\
             warning: process 42 (psql) still runs in what was its network\n"
        );
    }

    #[test]
    fn commands_name_a_sandbox_that_is_not_the_usual_one() {
        assert_eq!(keddah_sandbox::name_option("default"), "");
        assert_eq!(keddah_sandbox::name_option("other"), " --name other");
    }

    #[test]
    fn a_status_names_what_is_off_and_what_is_cut() {
        let node = |number: u8, state, cut, pid| NodeStatus {
            name: format!("node-{number}"),
            address: [10, 10, 10, 9 + number].into(),
            state,
            cut,
            disks: Vec::new(),
            faults: Vec::new(),
            pid,
            console: "/run/node.log".into(),
        };
        let text = status_text(&Status {
            name: "default".into(),
            suite: Suite::Trixie,
            image: ImageKind::Warm,
            complete: true,
            bridge: [10, 10, 10, 1].into(),
            network_namespace: "keddah.default".into(),
            repository: "http://10.10.10.1/".into(),
            repository_served: true,
            identity: "/run/key".into(),
            ssh_config: "/run/ssh_config".into(),
            known_hosts: "/run/known_hosts".into(),
            inventory: "/run/inventory.yml".into(),
            nodes: vec![
                node(1, NodeCondition::Running, true, Some(71)),
                node(2, NodeCondition::Stopped, false, None),
            ],
        });
        assert_eq!(
            text,
            "sandbox default: trixie, warm image\n  \
             node-1   10.10.10.10   running, cut off  pid 71\n  \
             node-2   10.10.10.11   stopped\n  \
             bridge      10.10.10.1 in network namespace keddah.default\n  \
             packages    http://10.10.10.1/\n  \
             ssh         keddah sandbox in -- ssh -F /run/ssh_config node-1\n  \
             inventory   /run/inventory.yml\n"
        );
    }
}
