//! The control groups that a sandbox's processes live in: how they are found again, and ended for certain.
//!
//! A sandbox has one directory in the version 2 tree and in it one group per member (a node, or the
//! repository's server). Where systemd rules the machine, that directory is the delegated tree of a
//! transient unit, so that systemd leaves it alone; elsewhere it stands at the top of the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::Deadline;
use crate::error::{FileContext, Result};
use crate::location::Place;
use crate::lock::Shared;
use crate::process::{output, tool};

/// The directory all sandboxes share where no systemd rules the tree.
const TOP: &str = "keddah-sandbox";

/// Where the version 2 tree is mounted if the machine has it nowhere.
const OWN_MOUNT: &str = "/run/keddah/cgroup";

/// Killed processes are gone within milliseconds; a machine deep in swap may take longer.
const KILL_SECONDS: u64 = 15;

/// The control groups of one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    root: PathBuf,
    /// The unit whose delegated tree this is, where systemd rules the machine.
    unit: Option<String>,
}

/// The control group of one member.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    path: PathBuf,
}

/// Where the machine has mounted the version 2 tree.
fn mounted_tree() -> Result<Option<PathBuf>> {
    let path = Path::new("/proc/self/mountinfo");
    Ok(tree_in(&fs::read_to_string(path).on("read", path)?))
}

/// The mount point of the version 2 tree in a mountinfo file: the shortest, which is the machine's own.
fn tree_in(mountinfo: &str) -> Option<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            (after.split(' ').next()? == "cgroup2").then_some(())?;
            before.split(' ').nth(4)
        })
        .min_by_key(|point| point.len())
        .map(PathBuf::from)
}

/// True where systemd is the machine's first process.
fn systemd_rules() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn unit_name(place: &Place) -> String {
    format!("keddah-sandbox-{}.service", place.name)
}

/// The group's directory of a unit, if the unit runs.
fn unit_group(tree: &Path, unit: &str) -> Result<Option<PathBuf>> {
    let answer =
        output(tool("systemctl").args(["show", "--property=ControlGroup", "--value", unit]))?;
    let group = answer.trim().trim_start_matches('/');
    Ok((!group.is_empty()).then(|| tree.join(group)).filter(|path| path.is_dir()))
}

impl Groups {
    /// Finds the sandbox's groups, or none if it has none.
    ///
    /// # Errors
    /// The tree cannot be read, or systemd does not answer.
    pub(crate) fn find(place: &Place) -> Result<Option<Self>> {
        let Some(tree) = mounted_tree()? else { return Ok(None) };
        if systemd_rules() {
            let unit = unit_name(place);
            return Ok(unit_group(&tree, &unit)?.map(|root| Self { root, unit: Some(unit) }));
        }
        let root = tree.join(TOP).join(&place.name);
        Ok(root.is_dir().then_some(Self { root, unit: None }))
    }

    /// Finds or makes the sandbox's groups.
    ///
    /// # Errors
    /// The tree cannot be mounted or written, or systemd refuses.
    pub(crate) fn ensure(place: &Place) -> Result<Self> {
        if let Some(found) = Self::find(place)? {
            return Ok(found);
        }
        // From looking for the tree to having something in it, nobody may take its mount away.
        let _shared = Shared::acquire()?;
        let tree = match mounted_tree()? {
            Some(tree) => tree,
            None => {
                let own = Path::new(OWN_MOUNT);
                fs::create_dir_all(own).on("create", own)?;
                rustix::mount::mount("cgroup2", own, "cgroup2", MountFlags::empty(), None)
                    .on("mount the control groups on", own)?;
                own.to_owned()
            }
        };
        if !systemd_rules() {
            let root = tree.join(TOP).join(&place.name);
            fs::create_dir_all(&root).on("create", &root)?;
            return Ok(Self { root, unit: None });
        }
        let unit = unit_name(place);
        output(tool("systemd-run").args([
            "--quiet",
            "--collect",
            "--unit",
            &unit,
            "--description",
            &format!("Keddah's sandbox {}", place.name),
            "--property=Delegate=yes",
            "--property=TasksMax=infinity",
            "sleep",
            "infinity",
        ]))?;
        let root = Deadline::in_seconds(5).poll(
            "starting the sandbox's unit",
            Duration::from_millis(10),
            &String::new,
            || unit_group(&tree, &unit),
        )?;
        Ok(Self { root, unit: Some(unit) })
    }

    /// The group of a member, which may not exist yet.
    pub(crate) fn member(&self, name: &str) -> Group {
        Group { path: self.root.join(name) }
    }

    /// All processes of the sandbox.
    pub(crate) fn processes(&self) -> Vec<u32> {
        Group { path: self.root.clone() }.processes()
    }

