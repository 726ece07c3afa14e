//! The system below the services: kernel modules, swap, time zones.

use super::accounts::Ownership;
use super::write::replace;
use crate::HostError;
use crate::command::Command;
use keddah_resource::{SystemFacts, SystemProbe};
use rustix::fs::{Gid, Uid};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const ZONES: &str = "/usr/share/zoneinfo";
const FSTAB: &str = "/etc/fstab";
const SWAPS: &str = "/proc/swaps";

/// What a commented line begins with, so that whoever wonders knows why.
const COMMENT: &str = "# keddah (node_disable_swap): ";

/// Answers what the inventory's names come to on this machine.
pub(super) async fn gather(probe: &SystemProbe) -> Result<SystemFacts, HostError> {
    let zones = Path::new(ZONES);
    let mut missing_modules = Vec::new();
    let container = is_container().await?;
    if !container {
        for module in &probe.modules {
            if !is_loaded(module) && !can_be_loaded(module).await? {
                missing_modules.push(module.clone());
            }
        }
    }
    Ok(SystemFacts {
        missing_modules,
        container,
        has_timezone: probe
            .timezone
            .as_ref()
            .filter(|_| zones.join("UTC").exists())
            .map(|zone| zones.join(zone).is_file()),
    })
}

/// Whether the kernel is somebody else's. Even a container whose `/proc/sys` can be written has its host's
/// swap. What cannot be said counts as one: it is the answer that costs nothing.
async fn is_container() -> Result<bool, HostError> {
    if super::sysctl::read_only()? || !is_program("systemd-detect-virt") {
        return Ok(true);
    }
    let command = Command::new("systemd-detect-virt").args(["--container", "--quiet"]);
    Ok(command.run().await?.code == 0)
}

fn is_program(name: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|path| Path::new(path).join(name).exists())
}

/// Modules that are not loaded, of those that should be.
pub(super) fn absent(modules: &BTreeSet<String>) -> BTreeSet<String> {
    modules.iter().filter(|module| !is_loaded(module)).cloned().collect()
}

/// Loaded, or a part of the kernel itself.
fn is_loaded(module: &str) -> bool {
    // The kernel makes no difference between the two signs, and writes this one.
    let plain = module.replace('-', "_");
    if Path::new("/sys/module").join(&plain).exists() {
        return true;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let list = Path::new("/lib/modules").join(release).join("modules.builtin");
    fs::read_to_string(list).is_ok_and(|text| is_built_in(&text, &plain))
}

fn is_built_in(list: &str, module: &str) -> bool {
    let name = |line: &str| {
        let file = line.rsplit('/').next().unwrap_or(line);
        file.split(".ko").next().unwrap_or(file).replace('-', "_")
    };
    list.lines().any(|line| name(line) == module)
}

async fn can_be_loaded(module: &str) -> Result<bool, HostError> {
    // A kernel without modules comes without the tool for them.
    if !is_program("modprobe") {
        return Ok(false);
    }
    let command = Command::new("modprobe").args(["--dry-run", "--quiet", "--", module]);
    Ok(command.run().await?.code == 0)
}

/// Loads modules.
pub(super) async fn load(modules: &BTreeSet<String>) -> Result<(), HostError> {
    for module in modules {
        Command::new("modprobe").args(["--", module]).succeed().await?;
    }
    Ok(())
}

/// Where the kernel swaps to now, and what `/etc/fstab` has it swap to at the next boot.
pub(super) fn swaps() -> Result<BTreeSet<String>, HostError> {
    let mut found: BTreeSet<String> = active(&read(SWAPS)?).into_iter().collect();
    let declared = read(FSTAB)?;
    found.extend(declared.lines().filter(|line| is_swap(line)).map(|line| {
        let device = line.split_whitespace().next().unwrap_or_default();
        format!("{device} in {FSTAB}")
    }));
    Ok(found)
}

/// Stops swapping, now and at the next boot; the lines of `/etc/fstab` stay as comments.
pub(super) async fn stop_swapping() -> Result<(), HostError> {
    // A container sees its host's swap, and would take it from everybody there.
    if is_container().await? {
        return Err(HostError::new("this is a container: its host's swap is not switched off"));
    }
    for device in active(&read(SWAPS)?) {
        Command::new("swapoff").args(["--", &device]).succeed().await?;
    }
    let text = read(FSTAB)?;
    if text.lines().any(is_swap) {
        let ownership = Ownership { uid: Uid::ROOT, gid: Gid::ROOT, mode: 0o644 };
        replace(Path::new(FSTAB), commented(&text).as_bytes(), ownership)?;
    }
    Ok(())
}

/// Devices and files of `/proc/swaps`; it writes a blank as `\\040`.
fn active(text: &str) -> Vec<String> {
    let lines = text.lines().skip(1);
    lines
        .filter_map(|line| line.split_whitespace().next())
        .map(|device| device.replace("\\040", " "))
        .collect()
}

/// A line of fstab(5) whose third field, the type, is `swap`.
fn is_swap(line: &str) -> bool {
    !line.trim_start().starts_with('#') && line.split_whitespace().nth(2) == Some("swap")
}

fn commented(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.map(|line| if is_swap(line) { format!("{COMMENT}{line}") } else { line.into() }).collect()
}

fn read(path: &str) -> Result<String, HostError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(HostError::path("read", Path::new(path), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &str = "# /etc/fstab\n\
                         UUID=1 / ext4 defaults 0 1\n\
                         UUID=2\tnone swap\tsw 0 0\n\
                         #/swapfile none swap sw 0 0\n\
                         /dev/swap /srv/swap ext4 defaults 0 2\n";

    #[tokio::test]
    async fn this_machine_answers() {
        let modules = vec!["a_module_that_nobody_makes".to_owned()];
        let probe = SystemProbe { modules, timezone: Some("Nowhere/Atlantis".to_owned()) };
        let facts = gather(&probe).await.unwrap();
        assert_eq!(facts.missing_modules.is_empty(), facts.container, "{facts:?}");
        assert_ne!(facts.has_timezone, Some(true));
    }

    #[tokio::test]
    async fn a_containers_host_goes_on_to_swap() {
        if is_container().await.unwrap() {
            let error = stop_swapping().await.expect_err("it is refused");
            assert!(error.to_string().contains("container"), "{error}");
        }
    }

    #[test]
    fn lines_that_swap_become_comments_and_no_others() {
        let text = commented(FSTAB);
        assert_eq!(text.lines().count(), 5);
        assert!(
            text.contains("\n# keddah (node_disable_swap): UUID=2\tnone swap\tsw 0 0\n"),
            "{text}"
        );
        assert_eq!(text.matches("keddah").count(), 1, "{text}");
        assert_eq!(commented(&text), text, "once");
    }

    #[test]
    fn proc_swaps_names_devices_and_files() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/dm-1 partition 1 0 -2\n/a\\040b file 1 0 -3\n";
        assert_eq!(active(text), ["/dev/dm-1", "/a b"]);
        assert!(active("Filename\n").is_empty());
    }

    #[test]
    fn what_is_built_in_is_found_however_it_is_spelt() {
        let list = "kernel/drivers/watchdog/soft-dog.ko\nkernel/net/ipv4/ip_vs.ko.xz\n";
        assert!(is_built_in(list, "soft_dog") && is_built_in(list, "ip_vs"));
        assert!(!is_built_in(list, "ip"));
    }
}
