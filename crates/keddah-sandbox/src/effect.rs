//! How each fault is put into force and undone, always from outside of the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bridge;
use crate::clock::Deadline;
use crate::control_group::{Group, Groups};
use crate::disk;
use crate::error::{Error, FileContext, Result};
use crate::fault::{ActiveFault, Fault};
use crate::filter;
use crate::location::{Place, network_namespace_path};
use crate::lock::Shared;
use crate::process::{output, tool};
use crate::state::NodeState;

/// Fills a file system; see the file.
const FILL: &str = include_str!("scripts/fill-disk.sh");

/// The name of the file that fills a disk.
const FILLING: &str = ".keddah-full-disk";

/// The time in which a quota is counted; 100 ms is the kernel's default.
const PERIOD_MICROSECONDS: u32 = 100_000;

/// Processes stop, or change their group, within milliseconds.
const SETTLE_SECONDS: u64 = 15;

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::Fault { message })
}

/// Which of the node's disks is mounted there.
fn disk_index(node: &NodeState, path: &str) -> Result<usize> {
    let place = node.disks.iter().position(|disk| disk.path == path);
    place.map_or_else(
        || {
            let paths: Vec<&str> = node.disks.iter().map(|disk| disk.path.as_str()).collect();
            let known = if paths.is_empty() { "none".into() } else { paths.join(", ") };
            // Only a disk of the node's own: the rest of its files lie on the machine's.
            refuse(format!(
                "{} has no disk of its own at {path} (it has {known}): give it one with \
                 `keddah sandbox up --disk {}:{path}=SIZE`",
                node.name, node.name
            ))
        },
        Ok,
    )
}

/// The device that a fault is about, if it is about one. Also finds out that a fault is impossible here.
///
/// # Errors
/// [`Error::Fault`]
pub(crate) fn device(place: &Place, node: &NodeState, fault: &Fault) -> Result<Option<String>> {
    match fault {
        Fault::SlowDisk { path, .. } => {
            controller("blkio")?;
            let image = disk::image(place, &node.name, disk_index(node, path)?);
            match disk::loop_devices(&image).pop() {
                Some(device) => Ok(Some(device)),
                None => refuse(format!("{} has not mounted {path}", node.name)),
            }
        }
        Fault::FullDisk { path, .. } => disk_index(node, path).map(|_| None),
        Fault::Starve { .. } => controller("cpu").map(|_| None),
        Fault::Lose { .. } | Fault::CutFrom { .. } => filter::check().map(|()| None),
        Fault::Freeze | Fault::Cut | Fault::SlowLink { .. } => Ok(None),
    }
}

/// Puts a fault into force.
///
/// # Errors
/// What a program or the kernel says.
pub(crate) fn begin(
    place: &Place,
    groups: &Groups,
    node: &NodeState,
    active: &ActiveFault,
) -> Result<()> {
    let group = groups.member(&node.name);
    match &active.fault {
        Fault::SlowDisk { bytes_per_second, .. } => {
            active.device.iter().try_for_each(|device| limit_device(device, *bytes_per_second))
        }
        Fault::FullDisk { path, leave } => {
            let Some(init) = group.container_init() else {
                return Err(Error::NotRunning { node: node.name.clone() });
            };
            output(tool("nsenter").args(["--target", &init.to_string(), "--mount", "--"]).args([
                "sh",
                "-c",
                FILL,
                "fill-disk",
                path,
                FILLING,
                &leave.to_string(),
            ]))
            .map(|_| ())
        }
        Fault::Starve { percent } => starve(place, &group, &node.name, *percent),
        Fault::Freeze => freeze(&group),
        Fault::Cut if group.populated()? => bridge::switch_cable(place, &node.name, false),
        Fault::SlowLink { .. } if group.populated()? => dress_cable(place, node),
        Fault::Lose { percent } => filter::lose(place, &node.name, *percent),
        Fault::CutFrom { nodes } => filter::part(place, &node.name, nodes),
        // At the next boot.
        Fault::Cut | Fault::SlowLink { .. } => Ok(()),
    }
}

