//! Real nodes: booted, cut off, switched off, and taken away without a trace.
//!
//! These tests need root and images (built at first use from the machine's own package sources), so
//! they run only when asked for: `cargo test -p keddah-sandbox -- --ignored`.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test with a runner of its own, which prints"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use keddah_sandbox::{
    Error, ImageKind, Locations, NodeCondition, Sandbox, StopMode, Suite, UpOptions, ensure_image,
};

#[path = "nodes/faults.rs"]
mod faults;

const TESTS: [(&str, fn()); 10] = [
    ("nodes_boot_and_answer", nodes_boot_and_answer),
    ("a_cut_node_is_reached_by_nobody", a_cut_node_is_reached_by_nobody),
    ("power_loss_is_silent_and_files_survive", power_loss_is_silent_and_files_survive),
    ("faults_have_effect_and_end", faults::have_effect_and_end),
    ("wrong_disks_are_refused", faults::wrong_disks_are_refused),
    ("bare_nodes_install_packages", bare_nodes_install_packages),
    ("warm_nodes_have_packages_and_run_none", warm_nodes_have_packages_and_run_none),
    ("two_sandboxes_stand_side_by_side", two_sandboxes_stand_side_by_side),
    ("a_killed_creator_leaves_nothing_that_down_misses", a_killed_creator_leaves_nothing),
    ("a_killed_build_takes_its_programs_along", a_killed_build_takes_its_programs_along),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => {
            let address: SocketAddr = arguments[2].parse().unwrap();
            keddah_sandbox::serve_repository(arguments[1].as_ref(), address).unwrap();
            return ExitCode::FAILURE;
        }
        Some("fault") => {
            faults::be_killed(&arguments[1]);
            return ExitCode::SUCCESS;
        }
        Some("end-fault") => {
            let [name, node, mark, seconds] = [1, 2, 3, 4].map(|at| arguments[at].as_str());
            let seconds = seconds.parse().unwrap();
            Sandbox::end_fault_later(&locations(), name, node, mark, seconds).unwrap();
            return ExitCode::SUCCESS;
        }
        Some("up") => {
            Sandbox::up(&locations(), &options(&arguments[1], 3), &|_| {}).unwrap();
            return ExitCode::SUCCESS;
        }
        Some("build") => {
            let cache = PathBuf::from(&arguments[1]);
            ensure_image(&cache, Suite::Trixie, ImageKind::Bare, None, &|_| {}).unwrap();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted = arguments.iter().any(|word| word == "--ignored" || word == "--include-ignored");
    let filter = arguments.iter().find(|word| !word.starts_with('-'));
    let mut failed = 0;
    for (name, test) in TESTS {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        if !wanted {
            println!("test {name} ... ignored, needs root and images");
            continue;
        }
        let began = Instant::now();
        let passed = std::panic::catch_unwind(test).is_ok();
        failed += usize::from(!passed);
        let outcome = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {outcome} ({:.1} s)", began.elapsed().as_secs_f64());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Places of the tests' own, but the machine's cache of images.
fn locations() -> Locations {
    Locations {
        state: "/run/keddah-test/sandbox".into(),
        data: "/var/lib/keddah-test/sandbox".into(),
        cache: std::env::var_os("KEDDAH_CACHE").map_or(Locations::default().cache, PathBuf::from),
    }
}

fn options(name: &str, nodes: u8) -> UpOptions {
    UpOptions {
        name: name.into(),
        nodes,
        suite: Suite::Trixie,
        image: ImageKind::Bare,
        in_memory: std::env::var_os("KEDDAH_TEST_IN_MEMORY").is_some(),
        disks: Vec::new(),
        mirror: None,
        server: vec![std::env::current_exe().unwrap().into(), "serve".into()],
    }
}

/// A sandbox that is taken down however the test ends, with the check that nothing is left.
struct Guard {
    name: &'static str,
    sandbox: Sandbox,
}

impl Guard {
    fn up(name: &'static str, nodes: u8) -> Self {
        Self::up_with(name, &options(name, nodes))
    }

    fn up_with(name: &'static str, options: &UpOptions) -> Self {
        Sandbox::down(&locations(), name).unwrap();
        Self { name, sandbox: Sandbox::up(&locations(), options, &|_| {}).unwrap() }
    }

    /// What a command in a node writes, with its exit code.
    fn exec(&self, node: &str, script: &str) -> (i32, String) {
        finish(self.sandbox.command_in_node(node, &["sh", "-c", script]).unwrap())
    }

    /// What a command on this machine writes inside the sandbox's network, with its exit code.
    fn within(&self, words: &[&str]) -> (i32, String) {
        finish(self.sandbox.command_in_network(words))
    }

    fn ssh(&self, node: &str, script: &str) -> (i32, String) {
        let configuration = self.sandbox.status().unwrap().ssh_config;
        let configuration = configuration.to_str().unwrap();
        self.within(&["ssh", "-F", configuration, "-o", "ConnectTimeout=2", node, script])
    }

    fn condition(&self, node: usize) -> NodeCondition {
        self.sandbox.status().unwrap().nodes[node].state
    }

    fn down(self) {
        let traces = Traces::of(self.name);
        assert!(!traces.processes().is_empty(), "the check itself must be able to fail");
        let removed = Sandbox::down(&locations(), self.name).unwrap();
        assert!(removed.existed);
        assert_eq!(removed.still_inside, []);
        traces.assert_gone();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = Sandbox::down(&locations(), self.name) {
            println!("taking {} down: {error}", self.name);
        }
    }
}

fn finish(mut command: Command) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.code().unwrap_or(-1), text)
}

/// What could remain of a sandbox: its network namespaces by number, and its names.
struct Traces {
    name: &'static str,
    namespaces: BTreeSet<u64>,
}

impl Traces {
    fn of(name: &'static str) -> Self {
        let namespaces = namespace_files(name)
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|about| about.ino())
            .collect();
        Self { name, namespaces }
    }

    /// Living processes that are in the sandbox's namespaces, groups, or files.
    fn processes(&self) -> Vec<String> {
        let marks = [
            format!("keddah-sandbox/{}", self.name),
            format!("keddah-sandbox-{}.service", self.name),
        ];
        let data = locations().data.join(self.name);
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
            .filter(|entry| {
                let read =
                    |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
                // What has ended and waits for its parent is no process any more.
                let status = read("status");
                if status.is_empty() || status.contains("State:\tZ") {
                    return false;
                }
                let network = fs::metadata(entry.path().join("ns/net")).map(|about| about.ino());
                network.is_ok_and(|number| self.namespaces.contains(&number))
                    || marks.iter().any(|mark| read("cgroup").contains(mark))
                    || read("mountinfo").contains(data.to_str().unwrap())
            })
            .map(|entry| {
                let words = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                format!("{} {}", entry.file_name().display(), words.replace('\0', " "))
            })
            .collect()
    }

    fn assert_gone(&self) {
        // A killed process needs a moment to be gone from the table.
        let began = Instant::now();
        while !self.processes().is_empty() && began.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.processes(), Vec::<String>::new());
        assert_eq!(namespace_files(self.name), Vec::<PathBuf>::new());
        let locations = locations();
        for directory in [locations.state.join(self.name), locations.data.join(self.name)] {
            assert!(!directory.exists(), "{}", directory.display());
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(directory.to_str().unwrap()), "{mounts}");
        }
        assert!(!locations.state.join(format!("{}.lock", self.name)).exists());
        let groups = finish({
            let mut command = Command::new("find");
            command.args(["/sys/fs/cgroup", "-type", "d", "-path"]);
            command.arg(format!("*keddah-sandbox[-/]{}*", self.name));
            command
        });
        assert_eq!(groups.1, "");
    }
}

