//! The controller is killed with signal 9 at points spread over an apply; the next apply converges.

use crate::cluster::wait_healthy;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::postgres::login;
use crate::project::Project;
use crate::sandbox::{Image, address};
use crate::world::{World, step};
use std::time::Duration;

const INVENTORY: &str = include_str!("../../inventories/pair.yml");

/// From the first second of an apply to the last: while packages are installed, while certificates
/// and files are written, while clusters start.
const POINTS: u32 = 10;

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let whole = step("a whole apply on bare nodes", || {
        let project = world.project("interrupted", INVENTORY)?;
        let sandbox = world.fresh(Image::Bare, 2)?;
        Ok(Keddah { sandbox, project: &project }.apply()?.elapsed)
    })?;
    for point in 1..=POINTS {
        let mut moment = whole * point / (POINTS + 1);
        step(&format!("killed at point {point} of {POINTS}"), || {
            let project = world.project("interrupted", INVENTORY)?;
            world.fresh(Image::Bare, 2)?;
            // The machine may be faster now than it was for the whole apply.
            while !killed(world, &project, moment)? {
                moment = moment * 3 / 4;
                world.fresh(Image::Bare, 2)?;
            }
            Ok(())
        })?;
    }
    world.discard();
    Ok(())
}

/// Kills an apply at its moment and looks whether the next converges; `false` when there was
/// nothing left to kill.
fn killed(world: &World, project: &Project, moment: Duration) -> Outcome<bool> {
    let Some(sandbox) = world.sandbox() else {
        return Err(Failure::new("no sandbox stands"));
    };
    let keddah = Keddah { sandbox, project };
    let mut running = keddah.start(&["apply", "--yes"])?;
    std::thread::sleep(moment);
    if !running.kill()? {
        running.wait(Duration::from_secs(10))?.success()?;
        return Ok(false);
    }
    let cut = running.wait(Duration::from_secs(10))?;
    let second = keddah
        .run(&["apply", "--yes"])?
        .success()
        .map_err(|failure| failure.with("the apply that was killed:").with(&cut))?;
    keddah.plan()?.expect_empty().map_err(|failure| failure.with(&second))?;
    wait_healthy(sandbox, 1, 2, Duration::from_secs(30))?;
    for node in 1..=2 {
        let client = login("app", "App.User", &address(node), 5433, "app");
        client.query(sandbox, "CREATE TABLE IF NOT EXISTS kept (n int)")?;
    }
    Ok(true)
}
