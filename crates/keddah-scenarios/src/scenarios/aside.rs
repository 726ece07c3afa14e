//! A former primary that went on committing cannot be rewound: its node keeps what only it holds, and
//! the member is cloned without anybody's help.

use crate::cluster::{leader, wait_healthy};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, says};
use crate::postgres::superuser;
use crate::sandbox::{Image, Sandbox};
use crate::world::{World, step};
use std::time::Duration;

/// Without an archive, from which a rewind could take the WAL that is gone.
const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd } }
    pg-test:
      hosts:
        10.10.10.10: { pg_seq: 1, pg_role: primary }
        10.10.10.11: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-test, pg_conf: tiny.yml, pg_rto: fast, pgbackrest_enabled: false }
";

/// Room for some copies of an empty cluster, and soon full.
const SMALL_DISK: &str = "mkdir -p /data/postgres && \
    mount -t tmpfs -o size=1500M,mode=755 tmpfs /data/postgres";

const DATA: &str = "/pg/data";
const COPY: &str = "/pg/data.aside";
const FILLER: &str = "/data/postgres/filler";

/// Commits of a primary that does not know that it is none any more, with more than one segment of WAL,
/// and nothing left of what is older than its last checkpoint.
const OWN_COMMITS: &str = r#"
set -e
cd /
sql() { runuser -u postgres -- psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }
sql "INSERT INTO told SELECT 'only-here-' || n FROM generate_series(1, 1000) n"
for turn in 1 2 3; do sql "SELECT pg_switch_wal()" >/dev/null; sql "CREATE TABLE more_$turn (n int)"; done
sql "CHECKPOINT"
oldest=$(sql "SELECT redo_wal_file FROM pg_control_checkpoint()")
for segment in /pg/data/pg_wal/????????????????????????; do
    if [ "${segment##*/}" \< "$oldest" ]; then rm "$segment"; fi
done
"#;

