//! Edits of the inventory and damage by hand: each plan has exactly that, and so has each apply.

use crate::Suite;
use crate::cluster::wait_healthy;
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::postgres::{login, superuser};
use crate::processes::{expect_same, processes, restarted};
use crate::sandbox::{Sandbox, address};
use crate::world::{World, step};
use std::time::Duration;

/// Where the inventory of pg-test takes more lines.
const CLUSTER: &str = "        pg_cluster: pg-test\n";
const USERS: &str = "roles: [dbrole_admin], comment: owner of the test database }\n";
const DATABASES: &str = "          - { name: test, owner: test }\n";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    // Older Patronis do not say whether a replica streams.
    let tells = world.options.suite == Suite::Trixie;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    let leader = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    let leads = address(leader.node);
    keddah.apply()?;
    keddah.plan()?.expect_empty()?;
    let add = |place: &str, lines: &str| project.edit(place, &format!("{place}{lines}"));
    let look = || processes(sandbox, 1..=4);
    let client =
        |user: &str, password: &str, port| login(user, password, &address(3), port, "test");

    let before = look()?;
    step("an access rule: files change, PostgreSQL reloads", || {
        let direct = client("dbuser_view", "DBUser.Viewer", 5432);
        direct.query(sandbox, "SELECT 1")?;
        add(
            CLUSTER,
            "        pg_hba_rules:\n          - { user: dbuser_view, db: all, addr: 10.10.10.1, \
             auth: deny, title: not from the admin's desk, order: 50 }\n",
        )?;
        keddah.change(&[
            expected("file", "pg_hba.conf").times(3).action("update"),
            expected("postmaster", "pg-test-").times(3).class("reload"),
        ])?;
        direct.refused(sandbox, "SELECT 1", "pg_hba.conf rejects")?;
        client("dbuser_view", "DBUser.Viewer", 5433).query(sandbox, "SELECT 1").map(|_| ())
    })?;
    step("a user: one role, and the pools know it", || {
        add(
            USERS,
            "          - { name: dbuser_new, password: New.User, pgbouncer: true, roles: [dbrole_readwrite] }\n",
        )?;
        keddah.change(&[
            expected("pg-role", "dbuser_new").times(1).action("create").on(&leads),
            expected("file", "userlist.txt").times(3),
            expected("unit", "pgbouncer.service").times(3).class("reload"),
        ])?;
        client("dbuser_new", "New.User", 5433).query(sandbox, "SELECT 1").map(|_| ())
    })?;
    step("a user's password: the old one no longer works", || {
        project.edit("password: New.User", "password: Newer.User")?;
        keddah.change(&[
            expected("pg-role", "dbuser_new").times(1).action("update").on(&leads),
            expected("file", "userlist.txt").times(3),
            expected("unit", "pgbouncer.service").times(3).class("reload"),
        ])?;
        for port in [5433, 5436] {
            client("dbuser_new", "Newer.User", port).query(sandbox, "SELECT 1")?;
            let old = client("dbuser_new", "New.User", port).attempt(sandbox, "SELECT 1")?;
            ensure!(old.code != Some(0), "the old password still works on {port}");
        }
        Ok(())
    })?;
    step(
        "the same password set by hand: its verifier is kept, and the pools take it over",
        || {
            let again = "ALTER ROLE dbuser_view PASSWORD 'DBUser.Viewer'";
            superuser(sandbox, leader.node, "postgres", again)?;
            keddah.change(&[
                expected("file", "userlist.txt").times(3),
                expected("unit", "pgbouncer.service").times(3).class("reload"),
            ])?;
            for port in [5433, 5436] {
                client("dbuser_view", "DBUser.Viewer", port).query(sandbox, "SELECT 1")?;
            }
            Ok(())
        },
    )?;
    step("a database: made with its contents, and the pools know it", || {
        add(DATABASES, "          - { name: extra, owner: dbuser_meta, schemas: [app] }\n")?;
        keddah.change(&[
            expected("pg-database", "extra").times(1).action("create").on(&leads),
            expected("pg-schema", "extra").on(&leads),
            expected("pg-privileges", "extra").on(&leads),
            expected("pg-extension", "extra").on(&leads),
            expected("pg-function", "extra.monitor.pgbouncer_auth").times(1).on(&leads),
            expected("file", "database.txt").times(3),
            expected("unit", "pgbouncer.service").times(3).class("reload"),
        ])?;
        let answer = login("dbuser_meta", "DBUser.Meta", &address(3), 5433, "extra")
            .query(sandbox, "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'app'")?;
        ensure!(answer == "dbuser_meta", "the schema app belongs to {answer}");
        Ok(())
    })?;
    step("a parameter that reloads", || {
        add(CLUSTER, "        pg_parameters: { log_min_duration_statement: 500 }\n")?;
        keddah.change(&[expected("patroni-config", "pg-test").times(1).on(&leads)])?;
        setting(sandbox, "log_min_duration_statement", "500ms")
    })?;
    step("until here, nothing restarted", || expect_same(&before, &look()?, &[]))?;
    step("what would make the cluster another one is refused, and nothing moves", || {
        let line = |line: &str| format!("{CLUSTER}        {line}\n");
        for (edited, said) in [
            (line("pg_fs_main: /data/elsewhere"), "identity-place"),
            (line("pg_namespace: /elsewhere"), "identity-namespace"),
            (line("pg_version: 15"), "identity-version"),
            (line("patroni_watchdog_mode: required"), "no-watchdog"),
            (CLUSTER.replace("pg-test", "pg-renamed"), "identity-cluster"),
            (line("pg_fs_backup: /data/elsewhere"), "backups of pg-test lies"),
        ] {
            let present = look()?;
            project.edit(CLUSTER, &edited)?;
            let refused = keddah.run(&["apply", "--yes"])?;
            project.edit(&edited, CLUSTER)?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            says(&refused, said)?;
            expect_same(&present, &look()?, &[])?;
            keddah.plan()?.expect_empty()?;
        }
        Ok(())
    })?;
    step("a value that PostgreSQL does not take: refused at its line", || {
        for (wrong, why) in [("max_wal_size: 5 apples", "units"), ("wrok_mem: 8MB", "work_mem")] {
            project.edit("{ log_min_duration_statement: 500 }", &format!("{{ {wrong} }}"))?;
            let refused = keddah.run(&["plan"])?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            says(&refused, "keddah.yml:")?;
            says(&refused, why)?;
            project.edit(&format!("{{ {wrong} }}"), "{ log_min_duration_statement: 500 }")?;
        }
        keddah.plan()?.expect_empty()
    })?;
    step("a parameter that restarts, with --restart never: it waits", || {
        project.edit(
            "{ log_min_duration_statement: 500 }",
            "{ log_min_duration_statement: 500, max_worker_processes: 20 }",
        )?;
        keddah.plan()?.expect(&[
            expected("patroni-config", "pg-test").times(1).on(&leads),
            expected("postmaster", "pg-test-").times(3).class("ordered-restart"),
        ])?;
        keddah.run(&["apply", "--yes", "--restart", "never"])?.success()?;
        expect_same(&before, &look()?, &[])?;
        // Each Patroni looks at the cluster's settings in its own turn.
        wait_until("all three wait for a restart", Duration::from_secs(20), || {
            let pending = expected("postmaster", "pg-test-").times(3).class("ordered-restart");
            keddah.plan()?.expect(&[pending])
        })?;
        let plan = keddah.run(&["plan", "--restart", "never"])?;
        says(&plan, "wait for a restart (`--restart never`)")
    })?;
    step("and then restarts: replicas, then the primary, one after another", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        setting(sandbox, "max_worker_processes", "20")?;
        let after = look()?;
        let nodes = restarted(&before, &after, "postgres");
        ensure!(nodes.len() == 3 && !nodes.contains("node-1"), "restarted: {nodes:?}");
        expect_same(&before, &after, &["postgres"])?;
        let now = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
        ensure!(now.name == leader.name, "the restart moved the primary to {}", now.name);
        Ok(())
    })?;
    let before = look()?;
    step("a service: HAProxy reloads, and the port leads to replicas", || {
        add(
            CLUSTER,
            "        pg_services:\n          - { name: readers, port: 5439, dest: postgres, \
             check: /replica, selector: '[]' }\n",
        )?;
        keddah.change(&[
            expected("file", "/etc/haproxy/haproxy.cfg").times(3).action("update"),
            expected("unit", "haproxy.service").times(3).class("reload"),
        ])?;
        for node in 2..=4 {
            let reader = login("test", "test", &address(node), 5439, "test");
            // HAProxy must have asked every server once before it knows which ones are replicas.
            wait_until("the service leads to replicas", Duration::from_secs(5), || {
                let answer = reader.query(sandbox, "SELECT pg_is_in_recovery()")?;
                ensure!(answer == "t", "5439 of node-{node} leads to the primary");
                Ok(())
            })?;
        }
        expect_same(&before, &look()?, &["haproxy"])
    })?;
    step("what counts only when a cluster is made is told, and changes nothing", || {
        let late = "        pg_checksum: false\n        pg_lc_collate: en_US.UTF-8\n";
        add(CLUSTER, late)?;
        let plan = keddah.run(&["plan"])?.expect(&[0, 2])?;
        says(&plan, "pg-test was made with pg_checksum: on and keeps it")?;
        says(&plan, "pg-test was made with pg_lc_collate: C and keeps it")?;
        project.edit(late, "")
    })?;
    step("damage done by hand on three nodes is found, all of it, and mended", || {
        let damage = [
            (leader.node, "runuser -u postgres -- psql -X -q -c 'DROP ROLE dbuser_new'"),
            (2, "echo 'host all all 0.0.0.0/0 trust' >> /pg/conf/pg_hba.conf"),
            (3, "systemctl stop pgbouncer"),
            (4, "sed -i 's/5439/5440/' /etc/haproxy/haproxy.cfg"),
            (4, ALTERED),
        ];
        for (node, script) in damage {
            sandbox.shell(node, script)?.success()?;
        }
        keddah.change(&[
            expected("pg-role", "dbuser_new").times(1).action("create").on(&leads),
            expected("file", "pg_hba.conf").times(1).on(&address(2)),
            expected("postmaster", "pg-test-").times(1).on(&address(2)).class("reload"),
            expected("unit", "pgbouncer.service").times(1).on(&address(3)),
            expected("file", "/etc/haproxy/haproxy.cfg").times(1).on(&address(4)),
            expected("unit", "haproxy.service").times(1).on(&address(4)).class("reload"),
            expected("postmaster", "pg-test-").times(1).on(&address(4)).class("reload"),
        ])?;
        // What ALTER SYSTEM said of a declared parameter is gone; of another it stays, and is named.
        setting(sandbox, "log_min_duration_statement", "500ms")?;
        let plan = keddah.run(&["plan"])?.expect(&[0, 2])?;
        says(
            &plan,
            "settings of ALTER SYSTEM that nobody declared, which are left alone: update_process_title",
        )?;
        sandbox
            .shell(4, "runuser -u postgres -- psql -X -q -c 'ALTER SYSTEM RESET ALL'")?
            .success()?;
        client("dbuser_new", "Newer.User", 5436).query(sandbox, "SELECT 1").map(|_| ())
    })?;
    step(
        "what is no longer declared as a file's content goes; objects need `state: absent`",
        || {
            project.edit(
            "          - { name: dbuser_new, password: Newer.User, pgbouncer: true, roles: [dbrole_readwrite] }\n",
            "          - { name: dbuser_new, state: absent }\n",
        )?;
            let plan = keddah.plan()?;
            plan.expect(&[
                expected("pg-role", "dbuser_new").times(1).action("delete").on(&leads),
                expected("file", "userlist.txt").times(3),
                expected("unit", "pgbouncer.service").times(3).class("reload"),
            ])?;
            let unnamed = keddah.run(&["apply", "--yes"])?;
            ensure!(unnamed.code != Some(0), "a user was destroyed without being named: {unnamed}");
            keddah.run(&["apply", "--yes", "--destroy", "dbuser_new"])?.success()?;
            keddah.plan()?.expect_empty()
        },
    )?;
    // What comes next begins with the inventory as it was; objects that it no longer names stay.
    project.write(&inventory)?;
    step("back to the inventory as it was", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    })?;
    if tells {
        step(
            "replicas that do not stream are named, and the role that they need is mended",
            || {
                sandbox.shell(leader.node, UNCOUPLED)?.success()?;
                wait_until("the plan names them", Duration::from_secs(15), || {
                    says(&keddah.run(&["plan"])?, "[not-streaming]")
                })?;
                keddah.change(&[expected("pg-role", "replicator").times(1).on(&leads)])?;
                wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
                let plan = keddah.run(&["plan"])?.expect(&[0, 2])?;
                ensure!(
                    !format!("{plan}").contains("not-streaming"),
                    "they are still named: {plan}"
                );
                Ok(())
            },
        )?;
    }
    step("units changed by hand: Patronis restart one by one, the leader last", || {
        let started = || -> Outcome<Vec<(u64, u8)>> {
            let script =
                "systemctl show --value -p ExecMainStartTimestampMonotonic patroni.service";
            let one = |node| {
                let moment = sandbox.shell(node, script)?.success()?.text().to_owned();
                Ok((moment.parse().unwrap_or_default(), node))
            };
            (2..=4).map(one).collect()
        };
        let before = started()?;
        for node in 2..=4 {
            sandbox.shell(node, OTHER_COMMAND)?.success()?;
        }
        let unit = expected("unit", "patroni.service").times(3);
        keddah.plan()?.expect(&[unit.class("ordered-restart")])?;
        keddah.apply()?;
        let now = wait_healthy(sandbox, 2, 3, Duration::from_secs(60))?;
        let after = started()?;
        ensure!(
            before.iter().zip(&after).all(|(before, after)| before.0 < after.0),
            "not all were restarted: {before:?}, then {after:?}"
        );
        let last = after.iter().max().map(|(_, node)| *node);
        ensure!(last == Some(leader.node), "the leader was not last: {after:?}");
        // The new leader's own repository has no backup yet: that is a change. The units are none.
        let again = keddah.plan()?;
        ensure!(
            !again.changes.iter().any(|change| change.kind == "unit"),
            "units still differ:\n{}",
            again.list()
        );
        // What comes next finds the leader where it was; a quick restart leaves it there.
        if now.node != leader.node {
            let back = format!(
                "runuser -u postgres -- patronictl -c /etc/patroni/conf.d switchover --force \
                 --leader {} --candidate {} pg-test",
                now.name, leader.name
            );
            sandbox.shell(2, &back)?.success()?;
        }
        let back = wait_healthy(sandbox, 2, 3, Duration::from_secs(60))?;
        ensure!(back.node == leader.node, "{} leads", back.name);
        keddah.plan()?.expect_empty()
    })?;
    step("a value with which no server starts: the corrected inventory is the way back", || {
        way_back(&keddah, sandbox, &leader.name)
    })
}

