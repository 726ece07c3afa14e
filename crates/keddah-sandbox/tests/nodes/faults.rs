//! Each fault's effect, measured, and its end.

use std::ffi::OsString;
use std::fs;
use std::time::{Duration, Instant};

use keddah_sandbox::{Disk, DiskRequest, Error, Fault, FaultEnd, FileSystem, Sandbox, StopMode};

use super::{Guard, again, locations, options};

const NAME: &str = "test-faults";
const REACH: &str = "ping -c 1 -W 1 10.10.10.10";

fn disk(text: &str) -> DiskRequest {
    text.parse().unwrap()
}

fn end(seconds: u64) -> FaultEnd {
    let mut ender: Vec<OsString> = vec![std::env::current_exe().unwrap().into()];
    ender.extend(["end-fault", NAME].map(OsString::from));
    FaultEnd { seconds, ender }
}

/// Seconds that a command in a node takes.
fn timed(guard: &Guard, script: &str) -> f64 {
    let began = Instant::now();
    let (code, text) = guard.exec("1", script);
    assert_eq!(code, 0, "{text}");
    began.elapsed().as_secs_f64()
}

fn faults(guard: &Guard) -> Vec<&'static str> {
    guard.sandbox.status().unwrap().nodes[0].faults.iter().map(|one| one.fault.name()).collect()
}

