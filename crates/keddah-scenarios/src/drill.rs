//! Field trials at full length: what CI has no time for, with a cluster's usual time limits (`pg_rto: norm`).
//!
//! Each trial does something bad to a cluster of three with a synchronous standby, while a writer writes, and fails
//! where a write that was acknowledged is lost, or where two members took commits at the same time. What was
//! measured goes into docs/drill.md, a line for each trial.

mod ledger;
mod trials;
mod witness;

use crate::Options;
use crate::command::wait_until;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::load::Record;
use crate::sandbox::{Image, Sandbox};
use crate::world::{World, step};
use std::process::ExitCode;
use std::time::Duration;
use trials::TRIALS;

/// node-1 with etcd and pg-meta, node-2 to node-4 with pg-test.
const NODES: u8 = 4;

/// The nodes of pg-test.
const MEMBERS: [u8; 3] = [2, 3, 4];

/// A cluster's data has room for some copies of it, and is full soon. etcd has a disk of its own.
const DISKS: &[&str] = &[
    "1:/data/etcd=256M",
    "2:/data/postgres=1500M",
    "3:/data/postgres=1500M",
    "4:/data/postgres=1500M",
];

/// Where the demo's cluster of three has its parameters.
const CLUSTER: &str = "        pg_cluster: pg-test\n";

/// With an asynchronous standby, the promise has a hole that is as long as its lag.
const SYNCHRONOUS: &str = "        pg_rto: norm\n        patroni_synchronous_mode: on\n";

/// Longer than a failover with `pg_rto: norm` and a clone after it.
const PATIENCE: Duration = Duration::from_secs(300);

/// One trial.
struct Trial {
    /// Its name on the command line.
    name: &'static str,
    /// What is done.
    about: &'static str,
    /// What must hold.
    promise: &'static str,
    /// How long the fault lasts.
    seconds: u64,
    /// Does it; the cluster is well before, and must be afterwards.
    run: fn(&Sandbox, u64) -> Outcome<Measured>,
}

/// What a trial came to.
struct Measured {
    /// The writer's, through the services.
    record: Record,
    /// How long two members took commits at the same time.
    together: Duration,
    /// Whether another member leads than before.
    moved: bool,
    /// From the fault's beginning until the cluster was well again.
    healed: Duration,
}

impl Measured {
    fn text(&self) -> String {
        let Self { record, together, moved, healed } = self;
        let Record { commits, failures: _, outage, lost, errors: _ } = record;
        format!(
            "{lost} of {commits} acknowledged writes lost; {:.1} s without a write; {}; two took commits for \
             {:.1} s; well again after {:.0} s",
            outage.as_secs_f64(),
            if *moved { "another leads" } else { "the same leads" },
            together.as_secs_f64(),
            healed.as_secs_f64()
        )
    }

    /// What every trial promises.
    fn check(&self) -> Outcome {
        let evidence = self.record.errors.join("\n");
        let kept = if self.record.lost > 0 {
            Err(Failure::new(format!("{} acknowledged writes are lost", self.record.lost)))
        } else if self.record.commits == 0 {
            Err(Failure::new("nothing was written, so that nothing is proven"))
        } else if self.together > Duration::ZERO {
            Err(Failure::new(format!("two members took commits for {:?}", self.together)))
        } else {
            Ok(())
        };
        kept.map_err(|failure| failure.with(evidence))
    }
}