/// Counts those commits in a copy of the copy, which is itself only read.
const COUNT: &str = r#"
set -e
cd /
rm -rf /tmp/read && cp -a /pg/data.aside /tmp/read
rm -f /tmp/read/standby.signal /tmp/read/postmaster.opts
as() { runuser -u postgres -- "$@"; }
options="-p 6666 -c listen_addresses='' -c unix_socket_directories=/tmp -c ssl=off -c primary_conninfo="
ctl=$(ls /usr/lib/postgresql/*/bin/pg_ctl)
as $ctl -s -w -D /tmp/read -o "$options" -l /tmp/read.log start >/dev/null
as psql -X -A -t -h /tmp -p 6666 -d postgres -c "SELECT count(*) FROM told WHERE word LIKE 'only-here-%'"
as $ctl -s -D /tmp/read -m immediate stop
"#;

/// Sends a signal to Patroni itself.
fn patroni(signal: &str) -> String {
    format!("kill -{signal} $(systemctl show --property MainPID --value patroni.service)")
}

/// What a member says when it stays stopped, and that no server runs there.
fn stays_stopped(sandbox: &Sandbox, keddah: &Keddah<'_>, why: &str) -> Outcome {
    wait_until("the member stays stopped", Duration::from_secs(90), || {
        let told = sandbox.shell(1, &format!("cat {DATA}.stopped.txt"))?.success()?;
        ensure!(told.stdout.contains(why), "another reason: {told}");
        Ok(())
    })?;
    let plan = keddah.run(&["plan"])?;
    says(&plan, "critical: pg-test-1 on 10.10.10.10 does not run")?;
    says(&plan, why)?;
    let server = sandbox.shell(1, "pgrep -x postgres")?;
    ensure!(server.code == Some(1), "a server runs: {server}");
    ensure!(sandbox.shell(1, &format!("test -f {DATA}/PG_VERSION"))?.code == Some(0), "it moved");
    Ok(())
}

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let project = world.project("aside", INVENTORY)?;
    let sandbox = step("boot two warm nodes with small disks", || {
        let sandbox = world.fresh(Image::Warm, 2)?;
        for node in [1, 2] {
            sandbox.shell(node, SMALL_DISK)?.success()?;
        }
        Ok(sandbox)
    })?;
    let keddah = Keddah { sandbox, project: &project };
    step("apply", || {
        keddah.apply()?;
        wait_healthy(sandbox, 1, 2, Duration::from_secs(60))?;
        superuser(sandbox, 1, "postgres", "CREATE TABLE told (word text)").map(|_| ())
    })?;
    step("the primary's Patroni hangs, another leads, and both take commits", || {
        sandbox.shell(1, &patroni("STOP"))?.success()?;
        wait_until("another primary", Duration::from_secs(60), || {
            let now = leader(sandbox, 2)?;
            ensure!(now.node == 2, "{} still leads", now.name);
            superuser(sandbox, 2, "postgres", "INSERT INTO told VALUES ('there')").map(|_| ())
        })?;
        sandbox.shell(1, OWN_COMMITS)?.success().map(|_| ())
    })?;
    step("with a copy that is there already, the member stays stopped: critical", || {
        sandbox.shell(1, &format!("runuser -u postgres -- mkdir {COPY}"))?.success()?;
        sandbox.shell(1, &patroni("CONT"))?.success()?;
        stays_stopped(sandbox, &keddah, "is there already")
    })?;
    step("and so it does when Patroni is started anew", || {
        sandbox
            .shell(1, &format!("rm {DATA}.stopped.txt; systemctl restart patroni"))?
            .success()?;
        stays_stopped(sandbox, &keddah, "is there already")
    })?;
    step("an apply does not wait for it", || {
        let applied = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        says(&applied, "stays stopped")?;
        says(&applied, "is there already")?;
        ensure!(applied.elapsed < Duration::from_secs(30), "it took {:?}", applied.elapsed);
        Ok(())
    })?;
    step("with no room for both, too", || {
        let full = format!(
            "fallocate -l $(($(df -B1 --output=avail {DATA} | tail -1) - 1048576)) {FILLER}"
        );
        sandbox.shell(1, &format!("{full} && rmdir {COPY}"))?.success()?;
        stays_stopped(sandbox, &keddah, "has room for")
    })?;
    step(
        "with room, its data is moved aside and it streams, and nobody has done anything",
        || {
            sandbox.shell(1, &format!("rm {FILLER}"))?.success()?;
            wait_until("the copy", Duration::from_secs(60), || {
                sandbox.shell(1, &format!("test -d {COPY}"))?.success()
            })?;
            let now = wait_healthy(sandbox, 2, 2, Duration::from_secs(120))?;
            ensure!(now.node == 2, "{} leads", now.name);
            let there =
                superuser(sandbox, 1, "postgres", "SELECT string_agg(word, ',') FROM told")?;
            ensure!(there == "there", "the clone holds {there}");
            Ok(())
        },
    )?;
    step("what only it had taken is in the copy", || {
        let count = sandbox.shell(1, COUNT)?.success()?;
        ensure!(count.text() == "1000", "{count}");
        let about = sandbox.shell(1, &format!("cat {COPY}.txt"))?.success()?;
        let bytes = about.stdout.lines().find_map(|line| line.strip_prefix("bytes: "));
        let bytes: u64 = bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or_default();
        // Three segments of 16 MiB were begun past the fork.
        ensure!(bytes > 32 << 20 && bytes < 128 << 20, "{about}");
        Ok(())
    })?;
    step("the plan is empty, and names the copy", || {
        keddah.plan()?.expect_empty()?;
        let plan = keddah.run(&["plan"])?.expect(&[0, 2])?;
        says(
            &plan,
            "pg-test-1 on 10.10.10.10 keeps the data of a former primary whose rewind has failed in /data/postgres/pg-test-1",
        )?;
        ensure!(!format!("{plan}").contains("critical"), "it is well again: {plan}");
        Ok(())
    })?;
    step("it goes by its own command alone, and not with its instance", || {
        let confirmed = ["--confirm", "pg-test-1"];
        let all = ["--destroy", "pg-test-1"];
        let refused =
            keddah.run(&[&["remove", "pg-test-1"], &confirmed[..], &all].concat())?.expect(&[1])?;
        says(&refused, "aside-kept")?;
        keddah.run(&[&["remove", "pg-test-1", "--aside"], &confirmed[..]].concat())?.success()?;
        let left = sandbox.shell(1, "ls -d /pg/data*")?.success()?;
        ensure!(left.text() == DATA, "{left}");
        wait_healthy(sandbox, 2, 2, Duration::from_secs(5)).map(|_| ())
    })
}
