//! With nothing to change, nothing is changed.

use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, says};
use crate::processes::{expect_same, processes};
use crate::world::{World, step};

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let (sandbox, project) = world.demo()?;
    let keddah = Keddah { sandbox, project };
    let files = |node: u8| -> Outcome<String> {
        // Change times of everything that a change could touch.
        let script = "find /etc /pg/conf /pg/bin /pg/cert /usr/local -xdev -type f -printf '%C@ %m %u %p\\n' \
             2>/dev/null | sort -k4";
        Ok(sandbox.shell(node, script)?.stdout)
    };
    let before = processes(sandbox, 1..=4)?;
    ensure!(
        ["patroni", "postgres", "pgbouncer", "haproxy", "etcd"]
            .iter()
            .all(|name| before.iter().any(|line| line.contains(&format!(" {name} ")))),
        "not everything runs: {before:?}"
    );
    let earlier = (1..=4).map(files).collect::<Outcome<Vec<String>>>()?;
    let planned = step("plan: nothing to change, exit code 0", || {
        let plan = keddah.plan()?;
        plan.expect_empty()?;
        says(&keddah.run(&["plan"])?, "Nothing to change, and all is well: ")?;
        Ok(plan.output.elapsed)
    })?;
    let applied = step("apply: nothing to change", || Ok(keddah.apply()?.elapsed))?;
    step("no process restarted", || expect_same(&before, &processes(sandbox, 1..=4)?, &[]))?;
    step("no file was touched", || {
        let later = (1..=4).map(files).collect::<Outcome<Vec<String>>>()?;
        for (node, (earlier, later)) in earlier.iter().zip(&later).enumerate() {
            let changed: Vec<&str> =
                later.lines().filter(|line| !earlier.lines().any(|other| other == *line)).collect();
            ensure!(changed.is_empty(), "node-{}: {changed:#?}", node + 1);
        }
        Ok(())
    })?;
    let figure = format!(
        "again: plan {:.2} s, apply {:.2} s with nothing to change on four nodes",
        planned.as_secs_f64(),
        applied.as_secs_f64()
    );
    world.figures.push(figure);
    Ok(())
}
