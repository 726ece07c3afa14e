//! The primary dies in two ways; a writer says what that cost.

use crate::cluster::{leader, wait_healthy};
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::load::{Load, Record, Session};
use crate::postgres::superuser;
use crate::sandbox::{Sandbox, address};
use crate::world::{World, step};
use std::time::Duration;

/// Longer than any of the documented plans takes (`pg_rto: wide`).
const PATIENCE: Duration = Duration::from_secs(180);

/// What two deaths of a primary cost.
pub struct Deaths {
    /// `kill -9` of its postmaster.
    pub killed: Record,
    /// Its node's power.
    pub powerless: Record,
}

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    keddah.apply()?;
    let killed = step("kill -9 of the primary's postmaster: writes go on", || kill(sandbox))?;
    println!("          {killed}");
    step("the plan after it is empty, or one apply makes it so", || settle(&keddah))?;
    let powerless = step("the primary's node loses power and comes back", || power(sandbox))?;
    println!("          {powerless}");
    step("the new primary archives its WAL before anybody applies", || archives(sandbox))?;
    step("the plan after it is empty, or one apply makes it so", || settle(&keddah))?;
    step("no acknowledged write is lost by the kill", || {
        if killed.lost == 0 {
            return Ok(());
        }
        Err(Failure::new(killed.to_string()).with(killed.errors.join("\n")))
    })?;
    step("a pool did not prolong the outage", || {
        // PgBouncer's default would add 15 s of refused logins to Patroni's restart.
        ensure!(killed.outage < Duration::from_secs(12), "{killed}");
        ensure!(powerless.outage < Duration::from_secs(45), "{powerless}");
        Ok(())
    })?;
    world.figures.push(format!("failover: kill -9 of the postmaster: {killed}"));
    world.figures.push(format!("failover: power loss of the primary's node: {powerless}"));
    Ok(())
}

/// Both deaths, one after another.
pub fn deaths(sandbox: &Sandbox) -> Outcome<Deaths> {
    Ok(Deaths { killed: kill(sandbox)?, powerless: power(sandbox)? })
}

/// A node of pg-test other than this one.
fn survivor(node: u8) -> u8 {
    if node == 2 { 3 } else { 2 }
}

fn writer(node: u8) -> String {
    format!("host={} port=5433 user=test password=test dbname=test", address(node))
}

fn kill(sandbox: &Sandbox) -> Outcome<Record> {
    let before = wait_healthy(sandbox, 2, 3, PATIENCE)?;
    let other = survivor(before.node);
    let load = Load::start(sandbox, &writer(other), "written_while_killed", Session::Lasting)?;
    std::thread::sleep(Duration::from_secs(2));
    let killed = sandbox.shell(before.node, "kill -9 $(head -n 1 /pg/data/postmaster.pid)");
    let healed = killed.and_then(|output| {
        output.success()?;
        // Patroni notices at its next turn; what it says before that is old news.
        std::thread::sleep(Duration::from_secs(12));
        wait_healthy(sandbox, other, 3, PATIENCE)
    });
    std::thread::sleep(Duration::from_secs(2));
    let record = load.finish();
    healed.and(record)
}

fn power(sandbox: &Sandbox) -> Outcome<Record> {
    let before = wait_healthy(sandbox, 2, 3, PATIENCE)?;
    let other = survivor(before.node);
    let load = Load::start(sandbox, &writer(other), "written_while_powerless", Session::Lasting)?;
    std::thread::sleep(Duration::from_secs(2));
    let healed = (|| -> Outcome {
        sandbox.stop(before.node, true)?;
        let after = crate::command::wait_until("another primary", PATIENCE, || {
            let now = leader(sandbox, other)?;
            ensure!(now.name != before.name, "{} still leads", before.name);
            Ok(now)
        })?;
        sandbox.start(before.node)?;
        let healed = wait_healthy(sandbox, other, 3, PATIENCE)?;
        ensure!(healed.name == after.name, "the primary moved again, to {}", healed.name);
        Ok(())
    })();
    std::thread::sleep(Duration::from_secs(2));
    let record = load.finish();
    healed.and(record)
}

/// With a repository on each node's own disk, the new primary's has never been written to.
pub(super) fn archives(sandbox: &Sandbox) -> Outcome {
    let primary = leader(sandbox, 2)?;
    let ask = |sql: &str| superuser(sandbox, primary.node, "postgres", sql);
    ask("SELECT pg_switch_wal()")?;
    crate::command::wait_until("WAL is archived", Duration::from_secs(60), || {
        let state = ask("SELECT archived_count, failed_count, last_failed_wal, \
             coalesce(last_archived_time > coalesce(last_failed_time, 'epoch'), false) \
             FROM pg_stat_archiver")?;
        ensure!(state.ends_with("|t"), "{}: {state}", primary.name);
        Ok(())
    })
}

fn settle(keddah: &Keddah<'_>) -> Outcome {
    let plan = keddah.plan()?;
    if plan.changes.is_empty() {
        return plan.expect_empty();
    }
    println!("          the plan after it:\n{}", plan.list());
    let applied = keddah.apply()?;
    keddah.plan()?.expect_empty().map_err(|failure| failure.with(&plan.output).with(&applied))
}
