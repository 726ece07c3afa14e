//! Disks of a node's own: file systems in files, which can be small, full or slow without the machine being so.
//!
//! The file system is mounted in the node's private mount namespace before the node boots, so it goes
//! away with the node's last process, and comes back with the next boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Deadline;
use crate::error::{Error, FileContext, Result};
use crate::location::Place;
use crate::process::{output, tool};
use crate::requirements::has_program;
use crate::state::NodeState;

/// A file system that a node's disk can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// The usual one.
    Ext4,
    /// For what needs reflinks.
    Xfs,
}

impl FileSystem {
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Ext4 => ("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => ("mkfs.xfs", "xfsprogs"),
        }
    }

    /// Below it, mkfs.ext4 makes no journal worth the name, and mkfs.xfs refuses since xfsprogs 5.19.
    fn smallest(self) -> u64 {
        match self {
            Self::Ext4 => 16 << 20,
            Self::Xfs => 300 << 20,
        }
    }
}

/// A disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Where the node has it mounted.
    pub path: String,
    /// Its size in bytes, all of it for files' blocks and the file system's own; nothing is kept for root.
    pub bytes: u64,
    /// What it is formatted with.
    pub file_system: FileSystem,
}

/// A disk that a node shall have, as `NODE:PATH=SIZE[,xfs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRequest {
    /// The node: its name, address or number.
    pub node: String,
    /// The disk.
    pub disk: Disk,
}

/// A size in bytes: a number, and K, M or G for powers of 1024.
///
/// # Errors
/// What is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no size: write a number with K, M or G, such as 64M");
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// What systemd mounts over while the node boots, or what is no place for a disk.
const NO_PLACES: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];

fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("\"{path}\" is no absolute path"));
    }
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if !path[1..].split('/').all(plain) {
        return Err(format!(
            "\"{path}\" is no path for a disk: use names of letters, digits, \".\", \"_\" and \"-\""
        ));
    }
    match NO_PLACES.iter().find(|place| Path::new(path).starts_with(place)) {
        Some(place) => Err(format!("a disk below {place} would be hidden when the node boots")),
        None => Ok(()),
    }
}

impl FromStr for DiskRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("\"{text}\" is no disk: write NODE:PATH=SIZE or NODE:PATH=SIZE,xfs");
        let (node, rest) = text.split_once(':').ok_or_else(form)?;
        let (path, size) = rest.split_once('=').ok_or_else(form)?;
        if node.is_empty() {
            return Err(form());
        }
        let (size, file_system) = match size.split_once(',') {
            None | Some((_, "ext4")) => (size.trim_end_matches(",ext4"), FileSystem::Ext4),
            Some((size, "xfs")) => (size, FileSystem::Xfs),
            Some((_, other)) => {
                return Err(format!("\"{other}\" is no file system for a disk: ext4 or xfs"));
            }
        };
        check_path(path)?;
        let bytes = parse_size(size)?;
        if bytes < file_system.smallest() {
            return Err(format!(
                "{size} is too small for that file system: at least {}M",
                file_system.smallest() >> 20
            ));
        }
        Ok(Self { node: node.into(), disk: Disk { path: path.into(), bytes, file_system } })
    }
}

/// Gives each node its disks, in an order in which outer ones are mounted first.
///
/// # Errors
/// [`Error::UnknownNode`], a path that is given twice, or [`Error::MissingPrograms`].
pub(crate) fn assign(nodes: &mut [NodeState], requests: &[DiskRequest]) -> Result<()> {
    for DiskRequest { node, disk } in requests {
        let found = crate::state::find_node(nodes, node)?.name.clone();
        let (program, package) = disk.file_system.program();
        if !has_program(program) {
            return Err(Error::MissingPrograms {
                programs: vec![program],
                packages: vec![package],
            });
        }
        for node in nodes.iter_mut().filter(|node| node.name == found) {
            if node.disks.iter().any(|other| other.path == disk.path) {
                return Err(Error::Disk {
                    message: format!("{found} is given two disks at {}", disk.path),
                });
            }
            node.disks.push(disk.clone());
        }
    }
    for node in nodes {
        node.disks.sort_by(|one, other| one.path.cmp(&other.path));
    }
    Ok(())
}

