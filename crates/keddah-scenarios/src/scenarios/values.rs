//! Every documented value, judged by the programs that read what comes of it; and modes, applied.

use crate::Suite;
use crate::command;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::{Keddah, says};
use crate::postgres::login;
use crate::sandbox::{Image, Sandbox};
use crate::values::bundles::Bundles;
use crate::world::{World, step};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// Where the bundles lie on the node: nobody but root may change what keepalived runs.
const THERE: &str = "/var/lib/values";

/// What a single argument may hold (execve(2): 128 KiB).
const PIECE: usize = 100_000;

/// So long both releases may take to judge all: what the whole conformance may cost.
const PATIENCE: Duration = Duration::from_secs(240);

const INVENTORY: &str = include_str!("../../inventories/values.yml");

const SCRIPT: &str = include_str!("../../scripts/judge-values.sh");

/// What the programs of one release judge.
struct Judged {
    suite: Suite,
    bundles: Bundles,
    /// Where the bundles lie here.
    here: PathBuf,
}

/// Runs it: the programs of both releases judge side by side, each distinct bundle of files once.
pub fn run(world: &mut World) -> Outcome {
    let suites = [world.options.suite, world.options.suite.other()];
    let output = world.options.output.clone();
    let judged =
        step("compile a fleet with each value of each parameter, for each release", || {
            let [this, other] = suites.map(|suite| Judged::compile(suite, &output));
            Ok([this?, other?])
        })?;
    step("boot a warm node of this release", || world.fresh(Image::Warm, 1).map(|_| ()))?;
    let beside = step("boot one of the other release beside it", || {
        world.beside(suites[1], Image::Warm, 1)
    })?;
    let sandbox = world.sandbox().ok_or_else(|| Failure::new("no sandbox stands"))?;
    let verdicts = std::thread::scope(|scope| {
        let judges: Vec<_> = judged
            .iter()
            .zip([sandbox, &beside])
            .map(|(one, sandbox)| scope.spawn(move || one.verdict(sandbox)))
            .collect();
        let ended = judges.into_iter().map(ScopedJoinHandle::join);
        ended.map(|one| one.unwrap_or_else(|_| Err(Failure::new("a judge panicked")))).collect()
    });
    drop(beside);
    together(verdicts)?;
    applied(world)
}

