//! A hundred clusters of one instance on ten nodes of one machine: what comes of much at once.
//!
//! Whether the limits are held is part of the answer: a run that does not hold one fails.

use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::sandbox::{Image, Sandbox};
use crate::world::World;
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The name by which `--only` measures this and nothing else.
pub const NAME: &str = "many";

const NODES: u8 = 10;
const CLUSTERS_ON_EACH: u16 = 10;

/// The first apply, from nodes whose packages are installed.
const MOST_SECONDS: f64 = 600.0;

/// The highest 1-minute load of the machine while it lasts.
const MOST_LOAD: f64 = 12.0;

/// One that takes longer is ended, and told as what it is.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Between two looks at the load, as often as the kernel itself counts who runs (`kernel/sched/loadavg.c`).
const LOOK: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug)]
struct Figures {
    apply: Duration,
    ended_well: bool,
    failed: usize,
    left_out: usize,
    load_before: f64,
    seen: Seen,
    starts: Starts,
    changes_left: usize,
    plan: Duration,
    status: Duration,
    status_code: Option<i32>,
}

/// What was seen of the machine while it lasted.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The highest 1-minute load.
    load: f64,
    /// The same, of the nodes' processes alone.
    own_load: f64,
    /// Seconds of processors that the nodes have used, where the kernel says it.
    processor: Option<f64>,
    /// The least memory left, in GiB.
    memory_left: f64,
}

/// What became of the instances' servers and services.
#[derive(Debug, Clone, Copy, Default)]
struct Starts {
    /// Started again by systemd, or a server by its Patroni, beyond the first time.
    again: usize,
    /// Servers that were never started.
    missing: usize,
}

/// Boots the nodes, applies, and answers a table and what was not held.
pub fn measure(world: &mut World) -> Outcome<(String, Vec<String>)> {
    eprintln!("{} clusters on {NODES} nodes", u16::from(NODES) * CLUSTERS_ON_EACH);
    let project = world.project(NAME, &inventory())?;
    let name = world.options.sandbox.clone();
    let sandbox = world.fresh(Image::Warm, NODES)?;
    let keddah = Keddah { sandbox, project: &project };
    let load_before = load()?;
    let (applied, seen) = watched(&name, || {
        let mut command = keddah.command(&["apply", "--yes", "--json"]);
        crate::command::run(&mut command, PATIENCE)
    })?;
    std::fs::write(project.directory.join("apply.log"), applied.to_string())?;
    let answer: Value = serde_json::from_str(&applied.stdout).unwrap_or_default();
    let ended = |how: &str| {
        let changes = answer.pointer("/report/changes").and_then(Value::as_array);
        let ended = |one: &&Value| one.pointer("/ending/type").and_then(Value::as_str) == Some(how);
        changes.into_iter().flatten().filter(ended).count()
    };
    let plan = keddah.plan()?;
    let status = keddah.run(&["status"])?;
    std::fs::write(project.directory.join("status.log"), status.to_string())?;
    let figures = Figures {
        apply: applied.elapsed,
        ended_well: applied.code == Some(0),
        failed: ended("failed"),
        left_out: ended("skipped") + ended("unknown"),
        load_before,
        seen,
        starts: starts(sandbox)?,
        changes_left: plan.changes.len(),
        plan: plan.output.elapsed,
        status: status.elapsed,
        status_code: status.code,
    };
    let broken = figures.broken();
    if !broken.is_empty() {
        sandbox.save_logs(&project.directory.join("logs"))?;
    }
    Ok((figures.table(), broken))
}

impl Figures {
    /// What was not held, in words.
    fn broken(&self) -> Vec<String> {
        let seconds = self.apply.as_secs_f64();
        let all = [
            (!self.ended_well, "the apply did not end well".to_owned()),
            (seconds > MOST_SECONDS, format!("the apply took {seconds:.0} s")),
            (self.failed > 0, format!("{} changes failed", self.failed)),
            (self.left_out > 0, format!("{} changes were not carried out", self.left_out)),
            (self.seen.load >= MOST_LOAD, format!("the load rose to {:.1}", self.seen.load)),
            (self.starts.again > 0, format!("{} starts were repeated", self.starts.again)),
            (self.starts.missing > 0, format!("{} servers never started", self.starts.missing)),
            (self.changes_left > 0, format!("{} changes are left", self.changes_left)),
        ];
        all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words).collect()
    }

    fn table(&self) -> String {
        let clusters = u16::from(NODES) * CLUSTERS_ON_EACH;
        let mut text = format!(
            "| {clusters} clusters of one instance on {NODES} nodes of this machine | | limit |\n|---|---|---|\n"
        );
        let mut row = |what: &str, figure: String, limit: &str| {
            let _ = writeln!(text, "| {what} | {figure} | {limit} |");
        };
        row(
            "first apply, warm nodes",
            format!("{:.0} s", self.apply.as_secs_f64()),
            &format!("{MOST_SECONDS:.0} s"),
        );
        row(
            "changes that failed or were not carried out",
            (self.failed + self.left_out).to_string(),
            "0",
        );
        let Seen { load, own_load, processor, memory_left } = self.seen;
        row("highest 1-minute load", format!("{load:.1}"), &format!("below {MOST_LOAD:.0}"));
        row("of that by the nodes' own processes, at most", format!("{own_load:.1}"), "");
        if let Some(seconds) = processor {
            row("processors' time that the nodes used", format!("{seconds:.0} s"), "");
        }
        row("1-minute load before", format!("{:.1}", self.load_before), "");
        let Starts { again, missing } = self.starts;
        row("starts of a server or service that were repeated", again.to_string(), "0");
        row("servers that never started", missing.to_string(), "0");
        row("least memory left", format!("{memory_left:.1} GiB"), "");
        row("changes in the next plan", self.changes_left.to_string(), "0");
        row("plan with nothing to change", format!("{:.1} s", self.plan.as_secs_f64()), "");
        let code = self.status_code.map_or("none".to_owned(), |code| code.to_string());
        row("`keddah status`", format!("{:.1} s, exit code {code}", self.status.as_secs_f64()), "");
        text
    }
}

