//! `keddah sandbox`: real nodes on this machine, to try everything on.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use keddah_sandbox::{
    DiskRequest, Error, ImageKind, Locations, Sandbox, StopMode, Suite, UpOptions,
};

use crate::commands::sandbox_fault;
use crate::render::sandbox as render;

/// Boot real Debian nodes on this machine, in a network with no way out
///
/// The nodes run systemd and sshd over one cached image (systemd-nspawn), have the addresses 10.10.10.10
/// and up, and live on when this command has ended, until `keddah sandbox down`. Needs root.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The sandbox's name: several may stand side by side
    #[arg(long, global = true, default_value = keddah_sandbox::DEFAULT_NAME, value_name = "NAME")]
    name: String,

    /// Where images are kept [default: $KEDDAH_CACHE or /var/cache/keddah/images]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    cache: Option<PathBuf>,

    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    Up(UpArgs),
    /// Show the nodes and how to reach them
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a node as root; its exit code is passed on
    ///
    /// It does not go over the network, so it works on a node that is cut off.
    Exec {
        /// The node: its name, address or number
        node: String,
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Open a login shell on a node, by ssh
    Shell {
        /// The node: its name, address or number
        node: String,
    },
    /// Run a command on this machine but in the sandbox's network, from where ssh and psql reach the nodes
    In {
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Shut nodes down
    Stop {
        /// The nodes: names, addresses or numbers
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Take the power away: the node falls silent at once and nothing is shut down
        #[arg(long)]
        hard: bool,
    },
    /// Switch nodes on again, and wait until they answer
    Start {
        /// The nodes: names, addresses or numbers
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Cut nodes off the network; they run on
    Cut {
        /// The nodes: names, addresses or numbers
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    Fault(sandbox_fault::FaultArgs),
    /// End all faults of nodes, and connect them to the network again
    Heal {
        /// The nodes: names, addresses or numbers
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Take the sandbox away, with everything that its nodes hold
    Down,
    /// End a fault after a while (started by `fault --for`)
    #[command(hide = true)]
    EndFault {
        /// The node
        node: String,
        /// Which fault
        mark: String,
        /// When
        seconds: u64,
    },
    /// Serve the package repository (started by `up`)
    #[command(hide = true)]
    Serve {
        /// The directory with `dists` and `pool`
        directory: PathBuf,
        /// The address to listen at
        address: SocketAddr,
    },
}

/// Boot the nodes; those of an existing sandbox that are off are switched on
///
/// Images are built at first use from this machine's own package sources, which takes about two minutes.
#[derive(Debug, Args)]
struct UpArgs {
    /// How many nodes
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    nodes: u8,

    /// The Debian release
    #[arg(long, value_enum, default_value_t = SuiteName::Trixie)]
    suite: SuiteName,

    /// bare: a minimal system; warm: all packages installed, nothing configured
    #[arg(long, value_enum, default_value_t = ImageName::Warm)]
    image: ImageName,

    /// Keep the nodes' files in memory
    #[arg(long)]
    tmpfs: bool,

    /// Give a node a disk of its own (ext4, or xfs), which `fault` can fill or slow down; repeatable
    #[arg(long = "disk", value_name = "NODE:PATH=SIZE[,xfs]")]
    disks: Vec<DiskRequest>,

    /// The Debian mirror to build images from, if not the one in this machine's package sources
    #[arg(long, value_name = "URI")]
    mirror: Option<String>,

    /// Show what the programs say that build the images
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SuiteName {
    Trixie,
    Bookworm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ImageName {
    Bare,
    Warm,
}

/// Runs the command; `cache` is the directory that the environment names, if it names one.
///
/// # Errors
/// What the sandbox says. The commands that become another program return only if that fails.
pub fn run(args: SandboxArgs, cache: Option<PathBuf>) -> Result<ExitCode, Error> {
    let SandboxArgs { name, cache: chosen, command } = args;
    let defaults = Locations::default();
    let locations =
        Locations { cache: chosen.or(cache).unwrap_or_else(|| defaults.cache.clone()), ..defaults };
    // Without, one would hear of it from `nsenter` or `systemctl`, in words of theirs.
    if !matches!(command, SandboxCommand::Status { .. }) && !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let open = || Sandbox::open(&locations, &name);
    match command {
        SandboxCommand::Up(args) => {
            let verbose = args.verbose;
            let options = up_options(name, args)?;
            let view = render::UpView::new(verbose);
            let sandbox = Sandbox::up(&locations, &options, &|event| view.show(&event))?;
            render::status(&sandbox.status()?);
        }
        SandboxCommand::Status { json } => {
            let status = open()?.status()?;
            if json { render::status_json(&status) } else { render::status(&status) }
        }
        SandboxCommand::Exec { node, command } => {
            return become_program(open()?.command_in_node(&node, &command)?);
        }
        SandboxCommand::Shell { node } => return become_program(open()?.shell(&node)?),
        SandboxCommand::In { command } => {
            return become_program(open()?.command_in_network(&command));
        }
        SandboxCommand::Stop { nodes, hard } => {
            let mode = if hard { StopMode::PowerLoss } else { StopMode::Orderly };
            let sandbox = open()?;
            nodes.iter().try_for_each(|node| sandbox.stop(node, mode))?;
        }
        SandboxCommand::Start { nodes } => {
            let sandbox = open()?;
            nodes.iter().try_for_each(|node| sandbox.start(node))?;
        }
        SandboxCommand::Cut { nodes } => {
            let mut sandbox = open()?;
            nodes.iter().try_for_each(|node| sandbox.cut(node))?;
        }
        SandboxCommand::Fault(args) => sandbox_fault::run(&mut open()?, &name, args)?,
        SandboxCommand::EndFault { node, mark, seconds } => {
            Sandbox::end_fault_later(&locations, &name, &node, &mark, seconds)?;
        }
        SandboxCommand::Heal { nodes } => {
            let mut sandbox = open()?;
            nodes.iter().try_for_each(|node| sandbox.heal(node))?;
        }
        SandboxCommand::Down => render::down(&name, &Sandbox::down(&locations, &name)?),
        SandboxCommand::Serve { directory, address } => {
            keddah_sandbox::serve_repository(&directory, address)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up_options(name: String, args: UpArgs) -> Result<UpOptions, Error> {
    let UpArgs { nodes, suite, image, tmpfs, disks, mirror, verbose: _ } = args;
    let program = std::env::current_exe()
        .map_err(|source| Error::Start { program: "keddah".into(), source })?;
    Ok(UpOptions {
        name,
        nodes,
        suite: match suite {
            SuiteName::Trixie => Suite::Trixie,
            SuiteName::Bookworm => Suite::Bookworm,
        },
        image: match image {
            ImageName::Bare => ImageKind::Bare,
            ImageName::Warm => ImageKind::Warm,
        },
        in_memory: tmpfs,
        disks,
        mirror,
        server: vec![program.into(), "sandbox".into(), "serve".into()],
    })
}

/// Replaces this process, so that signals, terminal and exit code are the program's own.
fn become_program(mut command: Command) -> Result<ExitCode, Error> {
    let source = command.exec();
    Err(Error::Start { program: command.get_program().to_string_lossy().into_owned(), source })
}