/// Undoes a fault, also one that was put into force in part, and one of a node that is off.
///
/// # Errors
/// What a program or the kernel says.
pub(crate) fn end(
    place: &Place,
    groups: &Groups,
    node: &NodeState,
    active: &ActiveFault,
) -> Result<()> {
    let group = groups.member(&node.name);
    match &active.fault {
        Fault::SlowDisk { .. } => {
            active.device.iter().try_for_each(|device| limit_device(device, 0))
        }
        Fault::FullDisk { path, .. } => empty(place, &group, node, path),
        Fault::Starve { .. } => feed(place, &node.name),
        Fault::Freeze => thaw(&group),
        Fault::SlowLink { .. } => undress_cable(place, node),
        Fault::Lose { .. } => filter::stop_losing(place, &node.name),
        Fault::CutFrom { .. } => filter::join(place, &node.name),
        // The caller knows whether the cable shall be mended.
        Fault::Cut => Ok(()),
    }
}

/// Where the machine has mounted a controller of version 1.
fn find_controller(name: &str) -> Result<Option<PathBuf>> {
    let path = Path::new("/proc/self/mountinfo");
    Ok(controller_in(&fs::read_to_string(path).on("read", path)?, name))
}

fn controller_in(mountinfo: &str, name: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut words = after.split(' ');
        (words.next()? == "cgroup").then_some(())?;
        words.nth(1)?.split(',').any(|option| option == name).then_some(())?;
        before.split(' ').nth(4).map(PathBuf::from)
    })
}

fn controller(name: &str) -> Result<PathBuf> {
    match find_controller(name)? {
        Some(found) => Ok(found),
        None => refuse(format!(
            "this machine has no controller \"{name}\" of version 1, which this fault needs"
        )),
    }
}

/// Slows a device down for everybody; 0 ends it. The device is a disk of one node, and the kernel counts
/// what it writes later on for the topmost group, so that is where the limit has to stand.
fn limit_device(device: &str, bytes_per_second: u64) -> Result<()> {
    let top = controller("blkio")?;
    for limit in ["blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device"] {
        let file = top.join(limit);
        fs::write(&file, format!("{device} {bytes_per_second}")).on("write", &file)?;
    }
    Ok(())
}

