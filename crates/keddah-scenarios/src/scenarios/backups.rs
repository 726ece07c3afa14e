//! Backups go to another place and come back: no segment of WAL is refused, nothing is out of sight
//! unsaid; and what a repository cannot bring back is told before somebody needs it.

use crate::cluster::{leader, wait_healthy};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::postgres::superuser;
use crate::sandbox::Sandbox;
use crate::world::{World, step};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

const CLUSTER: &str = "        pg_cluster: pg-test\n";

/// Another directory, of each node's own.
const ELSEWHERE: &str = "/data/elsewhere";

/// How it is encrypted there.
const CIPHER: &str = "retention_full: 2, cipher_type: aes-256-cbc, cipher_pass: Hidden.1";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    keddah.apply()?;
    let primary = wait_healthy(sandbox, 2, 3, PATIENCE)?.node;
    super::failover::archives(sandbox)?;
    let refused =
        || superuser(sandbox, primary, "postgres", "SELECT failed_count FROM pg_stat_archiver");
    let before = refused()?;
    let chosen = |options: &str| {
        let repository = format!("{{ local: {{ path: {ELSEWHERE}, {options} }} }}");
        inventory.replace(CLUSTER, &format!("{CLUSTER}        pgbackrest_repo: {repository}\n"))
    };
    step(
        "another place: what is left is told, the stanza comes first, WAL is never refused",
        || {
            for node in 2..=4 {
                sandbox.shell(node, &format!("install -d -o postgres {ELSEWHERE}"))?.success()?;
            }
            project.write(&chosen(CIPHER))?;
            let plan = keddah.plan()?;
            says(&plan.output, "its backups go to /data/elsewhere from now on")?;
            says(&plan.output, "/pg/backup (")?;
            plan.expect(&[
                expected("stanza", "pg-test").times(3).action("create"),
                expected("file", "pgbackrest.conf").times(3),
                expected("file", "pg-test.made").times(3),
                expected("file", "secrets.conf").times(3).action("create"),
                expected("backup", "pg-test").times(1).action("create"),
            ])?;
            keddah.apply()?;
            keddah.plan()?.expect_empty()?;
            super::failover::archives(sandbox)?;
            let after = refused()?;
            ensure!(before == after, "segments were refused: {before}, then {after}");
            let old = "ls /pg/backup/backup/pg-test/backup.info /pg/backup/backup/pg-test/*F";
            sandbox.shell(primary, old)?.success().map(|_| ())
        },
    )?;
    step("another cipher in the same place, and a place that cannot be made: WAL goes on", || {
        for (edited, said) in [
            (chosen("retention_full: 2"), "repository-cipher"),
            (chosen(&CIPHER.replace("Hidden.1", "Hidden.2")), "cannot be listed"),
            (chosen(CIPHER).replace(ELSEWHERE, "/proc/nowhere"), "/proc/nowhere"),
        ] {
            project.write(&edited)?;
            let stopped = keddah.run(&["apply", "--yes"])?;
            ensure!(stopped.code == Some(1), "it should have stopped at {said}: {stopped}");
            says(&stopped, said)?;
            ensure!(!stopped.to_string().contains("Hidden."), "a password is shown: {stopped}");
        }
        super::failover::archives(sandbox)?;
        let after = refused()?;
        ensure!(before == after, "segments were refused: {before}, then {after}");
        Ok(())
    })?;
    step("back again: the old backups do not lead on, so another one is taken", || {
        project.write(&inventory)?;
        keddah.plan()?.expect(&[
            expected("file", "pgbackrest.conf").times(3),
            expected("file", "pg-test.made").times(3),
            expected("file", "secrets.conf").times(3).action("delete"),
            expected("backup", "pg-test").times(1).action("create"),
        ])?;
        keddah.apply()?;
        super::failover::archives(sandbox)?;
        let after = refused()?;
        ensure!(before == after, "segments were refused: {before}, then {after}");
        Ok(())
    })?;
    step("a node that led, and leads again: the plan names the gap, a backup closes it", || {
        let away = another(sandbox, primary)?;
        switch(sandbox, primary, away)?;
        superuser(sandbox, away, "test", "CREATE TABLE written_elsewhere AS SELECT 'yes' AS kept")?;
        let name = format!("pg-test-{}", primary - 1);
        let doomed = ["remove", &name, "--confirm", &name, "--destroy", &name];
        let only = keddah.run(&doomed)?;
        ensure!(only.code == Some(1), "the only backups: not refused: {only}");
        says(&only, "only-backups")?;
        switch(sandbox, away, primary)?;
        let plan = keddah.plan()?;
        says(&plan.output, "where another node led between, its WAL is on that node alone")?;
        sandbox.shell(primary, "sudo -u postgres /pg/bin/pg-backup")?.success()?;
        let ask = |sql: &str| superuser(sandbox, primary, "test", sql);
        ask("CREATE TABLE after_the_slot AS SELECT 'yes' AS kept")?;
        super::failover::archives(sandbox)?;
        let plan = keddah.plan()?;
        plan.expect_empty()?;
        ensure!(!plan.output.to_string().contains("led between"), "still told: {}", plan.output);
        restored(sandbox, primary, "written_elsewhere NATURAL JOIN after_the_slot")
    })?;
    step("backups whose files are gone are not counted, and the next one strikes them", || {
        let remove = "cd /pg/backup/backup/pg-test && rm -rf 2*F*";
        sandbox.shell(primary, remove)?.success()?;
        let plan = keddah.plan()?;
        says(&plan.output, "files are gone of backups that are listed")?;
        plan.expect(&[expected("backup", "pg-test").times(1).action("create")])?;
        keddah.apply()?;
        let plan = keddah.plan()?;
        ensure!(!plan.output.to_string().contains("are gone"), "still told: {}", plan.output);
        plan.expect_empty()
    })?;
    step("a disk for backups that is not mounted: nothing is made beneath it", || {
        // What a server knows of its archive itself is gone, as after a crash.
        let unmount = "rm -f /pg/data/pg_wal/archive_status/*.backup.done; \
                       mv /data/backups /data/unmounted && install -d /data/backups";
        sandbox.shell(primary, unmount)?.success()?;
        let refused = keddah.run(&["apply", "--yes"])?;
        ensure!(refused.code == Some(1), "it should have been refused: {refused}");
        says(&refused, "nothing of it is there any more")?;
        says(&keddah.run(&["status"])?, "repository-gone")?;
        sandbox
            .shell(primary, "rmdir /data/backups && mv /data/unmounted /data/backups")?
            .success()?;
        super::failover::archives(sandbox)?;
        keddah.plan()?.expect_empty()
    })
}

