//! Parts that instances and clusters play: cascade, delay, synchronous commit, and a standby cluster
//! from its making to its promotion and its end.

use crate::Suite;
use crate::cluster::{leader, members, wait_healthy};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::postgres::{login, superuser};
use crate::sandbox::address;
use crate::world::{World, step};
use std::time::Duration;

const LAST: &str = "        10.10.10.13: { pg_seq: 3, pg_role: replica, pg_offline_query: true }\n";
const CASCADE: &str = "        10.10.10.13: { pg_seq: 3, pg_role: replica, pg_offline_query: true, \
     pg_upstream: 10.10.10.12 }\n";
const DELAYED: &str = "        10.10.10.13: { pg_seq: 3, pg_role: delayed, pg_delay: 15s }\n";
const CLUSTER: &str = "        pg_cluster: pg-test\n";

/// Where a cluster that copies pg-test is added.
const BEFORE: &str = "    pg-test:\n      hosts:\n";
const FOLLOWS: &str = ", pg_upstream: 10.10.10.11";
const COPY: &str = "    pg-copy:\n      hosts: { 10.10.10.14: { pg_seq: 1, pg_role: primary, \
     pg_upstream: 10.10.10.11 } }\n      vars: { pg_cluster: pg-copy }\n\n";

/// Longer than two turns of Patroni.
const TURNS: Duration = Duration::from_secs(30);

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let old = world.options.suite == Suite::Bookworm;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    keddah.apply()?;
    wait_healthy(sandbox, 2, 3, TURNS)?;
    let writer = || login("test", "test", &address(2), 5436, "test");

    step("a cascade: the third instance follows the second", || {
        project.edit(LAST, CASCADE)?;
        keddah.change(&[
            expected("file", "10-patroni.yml").times(1).on(&address(4)),
            expected("unit", "patroni.service").times(1).on(&address(4)).class("reload"),
        ])?;
        wait_until("it follows", TURNS, || {
            let followers = superuser(
                sandbox,
                3,
                "postgres",
                "SELECT string_agg(application_name, ',') FROM pg_stat_replication",
            )?;
            ensure!(followers.contains("pg-test-3"), "the second is followed by {followers}");
            Ok(())
        })?;
        // One that is in recovery and feeds another answers like any other.
        wait_until("nobody is called silent", TURNS, || {
            let told = keddah.run(&["status"])?.expect(&[0, 2])?.stdout;
            ensure!(told.contains("pg-test-3") && !told.contains("server-silent"), "{told}");
            Ok(())
        })
    })?;
    step("a delayed replica lags, takes no reads and is never promoted", || {
        project.edit(CASCADE, DELAYED)?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        wait_until("the delay holds", TURNS, || {
            let delay = superuser(sandbox, 4, "postgres", "SHOW recovery_min_apply_delay")?;
            ensure!(delay == "15s", "the delay is {delay}");
            Ok(())
        })?;
        // A member tells its tags in its next turn.
        wait_until("it is never to be promoted", TURNS, || {
            let cluster = sandbox.get(2, 8008, "/cluster")?;
            for tag in ["nofailover", "noloadbalance", "nosync"] {
                ensure!(cluster.contains(tag), "it has no tag {tag}: {cluster}");
            }
            Ok(())
        })?;
        writer().query(sandbox, "CREATE TABLE late AS SELECT 1 AS n")?;
        let seen = || superuser(sandbox, 4, "test", "SELECT to_regclass('late') IS NOT NULL");
        std::thread::sleep(Duration::from_secs(3));
        ensure!(seen()? == "f", "what was written just now is there already");
        wait_until("it arrives late", Duration::from_secs(60), || {
            ensure!(seen()? == "t", "it has not arrived");
            Ok(())
        })
    })?;
    project.edit(DELAYED, LAST)?;
    step("pg_rpo: 0 makes commits wait for a replica", || {
        project.edit(CLUSTER, &format!("{CLUSTER}        pg_rpo: 0\n"))?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        wait_until("a synchronous replica", TURNS, || {
            let all = members(sandbox, 2)?;
            ensure!(all.iter().any(|one| one.role == "sync_standby"), "{all:?}");
            Ok(())
        })
    })?;
    step("quorum commit, or a clear word that this Patroni has none", || {
        project.edit(
            &format!("{CLUSTER}        pg_rpo: 0\n"),
            &format!("{CLUSTER}        patroni_synchronous_mode: quorum\n"),
        )?;
        if old {
            let refused = keddah.run(&["plan"])?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            return says(&refused, "Patroni 4.0");
        }
        keddah.change(&[expected("patroni-config", "pg-test").times(1)])?;
        wait_until("a quorum", TURNS, || {
            let primary = leader(sandbox, 2)?.node;
            let names = superuser(sandbox, primary, "postgres", "SHOW synchronous_standby_names")?;
            ensure!(names.starts_with("ANY 1"), "{names}");
            Ok(())
        })
    })?;
    project.write(&inventory)?;
    keddah.apply()?;
    wait_healthy(sandbox, 2, 3, TURNS)?;

    step("a standby cluster is a copy, and takes no writes", || {
        project.edit(BEFORE, &format!("{COPY}{BEFORE}"))?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        writer().query(sandbox, "CREATE TABLE copied AS SELECT 42 AS n")?;
        let copy = login("test", "test", &address(5), 5432, "test");
        wait_until("what is written there is here", TURNS, || {
            let answer = copy.query(sandbox, "SELECT n FROM copied")?;
            ensure!(answer == "42", "{answer}");
            Ok(())
        })?;
        copy.refused(sandbox, "CREATE TABLE own (n int)", "read-only")
    })?;
    step("what others follow cannot be removed", || {
        let refused = keddah.run(&["remove", "pg-test", "--confirm", "pg-test"])?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, "pg-copy follows pg-test")
    })?;
    step("without its upstream in the inventory, it is promoted", || {
        project.edit(FOLLOWS, "")?;
        says(&keddah.run(&["plan"])?, "PROMOTION")?;
        keddah.change(&[
            expected("patroni-config", "pg-copy").times(1).on(&address(5)),
            expected("backup", "pg-copy").times(1).on(&address(5)),
        ])?;
        let copy = login("test", "test", &address(5), 5432, "test");
        copy.query(sandbox, "CREATE TABLE own AS SELECT n FROM copied").map(|_| ())?;
        let here = writer().query(sandbox, "SELECT to_regclass('own') IS NULL")?;
        ensure!(here == "t", "the old cluster learned of it");
        Ok(())
    })?;
    step("to follow again, it must lose what it has of its own: only when named", || {
        project.edit(
            "pg_seq: 1, pg_role: primary } }\n      vars: { pg_cluster: pg-copy }",
            &format!(
                "pg_seq: 1, pg_role: primary{FOLLOWS} }} }}\n      vars: {{ pg_cluster: pg-copy }}"
            ),
        )?;
        let unnamed = keddah.run(&["apply", "--yes"])?;
        ensure!(unnamed.code == Some(1), "demoted without being named: {unnamed}");
        keddah.run(&["apply", "--yes", "--destroy", "pg-copy"])?.success()?;
        keddah.plan()?.expect_empty()?;
        wait_until("it is a copy again", TURNS, || {
            let own = superuser(sandbox, 5, "test", "SELECT to_regclass('own') IS NULL")?;
            ensure!(own == "t", "its own table is still there");
            Ok(())
        })
    })?;
    step("a whole cluster goes with a last backup, or knowingly without", || {
        project.edit(FOLLOWS, "")?;
        keddah.apply()?;
        let remove = ["remove", "pg-copy", "--confirm", "pg-copy"];
        let refused = keddah.run(&[&remove[..], &["--destroy", "pg-copy"]].concat())?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, "--no-backup")?;
        keddah.run(&remove)?.success()?;
        let kept = "ls /data/backups/pg-copy-*.removed/backup/pg-copy/latest/backup.manifest";
        sandbox.shell(5, kept)?.success()?;
        // Others knew its name.
        project.write(&inventory)?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    })
}