/// Removes a filling; of a node that is off, with the disk mounted for that moment.
fn empty(place: &Place, group: &Group, node: &NodeState, path: &str) -> Result<()> {
    if let Some(init) = group.container_init() {
        let file = format!("{path}/{FILLING}");
        return output(
            tool("nsenter")
                .args(["--target", &init.to_string(), "--mount", "--"])
                .args(["rm", "-f", &file]),
        )
        .map(|_| ());
    }
    let index = disk_index(node, path)?;
    let image = disk::image(place, &node.name, index);
    disk::wait_until_free(&image)?;
    output(
        tool("unshare")
            .args(["--mount", "sh", "-c", r#"mount -o loop "$1" "$2" && rm -f "$2/$3""#, "sh"])
            .arg(&image)
            .arg(disk::mount_point(place, &node.name, index))
            .arg(FILLING),
    )?;
    disk::wait_until_free(&image)
}

/// Stops all processes of a node. The freezer of version 2 needs no controller, and lets a kill through.
fn freeze(group: &Group) -> Result<()> {
    write_freeze(group, "1")?;
    let events = group.path().join("cgroup.events");
    Deadline::in_seconds(SETTLE_SECONDS).poll(
        "freezing",
        Duration::from_millis(5),
        &String::new,
        || {
            let text = fs::read_to_string(&events).on("read", &events)?;
            Ok(text.lines().any(|line| line == "frozen 1").then_some(()))
        },
    )
}

fn write_freeze(group: &Group, value: &str) -> Result<()> {
    let switch = group.path().join("cgroup.freeze");
    fs::write(&switch, value).on("write", &switch)
}

fn thaw(group: &Group) -> Result<()> {
    // A node that is off has no group.
    if group.path().exists() { write_freeze(group, "0") } else { Ok(()) }
}

/// The directory of all starved nodes of a sandbox, where the machine has the controller.
fn starved_nodes(place: &Place) -> Result<Option<PathBuf>> {
    Ok(find_controller("cpu")?.map(|top| top.join("keddah-sandbox").join(&place.name)))
}

/// The control group that a node's new processes have to enter, too, while it is starved.
///
/// # Errors
/// The machine's mounts cannot be read.
pub(crate) fn starved_group(place: &Place, node: &str) -> Result<Option<PathBuf>> {
    Ok(starved_nodes(place)?.map(|nodes| nodes.join(node)).filter(|group| group.is_dir()))
}

fn starve(place: &Place, group: &Group, node: &str, percent: u32) -> Result<()> {
    let starved = controller("cpu")?.join("keddah-sandbox").join(&place.name).join(node);
    {
        let _shared = Shared::acquire()?;
        fs::create_dir_all(&starved).on("create", &starved)?;
    }
    let quota = PERIOD_MICROSECONDS / 100 * percent;
    for (file, value) in [("cpu.cfs_period_us", PERIOD_MICROSECONDS), ("cpu.cfs_quota_us", quota)] {
        let file = starved.join(file);
        fs::write(&file, value.to_string()).on("write", &file)?;
    }
    let inside = starved.join("cgroup.procs");
    // What a process forks before it is moved stays outside: look again until all are in.
    Deadline::in_seconds(SETTLE_SECONDS).poll(
        "starving",
        Duration::from_millis(5),
        &String::new,
        || {
            let moved = members(&starved);
            let outside: Vec<u32> =
                group.processes().into_iter().filter(|process| !moved.contains(process)).collect();
            for process in &outside {
                // One that has ended cannot be moved.
                let _ = fs::write(&inside, process.to_string());
            }
            Ok(outside.is_empty().then_some(()))
        },
    )
}

fn members(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Lets a starved node's processes go.
fn feed(place: &Place, node: &str) -> Result<()> {
    match starved_group(place, node)? {
        Some(group) => release(&group),
        None => Ok(()),
    }
}

fn release(group: &Path) -> Result<()> {
    let top = controller("cpu")?.join("cgroup.procs");
    Deadline::in_seconds(SETTLE_SECONDS).poll(
        "ending the starving",
        Duration::from_millis(5),
        &String::new,
        || {
            for process in members(group) {
                let _ = fs::write(&top, process.to_string());
            }
            Ok(fs::remove_dir(group).is_ok().then_some(()))
        },
    )?;
    // The last one takes the directories along; others may be starved, too.
    let _shared = Shared::acquire()?;
    for parent in group.ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

/// Makes a node's cable as slow as its faults say, at both ends; each end shapes what it sends.
///
/// # Errors
/// What `tc` says.
pub(crate) fn dress_cable(place: &Place, node: &NodeState) -> Result<()> {
    let rate = node.faults.iter().find_map(|active| match &active.fault {
        Fault::SlowLink { bytes_per_second } => Some(*bytes_per_second),
        _ => None,
    });
    let Some(rate) = rate else { return Ok(()) };
    for (namespace, device) in cable_ends(place, node) {
        output(
            tool("tc")
                .args(["-n", &namespace, "qdisc", "replace", "dev", &device, "root", "tbf"])
                // tc's "bps" are bytes. A burst holds several frames; what waits longer is dropped.
                .args(["rate", &format!("{rate}bps"), "burst", "16kb", "latency", "400ms"]),
        )?;
    }
    Ok(())
}

fn undress_cable(place: &Place, node: &NodeState) -> Result<()> {
    for (namespace, device) in cable_ends(place, node) {
        // Without a cable there is nothing to undo.
        if !network_namespace_path(&namespace).exists() {
            continue;
        }
        let shown = output(tool("tc").args(["-n", &namespace, "qdisc", "show"]))?;
        if shown
            .lines()
            .any(|line| line.contains(" tbf ") && line.contains(&format!(" dev {device} ")))
        {
            output(tool("tc").args(["-n", &namespace, "qdisc", "del", "dev", &device, "root"]))?;
        }
    }
    Ok(())
}

fn cable_ends(place: &Place, node: &NodeState) -> [(String, String); 2] {
    [
        (place.network_namespace(), node.name.clone()),
        (place.node_network_namespace(&node.name), bridge::NODE_INTERFACE.to_owned()),
    ]
}

/// Undoes what would outlive a sandbox's processes and files, before its devices are given back. Trusts no
/// state file: disks are found by path, groups by name.
///
/// # Errors
/// Something cannot be undone.
pub(crate) fn end_limits(place: &Place) -> Result<()> {
    if find_controller("blkio")?.is_none() {
        return Ok(());
    }
    disk::loop_devices(&place.data).iter().try_for_each(|device| limit_device(device, 0))
}

/// Removes the groups of starved nodes; the caller has ended their processes.
///
/// # Errors
/// A group cannot be removed.
pub(crate) fn remove_groups(place: &Place) -> Result<()> {
    let Some(nodes) = starved_nodes(place)? else { return Ok(()) };
    let Ok(entries) = fs::read_dir(&nodes) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        release(&entry.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_found_by_its_whole_name() {
        let table = "30 24 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
                     31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                     32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(controller_in(table, "cpu"), Some("/sys/fs/cgroup/cpu,cpuacct".into()));
        assert_eq!(controller_in(table, "blkio"), None);
    }
}