fn directory(place: &Place, node: &str) -> PathBuf {
    place.node(node).join("disks")
}

/// The file that holds the file system.
pub(crate) fn image(place: &Place, node: &str, index: usize) -> PathBuf {
    directory(place, node).join(format!("{index}.image"))
}

/// Where it is mounted, in the node's private mount namespace, before the node's container binds it.
pub(crate) fn mount_point(place: &Place, node: &str, index: usize) -> PathBuf {
    directory(place, node).join(index.to_string())
}

/// Makes a node's disks: files that take no more room than what is written to them.
///
/// # Errors
/// What mkfs says.
pub(crate) fn make(place: &Place, node: &NodeState) -> Result<()> {
    for (index, disk) in node.disks.iter().enumerate() {
        let point = mount_point(place, &node.name, index);
        fs::create_dir_all(&point).on("create", &point)?;
        let image = image(place, &node.name, index);
        let file = fs::File::create(&image).on("create", &image)?;
        file.set_len(disk.bytes).on("size", &image)?;
        let mut command = tool(disk.file_system.program().0);
        match disk.file_system {
            // Nothing kept for root: a disk that is full is so for every user.
            FileSystem::Ext4 => command.args(["-q", "-F", "-m", "0"]),
            FileSystem::Xfs => command.args(["-q", "-f"]),
        };
        output(command.arg(&image))?;
    }
    Ok(())
}

/// What the launching script mounts: image, mount point and path of each disk. Waits until the kernel has
/// let go of the images: two devices over one file would destroy its file system.
///
/// # Errors
/// [`Error::TimedOut`]
pub(crate) fn launch_arguments(place: &Place, node: &NodeState) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for (index, disk) in node.disks.iter().enumerate() {
        let image = image(place, &node.name, index);
        wait_until_free(&image)?;
        words.push(image.display().to_string());
        words.push(mount_point(place, &node.name, index).display().to_string());
        words.push(disk.path.clone());
    }
    Ok(words)
}

/// Waits until no loop device uses the file.
///
/// # Errors
/// [`Error::TimedOut`]
pub(crate) fn wait_until_free(image: &Path) -> Result<()> {
    Deadline::in_seconds(15).poll(
        &format!("unmounting {}", image.display()),
        Duration::from_millis(10),
        &String::new,
        || Ok(loop_devices(image).is_empty().then_some(())),
    )
}

/// The loop devices over files at or below a path, as `MAJOR:MINOR`.
pub(crate) fn loop_devices(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path().join("loop/backing_file"))
                .is_ok_and(|file| Path::new(file.trim_end()).starts_with(path))
        })
        .filter_map(|entry| fs::read_to_string(entry.path().join("dev")).ok())
        .map(|number| number.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_read() {
        let request: DiskRequest = "2:/pg/data=64M".parse().unwrap();
        assert_eq!(request.node, "2");
        let expected =
            Disk { path: "/pg/data".into(), bytes: 64 << 20, file_system: FileSystem::Ext4 };
        assert_eq!(request.disk, expected);
        let request: DiskRequest = "node-1:/data=1G,xfs".parse().unwrap();
        assert_eq!((request.disk.bytes, request.disk.file_system), (1 << 30, FileSystem::Xfs));
    }

    #[test]
    fn a_wrong_disk_is_refused_with_its_reason() {
        for (text, reason) in [
            ("node-1=64M", "NODE:PATH=SIZE"),
            ("node-1:/data", "NODE:PATH=SIZE"),
            (":/data=64M", "NODE:PATH=SIZE"),
            ("1:data=64M", "no absolute path"),
            ("1:/=64M", "no path for a disk"),
            ("1:/a/../b=64M", "no path for a disk"),
            ("1:/a b=64M", "no path for a disk"),
            ("1:/run/data=64M", "hidden"),
            ("1:/data=many", "no size"),
            ("1:/data=", "no size"),
            ("1:/data=-64M", "no size"),
            ("1:/data=99999999999G", "no size"),
            ("1:/data=1M", "at least 16M"),
            ("1:/data=64M,xfs", "at least 300M"),
            ("1:/data=64M,zfs", "ext4 or xfs"),
        ] {
            let error = text.parse::<DiskRequest>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
