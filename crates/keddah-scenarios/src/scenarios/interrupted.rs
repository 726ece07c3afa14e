//! The controller is killed with signal 9 at points spread over an apply; the next apply converges.

use crate::cluster::wait_healthy;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::postgres::login;
use crate::project::Project;
use crate::sandbox::{Image, address};
use crate::world::{World, step};
use std::time::Duration;

const INVENTORY: &str = include_str!("../../inventories/pair.yml");

/// On nodes that have their packages, from the first second to the last.
const WARM_POINTS: u32 = 7;

/// On bare nodes, while packages are installed and after.
const BARE_POINTS: u32 = 3;

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    for (image, points) in [(Image::Warm, WARM_POINTS), (Image::Bare, BARE_POINTS)] {
        let kind = if image == Image::Warm { "warm" } else { "bare" };
        let whole = step(&format!("a whole apply on {kind} nodes"), || {
            let project = world.project("interrupted", INVENTORY)?;
            let sandbox = world.fresh(image, 2)?;
            Ok(Keddah { sandbox, project: &project }.apply()?.elapsed)
        })?;
        for point in 1..=points {
            let moment = whole * point / (points + 1);
            let name = format!("killed after {:.1} s on {kind} nodes", moment.as_secs_f64());
            step(&name, || {
                let project = world.project("interrupted", INVENTORY)?;
                world.fresh(image, 2)?;
                killed(world, &project, moment)
            })?;
        }
    }
    world.discard();
    Ok(())
}

fn killed(world: &World, project: &Project, moment: Duration) -> Outcome {
    let Some(sandbox) = world.sandbox() else {
        return Err(Failure::new("no sandbox stands"));
    };
    let keddah = Keddah { sandbox, project };
    let mut running = keddah.start(&["apply", "--yes"])?;
    std::thread::sleep(moment);
    ensure!(running.kill()?, "the apply had ended before its controller was killed");
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
    Ok(())
}
