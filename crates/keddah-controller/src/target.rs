//! Connect: from a host's `ansible_*` variables to a conversation with its agent.

use crate::event::{Work, Working};
use crate::{CommandError, Context};
use keddah_compile::CONTROLLER;
use keddah_core::NodeName;
use keddah_fleet::{
    Arrivals, Become, Controller, FirstAnswers, FirstQuestions, Fleet, Limits, SshTarget, Target,
    split,
};
use keddah_inventory::{Data, Inventory, Params};
use keddah_plan::{Failure, Plan};
use keddah_resource::{DesiredFleet, NodeFacts, Probe};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a conversation with these nodes of the inventory, and with this machine as the controller, and
/// puts the first questions to each; none is waited for longer than `limits` say. The last of the answers is
/// this machine's clock when it was begun to ask.
///
/// # Errors
/// When a host's variables make no sense, or this machine cannot be a controller. A node that is
/// out of reach is no error here.
pub async fn connect(
    context: &Context,
    inventory: &Inventory,
    nodes: &BTreeSet<NodeName>,
    limits: Limits,
    questions: FirstQuestions,
) -> Result<(Fleet, FirstAnswers, i64), CommandError> {
    let mut targets = vec![(NodeName::new(CONTROLLER), Target::Controller)];
    for host in inventory.hosts().filter(|host| nodes.contains(&host.name)) {
        targets.push((host.name.clone(), target(context, inventory, &host.name)?));
    }
    let remote = targets.iter().any(|(_, target)| !matches!(target, Target::Controller));
    let controller = Arc::new(Controller { limits, ..controller(context, remote)? });
    let _working = Working::on(context, Work::Reaching { nodes: targets.len() - 1 });
    let begun = context.environment.milliseconds();
    let (fleet, answers) = Fleet::connect_and_ask(&controller, targets, questions).await;
    Ok((fleet, answers, begun))
}

/// Opens a conversation with these nodes alone, and puts the first questions to each. None is waited for longer
/// than `limits` say, whatever others do.
///
/// # Errors
/// As [`connect`].
pub async fn connect_within(
    context: &Context,
    inventory: &Inventory,
    nodes: &BTreeSet<NodeName>,
    limits: Limits,
    questions: FirstQuestions,
) -> Result<(FirstAnswers, i64), CommandError> {
    let mut targets = Vec::new();
    for host in inventory.hosts().filter(|host| nodes.contains(&host.name)) {
        targets.push((host.name.clone(), target(context, inventory, &host.name)?));
    }
    let arrivals = Arrivals::within_a_fixed_time();
    let controller = controller(context, !targets.is_empty())?;
    let controller = Arc::new(Controller { limits, arrivals, ..controller });
    let begun = context.environment.milliseconds();
    let (_, answers) = Fleet::connect_and_ask(&controller, targets, questions).await;
    Ok((answers, begun))
}

/// Asks every node what it is.
pub async fn observe_facts(
    context: &Context,
    inventory: &Inventory,
    fleet: &mut Fleet,
) -> BTreeMap<NodeName, NodeFacts> {
    ask(context, &keddah_compile::probes(inventory), fleet).await
}

/// Asks every node these questions.
pub async fn ask(
    context: &Context,
    probes: &BTreeMap<NodeName, Probe>,
    fleet: &mut Fleet,
) -> BTreeMap<NodeName, NodeFacts> {
    let _working = Working::on(context, Work::AskingFacts);
    fleet.facts(probes).await
}

/// Refuses to go on where not one of the selected nodes answers: nothing could be said of any.
///
/// # Errors
/// When no node answers, with each one's reason; alike reasons are given once.
pub fn some_answer(fleet: &Fleet, selected: &BTreeSet<NodeName>) -> Result<(), CommandError> {
    let silent: Vec<(&NodeName, &Failure)> =
        fleet.unreachable().iter().filter(|(node, _)| selected.contains(*node)).collect();
    if silent.is_empty() || silent.len() < selected.len() {
        return Ok(());
    }
    let mut error = CommandError::system(match silent.as_slice() {
        [(node, _)] => format!("{node} does not answer, so nothing can be said of it"),
        many => format!("none of {} nodes answers, so nothing can be said of them", many.len()),
    });
    let mut reasons: BTreeMap<String, Vec<&NodeName>> = BTreeMap::new();
    for (node, failure) in &silent {
        // Most reasons begin with the node's own name, and only thereby differ.
        let reason = failure.message.replace(node.as_str(), "it");
        reasons.entry(reason).or_default().push(node);
    }
    for nodes in reasons.values() {
        let failure = &fleet.unreachable()[nodes[0]];
        let others = match nodes.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more alike)"),
        };
        error.causes.push(format!("{}{others}", failure.message));
        error.hints.extend(failure.hint.clone());
    }
    Err(error)
}