fn inventory() -> String {
    let mut text = String::from("all:\n  children:\n    etcd:\n      hosts:\n");
    for member in 0..3 {
        let _ = writeln!(text, "        10.10.10.{}: {{ etcd_seq: {} }}", 10 + member, member + 1);
    }
    text.push_str("      vars: { etcd_cluster: etcd }\n    many:\n      hosts:\n");
    for node in 0..NODES {
        let _ = writeln!(text, "        10.10.10.{}:\n          pg_instances:", 10 + node);
        for instance in 0..CLUSTERS_ON_EACH {
            let (port, cluster) = (5432 + 10 * instance, format!("pg-{node}{instance}"));
            let _ = writeln!(
                text,
                "            {port}: {{ pg_cluster: {cluster}, pg_seq: 1, pg_role: primary, pg_users: \
                 [ {{ name: app, password: App.{cluster}, pgbouncer: true, roles: [dbrole_admin] }} ], \
                 pg_databases: [ {{ name: app, owner: app }} ] }}"
            );
        }
    }
    text.push_str("  vars: { admin_ip: 10.10.10.10, pg_conf: tiny.yml }\n");
    text
}

/// This machine's 1-minute load.
fn load() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.ok_or_else(|| Failure::new(format!("/proc/loadavg has no number first: {text}")))
}

/// Memory that is left, in GiB.
fn memory() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    let missing = || Failure::new("/proc/meminfo does not say how much memory is left");
    Ok(kilobytes.ok_or_else(missing)? / 1024.0 / 1024.0)
}

/// Processes of the nodes of a sandbox that run or want to, or wait for a disk: what the kernel's load counts.
/// A process that has gone meanwhile counts as none.
fn busy(sandbox: &str) -> usize {
    let group = format!("/keddah-sandbox/{sandbox}/");
    let list =
        |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|one| one.path());
    let is_busy = |task: &PathBuf| {
        let text = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        // The name before it may hold anything (proc(5)).
        text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['R', 'D']))
    };
    let is_own = |process: &PathBuf| {
        let groups = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        groups.lines().any(|line| line.contains(&group))
    };
    let own = list(Path::new("/proc")).filter(|process| is_own(process));
    own.flat_map(|process| list(&process.join("task")).collect::<Vec<_>>()).filter(is_busy).count()
}

/// Seconds of processors that the nodes of a sandbox have used, by their control group (`cpu.stat`).
fn processor(sandbox: &str) -> Option<f64> {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/run/keddah/cgroup"];
    let files = places.map(|place| format!("{place}/keddah-sandbox/{sandbox}/cpu.stat"));
    let text = files.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    used.trim().parse::<f64>().ok().map(|microseconds| microseconds / 1e6)
}

/// Does something, and answers what was seen of the machine meanwhile.
fn watched<T>(sandbox: &str, act: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Seen)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| -> Outcome<Seen> {
            let mut seen =
                Seen { load: load()?, own_load: 0.0, processor: None, memory_left: memory()? };
            let (mut own, kept) = (0.0, (-LOOK.as_secs_f64() / 60.0).exp());
            let mut next = Instant::now();
            while !over.load(Ordering::Relaxed) {
                if Instant::now() >= next {
                    next += LOOK;
                    let busy = f64::from(u32::try_from(busy(sandbox)).unwrap_or(u32::MAX));
                    own = own * kept + busy * (1.0 - kept);
                    seen.own_load = seen.own_load.max(own);
                    seen.load = seen.load.max(load()?);
                    seen.memory_left = seen.memory_left.min(memory()?);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            seen.load = seen.load.max(load()?);
            seen.processor = processor(sandbox);
            Ok(seen)
        });
        let done = act();
        over.store(true, Ordering::Relaxed);
        let seen = watching.join().map_err(|_| Failure::new("watching the load panicked"))?;
        Ok((done?, seen?))
    })
}

/// How the servers and services of all instances were started.
fn starts(sandbox: &Sandbox) -> Outcome<Starts> {
    let script = "systemctl show --property NRestarts --value 'patroni-*' 'pgbouncer-*' etcd haproxy; \
         for log in /pg-*/log/patroni/patroni.log; do grep -c 'postmaster pid=' $log | sed 's/^/started /'; done";
    let mut all = Starts::default();
    for node in 1..=sandbox.nodes {
        let said = sandbox.shell(node, script)?;
        let (servers, services): (Vec<&str>, Vec<&str>) =
            said.text().lines().partition(|line| line.starts_with("started "));
        let restarts = services.iter().filter_map(|line| line.trim().parse::<usize>().ok());
        let count = |line: &&str| line.trim_start_matches("started ").parse::<usize>().ok();
        let servers: Vec<usize> =
            servers.iter().filter_map(count).filter(|&count| count > 0).collect();
        all.again += restarts.sum::<usize>() + servers.iter().map(|count| count - 1).sum::<usize>();
        all.missing += usize::from(CLUSTERS_ON_EACH).saturating_sub(servers.len());
    }
    Ok(all)
}
