//! Every documented value, judged by the programs that read what comes of it.

use crate::command;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::sandbox::Image;
use crate::values::bundles::Bundles;
use crate::world::{World, step};
use std::process::Command;
use std::time::Duration;

/// Where the bundles lie on the node: nobody but root may change what keepalived runs.
const THERE: &str = "/var/lib/values";

/// What a single argument may hold (execve(2): 128 KiB).
const PIECE: usize = 100_000;

const SCRIPT: &str = include_str!("../../scripts/judge-values.sh");

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let codename = world.options.suite.name();
    let here = world.options.output.join("values-bundles");
    let _ = std::fs::remove_dir_all(&here);
    let bundles = step("compile a fleet with each value of each parameter", || {
        let bundles = Bundles::of(codename);
        bundles.write(&here)?;
        std::fs::write(here.join("judge-values.sh"), SCRIPT)?;
        Ok(bundles)
    })?;
    let counts = bundles.counts();
    for judge in ["haproxy", "patroni", "postgresql", "pgbouncer", "keepalived", "etcd"] {
        ensure!(counts.get(judge).is_some_and(|count| *count > 1), "{judge} judges {counts:?}");
    }
    let count: usize = counts.values().sum();
    let sandbox = step("boot a warm node", || world.fresh(Image::Warm, 1))?;
    step("bring the files there", || {
        let archive = here.with_extension("tar.gz");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&here).arg("-czf").arg(&archive).arg(".");
        command::run(&mut tar, Duration::from_secs(60))?.success()?;
        let mut base64 = Command::new("base64");
        base64.args(["-w", "0"]).arg(&archive);
        let text = command::run(&mut base64, Duration::from_secs(60))?.success()?.stdout;
        for piece in text.trim().as_bytes().chunks(PIECE) {
            let piece = String::from_utf8_lossy(piece);
            sandbox.shell(1, &format!("printf %s '{piece}' >>/root/values"))?.success()?;
        }
        let unpack = format!("mkdir -p {THERE} && base64 -d /root/values | tar -xzf - -C {THERE}");
        sandbox.shell(1, &unpack)?.success().map(|_| ())
    })?;
    step(&format!("{count} bundles are judged"), || {
        let script = format!("sh {THERE}/judge-values.sh {THERE}");
        let said = sandbox.shell_for(1, &script, Duration::from_secs(240))?;
        std::fs::write(here.join("said.txt"), said.to_string())?;
        bundles.verdict(&said.stdout).map_err(|failure| Failure {
            evidence: format!("{}\n{}", failure.evidence, said.stderr),
            ..failure
        })
    })
}