/// Completes a plan by what only the conversation knows: nodes of the selection that could not be
/// asked, and that the controller is not a node.
pub fn complete(
    plan: &mut Plan,
    desired: &DesiredFleet,
    fleet: &Fleet,
    selected: &BTreeSet<NodeName>,
) {
    let nodes: BTreeSet<&NodeName> = desired.iter().map(|resource| &resource.id.node).collect();
    plan.nodes = nodes.into_iter().filter(|node| node.as_str() != CONTROLLER).count();
    let unreachable = fleet.unreachable().iter().filter(|(node, _)| selected.contains(*node));
    plan.unreachable = unreachable.map(|(node, failure)| (node.clone(), failure.clone())).collect();
}

fn target(
    context: &Context,
    inventory: &Inventory,
    host: &NodeName,
) -> Result<Target, CommandError> {
    let params = Params::new(inventory, host);
    let variable = |names: &[&str]| -> Option<String> {
        let found = names.iter().find_map(|name| params.vars().value(name))?;
        let expanded = params.expand(found).ok()?;
        match expanded.data {
            Data::String(text) | Data::Unsafe(text) => Some(text).filter(|text| !text.is_empty()),
            Data::Int(number) => Some(number.to_string()),
            Data::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    };
    let wrong = |name: &str, why: &str| {
        CommandError::user(format!("{host}: `{name}` cannot be used: {why}"))
    };
    let refuses = |text: &String| {
        ["false", "no", "off", "0"].iter().any(|word| text.eq_ignore_ascii_case(word))
    };
    let become_root = match variable(&["ansible_become"]) {
        Some(text) if refuses(&text) => Become::Never,
        _ => Become::IfNeeded,
    };
    match variable(&["ansible_connection"]).as_deref() {
        Some("local") => return Ok(Target::Local(become_root)),
        None | Some("ssh" | "smart") => {}
        Some(other) => {
            let why = format!("Keddah knows the connections ssh and local, not {other}");
            return Err(wrong("ansible_connection", &why));
        }
    }
    let mut arguments = Vec::new();
    if let Some(path) = &context.environment.ssh_configuration {
        arguments.extend(["-F".to_owned(), path.display().to_string()]);
    }
    for name in ["ansible_ssh_common_args", "ansible_ssh_extra_args"] {
        if let Some(line) = variable(&[name]) {
            arguments.extend(split(&line).map_err(|why| wrong(name, &why))?);
        }
    }
    let port = match variable(&["ansible_port", "ansible_ssh_port"]) {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| wrong("ansible_port", "it is not a port"))?),
    };
    let address = variable(&["ansible_host", "ansible_ssh_host"]);
    let address = address.unwrap_or_else(|| host.as_str().to_owned());
    if address.starts_with('-') {
        return Err(wrong("ansible_host", "it begins like an option"));
    }
    Ok(Target::Ssh(SshTarget {
        host: address,
        port,
        user: variable(&["ansible_user", "ansible_ssh_user"]),
        private_key_file: variable(&["ansible_ssh_private_key_file", "ansible_private_key_file"]),
        arguments,
        become_root,
    }))
}

fn controller(context: &Context, remote: bool) -> Result<Controller, CommandError> {
    let executable = context.environment.executable.clone();
    let executable = executable.ok_or_else(|| CommandError::system("cannot find this program"))?;
    let copied = remote && context.agents.is_none();
    let build = if copied { digest(&executable)? } else { "local".to_owned() };
    Ok(Controller {
        executable,
        build,
        control_directory: control_directory(context)?,
        state_directory: context.environment.state_directory.clone(),
        secure_shell: PathBuf::from("ssh"),
        limits: Limits::default(),
        arrivals: Arrivals::default(),
        agents: context.agents.clone(),
    })
}

fn digest(path: &Path) -> Result<String, CommandError> {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                length => hash.update(&buffer[..length]),
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    read().map_err(|error| {
        CommandError::system(format!("cannot read {}", path.display())).caused_by(&error)
    })
}

/// Whoever can write here can speak to our nodes, so it must be ours alone. And an address means
/// another machine in another network namespace, so each has connections of its own.
fn control_directory(context: &Context) -> Result<PathBuf, CommandError> {
    let uid = rustix::process::geteuid().as_raw();
    let ours = match &context.environment.runtime_directory {
        Some(runtime) => runtime.join("keddah"),
        None => PathBuf::from(format!("/tmp/keddah-{uid}")),
    };
    let network = std::fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino());
    let directory = ours.join(network.to_string());
    for directory in [&ours, &directory] {
        let made = std::fs::DirBuilder::new().mode(0o700).create(directory);
        let found = std::fs::symlink_metadata(directory).map_err(|error| {
            let cause = made.err().unwrap_or(error);
            CommandError::system(format!("cannot make {}", directory.display())).caused_by(&cause)
        })?;
        if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
            return Err(CommandError::system(format!(
                "{} is not a directory of yours alone",
                directory.display()
            ))
            .hint("remove it, or make it yours with mode 0700"));
        }
    }
    Ok(directory)
}
