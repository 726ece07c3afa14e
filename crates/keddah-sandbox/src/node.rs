//! One node: its own files, its boot, its end.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bridge;
use crate::clock::Deadline;
use crate::control_group::{Group, Groups};
use crate::disk;
use crate::effect;
use crate::error::{Error, FileContext, Result};
use crate::location::{BRIDGE_ADDRESS, Place, network_namespace_path};
use crate::process::{output, tool};
use crate::secure_shell::generate_key;
use crate::state::{NodeState, State};

/// Boots the container; see the file.
const LAUNCH: &str = include_str!("scripts/launch-node.sh");

/// Enters the control group named first, then becomes the rest of the arguments.
const ENTER_GROUP: &str = r#"echo $$ > "$1/cgroup.procs" && shift && exec "$@""#;

/// The same for a command in a node, which enters the group of starved ones before, if one is named.
const ENTER_GROUPS: &str = r#"{ [ -z "$1" ] || echo $$ > "$1/cgroup.procs"; } &&
shift && echo $$ > "$1/cgroup.procs" && shift && exec "$@""#;

/// A node boots in about a second; sixty cover a machine that is short of everything.
const BOOT_SECONDS: u64 = 60;

/// systemd gives its services ninety seconds to stop.
const SHUTDOWN_SECONDS: u64 = 100;

/// The pause between two looks at a booting node: short against a boot of half a second.
const LOOK: Duration = Duration::from_millis(25);

/// The time within which a started process has entered its group, even where many others wait for a core.
const ENTRY: Duration = Duration::from_secs(5);

/// systemd's signal for an orderly power-off: SIGRTMIN+4.
const POWER_OFF_SIGNAL: &str = "-38";

/// The path a login would have.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn upper(place: &Place, node: &str) -> PathBuf {
    place.node(node).join("upper")
}

fn make_directory(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(path).on("create", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).on("protect", path)
}

/// Writes what makes this node itself: name, machine id, host key, who may log in, where packages come
/// from. Returns the public host key.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn prepare(
    place: &Place,
    state: &State,
    node: &NodeState,
    authorized_key: &str,
) -> Result<String> {
    let root = upper(place, &node.name);
    // Directories made here take the place of the image's own entries, so their modes must be right.
    for directory in ["", "etc", "etc/ssh", "etc/apt", "etc/apt/sources.list.d"] {
        make_directory(&root.join(directory), 0o755)?;
    }
    for directory in ["root", "root/.ssh"] {
        make_directory(&root.join(directory), 0o700)?;
    }
    let write = |path: &str, mode: u32, text: &str| {
        let path = root.join(path);
        fs::write(&path, text).on("write", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).on("protect", &path)
    };
    let name = &node.name;
    write("etc/hostname", 0o644, &format!("{name}\n"))?;
    write(
        "etc/hosts",
        0o644,
        &format!(
            "127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n"
        ),
    )?;
    let random = Path::new("/proc/sys/kernel/random/uuid");
    let machine = fs::read_to_string(random).on("read", random)?.replace('-', "");
    write("etc/machine-id", 0o444, &machine)?;
    write("root/.ssh/authorized_keys", 0o600, authorized_key)?;
    write("etc/apt/sources.list.d/sandbox.sources", 0o644, &package_source(state))?;
    disk::make(place, node)?;
    generate_key(&root.join("etc/ssh/ssh_host_ed25519_key"), name)
}

/// The node's only package source. Its packages were checked against Debian's signatures when the
/// repository was made, and it is reached over a bridge that nobody else is on; so it is trusted as it is.
fn package_source(state: &State) -> String {
    format!(
        "Types: deb\nURIs: http://{BRIDGE_ADDRESS}/\nSuites: {}\nComponents: main\nTrusted: yes\n",
        state.suite
    )
}

/// Marks the node as a sandbox's, with every boot: on it, public passwords are fine.
fn mark(place: &Place, node: &str) -> Result<()> {
    let etc = upper(place, node).join("etc");
    let (new, path) = (etc.join(".keddah-sandbox.new"), etc.join("keddah-sandbox"));
    let text =
        "This node was made by `keddah sandbox`: passwords that everyone knows are allowed.\n";
    fs::write(&new, text).on("write", &new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).on("protect", &new)?;
    // In one step: where the node has deleted its mark, something that is no file stands there.
    fs::rename(&new, &path).on("write", &path)
}

