//! A sandbox as a whole: up, status, what is done to single nodes, down.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::mount::MountFlags;

use crate::bridge;
use crate::clock::Deadline;
use crate::control_group::Groups;
use crate::disk::{self, DiskRequest};
use crate::dismantle::{dismantle, remains, remove_empty_parents};
use crate::error::{Error, FileContext, Result};
use crate::image::{Image, ImageKind, Progress, Suite, ensure_image};
use crate::location::{BRIDGE_ADDRESS, Locations, Place, network_namespace_path, number_nodes};
use crate::lock::{Lock, Shared};
use crate::node;
use crate::requirements::check_requirements;
use crate::secure_shell;
use crate::state::{NodeCondition, NodeState, NodeStatus, State, Status, StopMode};

/// The control group of the repository's server.
const REPOSITORY: &str = "repository";

/// The repository's port: the one that needs no port in an address.
const REPOSITORY_PORT: u16 = 80;

/// What a new sandbox shall be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpOptions {
    /// The sandbox's name: several may stand side by side, each with the same addresses.
    pub name: String,
    /// How many nodes: node-1 with 10.10.10.10 and so on.
    pub nodes: u8,
    /// The Debian release.
    pub suite: Suite,
    /// Which packages the nodes have from the start.
    pub image: ImageKind,
    /// Keep the nodes' files in memory: faster, and done unasked where the disk is an overlay itself,
    /// which the kernel does not stack again (a container of a build service).
    pub in_memory: bool,
    /// File systems of the nodes' own.
    pub disks: Vec<DiskRequest>,
    /// The Debian mirror to build images from, if not the one in the machine's package sources.
    pub mirror: Option<String>,
    /// The command that serves the repository: a program that ends in [`crate::serve_repository`]. The
    /// directory and the address (`10.10.10.1:80`) are added as its last two arguments.
    pub server: Vec<OsString>,
}

/// A sandbox that exists.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) place: Place,
    pub(crate) state: State,
}