/// The replicas are cut off, and may not come back.
const UNCOUPLED: &str = "runuser -u postgres -- psql -X -q -c 'ALTER ROLE replicator NOLOGIN' \
     -c 'SELECT pg_terminate_backend(pid) FROM pg_stat_replication'";

/// Settings of one instance: one that the inventory declares, and one that it does not.
const ALTERED: &str = "runuser -u postgres -- psql -X -q -c 'ALTER SYSTEM SET log_min_duration_statement = 7000' \
     -c 'ALTER SYSTEM SET update_process_title = on' -c 'SELECT pg_reload_conf()'";

/// A command line that ends in the same process, and is another one.
const OTHER_COMMAND: &str = r"
printf '[Service]\nExecStart=\nExecStart=/usr/bin/env /usr/bin/patroni /etc/patroni/conf.d\n' \
    > /etc/systemd/system/patroni.service.d/other.conf
";

/// The setting is the same on all members.
fn setting(sandbox: &Sandbox, name: &str, expected: &str) -> Outcome {
    for node in 2..=4 {
        let admin = login("dbuser_dba", "DBUser.DBA", &address(node), 5432, "test");
        let answer = admin.query(sandbox, &format!("SHOW {name}"))?;
        ensure!(answer == expected, "{name} on node-{node} is {answer}");
    }
    Ok(())
}

/// A replica restarts with such a value and stays down. The inventory as it was mends that, with nothing else
/// said, and no server that served restarts for it.
fn way_back(keddah: &Keddah<'_>, sandbox: &Sandbox, leader: &str) -> Outcome {
    let project = keddah.project;
    let good = project.text()?;
    let bad = format!("{CLUSTER}        pg_parameters: {{ shared_buffers: 900GB }}\n");
    project.edit(CLUSTER, &bad)?;
    let failed = keddah.run(&["apply", "--yes"])?;
    project.write(&good)?;
    ensure!(failed.code == Some(1), "it should have failed: {failed}");
    let before = processes(sandbox, 1..=4)?;
    keddah.run(&["apply", "--yes"])?.success()?;
    let now = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    ensure!(now.name == leader, "the leader moved to {}", now.name);
    let after = processes(sandbox, 1..=4)?;
    let restarted = restarted(&before, &after, "postgres");
    ensure!(restarted.len() <= 1, "restarted: {restarted:?}");
    keddah.plan()?.expect_empty()
}