/// Starts a process that outlives this one, in a session and a control group of its own.
///
/// # Errors
/// It cannot be started.
pub(crate) fn launch(group: &Group, log: &Path, arguments: &[String]) -> Result<()> {
    let file = fs::File::create(log).on("create", log)?;
    let mut command = Command::new("setsid");
    command
        .args(["--fork", "sh", "-c", ENTER_GROUP, "sh"])
        .arg(group.path())
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(file.try_clone().on("share", log)?)
        .stderr(file);
    let status =
        command.status().map_err(|source| Error::Start { program: "setsid".into(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed { command: "setsid".into(), status, output: last_lines(log) })
}

/// Switches a node on; it has booted when [`wait_until_ready`] returns.
///
/// # Errors
/// [`Error::AlreadyRunning`], or what its network or container could not be made of.
pub(crate) fn power_on(
    place: &Place,
    groups: &Groups,
    state: &State,
    node: &NodeState,
) -> Result<()> {
    let group = groups.member(&node.name);
    if group.populated()? {
        return Err(Error::AlreadyRunning { node: node.name.clone() });
    }
    group.create_fresh()?;
    bridge::connect_node(place, &node.name, node.address, node.cut)?;
    effect::dress_cable(place, node)?;
    let directory = place.node(&node.name);
    let work = directory.join("work");
    // An overlay that was not unmounted leaves its work directory in disorder.
    if work.exists() {
        fs::remove_dir_all(&work).on("remove", &work)?;
    }
    let root = directory.join("root");
    make_directory(&work, 0o755)?;
    make_directory(&root, 0o755)?;
    let namespace = network_namespace_path(&place.node_network_namespace(&node.name));
    mark(place, &node.name)?;
    let text = |path: &Path| path.display().to_string();
    let mut arguments = vec![
        "unshare".into(),
        "--mount".into(),
        // What the machine unmounts, such as a removed network namespace, must vanish here too.
        "--propagation".into(),
        "slave".into(),
        "sh".into(),
        "-c".into(),
        LAUNCH.into(),
        "launch-node".into(),
        node.name.clone(),
        text(&namespace),
        text(&state.image_root),
        text(&upper(place, &node.name)),
        text(&work),
        text(&root),
    ];
    arguments.extend(disk::launch_arguments(place, node)?);
    launch(&group, &place.log(&node.name), &arguments)
}

/// Waits until the node's systemd has finished its boot and, unless the cable is cut, sshd answers.
///
/// # Errors
/// [`Error::TimedOut`] or [`Error::Died`], with the console's last lines.
pub(crate) fn wait_until_ready(place: &Place, groups: &Groups, node: &NodeState) -> Result<()> {
    let group = groups.member(&node.name);
    let deadline = Deadline::in_seconds(BOOT_SECONDS);
    let log = || last_lines(&place.log(&node.name));
    let what = format!("booting {}", node.name);
    let entered = AtomicBool::new(false);
    let alive = || {
        if group.populated()? {
            entered.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !entered.load(Ordering::Relaxed) && deadline.elapsed() < ENTRY {
            return Ok(());
        }
        Err(Error::Died { node: node.name.clone(), log: log() })
    };
    let init = deadline.poll(&what, LOOK, &log, || {
        alive()?;
        Ok(group.container_init())
    })?;
    deadline.poll(&what, LOOK, &log, || {
        alive()?;
        let mut ask = tool("nsenter");
        ask.args(["--target", &init.to_string(), "--all", "systemctl", "is-system-running"]);
        // It says "degraded" with a failing status, and fails while the bus is not there yet.
        let answer = ask.stderr(Stdio::null()).output();
        let answer = answer.map_err(|source| Error::Start { program: "nsenter".into(), source })?;
        let answer = String::from_utf8_lossy(&answer.stdout);
        Ok(matches!(answer.trim(), "running" | "degraded").then_some(()))
    })?;
    if node.cut {
        return Ok(());
    }
    bridge::within(place, || {
        deadline.poll(&what, LOOK, &log, || {
            alive()?;
            Ok(greets(node.address).then_some(()))
        })
    })
}

/// True if an SSH server answers there; only meaningful inside the sandbox's network.
fn greets(address: Ipv4Addr) -> bool {
    let address = SocketAddr::from((address, 22));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting == *b"SSH-"
}

/// Lets the node shut down in its own order, and waits for it.
///
/// # Errors
/// [`Error::NotRunning`], or [`Error::TimedOut`] if it does not end.
pub(crate) fn shut_down(place: &Place, groups: &Groups, node: &NodeState) -> Result<()> {
    let group = groups.member(&node.name);
    let Some(init) = group.container_init() else {
        return Err(Error::NotRunning { node: node.name.clone() });
    };
    // The standard library and rustix know no real-time signals.
    output(tool("sh").args([
        "-c",
        "kill \"$1\" \"$2\"",
        "sh",
        POWER_OFF_SIGNAL,
        &init.to_string(),
    ]))?;
    Deadline::in_seconds(SHUTDOWN_SECONDS).poll(
        &format!("shutting down {}", node.name),
        LOOK,
        &|| last_lines(&place.log(&node.name)),
        || Ok((!group.populated()?).then_some(())),
    )?;
    group.remove()?;
    bridge::disconnect_node(place, &node.name)
}

/// Takes the node's power: first it falls silent, so that no connection is closed politely, then all
/// its processes end at once.
///
/// # Errors
/// [`Error::NotRunning`], or a process that does not end.
pub(crate) fn power_loss(place: &Place, groups: &Groups, node: &NodeState) -> Result<()> {
    let group = groups.member(&node.name);
    if !group.populated()? {
        return Err(Error::NotRunning { node: node.name.clone() });
    }
    bridge::switch_cable(place, &node.name, false)?;
    group.kill()?;
    group.remove()?;
    bridge::disconnect_node(place, &node.name)
}

/// A command that runs in the node as root, without its network: it works on a node that is cut off.
/// Exit status, input and output are the command's own.
///
/// # Errors
/// [`Error::NotRunning`]
pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(
    place: &Place,
    groups: &Groups,
    node: &NodeState,
    arguments: &[S],
) -> Result<Command> {
    let group = groups.member(&node.name);
    let Some(init) = group.container_init() else {
        return Err(Error::NotRunning { node: node.name.clone() });
    };
    let mut command = Command::new("sh");
    // In the group of the node's first process, what the command leaves behind ends with the node.
    command
        .args(["-c", ENTER_GROUPS, "sh"])
        .arg(effect::starved_group(place, &node.name)?.unwrap_or_default())
        .arg(group.path().join("payload/init.scope"))
        .args(["nsenter", "--target", &init.to_string(), "--all", "--"])
        .args(["env", "--chdir=/root", "HOME=/root", "USER=root", "LOGNAME=root"])
        .args(["SHELL=/bin/bash", "LANG=C.UTF-8", &format!("PATH={PATH}")])
        .args(["--unset=LC_ALL", "--unset=TMPDIR", "--unset=OLDPWD"])
        .args(arguments);
    Ok(command)
}

/// The end of a log.
pub(crate) fn last_lines(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
