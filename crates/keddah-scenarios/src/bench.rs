//! What things cost: medians of whole-process runs, as a Markdown table on standard output.

use crate::Options;
use crate::command;
use crate::crowded;
use crate::failure::{Failure, Outcome};
use crate::keddah::{Keddah, expected};
use crate::many;
use crate::project::Project;
use crate::sandbox::Image;
use crate::scenarios::deaths;
use crate::world::World;
use std::fmt::Write;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Nodes of conf/sandbox.yml.
const NODES: u8 = 4;

/// Clusters of the large inventory, of three instances each.
const CLUSTERS: usize = 1000;

/// A failover takes its time whatever the machine; three of each are enough for a median.
const DEATHS: usize = 3;

/// A change of one thing in a cluster that serves, each round another one.
struct Edit {
    what: &'static str,
    /// After what in the inventory the lines stand.
    place: &'static str,
    lines: &'static str,
    /// A change that the plan must have.
    kind: &'static str,
    name: &'static str,
    others: &'static str,
}

/// Where the cluster's parameters are.
const CLUSTER: &str = "        pg_cluster: pg-test\n";

const EDITS: &[Edit] = &[
    Edit {
        what: "creating one user, `apply -l pg-test`",
        place: "comment: owner of the test database }\n",
        lines: "          - { name: bench_ROUND, password: Bench.User, roles: [dbrole_readonly] }\n",
        kind: "pg-role",
        name: "bench_",
        others: "5.1 s",
    },
    Edit {
        what: "creating one database",
        place: "          - { name: test, owner: test }\n",
        lines: "          - { name: bench_ROUND, owner: test }\n",
        kind: "pg-database",
        name: "bench_",
        others: "7.8 s",
    },
    Edit {
        what: "changing an access rule",
        place: CLUSTER,
        lines: "        pg_hba_rules: [ { user: test, db: all, addr: 10.9.ROUND.0/24, auth: pwd } ]\n",
        kind: "file",
        name: "pg_hba.conf",
        others: "9.0 s",
    },
    Edit {
        what: "changing a service",
        place: CLUSTER,
        lines: "        pg_services: [ { name: readers, port: 5439, dest: postgres, check: /replica, \
                selector: '[]', maxconn: 50ROUND } ]\n",
        kind: "file",
        name: "haproxy.cfg",
        others: "11.2 s",
    },
];

/// One line of the table.
struct Row {
    what: String,
    median: String,
    range: String,
    goal: &'static str,
    others: &'static str,
}

/// Measures everything.
pub fn run(options: Options) -> ExitCode {
    let runs = options.runs.max(1);
    let many_alone = options.only.iter().any(|only| only == many::NAME);
    let result = World::new(options).and_then(|mut world| {
        let rows = if many_alone { Ok(Vec::new()) } else { measure(&mut world, runs) };
        let many = rows.and_then(|rows| Ok((rows, many::measure(&mut world)?)));
        world.discard();
        Ok((many?, world.options.suite.name()))
    });
    match result {
        Ok(((rows, (many, broken)), suite)) => {
            if many_alone {
                println!("{}\n", machine());
            } else {
                println!("{}", table(&rows, runs, suite));
            }
            print!("{many}");
            for limit in &broken {
                eprintln!("not held: {limit}");
            }
            if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(failure) => {
            eprintln!("{}\n{}", failure.message, failure.evidence);
            ExitCode::from(1)
        }
    }
}

fn measure(world: &mut World, runs: usize) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    let inventory = world.demo_inventory()?;
    rows.extend(large(world, runs)?);
    let mut firsts = Vec::new();
    for round in 1..=runs {
        eprintln!("first apply, {round} of {runs}");
        let project = world.project("bench", &inventory)?;
        let sandbox = world.fresh(Image::Warm, NODES)?;
        firsts.push(Keddah { sandbox, project: &project }.apply()?.elapsed);
    }
    rows.push(Row::seconds(
        "first apply of conf/sandbox.yml, four warm nodes",
        &firsts,
        "30 s",
        "270 s",
    ));

    let project = last_project(world, &inventory)?;
    let Some(sandbox) = world.sandbox() else { return Err(Failure::new("no sandbox stands")) };
    let keddah = Keddah { sandbox, project: &project };
    keddah.plan()?.expect_empty()?;
    let repeated = |arguments: &[&str]| -> Outcome<Vec<Duration>> {
        (0..runs).map(|_| Ok(keddah.run(arguments)?.success()?.elapsed)).collect()
    };
    eprintln!("with nothing to change");
    rows.push(Row::seconds("plan with nothing to change", &repeated(&["plan"])?, "1 s", "192 s"));
    let again = repeated(&["apply", "--yes"])?;
    rows.push(Row::seconds("apply with nothing to change", &again, "1 s", "144 s"));

    for edit in EDITS {
        eprintln!("{}", edit.what);
        let mut seconds = Vec::new();
        for round in 0..runs {
            let lines = edit.lines.replace("ROUND", &(round + 1).to_string());
            project.write(&inventory.replacen(edit.place, &format!("{}{lines}", edit.place), 1))?;
            keddah.plan()?.contains(&expected(edit.kind, edit.name))?;
            seconds.push(keddah.run(&["apply", "--yes", "-l", "pg-test"])?.success()?.elapsed);
        }
        rows.push(Row::seconds(edit.what, &seconds, "0.5 s", edit.others));
    }
    project.write(&inventory)?;
    keddah.apply()?;

    eprintln!("{}", crowded::WHAT);
    let plans = crowded::plans(sandbox, &project, &inventory, runs)?;
    let what = format!("plan with nothing to change, {}", crowded::WHAT);
    rows.push(Row::seconds(&what, &plans, "1 s", ""));

    let (mut killed, mut powerless) = (Vec::new(), Vec::new());
    for round in 1..=DEATHS {
        eprintln!("failover, {round} of {DEATHS}");
        let record = deaths(sandbox)?;
        eprintln!("  killed: {}\n  power loss: {}", record.killed, record.powerless);
        killed.push(record.killed);
        powerless.push(record.powerless);
    }
    for (what, records, others) in [
        ("kill -9 of the primary's postmaster", killed, "15.1 s"),
        ("power loss of the primary's node", powerless, "31.7-32.7 s"),
    ] {
        let outages: Vec<Duration> = records.iter().map(|record| record.outage).collect();
        let failures: usize = records.iter().map(|record| record.failures).sum();
        let lost: usize = records.iter().map(|record| record.lost).sum();
        let what = format!(
            "{what}: outage of writes through 5433 (in {DEATHS}: {failures} failed transactions, \
             {lost} acknowledged writes lost)"
        );
        rows.push(Row::seconds(&what, &outages, "", others));
    }
    Ok(rows)
}

