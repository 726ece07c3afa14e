//! All of a cluster's data and its state in etcd are lost, its backups are kept: nothing empty is made
//! over them, and what the refusal says to do brings the data back.

use crate::cluster::{leader, wait_healthy};
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, says};
use crate::postgres::superuser;
use crate::sandbox::Sandbox;
use crate::world::{World, step};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

const MEMBERS: [u8; 3] = [2, 3, 4];

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    let primary = step("a row that only the archived WAL has", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        let primary = wait_healthy(sandbox, 2, 3, PATIENCE)?.node;
        // A repository on each node's own disk has a gap where another one led in between: only what was
        // archived since the last backup counts.
        sandbox.shell(primary, "sudo -u postgres /pg/bin/pg-backup full")?.success()?;
        let ask = |sql: &str| superuser(sandbox, primary, "test", sql);
        ask("CREATE TABLE archived_only AS SELECT 'yes' AS kept")?;
        super::failover::archives(sandbox)?;
        Ok(primary)
    })?;
    step(
        "data and state are lost on all members; an empty cluster over the backups is refused",
        || {
            each(sandbox, "systemctl stop patroni && rm -rf /pg/data/*")?;
            sandbox
            .shell(
                1,
                "ETCDCTL_API=3 ETCDCTL_USER=\"root:$(cat /etc/etcd/root.password)\" etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/pki/etcd-ca.crt \
                 --cert=/etc/etcd/server.crt --key=/etc/etcd/server.key del --prefix /pg/pg-test/",
            )?
            .success()?;
            for command in [&["plan"][..], &["apply", "--yes"]] {
                let refused = keddah.run(command)?;
                ensure!(refused.code == Some(1), "not refused: {refused}");
                says(&refused, "earlier-backups")?;
                says(&refused, " of system ")?;
            }
            // Without the backups it is still known to have been made.
            each(sandbox, "mkdir /data/elsewhere && mv /data/backups/pg-test-* /data/elsewhere/")?;
            let refused = keddah.run(&["apply", "--yes"])?;
            each(sandbox, "mv /data/elsewhere/* /data/backups/ && rmdir /data/elsewhere")?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            says(&refused, "lost-data")?;
            each(sandbox, "test -z \"$(ls /pg/data)\"")
        },
    )?;
    step("restored as the refusal says, it is the cluster that it was", || {
        // The words of the help. Between the two of them, Patroni must not start the server.
        let run = |words: &str| sandbox.shell(primary, words)?.success().map(|_| ());
        run("sudo -u postgres pgbackrest --stanza=pg-test --pg1-path=/pg/data restore")?;
        let refused = keddah.run(&["apply", "--yes"])?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, "unfinished-recovery")?;
        run(
            "sudo -u postgres $(ls /usr/lib/postgresql/*/bin/postgres) --single -D /pg/data -c hot_standby=off \
             postgres </dev/null",
        )?;
        // The others' data might lie on disks that are not mounted.
        let refused = keddah.run(&["apply", "--yes"])?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, "has been made, and its data is not there")?;
        keddah.run(&["apply", "--yes", "--despite", "pg-test"])?.success()?;
        wait_healthy(sandbox, primary, 3, PATIENCE)?;
        keddah.plan()?.expect_empty()?;
        let leads = leader(sandbox, primary)?.node;
        let kept = superuser(sandbox, leads, "test", "SELECT kept FROM archived_only")?;
        ensure!(kept == "yes", "the row is lost: {kept}");
        super::failover::archives(sandbox)
    })?;
    world.discard();
    Ok(())
}

/// The same on every member.
fn each(sandbox: &Sandbox, script: &str) -> Outcome {
    for node in MEMBERS {
        sandbox.shell(node, script)?.success()?;
    }
    Ok(())
}