/// Runs the trials that the options choose.
pub fn run(options: Options) -> ExitCode {
    let (only, seconds) = (options.only.clone(), options.seconds);
    if options.list {
        for trial in TRIALS {
            println!("{:10} {}", trial.name, about(trial, trial.seconds));
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = only.iter().find(|name| TRIALS.iter().all(|one| one.name != **name)) {
        eprintln!("there is no trial `{unknown}`; see `drill --list`");
        return ExitCode::from(2);
    }
    let result = World::new(options).and_then(|mut world| {
        crate::runner::take_down_when_interrupted(&world);
        let result = all(&mut world, &only, seconds);
        world.discard();
        result
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("{}\n{}", failure.message, failure.evidence);
            ExitCode::from(1)
        }
    }
}

/// What is done, for how long.
fn about(trial: &Trial, seconds: u64) -> String {
    trial.about.replace("SECONDS", &format!("{seconds} s"))
}

/// Runs them; returns how many have failed.
fn all(world: &mut World, only: &[String], seconds: Option<u64>) -> Outcome<usize> {
    let mut rows = Vec::new();
    for trial in TRIALS.iter().filter(|one| only.is_empty() || only.contains(&one.name.to_owned()))
    {
        let seconds = seconds.unwrap_or(trial.seconds);
        let what = about(trial, seconds);
        println!("\n{}: {what}", trial.name);
        // What one leaves broken must not be the next one's fault.
        let result = boot(world).and_then(|()| {
            let sandbox = world.sandbox().ok_or_else(|| Failure::new("no sandbox stands"))?;
            let measured = step(&what, || (trial.run)(sandbox, seconds))?;
            println!("          {}", measured.text());
            let after = measured.check().and_then(|()| well(sandbox));
            Ok((measured, after))
        });
        let (measured, kept) = match result {
            Ok((measured, Ok(()))) => (measured.text(), None),
            Ok((measured, Err(failure))) => (measured.text(), Some(failure)),
            Err(failure) => ("it did not come to its end".to_owned(), Some(failure)),
        };
        if let Some(failure) = &kept {
            println!("  FAILED: {}\n{}", failure.message, failure.evidence);
            let logs = world.options.output.join(format!("drill-{}", trial.name));
            if let Some(sandbox) = world.sandbox() {
                sandbox.save_logs(&logs)?;
                println!("  the nodes' logs are in {}", logs.display());
            }
            world.discard();
        }
        let kept =
            kept.map(|failure| failure.message.lines().next().unwrap_or_default().to_owned());
        rows.push(ledger::Row { what, measured, promise: trial.promise.to_owned(), kept });
    }
    print!("\n{}", ledger::table(&rows));
    match seconds {
        None => println!("\nwritten to {}", ledger::append(&rows)?.display()),
        Some(_) => println!("\nnot written down: the waiting times are not the trials' own"),
    }
    let failed = rows.iter().filter(|row| row.kept.is_some()).count();
    println!("{} passed, {failed} failed", rows.len() - failed);
    Ok(failed)
}

/// Boots and applies where nothing stands, and waits until all is well.
fn boot(world: &mut World) -> Outcome {
    if world.sandbox().is_none() {
        let inventory =
            world.demo_inventory()?.replacen(CLUSTER, &format!("{CLUSTER}{SYNCHRONOUS}"), 1);
        ensure!(
            inventory.contains(SYNCHRONOUS),
            "conf/sandbox.yml has no line `{}`",
            CLUSTER.trim()
        );
        let project = world.project("drill", &inventory)?;
        let sandbox =
            step("boot four warm nodes", || world.fresh_with_disks(Image::Warm, NODES, DISKS))?;
        step("apply", || Keddah { sandbox, project: &project }.apply().map(|_| ()))?;
    }
    let sandbox = world.sandbox().ok_or_else(|| Failure::new("no sandbox stands"))?;
    step("all three are well, and one is a synchronous standby", || {
        trials::synchronous(sandbox, PATIENCE).map(|_| ())
    })
}

/// Every page of every member can be read, with its checksum, and PostgreSQL has counted no bad one.
fn well(sandbox: &Sandbox) -> Outcome {
    let script = "set -e; cd /; as='runuser -u postgres --'; $as pg_dumpall >/dev/null; \
                  $as psql -XAtc \"SELECT current_setting('data_checksums'), coalesce(sum(checksum_failures), 0) \
                  FROM pg_stat_database\"";
    for node in MEMBERS {
        wait_until("every page can be read", Duration::from_secs(60), || {
            let told = sandbox.shell_for(node, script, Duration::from_secs(120))?.success()?;
            ensure!(
                told.text() == "on|0",
                "node {node}: checksums and their failures: {}",
                told.text()
            );
            Ok(())
        })?;
    }
    Ok(())
}