/// The project of the last first apply, whose certificate authority the nodes trust.
fn last_project(world: &World, inventory: &str) -> Outcome<Project> {
    let directory = world.options.output.join("projects/bench").canonicalize()?;
    let project = Project { directory };
    project.write(inventory)?;
    Ok(project)
}

/// Loading, checking and compiling an inventory of thousands of instances; needs no node.
fn large(world: &World, runs: usize) -> Outcome<Vec<Row>> {
    let project = world.project("large", &large_inventory())?;
    let time = |arguments: &[&str]| -> Outcome<Vec<Duration>> {
        (0..runs)
            .map(|_| {
                let mut program = Command::new(&world.program);
                program.args(arguments).arg("-i").arg(project.inventory());
                program.current_dir(&project.directory);
                Ok(command::run(&mut program, Duration::from_secs(300))?.success()?.elapsed)
            })
            .collect()
    };
    eprintln!("{CLUSTERS} clusters");
    let mut rows = vec![
        Row::seconds(
            "1,000 clusters of three: load and list",
            &time(&["inventory", "--list"])?,
            "",
            "",
        ),
        Row::seconds("1,000 clusters of three: load and check", &time(&["check"])?, "0.5 s", ""),
    ];
    rows.push(Row::seconds(
        "1,000 clusters of three: load, check and compile",
        &time(&["compile"])?,
        "0.5 s",
        "",
    ));
    Ok(rows)
}

fn large_inventory() -> String {
    let mut text = String::from("all:\n  children:\n    etcd:\n      hosts:\n");
    for member in 1..=3 {
        let _ = writeln!(text, "        10.9.0.{member}: {{ etcd_seq: {member} }}");
    }
    text.push_str("      vars: { etcd_cluster: etcd }\n");
    for cluster in 0..CLUSTERS {
        let _ = write!(text, "    pg-{cluster:04}:\n      hosts:\n");
        for member in 1..=3 {
            let number = cluster * 3 + member;
            let role = if member == 1 { "primary" } else { "replica" };
            let (high, low) = (number / 250, number % 250 + 1);
            let _ = writeln!(
                text,
                "        10.10.{high}.{low}: {{ pg_seq: {member}, pg_role: {role} }}"
            );
        }
        let _ = write!(
            text,
            "      vars:\n        pg_cluster: pg-{cluster:04}\n        pg_users:\n          \
             - {{ name: app, password: App.{cluster}, pgbouncer: true, roles: [dbrole_admin] }}\n        \
             pg_databases:\n          - {{ name: app, owner: app }}\n"
        );
    }
    text.push_str("  vars:\n    admin_ip: 10.9.0.1\n    pg_conf: tiny.yml\n");
    text
}

impl Row {
    fn seconds(what: &str, times: &[Duration], goal: &'static str, others: &'static str) -> Self {
        let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        seconds.sort_by(f64::total_cmp);
        let at = |index: usize| seconds.get(index).copied().unwrap_or_default();
        let middle = seconds.len() / 2;
        let median = if seconds.len() % 2 == 1 || middle == 0 {
            at(middle)
        } else {
            f64::midpoint(at(middle - 1), at(middle))
        };
        eprintln!("  {what}: {median:.2} s");
        Self {
            what: what.to_owned(),
            median: format!("{median:.2} s"),
            range: format!("{:.2}-{:.2} s", at(0), at(seconds.len().saturating_sub(1))),
            goal,
            others,
        }
    }
}

fn table(rows: &[Row], runs: usize, suite: &str) -> String {
    let mut text = format!("{}\n\nMedians of {runs} runs; nodes: Debian, {suite}.\n\n", machine());
    text.push_str(
        "| what | median | from-to | goal | Pigsty's playbooks |\n|---|---|---|---|---|\n",
    );
    for Row { what, median, range, goal, others } in rows {
        let _ = writeln!(text, "| {what} | {median} | {range} | {goal} | {others} |");
    }
    text
}

/// Processor, cores, memory and kernel of this machine.
fn machine() -> String {
    let field = |path: &str, name: &str| -> String {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kilobytes: f64 =
        field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "Machine: {}, {cores} cores, {:.0} GiB of memory, Linux {}.",
        field("/proc/cpuinfo", "model name"),
        kilobytes / 1024.0 / 1024.0,
        kernel.trim().split('-').next().unwrap_or_default()
    )
}