fn namespace_files(name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let whole = format!("keddah.{name}");
    entries
        .flatten()
        .filter(|entry| {
            let file = entry.file_name().into_string().unwrap();
            file == whole || file.starts_with(&format!("{whole}."))
        })
        .map(|entry| entry.path())
        .collect()
}

fn nodes_boot_and_answer() {
    let guard = Guard::up("test-boot", 2);
    for (index, node) in ["node-1", "node-2"].into_iter().enumerate() {
        assert_eq!(guard.condition(index), NodeCondition::Running);
        assert_eq!(guard.exec(node, "systemctl is-system-running"), (0, "running".into()));
        assert_eq!(guard.exec(node, "cat /proc/1/comm; hostname").1, format!("systemd\n{node}"));
        // By name and by address, without a question about the host's key.
        assert_eq!(guard.ssh(node, "hostname"), (0, node.into()));
    }
    assert_eq!(guard.ssh("10.10.10.11", "exit 7").0, 7);
    assert_eq!(guard.exec("10.10.10.11", "exit 9").0, 9);
    assert!(matches!(
        guard.sandbox.command_in_node("node-3", &["true"]),
        Err(Error::UnknownNode { .. })
    ));
    // There is no way out: not even a route that could lead to one.
    assert_eq!(guard.exec("1", "ip route show default"), (0, String::new()));
    assert_eq!(guard.within(&["ip", "route", "show", "default"]), (0, String::new()));
    // Machine ids and host keys are each node's own.
    let own = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";
    assert_ne!(guard.exec("1", own).1, guard.exec("2", own).1);
    let about = fs::metadata(guard.sandbox.status().unwrap().identity).unwrap();
    assert_eq!(about.mode() & 0o777, 0o600);
    // Up again changes nothing, and says so if it cannot be the same.
    let before = guard.sandbox.status().unwrap();
    let again = Sandbox::up(&locations(), &options(guard.name, 2), &|_| {}).unwrap();
    assert_eq!(again.status().unwrap(), before);
    assert!(matches!(
        Sandbox::up(&locations(), &options(guard.name, 3), &|_| {}),
        Err(Error::Exists { .. })
    ));
    guard.down();
}