/// What was refused by any.
fn together(verdicts: Vec<Outcome>) -> Outcome {
    let failed = verdicts.into_iter().filter_map(Result::err);
    match failed.reduce(|all, one| all.with(format!("--- {}", one.message)).with(one.evidence)) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

impl Judged {
    /// Compiles for a release, and writes down what its programs are to judge.
    fn compile(suite: Suite, output: &Path) -> Outcome<Self> {
        let here = output.join(format!("values-bundles-{}", suite.name()));
        let _ = std::fs::remove_dir_all(&here);
        let bundles = Bundles::of(suite.name());
        bundles.write(&here)?;
        std::fs::write(here.join("judge-values.sh"), SCRIPT)?;
        let counts = bundles.counts();
        for judge in ["haproxy", "patroni", "postgresql", "pgbouncer", "keepalived", "etcd"] {
            let enough = counts.get(judge).is_some_and(|count| *count > 1);
            ensure!(enough, "of {}, {judge} judges {counts:?}", suite.name());
        }
        Ok(Self { suite, bundles, here })
    }

    /// Brings the bundles to a node of that release, and has them judged there.
    fn verdict(&self, sandbox: &Sandbox) -> Outcome {
        let (name, here) = (self.suite.name(), &self.here);
        let count: usize = self.bundles.counts().values().sum();
        step(&format!("{name}: {count} bundles are judged"), || {
            let archive = here.with_extension("tar.gz");
            let mut tar = Command::new("tar");
            tar.arg("-C").arg(here).arg("-czf").arg(&archive).arg(".");
            command::run(&mut tar, Duration::from_secs(60))?.success()?;
            let mut base64 = Command::new("base64");
            base64.args(["-w", "0"]).arg(&archive);
            let text = command::run(&mut base64, Duration::from_secs(60))?.success()?.stdout;
            for piece in text.trim().as_bytes().chunks(PIECE) {
                let piece = String::from_utf8_lossy(piece);
                sandbox.shell(1, &format!("printf %s '{piece}' >>/root/values"))?.success()?;
            }
            let unpack =
                format!("mkdir -p {THERE} && base64 -d /root/values | tar -xzf - -C {THERE}");
            sandbox.shell(1, &unpack)?.success()?;
            let release = sandbox.shell(1, "cat /etc/os-release")?.success()?.stdout;
            ensure!(release.contains(&format!("VERSION_CODENAME={name}\n")), "{release}");
            let script = format!("sh {THERE}/judge-values.sh {THERE}");
            let said = sandbox.shell_for(1, &script, PATIENCE)?;
            std::fs::write(here.join("said.txt"), said.to_string())?;
            self.bundles.verdict(&said.stdout).map_err(|failure| Failure {
                evidence: format!("{}\n{}", failure.evidence, said.stderr),
                ..failure
            })
        })
    }
}

/// The modes that a cluster can be in, so that each word of the three enumerations comes once: `pg_rto` with
/// the lease that it means, `pg_conf`, `patroni_synchronous_mode`.
const MODES: [(&str, u64, &str, &str); 4] = [
    ("fast", 20, "olap.yml", "\"on\""),
    ("safe", 60, "crit.yml", "quorum"),
    ("wide", 120, "oltp.yml", "\"off\""),
    ("norm", 30, "tiny.yml", "auto"),
];

/// What a mode adds to the inventory.
fn lines((rto, _, template, mode): (&str, u64, &str, &str)) -> String {
    format!("    pg_rto: {rto}\n    pg_conf: {template}\n    patroni_synchronous_mode: {mode}\n")
}

/// Parameters of nodes, and the modes of clusters, on a node.
fn applied(world: &mut World) -> Outcome {
    let modes = match world.options.suite {
        Suite::Trixie => MODES,
        // Quorum commit is Patroni 4's.
        Suite::Bookworm => MODES.map(|(rto, lease, template, mode)| {
            (rto, lease, template, if mode == "quorum" { "auto" } else { mode })
        }),
    };
    let project = world.project("values", &format!("{INVENTORY}{}", lines(modes[0])))?;
    let sandbox = step("boot a fresh node", || world.fresh(Image::Warm, 1))?;
    let keddah = Keddah { sandbox, project: &project };
    let swaps = devices(&std::fs::read_to_string("/proc/swaps")?);
    let mut before = modes[0];
    for mode in modes {
        let (rto, lease, template, synchronous) = mode;
        step(&format!("{rto}, {template}, synchronous {synchronous}"), || {
            if mode != before {
                project.edit(&lines(before), &lines(mode))?;
            }
            let applied = keddah.run(&["apply", "--yes", "--restart", "now"])?.success()?;
            keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))?;
            let config = sandbox.get(1, 8008, "/config")?;
            ensure!(config.contains(&format!("\"ttl\": {lease}")), "Patroni has {config}");
            let client = login("dbuser_dba", "DBUser.DBA", "10.10.10.10", 5436, "postgres");
            client.query(sandbox, "SELECT 1").map(|_| ())
        })?;
        before = mode;
    }
    step("the node has what was asked for", || {
        let script = r#"date +%Z; cat /etc/timezone; bash -lc 'alias p'; ls -d /srv/all
            dpkg-query -W -f '${Package} ' jq less
            curl -s -o /dev/null -w '%{http_code}' -u "admin:it's \$5 # each" http://127.0.0.1:9101/"#;
        let found = sandbox.shell(1, script)?.success()?;
        for word in ["JST", "Asia/Tokyo", "alias p='psql -X'", "/srv/all", "jq less", "200"] {
            ensure!(found.stdout.contains(word), "no `{word}`: {found}");
        }
        Ok(())
    })?;
    step("this machine swaps as before", || {
        let now = devices(&std::fs::read_to_string("/proc/swaps")?);
        ensure!(now == swaps, "{now:?} instead of {swaps:?}");
        Ok(())
    })?;
    step("a time zone that the node does not have is an error with its line", || {
        project.edit("node_timezone: Asia/Tokyo", "node_timezone: Asia/Tokio")?;
        let refused = keddah.run(&["plan"])?;
        ensure!(refused.code == Some(1), "it ended with {:?}: {refused}", refused.code);
        says(&refused, "knows no time zone `Asia/Tokio`")
    })
}

/// Where a machine swaps to, from `/proc/swaps`.
fn devices(text: &str) -> Vec<String> {
    let words = text.lines().filter_map(|line| line.split_whitespace().next());
    words.map(str::to_owned).collect()
}