/// Waits until the ender has done its part: the state is told by whoever opens the sandbox anew.
fn wait_for_end(guard: &mut Guard) {
    let began = Instant::now();
    loop {
        guard.sandbox = Sandbox::open(&locations(), NAME).unwrap();
        if faults(guard).is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(15), "still {:?}", faults(guard));
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn have_effect_and_end() {
    let mut guard = Guard::up_with(
        NAME,
        &super::UpOptions { disks: vec![disk("1:/srv/disk=64M")], ..options(NAME, 3) },
    );
    disks_are_file_systems(&guard);
    full_disk(&mut guard);
    slow_disk(&mut guard);
    starve(&mut guard);
    freeze(&mut guard);
    cut(&mut guard);
    slow_link(&mut guard);
    lose(&mut guard);
    cut_from(&mut guard);
    killed(&mut guard);
    power(&mut guard);
    // Whatever is in force goes with the sandbox, a frozen node included.
    guard.sandbox.fault("1", Fault::Starve { percent: 10 }, Some(&end(600))).unwrap();
    let slow = Fault::SlowDisk { path: "/srv/disk".into(), bytes_per_second: 1 << 20 };
    guard.sandbox.fault("1", slow, None).unwrap();
    guard.sandbox.fault("1", Fault::Freeze, None).unwrap();
    guard.down();
    let limits =
        fs::read_to_string("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device").unwrap();
    assert_eq!(limits, "", "a limit would slow down whoever gets the device next");
}

fn disks_are_file_systems(guard: &Guard) {
    assert_eq!(guard.exec("1", "findmnt -n -o FSTYPE /srv/disk"), (0, "ext4".into()));
    let size: u64 = guard.exec("1", "stat -f -c '%b' /srv/disk").1.parse().unwrap();
    let block: u64 = guard.exec("1", "stat -f -c '%S' /srv/disk").1.parse().unwrap();
    assert!((40 << 20..=64 << 20).contains(&(size * block)), "{size} blocks of {block}");
    assert_ne!(guard.exec("2", "findmnt /srv/disk").0, 0);
    guard.exec("1", "echo kept > /srv/disk/kept; sync /srv/disk/kept");
}

fn full_disk(guard: &mut Guard) {
    // In small pieces: a piece that does not fit as a whole may not be written at all.
    let write = "dd if=/dev/zero of=/srv/disk/new bs=4k count=2048 conv=fsync 2>&1";
    let full = Fault::FullDisk { path: "/srv/disk".into(), leave: 1 << 20 };
    guard.sandbox.fault("1", full.clone(), Some(&end(2))).unwrap();
    assert_eq!(faults(guard), ["full-disk"]);
    assert!(matches!(guard.sandbox.fault("1", full, None), Err(Error::Fault { .. })));
    let (code, text) = guard.exec("1", write);
    assert!(code != 0 && text.contains("No space left on device"), "{text}");
    let bytes: u64 = guard.exec("1", "stat -c %s /srv/disk/new").1.parse().unwrap();
    assert!((512 << 10..=1 << 20).contains(&bytes), "{bytes} bytes fitted where 1 MiB was left");
    wait_for_end(guard);
    assert_eq!(guard.exec("1", write).0, 0);
    assert_eq!(guard.exec("1", "ls -A /srv/disk/.keddah-full-disk 2>/dev/null").1, "");
    // A directory of the image's own is no disk: filling it would fill the machine.
    let machine = Fault::FullDisk { path: "/srv".into(), leave: 0 };
    assert!(matches!(guard.sandbox.fault("1", machine, None), Err(Error::Fault { .. })));
}

fn slow_disk(guard: &mut Guard) {
    let write = "dd if=/dev/zero of=/srv/disk/new bs=1M count=4 conv=fsync 2>/dev/null";
    let fast = |seconds: &f64| *seconds < 0.6;
    let before = best(|| timed(guard, write), fast);
    let slow = Fault::SlowDisk { path: "/srv/disk".into(), bytes_per_second: 2 << 20 };
    guard.sandbox.fault("1", slow, Some(&end(3))).unwrap();
    let slowed = timed(guard, write);
    assert!(slowed > 1.2 && fast(&before), "4 MiB took {before} s, then {slowed} s at 2 MiB/s");
    wait_for_end(guard);
    let after = best(|| timed(guard, write), fast);
    assert!(fast(&after), "{after} s");
}

/// The share of a core that a loop in the node gets, of 1. Other work on the machine makes it smaller, never larger.
fn share(guard: &Guard) -> f64 {
    let work = "TIMEFORMAT='%U %S %R'; time timeout 0.5 bash -c 'while :; do :; done'";
    let mut command = guard.sandbox.command_in_node("1", &["bash", "-c", work]).unwrap();
    let told = String::from_utf8(command.output().unwrap().stderr).unwrap();
    let seconds: Vec<f64> = told.split_whitespace().map(|word| word.parse().unwrap()).collect();
    (seconds[0] + seconds[1]) / seconds[2]
}

/// The best of several measurements that a busy machine can only make worse.
fn best<T>(mut measure: impl FnMut() -> T, good: impl Fn(&T) -> bool) -> T {
    let mut last = measure();
    for _ in 0..5 {
        if good(&last) {
            break;
        }
        last = measure();
    }
    last
}

fn starve(guard: &mut Guard) {
    let unstarved = |share: &f64| *share > 0.3;
    let before = best(|| share(guard), unstarved);
    guard.sandbox.fault("1", Fault::Starve { percent: 10 }, None).unwrap();
    let starved = share(guard);
    // Of what was there before the fault, all are in.
    let outside = guard.exec("1", "grep -L 'cpu:/keddah-sandbox' /proc/[0-9]*/cgroup").1;
    assert_eq!(outside, "");
    guard.sandbox.end_fault("1", "starve").unwrap();
    let after = best(|| share(guard), unstarved);
    let told = format!("{before} of a core, then {starved}, then {after}");
    assert!(unstarved(&before) && starved < 0.2 && unstarved(&after), "{told}");
}

fn freeze(guard: &mut Guard) {
    let counter = locations().data.join(NAME).join("node-1/upper/root/counter");
    let read = || fs::read_to_string(&counter).unwrap_or_default().lines().count();
    guard.exec("1", "(while :; do echo . >> /root/counter; sleep 0.02; done) >/dev/null 2>&1 &");
    std::thread::sleep(Duration::from_millis(300));
    assert!(read() > 0);
    guard.sandbox.fault("1", Fault::Freeze, Some(&end(2))).unwrap();
    let frozen = read();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(read(), frozen);
    let refused = guard.sandbox.stop("1", StopMode::Orderly);
    assert!(matches!(refused, Err(Error::Fault { .. })), "a frozen node cannot shut down");
    wait_for_end(guard);
    std::thread::sleep(Duration::from_millis(300));
    assert!(read() > frozen, "it goes on");
}

fn cut(guard: &mut Guard) {
    assert_eq!(guard.exec("2", REACH).0, 0);
    guard.sandbox.fault("1", Fault::Cut, Some(&end(2))).unwrap();
    assert_ne!(guard.exec("2", REACH).0, 0);
    wait_for_end(guard);
    assert_eq!(guard.exec("2", REACH).0, 0);
    assert!(!guard.sandbox.status().unwrap().nodes[0].cut);
}

/// Seconds for two megabytes over the cable, once each way.
fn transfers(guard: &Guard) -> [f64; 2] {
    let configuration = guard.sandbox.status().unwrap().ssh_config;
    let configuration = configuration.to_str().unwrap();
    [
        "ssh -F \"$1\" node-1 head -c 2M /dev/zero > /dev/null",
        "head -c 2M /dev/zero | ssh -F \"$1\" node-1 cat \\> /dev/null",
    ]
    .map(|script| {
        let began = Instant::now();
        assert_eq!(guard.within(&["sh", "-c", script, "sh", configuration]).0, 0);
        began.elapsed().as_secs_f64()
    })
}

fn slow_link(guard: &mut Guard) {
    let fast = |both: &[f64; 2]| both.iter().all(|seconds| *seconds < 1.2);
    let before = best(|| transfers(guard), fast);
    guard.sandbox.fault("1", Fault::SlowLink { bytes_per_second: 1 << 20 }, None).unwrap();
    let slow = transfers(guard);
    guard.sandbox.end_fault("1", "slow-link").unwrap();
    let after = best(|| transfers(guard), fast);
    let told = format!("2 MB took {before:?} s, then {slow:?} s, then {after:?} s");
    assert!(fast(&before) && slow.iter().all(|seconds| *seconds > 1.6) && fast(&after), "{told}");
}

/// Of 200 pings from a node to node-1, how many were answered.
fn answered(guard: &Guard, node: &str) -> u32 {
    let told = guard.exec(node, "ping -q -c 200 -i 0.01 -W 1 10.10.10.10").1;
    let line = told.lines().find(|line| line.contains(" received")).unwrap_or_default();
    let count = line.split(", ").nth(1).and_then(|part| part.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}

fn lose(guard: &mut Guard) {
    assert_eq!(answered(guard, "2"), 200);
    guard.sandbox.fault("1", Fault::Lose { percent: 30 }, Some(&end(6))).unwrap();
    // Each way 70 of 100 arrive: about 98 of 200. The chance of less than 60 or more than 140 is below 1 in a million.
    let lossy = answered(guard, "2");
    // Others lose nothing, and one who has lost gets through in the end.
    assert_eq!(guard.exec("3", "ping -q -c 20 -i 0.01 -W 1 10.10.10.11").0, 0);
    assert!((60..140).contains(&lossy), "{lossy} of 200 were answered");
    wait_for_end(guard);
    assert_eq!(answered(guard, "2"), 200);
}

fn cut_from(guard: &mut Guard) {
    for wrong in [&[][..], &["node-1"], &["2", "1"]] {
        let nodes = wrong.iter().map(|name| (*name).to_owned()).collect();
        let refused = guard.sandbox.fault("1", Fault::CutFrom { nodes }, None);
        assert!(matches!(refused, Err(Error::Fault { .. })), "{wrong:?}");
    }
    let unknown = guard.sandbox.fault("1", Fault::CutFrom { nodes: vec!["7".into()] }, None);
    assert!(matches!(unknown, Err(Error::UnknownNode { .. })));
    // An address of its own, which no rule knows: what counts is the cable.
    guard.exec("1", "ip addr add 10.10.10.200/24 dev eth0");
    guard.sandbox.fault("1", Fault::CutFrom { nodes: vec!["2".into()] }, Some(&end(4))).unwrap();
    assert_ne!(guard.exec("2", REACH).0, 0);
    assert_ne!(guard.exec("2", "ping -c 1 -W 1 10.10.10.200").0, 0);
    assert_ne!(guard.exec("1", "ping -c 1 -W 1 10.10.10.11").0, 0);
    assert_eq!(guard.exec("3", REACH).0, 0, "others reach both");
    assert_eq!(guard.exec("3", "ping -c 1 -W 1 10.10.10.11").0, 0);
    assert_eq!(guard.ssh("node-1", "true").0, 0, "and so does this machine");
    wait_for_end(guard);
    assert_eq!(guard.exec("2", REACH).0, 0);
    guard.exec("1", "ip addr del 10.10.10.200/24 dev eth0");
}

/// The faults that commands are killed over, by kind.
fn short_fault(kind: &str) -> Fault {
    match kind {
        "cut" => Fault::Cut,
        "slow-link" => Fault::SlowLink { bytes_per_second: 1 << 20 },
        "starve" => Fault::Starve { percent: 50 },
        _ => Fault::Freeze,
    }
}

/// The part of a command that is killed.
pub fn be_killed(kind: &str) {
    let mut sandbox = Sandbox::open(&locations(), NAME).unwrap();
    sandbox.fault("1", short_fault(kind), Some(&end(1))).unwrap();
}

/// Commands that are killed at any moment leave nothing that does not end.
fn killed(guard: &mut Guard) {
    let mut written_down = 0;
    let mut round = 0;
    // On a busy machine it takes longer until a command has begun at all.
    while round < 8 || (written_down == 0 && round < 400) {
        for (kind, milliseconds) in [("cut", 2), ("slow-link", 4), ("starve", 6), ("freeze", 8)] {
            let mut command = again(&["fault", kind]);
            std::thread::sleep(Duration::from_millis(milliseconds + round));
            command.kill().unwrap();
            command.wait().unwrap();
        }
        guard.sandbox = Sandbox::open(&locations(), NAME).unwrap();
        written_down += faults(guard).len();
        wait_for_end(guard);
        round = if round < 8 { round + 4 } else { round * 2 };
    }
    assert!(written_down > 0, "all were killed before they had begun");
    assert_eq!(guard.exec("1", "true").0, 0, "it is not frozen");
    assert_eq!(guard.exec("2", REACH).0, 0);
}

/// What ends with the power, and what does not.
fn power(guard: &mut Guard) {
    let path = || "/srv/disk".to_owned();
    for fault in [
        Fault::FullDisk { path: path(), leave: 0 },
        Fault::SlowDisk { path: path(), bytes_per_second: 1 << 20 },
        Fault::Starve { percent: 20 },
        Fault::SlowLink { bytes_per_second: 1 << 20 },
        Fault::CutFrom { nodes: vec!["node-3".into()] },
        Fault::Freeze,
    ] {
        guard.sandbox.fault("1", fault, None).unwrap();
    }
    guard.sandbox.stop("1", StopMode::PowerLoss).unwrap();
    guard.sandbox.start("1").unwrap();
    guard.sandbox = Sandbox::open(&locations(), NAME).unwrap();
    assert_eq!(faults(guard), ["full-disk", "slow-link", "cut-from"]);
    assert_ne!(guard.exec("3", REACH).0, 0, "it is still cut off from node-3");
    assert_eq!(guard.exec("2", REACH).0, 0);
    assert_eq!(guard.exec("1", "cat /srv/disk/kept").1, "kept", "a disk survives its node's power");
    assert_ne!(guard.exec("1", "head -c 1M /dev/zero > /srv/disk/more").0, 0);
    let shaped = guard.exec("1", "tc qdisc show dev eth0").1;
    assert!(shaped.contains("tbf"), "{shaped}");
    // A disk is emptied while its node is off.
    guard.sandbox.stop("1", StopMode::PowerLoss).unwrap();
    guard.sandbox.heal("1").unwrap();
    guard.sandbox.start("1").unwrap();
    assert_eq!(faults(guard), Vec::<&str>::new());
    assert_eq!(guard.exec("1", "head -c 1M /dev/zero > /srv/disk/more").0, 0);
    let shaped = guard.exec("1", "tc qdisc show dev eth0").1;
    assert!(!shaped.contains("tbf"), "{shaped}");
}

pub fn wrong_disks_are_refused() {
    const WRONG: &str = "test-wrong-disks";
    let up = |disks: &[&str]| {
        let disks = disks.iter().map(|text| disk(text)).collect();
        let options = super::UpOptions { disks, ..options(WRONG, 1) };
        Sandbox::up(&locations(), &options, &|_| {}).unwrap_err()
    };
    assert!(matches!(up(&["node-7:/data=64M"]), Error::UnknownNode { .. }));
    assert!(matches!(up(&["1:/data=64M", "node-1:/data=32M"]), Error::Disk { .. }));
    if !std::path::Path::new("/usr/sbin/mkfs.xfs").exists() {
        let error = up(&["1:/data=300M,xfs"]).to_string();
        assert!(
            error.contains("mkfs.xfs") && error.contains("apt-get install xfsprogs"),
            "{error}"
        );
    }
    assert!(!locations().state.join(WRONG).exists(), "nothing is made before all is checked");
    let request = disk("1:/data=300M,xfs");
    assert_eq!(
        request.disk,
        Disk { path: "/data".into(), bytes: 300 << 20, file_system: FileSystem::Xfs }
    );
}