impl Sandbox {
    /// Makes a sandbox and returns when all its nodes answer. One that exists already is completed: what
    /// is switched off is switched on. If anything fails, nothing is left behind.
    ///
    /// # Errors
    /// The machine lacks something, an image cannot be built, a node does not boot, or a sandbox of the
    /// same name is made differently.
    pub fn up(
        locations: &Locations,
        options: &UpOptions,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self> {
        check_requirements()?;
        let place = Place::new(locations, &options.name)?;
        let mut nodes: Vec<NodeState> = number_nodes(options.nodes)?
            .into_iter()
            .map(|(name, address)| NodeState::new(name, address))
            .collect();
        disk::assign(&mut nodes, &options.disks)?;
        let image = ensure_image(
            &locations.cache,
            options.suite,
            options.image,
            options.mirror.as_deref(),
            progress,
        )?;
        let in_memory = options.in_memory || on_overlay(&locations.data)?;
        let lock = Lock::acquire(&place.lock_file())?;
        if let Some(state) = State::read(&place)?.filter(|state| state.complete) {
            let mut sandbox = Self { place, state };
            sandbox.check_same(options, &nodes, in_memory)?;
            sandbox.start_stopped(progress)?;
            return Ok(sandbox);
        }
        // What an earlier attempt left behind.
        dismantle(&place)?;
        let state = State {
            name: options.name.clone(),
            suite: options.suite,
            image: options.image,
            image_root: image.root.clone(),
            repository: image.repository.clone(),
            in_memory,
            complete: false,
            nodes,
        };
        let mut sandbox = Self { place, state };
        match sandbox.make(options, &image, progress) {
            Ok(()) => Ok(sandbox),
            Err(error) => {
                // The first error is the one that matters; `down` reports what cannot be removed.
                if dismantle(&sandbox.place).is_ok() {
                    let _ = lock.remove();
                    remove_empty_parents(&sandbox.place);
                }
                Err(error)
            }
        }
    }

    fn check_same(&self, options: &UpOptions, nodes: &[NodeState], in_memory: bool) -> Result<()> {
        let state = &self.state;
        let same = state.suite == options.suite
            && state.image == options.image
            && state.in_memory == in_memory
            && state.nodes.len() == nodes.len()
            && state.nodes.iter().zip(nodes).all(|(one, other)| one.disks == other.disks);
        if same {
            return Ok(());
        }
        Err(Error::Exists {
            name: state.name.clone(),
            found: format!(
                "{} {} nodes of {} with {} disks of their own",
                state.nodes.len(),
                state.image,
                state.suite,
                state.nodes.iter().map(|node| node.disks.len()).sum::<usize>()
            ),
        })
    }

    fn make(
        &mut self,
        options: &UpOptions,
        image: &Image,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<()> {
        let place = &self.place;
        for (directory, mode) in [(&place.state, 0o755), (&place.data, 0o700)] {
            {
                let _shared = Shared::acquire()?;
                fs::create_dir_all(directory).on("create", directory)?;
            }
            fs::set_permissions(directory, fs::Permissions::from_mode(mode))
                .on("protect", directory)?;
        }
        self.state.write(place)?;
        if self.state.in_memory {
            rustix::mount::mount(
                "tmpfs",
                &place.data,
                "tmpfs",
                MountFlags::empty(),
                Some(c"mode=700"),
            )
            .on("mount a file system in memory on", &place.data)?;
        }
        let groups = Groups::ensure(place)?;
        bridge::create_bridge(place)?;

        let mut server = vec![
            "nsenter".to_owned(),
            format!("--net={}", network_namespace_path(&place.network_namespace()).display()),
        ];
        server.extend(options.server.iter().map(|word| word.to_string_lossy().into_owned()));
        let address = SocketAddr::from((BRIDGE_ADDRESS, REPOSITORY_PORT));
        server.extend([image.repository.display().to_string(), address.to_string()]);
        let group = groups.member(REPOSITORY);
        group.create_fresh()?;
        node::launch(&group, &place.log(REPOSITORY), &server)?;

        let authorized = secure_shell::generate_key(&place.identity(), "keddah-sandbox")?;
        let mut host_keys = Vec::new();
        for node in &self.state.nodes {
            host_keys.push(node::prepare(place, &self.state, node, &authorized)?);
        }
        secure_shell::write_client_files(place, &self.state, &host_keys)?;
        self.boot(&groups, &self.state.nodes, progress)?;
        bridge::within(place, || {
            Deadline::in_seconds(10).poll(
                "starting the repository's server",
                Duration::from_millis(20),
                &|| node::last_lines(&place.log(REPOSITORY)),
                || Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()),
            )
        })?;
        self.state.complete = true;
        self.state.write(place)
    }

    /// Switches on nodes, all at the same time, and waits for them.
    fn boot(
        &self,
        groups: &Groups,
        nodes: &[NodeState],
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let workers: Vec<_> = nodes
                .iter()
                .map(|node| {
                    scope.spawn(move || {
                        progress(Progress::Booting { node: node.name.clone() });
                        node::power_on(&self.place, groups, &self.state, node)?;
                        node::wait_until_ready(&self.place, groups, node)?;
                        progress(Progress::Ready { node: node.name.clone() });
                        Ok(())
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| {
                    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                // All threads are joined before the first error is told.
                .collect::<Vec<Result<()>>>()
                .into_iter()
                .collect()
        })
    }

    fn start_stopped(&mut self, progress: &(dyn Fn(Progress) + Sync)) -> Result<()> {
        let groups = Groups::ensure(&self.place)?;
        let mut stopped = Vec::new();
        for name in self.state.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>() {
            if !groups.member(&name).populated()? {
                self.end_with_power(&groups, &name)?;
                stopped.push(self.state.node(&name)?.clone());
            }
        }
        self.boot(&groups, &stopped, progress)
    }

    /// Finds a sandbox that exists, also one whose making was cut short.
    ///
    /// # Errors
    /// [`Error::NotFound`], or a state file that cannot be understood.
    pub fn open(locations: &Locations, name: &str) -> Result<Self> {
        let place = Place::new(locations, name)?;
        let state = State::read(&place)?
            .ok_or_else(|| Error::NotFound { name: name.into(), others: Self::list(locations) })?;
        Ok(Self { place, state })
    }

    /// The names of all sandboxes of this machine.
    #[must_use]
    pub fn list(locations: &Locations) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&locations.state) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("state.json").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Looks at everything as it is now.
    ///
    /// # Errors
    /// The machine's control groups cannot be read.
    pub fn status(&self) -> Result<Status> {
        let place = &self.place;
        let groups = Groups::find(place)?;
        let mut nodes = Vec::new();
        for NodeState { name, address, cut, disks, faults } in &self.state.nodes {
            let group = groups.as_ref().map(|groups| groups.member(name));
            let pid = group.as_ref().and_then(|group| group.container_init());
            let state = match (&group, pid) {
                (Some(_), Some(_)) => NodeCondition::Running,
                (Some(group), None) if group.populated()? => NodeCondition::Starting,
                _ => NodeCondition::Stopped,
            };
            nodes.push(NodeStatus {
                name: name.clone(),
                address: *address,
                state,
                cut: *cut,
                disks: disks.clone(),
                faults: faults.clone(),
                pid,
                console: place.log(name),
            });
        }
        let repository_served = match &groups {
            Some(groups) => groups.member(REPOSITORY).populated()?,
            None => false,
        };
        Ok(Status {
            name: self.state.name.clone(),
            suite: self.state.suite,
            image: self.state.image,
            complete: self.state.complete,
            bridge: BRIDGE_ADDRESS,
            network_namespace: place.network_namespace(),
            repository: format!("http://{BRIDGE_ADDRESS}/"),
            repository_served,
            identity: place.identity(),
            ssh_config: place.ssh_config(),
            known_hosts: place.known_hosts(),
            inventory: place.inventory(),
            nodes,
        })
    }

    pub(crate) fn groups(&self) -> Result<Groups> {
        Groups::find(&self.place)?
            .ok_or_else(|| Error::NotFound { name: self.state.name.clone(), others: Vec::new() })
    }

    /// Switches a node off.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::NotRunning`], or it does not end.
    pub fn stop(&self, node: &str, mode: StopMode) -> Result<()> {
        let name = self.state.node(node)?.name.clone();
        let _lock = Lock::acquire(&self.place.lock_file())?;
        let mut now = self.clone();
        now.read_again()?;
        let groups = now.groups()?;
        match mode {
            StopMode::Orderly if now.frozen(&name)? => {
                return Err(Error::Fault {
                    message: format!(
                        "{name} is frozen and cannot shut down: end that, or take its power (--hard)"
                    ),
                });
            }
            StopMode::Orderly => node::shut_down(&now.place, &groups, now.state.node(&name)?)?,
            StopMode::PowerLoss => node::power_loss(&now.place, &groups, now.state.node(&name)?)?,
        }
        now.end_with_power(&groups, &name)
    }

    /// Switches a node on and waits until it answers. A cut cable stays cut.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::AlreadyRunning`], or it does not boot.
    pub fn start(&self, node: &str) -> Result<()> {
        let name = self.state.node(node)?.name.clone();
        let groups = self.groups()?;
        let node = {
            let _lock = Lock::acquire(&self.place.lock_file())?;
            // Another process may have cut the cable since this one read the state.
            let mut now = self.clone();
            now.read_again()?;
            // One that went off by itself.
            if !groups.member(&name).populated()? {
                now.end_with_power(&groups, &name)?;
            }
            let node = now.state.node(&name)?.clone();
            node::power_on(&now.place, &groups, &now.state, &node)?;
            node
        };
        node::wait_until_ready(&self.place, &groups, &node)
    }

    /// Cuts a node's cable: nothing passes any more, and nobody is told.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], or what `ip` says.
    pub fn cut(&mut self, node: &str) -> Result<()> {
        self.switch_cable(node, true)
    }

    pub(crate) fn switch_cable(&mut self, node: &str, cut: bool) -> Result<()> {
        let name = self.state.node(node)?.name.clone();
        let _lock = Lock::acquire(&self.place.lock_file())?;
        if let Some(state) = State::read(&self.place)? {
            self.state = state;
        }
        for node in &mut self.state.nodes {
            if node.name == name {
                node.cut = cut;
            }
        }
        self.state.write(&self.place)?;
        if self.groups()?.member(&name).populated()? {
            bridge::switch_cable(&self.place, &name, !cut)?;
        }
        Ok(())
    }

    /// A command inside the sandbox's network, from where ssh and psql reach the nodes. Files, processes
    /// and user are this machine's. `KEDDAH_SSH_CONFIG` names the sandbox's ssh configuration, which
    /// `keddah` then uses by itself.
    #[must_use]
    pub fn command_in_network<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut option = OsString::from("--net=");
        option.push(network_namespace_path(&self.place.network_namespace()));
        let mut command = Command::new("nsenter");
        command.arg(option).arg("--").args(arguments);
        command.env("KEDDAH_SSH_CONFIG", self.place.ssh_config());
        command
    }

    /// A command inside a node as root, not over the network: it works on a node that is cut off.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::NotRunning`]
    pub fn command_in_node<S: AsRef<OsStr>>(&self, node: &str, arguments: &[S]) -> Result<Command> {
        node::command(&self.place, &self.groups()?, self.state.node(node)?, arguments)
    }

    /// A login shell on a node with a terminal of its own, by ssh; on a node that is cut off, without one.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::NotRunning`]
    pub fn shell(&self, node: &str) -> Result<Command> {
        let found = self.state.node(node)?;
        if found.cut {
            return self.command_in_node(node, &["bash", "--login"]);
        }
        let configuration = self.place.ssh_config();
        Ok(self.command_in_network(&[
            OsStr::new("ssh"),
            OsStr::new("-F"),
            configuration.as_os_str(),
            OsStr::new(&found.name),
        ]))
    }

    /// Takes a sandbox away, whatever state it is in: afterwards no process, mount, namespace or file of
    /// it is left.
    ///
    /// # Errors
    /// Something cannot be removed: it is named.
    pub fn down(locations: &Locations, name: &str) -> Result<Removed> {
        check_requirements()?;
        let place = Place::new(locations, name)?;
        let lock = Lock::acquire(&place.lock_file())?;
        let existed = !remains(&place)?.is_empty();
        let network = bridge::namespace_number(&place.network_namespace());
        dismantle(&place)?;
        lock.remove()?;
        remove_empty_parents(&place);
        Ok(Removed { existed, still_inside: network.map(processes_in_network).unwrap_or_default() })
    }
}

/// What taking a sandbox away came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// False if there was no such sandbox.
    pub existed: bool,
    /// Processes of this machine, by number and name, that were started inside the sandbox's network
    /// (see [`Sandbox::command_in_network`]) and still run. They are their owner's, so they are left
    /// alone; with the last of them the nameless network ends.
    pub still_inside: Vec<(u32, String)>,
}

/// The processes in a network namespace, by number and name.
fn processes_in_network(number: u64) -> Vec<(u32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let network = fs::metadata(entry.path().join("ns/net")).ok()?;
            // One that has just been killed has no command line any more.
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            (network.ino() == number && !words.is_empty()).then_some(())?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            Some((process, name.trim_end().to_owned()))
        })
        .collect()
}

/// True if the directory, or the nearest above it that exists, lies on an overlay.
fn on_overlay(directory: &Path) -> Result<bool> {
    /// The kernel's number for that kind of file system (linux/magic.h, OVERLAYFS_SUPER_MAGIC).
    const OVERLAY: i64 = 0x794c_7630;
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    let about = rustix::fs::statfs(existing).on("inspect", existing)?;
    Ok(about.f_type == OVERLAY)
}