fn a_cut_node_is_reached_by_nobody() {
    let mut guard = Guard::up("test-cut", 2);
    let reach = "ping -c 1 -W 1 10.10.10.10";
    assert_eq!(guard.exec("2", reach).0, 0);
    guard.sandbox.cut("node-1").unwrap();
    assert_ne!(guard.exec("2", reach).0, 0);
    assert_ne!(guard.ssh("node-1", "true").0, 0);
    assert!(guard.sandbox.status().unwrap().nodes[0].cut);
    // It runs on, and notices only that its carrier is gone.
    assert_eq!(guard.exec("1", "cat /sys/class/net/eth0/carrier").1, "0");
    // Switching it off and on does not mend a cable.
    guard.sandbox.stop("node-1", StopMode::PowerLoss).unwrap();
    guard.sandbox.start("node-1").unwrap();
    assert_ne!(guard.exec("2", reach).0, 0);
    guard.sandbox.heal("node-1").unwrap();
    assert_eq!(guard.exec("2", reach).0, 0);
    assert_eq!(guard.ssh("node-1", "true").0, 0);
    guard.down();
}

fn power_loss_is_silent_and_files_survive() {
    let guard = Guard::up("test-power", 2);
    guard.exec("1", "echo kept > /var/lib/kept");
    let mark = "stat -c '%F %U %a' /etc/keddah-sandbox";
    assert_eq!(guard.exec("1", mark).1, "regular file root 644");
    guard.exec("1", "rm /etc/keddah-sandbox");
    let before = guard.exec("1", "cat /proc/sys/kernel/random/boot_id; cat /etc/machine-id").1;
    // A client on the other node holds a connection; whether the peer closes it would show.
    let client = "exec 3<>/dev/tcp/10.10.10.10/22; head -c 4 <&3 >/dev/null; \
                  timeout 3 cat <&3 >/dev/null; echo $?";
    let mut waiting = guard
        .sandbox
        .command_in_node("2", &["bash", "-c", client])
        .unwrap()
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    guard.sandbox.stop("node-1", StopMode::PowerLoss).unwrap();
    assert_eq!(guard.condition(0), NodeCondition::Stopped);
    let answer = std::io::read_to_string(waiting.stdout.take().unwrap()).unwrap();
    waiting.wait().unwrap();
    // 124: nothing came until the time was over, neither an end nor a reset.
    assert_eq!(answer.trim(), "124");
    assert!(matches!(
        guard.sandbox.stop("node-1", StopMode::PowerLoss),
        Err(Error::NotRunning { .. })
    ));
    guard.sandbox.start("node-1").unwrap();
    assert_eq!(guard.exec("1", "cat /var/lib/kept").1, "kept");
    assert_eq!(
        guard.exec("1", mark).1,
        "regular file root 644",
        "it is a sandbox's with every boot"
    );
    assert_eq!(guard.exec("1", "systemctl is-system-running").1, "running");
    assert_eq!(guard.ssh("node-1", "hostname"), (0, "node-1".into()));
    let after = guard.exec("1", "cat /proc/sys/kernel/random/boot_id; cat /etc/machine-id").1;
    assert_eq!(before.lines().last(), after.lines().last());
    assert!(matches!(guard.sandbox.start("node-1"), Err(Error::AlreadyRunning { .. })));
    guard.sandbox.stop("node-2", StopMode::Orderly).unwrap();
    assert_eq!(guard.condition(1), NodeCondition::Stopped);
    // Up switches on what is off.
    let again = Sandbox::up(&locations(), &options(guard.name, 2), &|_| {}).unwrap();
    assert_eq!(again.status().unwrap().nodes[1].state, NodeCondition::Running);
    guard.down();
}

fn bare_nodes_install_packages() {
    let guard = Guard::up("test-repository", 1);
    assert_ne!(guard.exec("1", "command -v jq").0, 0);
    let (code, text) = guard.exec("1", "apt-get update && apt-get install -y jq 2>&1");
    assert_eq!(code, 0, "{text}");
    assert_eq!(guard.exec("1", "jq -n 1+1"), (0, "2".into()));
    guard.down();
}