/// Another member.
fn another(sandbox: &Sandbox, primary: u8) -> Outcome<u8> {
    let others = crate::cluster::members(sandbox, primary)?;
    let other = others.iter().find(|one| one.node != primary).map(|one| one.node);
    other.ok_or_else(|| crate::failure::Failure::new("the primary is alone"))
}

/// Hands the leader's part over.
fn switch(sandbox: &Sandbox, from: u8, to: u8) -> Outcome {
    let members = crate::cluster::members(sandbox, from)?;
    let name = |node: u8| {
        let found = members.iter().find(|one| one.node == node);
        found.map(|one| one.name.clone()).unwrap_or_default()
    };
    let script = format!(
        "runuser -u postgres -- patronictl -c /etc/patroni/conf.d switchover --force --leader {} \
         --candidate {} pg-test",
        name(from),
        name(to)
    );
    sandbox.shell(from, &script)?.success()?;
    wait_until("the part is handed over", PATIENCE, || {
        let leads = leader(sandbox, to)?.node;
        ensure!(leads == to, "node {leads} leads");
        Ok(())
    })?;
    wait_healthy(sandbox, to, 3, PATIENCE).map(|_| ())
}

/// Restores the primary's own repository beside its data, and asks there.
fn restored(sandbox: &Sandbox, node: u8, from: &str) -> Outcome {
    let script = format!(
        "set -e
        install -d -o postgres -m 700 /tmp/restored
        cd /tmp
        run() {{ runuser -u postgres -- \"$@\"; }}
        run pgbackrest --stanza=pg-test --pg1-path=/tmp/restored --archive-mode=off restore
        server=$(ls /usr/lib/postgresql/*/bin/postgres)
        run $server --single -D /tmp/restored -c hot_standby=off -c archive_mode=off \
            -c config_file=/tmp/restored/postgresql.conf postgres </dev/null >/tmp/restored.log 2>&1 ||
            {{ cat /tmp/restored.log; exit 1; }}
        echo 'SELECT count(*) AS found FROM {from}' | run $server --single -D /tmp/restored \
            -c archive_mode=off test
        rm -rf /tmp/restored"
    );
    let output = sandbox.shell(node, &script)?.success()?;
    says(&output, "found = \"1\"")
}
