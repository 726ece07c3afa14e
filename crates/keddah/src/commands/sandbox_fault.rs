//! `keddah sandbox fault`: something is wrong with a node, for a while.

use clap::{Args, ValueEnum};
use keddah_sandbox::{Disk, Error, Fault, FaultEnd, Sandbox};

/// Give a node a fault, or end it
///
/// A fault lasts until `--end`, `keddah sandbox heal` or, with `--for`, by itself: also if this command is
/// killed. Taking the sandbox down ends it, too. When the node is switched off, freeze, starve and slow-disk
/// end; cut, slow-link, lose and full-disk stay. The kernels that sandboxes were made for have no netem, no device
/// mapper and no NFS: a disk is a file system in a file (`up --disk`), and a link is slow or loses, never late.
#[derive(Debug, Args)]
pub struct FaultArgs {
    /// The node: its name, address or number
    node: String,

    /// What is wrong with it
    #[arg(value_enum)]
    fault: FaultName,

    /// End it after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,

    /// End it now
    #[arg(long, conflicts_with_all = ["seconds", "disk", "rate", "leave", "percent", "from"])]
    end: bool,

    /// slow-disk, full-disk: the disk's path in the node; needed where it has several
    #[arg(long, value_name = "PATH")]
    disk: Option<String>,

    /// slow-disk, slow-link: bytes in a second, with K, M or G [default: 1M]
    #[arg(long, value_name = "SIZE", value_parser = keddah_sandbox::parse_size)]
    rate: Option<u64>,

    /// full-disk: how many bytes are left, with K, M or G [default: 0]
    #[arg(long, value_name = "SIZE", value_parser = keddah_sandbox::parse_size)]
    leave: Option<u64>,

    /// starve: the share of one core for the whole node; lose: of the packets; of 100 [default: 10]
    #[arg(long, value_name = "NUMBER")]
    percent: Option<u32>,

    /// cut: from these nodes only; the node and they reach all others
    #[arg(long, value_delimiter = ',', value_name = "NODE,…")]
    from: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FaultName {
    /// A disk of the node's own (`up --disk`) reads and writes no faster than --rate
    SlowDisk,
    /// A disk of the node's own is filled, but for --leave
    FullDisk,
    /// All of the node's processes together get --percent of one core
    Starve,
    /// No process of the node runs; it still answers a ping
    Freeze,
    /// The node's cable is cut, or nothing passes between it and --from
    Cut,
    /// The node's cable carries no more than --rate, each way
    SlowLink,
    /// The node's cable loses --percent of the packets, each way
    Lose,
}

impl FaultName {
    fn name(self) -> &'static str {
        match self {
            Self::SlowDisk => "slow-disk",
            Self::FullDisk => "full-disk",
            Self::Starve => "starve",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::SlowLink => "slow-link",
            Self::Lose => "lose",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// An option that the fault does not have, or what the sandbox says.
pub fn run(sandbox: &mut Sandbox, name: &str, args: FaultArgs) -> Result<(), Error> {
    let FaultArgs { node, fault: kind, seconds, end, disk, rate, leave, percent, from } = args;
    if end {
        if kind == FaultName::Cut {
            sandbox.end_fault(&node, "cut-from")?;
        }
        return sandbox.end_fault(&node, kind.name());
    }
    let of_disk = matches!(kind, FaultName::SlowDisk | FaultName::FullDisk);
    let of_rate = matches!(kind, FaultName::SlowDisk | FaultName::SlowLink);
    for (option, given, known) in [
        ("--disk", disk.is_some(), of_disk),
        ("--rate", rate.is_some(), of_rate),
        ("--leave", leave.is_some(), kind == FaultName::FullDisk),
        ("--percent", percent.is_some(), matches!(kind, FaultName::Starve | FaultName::Lose)),
        ("--from", !from.is_empty(), kind == FaultName::Cut),
    ] {
        if given && !known {
            return Err(Error::Fault { message: format!("{} has no {option}", kind.name()) });
        }
    }
    let path = if of_disk { disk_path(sandbox, &node, disk)? } else { String::new() };
    let bytes_per_second = rate.unwrap_or(1 << 20);
    let fault = match kind {
        FaultName::SlowDisk => Fault::SlowDisk { path, bytes_per_second },
        FaultName::FullDisk => Fault::FullDisk { path, leave: leave.unwrap_or(0) },
        FaultName::Starve => Fault::Starve { percent: percent.unwrap_or(10) },
        FaultName::Freeze => Fault::Freeze,
        FaultName::Cut if !from.is_empty() => Fault::CutFrom { nodes: from },
        FaultName::Cut => Fault::Cut,
        FaultName::Lose => Fault::Lose { percent: percent.unwrap_or(10) },
        FaultName::SlowLink => Fault::SlowLink { bytes_per_second },
    };
    let end = match seconds {
        Some(seconds) => {
            let program = std::env::current_exe()
                .map_err(|source| Error::Start { program: "keddah".into(), source })?;
            let words = ["sandbox", "--name", name, "end-fault"].map(Into::into);
            let ender = std::iter::once(program.into()).chain(words).collect();
            Some(FaultEnd { seconds, ender })
        }
        None => None,
    };
    sandbox.fault(&node, fault, end.as_ref())
}

/// The disk that is meant: the one that is named, or the only one.
fn disk_path(sandbox: &Sandbox, node: &str, named: Option<String>) -> Result<String, Error> {
    if let Some(path) = named {
        return Ok(path);
    }
    match sandbox.disks(node)? {
        [Disk { path, .. }] => Ok(path.clone()),
        [] => Err(Error::Fault {
            message: format!(
                "{node} has no disk of its own: give it one with `keddah sandbox up --disk \
                 NODE:PATH=SIZE`"
            ),
        }),
        _ => Err(Error::Fault {
            message: format!("{node} has several disks: name one with --disk PATH"),
        }),
    }
}
