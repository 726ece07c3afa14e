//! Every documented field of users, databases, rules, services and parameters, changed once under load.
//!
//! For each: the plan has exactly that change, apply does it, the next plan is empty, and two
//! pgbench runs, through the primary's and the replicas' service, lose no transaction.

mod edits;
mod subject;

use crate::cluster::wait_healthy;
use crate::command::{Running, start};
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::Keddah;
use crate::postgres::login;
use crate::processes::{expect_same, processes};
use crate::sandbox::{Sandbox, address};
use crate::world::{Steps, World, step};
use edits::edits;
use std::process::Command;
use std::time::Duration;
use subject::Subject;

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    let keddah = Keddah { sandbox, project };
    let mut subject = Subject::new(&inventory);
    project.write(&subject.inventory()?)?;
    step("a user and a database of their own", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    })?;
    let leader = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    let leads = address(leader.node);
    let before = processes(sandbox, 1..=4)?;
    let load = step("pgbench through 5433 and 5434 begins", || Pgbench::start(sandbox))?;

    let mut steps = Steps::default();
    let mut applied = Vec::new();
    for edit in edits(&leads) {
        steps.step(edit.what, || {
            (edit.change)(&mut subject);
            project.write(&subject.inventory()?)?;
            let planned = keddah.plan()?.expect(&edit.expected);
            let mut words = vec!["apply", "--yes"];
            if let Some(name) = edit.destroys {
                words.extend(["--destroy", name]);
            }
            let output = keddah.run(&words)?.success()?;
            applied.push(output.elapsed.as_secs_f64());
            keddah.plan()?.expect_empty().map_err(|failure| failure.with(&output))?;
            planned
        });
    }
    steps.step("no process was restarted", || {
        // HAProxy reloads by starting another worker.
        expect_same(&before, &processes(sandbox, 1..=4)?, &["haproxy"])
    });
    steps.step("pgbench lost no transaction", || load.finish(sandbox));
    // What comes next begins with the inventory as it was.
    project.write(&inventory)?;
    steps.step("back to the inventory as it was", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    });
    applied.sort_by(f64::total_cmp);
    if let Some(most) = applied.last() {
        world.figures.push(format!(
            "fields: {} single changes under pgbench: apply takes {:.2} s in the median, {most:.2} s \
             at most",
            applied.len(),
            applied[applied.len() / 2],
        ));
    }
    steps.finish()
}

/// Two runs of pgbench: one that writes, one that reads.
struct Pgbench {
    runs: Vec<(&'static str, Running)>,
}

impl Pgbench {
    fn start(sandbox: &Sandbox) -> Outcome<Self> {
        let owner = |port| login("test", "test", &address(2), port, "test");
        Self::initialize(sandbox, &["-q", "-s", "1"])?;
        // The replicas must have the tables before somebody reads them there.
        crate::command::wait_until(
            "the replicas have pgbench's tables",
            Duration::from_secs(20),
            || {
                let seen = owner(5434).query(sandbox, "SELECT count(*) FROM pgbench_accounts")?;
                ensure!(seen == "100000", "{seen} rows");
                Ok(())
            },
        )?;
        let mut runs = Vec::new();
        for (name, port, mode) in
            [("writing", 5433, "simple-update"), ("reading", 5434, "select-only")]
        {
            let mut command = Self::through(sandbox, port);
            command
                .args(["-n", "-c", "2", "-R", "40", "-T", "3600", "-P", "1", "-b", mode, "test"]);
            runs.push((name, start(&mut command)?));
        }
        Ok(Self { runs })
    }

    /// pgbench, about to connect as the owner of the database.
    fn through(sandbox: &Sandbox, port: u16) -> Command {
        let mut command = sandbox.within("pgbench");
        command.env("PGPASSWORD", "test");
        command.args(["-h", &address(2), "-p", &port.to_string(), "-U", "test"]);
        command
    }

    /// Makes its tables, or with `-I d` drops them.
    fn initialize(sandbox: &Sandbox, how: &[&str]) -> Outcome {
        let mut command = Self::through(sandbox, 5436);
        command.arg("-i").args(how).arg("test");
        crate::command::run(&mut command, Duration::from_secs(60))?.success().map(|_| ())
    }

    /// A client of pgbench gives up at the first error, and says so. The tables go: they belong to
    /// a user who did not SET ROLE, which others that come later would find.
    fn finish(self, sandbox: &Sandbox) -> Outcome {
        for (name, mut run) in self.runs {
            let ran = run.kill()?;
            let output = run.wait(Duration::from_secs(10))?;
            let lines: Vec<&str> = output.stderr.lines().collect();
            let progress = lines.iter().filter(|line| line.starts_with("progress:")).count();
            let wrong: Vec<&&str> =
                lines
                    .iter()
                    .filter(|line| line.contains("error") || line.contains("abort"))
                    .chain(lines.iter().filter(|line| {
                        line.starts_with("progress:") && !line.contains(" 0 failed")
                    }))
                    .collect();
            ensure!(ran && wrong.is_empty(), "pgbench ({name}) lost something: {wrong:?}");
            ensure!(progress > 10, "pgbench ({name}) reported {progress} times: {output}");
        }
        Self::initialize(sandbox, &["-I", "d"])
    }
}