    /// Ends every process of the sandbox and removes its groups.
    ///
    /// # Errors
    /// Processes that do not end, or groups that cannot be removed.
    pub(crate) fn remove(self) -> Result<()> {
        let group = Group { path: self.root };
        group.kill()?;
        if let Some(unit) = &self.unit {
            // The unit ended with its processes; asking makes sure that systemd has noticed. A unit
            // that systemd has collected already is an error of no interest.
            let _ = output(tool("systemctl").args(["stop", unit]));
        }
        // Where a creator was killed, a process that it had just started may enter its group only now.
        Deadline::in_seconds(KILL_SECONDS).poll(
            "removing control groups",
            Duration::from_millis(5),
            &|| format!("still running: {:?}", group.processes()),
            || {
                group.kill()?;
                Ok(group.remove().is_ok().then_some(()))
            },
        )?;
        if self.unit.is_none() {
            let _shared = Shared::acquire()?;
            let top = group.path.parent().unwrap_or(&group.path);
            // Another sandbox may live there.
            let _ = fs::remove_dir(top);
        }
        Ok(())
    }
}

/// Removes the mount that [`Groups::ensure`] made where the machine had none, unless it is still used. The
/// caller holds [`Shared`].
pub(crate) fn remove_own_mount() {
    let own = Path::new(OWN_MOUNT);
    let ours = mounted_tree().is_ok_and(|tree| tree.as_deref() == Some(own));
    if ours && !own.join(TOP).exists() {
        let _ = rustix::mount::unmount(own, rustix::mount::UnmountFlags::empty());
        let _ = fs::remove_dir(own);
    }
}

impl Group {
    /// The group's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the group anew: a tree in which a node was killed makes every service of the next boot fail.
    ///
    /// # Errors
    /// A process is left in the old group, or the directory cannot be made.
    pub(crate) fn create_fresh(&self) -> Result<()> {
        self.remove()?;
        fs::create_dir(&self.path).on("create", &self.path)
    }

    /// True if the group has a process, itself or further down.
    ///
    /// # Errors
    /// The group exists but cannot be read.
    pub(crate) fn populated(&self) -> Result<bool> {
        let events = self.path.join("cgroup.events");
        match fs::read_to_string(&events) {
            Ok(text) => Ok(text.lines().any(|line| line == "populated 1")),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error).on("read", &events),
        }
    }

    /// All processes of the group and of the groups in it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        collect_processes(&self.path, &mut found);
        found
    }

    /// Ends all processes, without giving them a chance to say goodbye, and waits for their end.
    ///
    /// # Errors
    /// They do not end.
    pub(crate) fn kill(&self) -> Result<()> {
        let switch = self.path.join("cgroup.kill");
        Deadline::in_seconds(KILL_SECONDS).poll(
            "ending processes",
            Duration::from_millis(5),
            &|| format!("still running: {:?}", self.processes()),
            || {
                if !self.populated()? {
                    return Ok(Some(()));
                }
                if fs::write(&switch, "1").is_err() {
                    // Kernels before 5.14 have no such switch.
                    for process in self.processes() {
                        if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                            let _ = kill_process(pid, Signal::KILL);
                        }
                    }
                }
                Ok(None)
            },
        )
    }

    /// Removes the group and the groups in it. It may be gone already.
    ///
    /// # Errors
    /// A process is still in it.
    pub(crate) fn remove(&self) -> Result<()> {
        remove_tree(&self.path)
    }

    /// The process number, as this machine sees it, of the container's first process.
    pub(crate) fn container_init(&self) -> Option<u32> {
        self.processes().into_iter().find(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            is_container_init(&status)
        })
    }
}

/// True if a status file says: number 1 in a namespace right below ours.
fn is_container_init(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .is_some_and(|numbers| numbers.split_whitespace().skip(1).eq(["1"]))
}

/// A group that vanishes while it is read gives either error.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn subgroups(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn collect_processes(path: &Path, found: &mut Vec<u32>) {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for group in subgroups(path) {
        collect_processes(&group, found);
    }
}

fn remove_tree(path: &Path) -> Result<()> {
    for group in subgroups(path) {
        remove_tree(&group)?;
    }
    match fs::remove_dir(path) {
        Err(error) if !is_gone(&error) => Err(error).on("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_on_hybrid_and_unified_machines() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            32 30 0:28 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n";
        assert_eq!(tree_in(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(tree_in(unified), Some("/sys/fs/cgroup".into()));
        assert_eq!(tree_in("30 24 0:26 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn only_the_first_process_of_a_container_directly_below_counts() {
        assert!(is_container_init("Name:\tsystemd\nNSpid:\t4711\t1\n"));
        assert!(!is_container_init("Name:\tsshd\nNSpid:\t4712\t35\n"));
        assert!(!is_container_init("Name:\tinner\nNSpid:\t4713\t90\t1\n"));
        assert!(!is_container_init("Name:\tnspawn\nNSpid:\t1\n"));
    }
}