fn warm_nodes_have_packages_and_run_none() {
    const NAME: &str = "test-warm";
    for (suite, version) in [(Suite::Trixie, "13"), (Suite::Bookworm, "12")] {
        let warm = UpOptions { suite, image: ImageKind::Warm, ..options(NAME, 1) };
        let guard = Guard::up_with(NAME, &warm);
        let release = guard.exec("1", "cut -d . -f 1 /etc/debian_version").1;
        assert_eq!(release, version);
        assert_eq!(guard.exec("1", "systemctl is-system-running"), (0, "running".into()));
        let running = "systemctl list-units --type=service --state=running --plain --no-legend \
                       | cut -d ' ' -f 1 | sort | tr '\\n' ' '";
        assert_eq!(
            guard.exec("1", running).1,
            "dbus.service ssh.service systemd-journald.service systemd-logind.service"
        );
        for unit in ["postgresql", "patroni", "etcd", "haproxy", "pgbouncer", "chrony", "cron"] {
            assert_eq!(
                guard.exec("1", &format!("systemctl is-enabled {unit}")),
                (1, "disabled".into()),
                "{unit}"
            );
        }
        // No cluster was made, and what kept it from being made is gone: the files are the package's.
        assert_eq!(guard.exec("1", "pg_lsclusters --no-header"), (0, String::new()));
        assert_eq!(guard.exec("1", "dpkg --verify postgresql-common"), (0, String::new()));
        assert_eq!(guard.exec("1", "ls /etc/postgresql-common/createcluster.d").1, "");
        assert_eq!(guard.exec("1", "ls /usr/sbin/policy-rc.d 2>/dev/null").1, "");
        // One of them can be enabled and started as on any machine.
        assert_eq!(guard.exec("1", "systemctl enable --now etcd 2>/dev/null").0, 0);
        assert_eq!(guard.exec("1", "systemctl is-active etcd").1, "active");
        guard.down();
    }
}

fn two_sandboxes_stand_side_by_side() {
    let one = Guard::up("test-side", 1);
    let two = Guard::up("test-side-two", 1);
    let mut guest = one.sandbox.command_in_network(&["sleep", "60"]).spawn().unwrap();
    one.exec("1", "echo one > /etc/which");
    two.exec("1", "echo two > /etc/which");
    assert_eq!(one.ssh("node-1", "cat /etc/which").1, "one");
    assert_eq!(two.ssh("node-1", "cat /etc/which").1, "two");
    let traces = Traces::of(one.name);
    let removed = Sandbox::down(&locations(), one.name).unwrap();
    // What was started in the network is not the sandbox's to end, but it is told.
    assert_eq!(removed.still_inside, [(guest.id(), "sleep".to_owned())]);
    guest.kill().unwrap();
    guest.wait().unwrap();
    // Names that begin alike are not mistaken for each other.
    assert_eq!(two.ssh("node-1", "cat /etc/which").1, "two");
    two.down();
    traces.assert_gone();
}

/// Starts this program again in another role.
fn again(words: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(words.iter().map(OsString::from))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn a_killed_creator_leaves_nothing() {
    const NAME: &str = "test-crash";
    Sandbox::down(&locations(), NAME).unwrap();
    let mut cut_short = 0;
    for milliseconds in [5, 20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 400, 600, 800, 1100] {
        let mut creator = again(&["up", NAME]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        creator.kill().unwrap();
        creator.wait().unwrap();
        let traces = Traces::of(NAME);
        cut_short += usize::from(
            Sandbox::open(&locations(), NAME)
                .is_ok_and(|sandbox| !sandbox.status().unwrap().complete),
        );
        Sandbox::down(&locations(), NAME).unwrap();
        traces.assert_gone();
    }
    assert!(cut_short >= 5, "only {cut_short} creators were killed half-way");
    // And up itself begins anew where an earlier one was cut short.
    let mut creator = again(&["up", NAME]);
    std::thread::sleep(Duration::from_millis(250));
    creator.kill().unwrap();
    creator.wait().unwrap();
    let sandbox = Sandbox::up(&locations(), &options(NAME, 2), &|_| {}).unwrap();
    let guard = Guard { name: NAME, sandbox };
    assert_eq!(guard.ssh("node-2", "hostname"), (0, "node-2".into()));
    guard.down();
}

fn a_killed_build_takes_its_programs_along() {
    let cache = Path::new("/var/tmp/keddah-test-cache");
    let _ = fs::remove_dir_all(cache);
    let users = || -> Vec<String> {
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
            .filter(|words| words.contains(cache.to_str().unwrap()))
            .collect()
    };
    let mut builder = again(&["build", cache.to_str().unwrap()]);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(users().len() > 1, "the build has not begun");
    builder.kill().unwrap();
    builder.wait().unwrap();
    let began = Instant::now();
    while !users().is_empty() && began.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(users(), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(cache.to_str().unwrap()));
    fs::remove_dir_all(cache).unwrap();
}
