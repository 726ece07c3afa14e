//! A fourth instance comes and goes; the cluster never stops taking writes.

use crate::cluster::{members, wait_healthy};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::{Keddah, expected};
use crate::load::{Load, Session};
use crate::postgres::login;
use crate::sandbox::{Sandbox, address};
use crate::world::{Steps, World, step};
use std::time::Duration;

const LAST: &str = "        10.10.10.13: { pg_seq: 3, pg_role: replica, pg_offline_query: true }\n";
const NEW: &str = "        10.10.10.14: { pg_seq: 4, pg_role: replica }\n";

const DATABASES: &str = "          - { name: test, owner: test }\n";
const WAITS: &str = "          - { name: waits, state: absent }\n";

/// A change of the cluster's configuration, which changes nothing, with the right password; says with
/// which status Patroni of node-2 answers.
const WRITE: &str = r#"
import base64, urllib.error, urllib.request
request = urllib.request.Request(
    "http://10.10.10.11:8008/config", method="PATCH", data=b'{"nobody_has_set_this": null}',
    headers={"Authorization": "Basic " + base64.b64encode(b"postgres:Patroni.API").decode()})
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as answer:
    print(answer.status)
"#;

/// How node-2 answers that write when it comes from this node.
fn writes(sandbox: &Sandbox, node: u8) -> Outcome<String> {
    let line = format!("python3 - <<'END'\n{WRITE}END");
    Ok(sandbox.shell(node, &line)?.success()?.text().to_owned())
}

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    keddah.apply()?;
    wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    let writer = "host=10.10.10.11 port=5433 user=test password=test dbname=test";
    let load = Load::start(sandbox, writer, "written_while_scaling", Session::Lasting)?;
    let hasty = Load::start(sandbox, writer, "written_hastily", Session::PerTransaction)?;

    let scaled = (|| -> Outcome {
        step(
            "a node that is no member writes nothing through Patroni, an administration node may",
            || {
                ensure!(writes(sandbox, 5)? == "403", "a stranger's write was not refused");
                ensure!(writes(sandbox, 1)? == "200", "an administration node's write was refused");
                Ok(())
            },
        )?;
        step("add pg-test-4", || {
            project.edit(LAST, &format!("{LAST}{NEW}"))?;
            let plan = keddah.plan()?;
            ensure!(
                plan.changes.iter().any(|one| one.kind == "pg-instance" && one.node == address(5)),
                "the plan makes no instance:\n{}",
                plan.list()
            );
            let elsewhere: Vec<String> = plan
                .changes
                .iter()
                .filter(|one| one.node != address(5) && one.class.contains("restart"))
                // The watcher learns of the member; dnsmasq goes on telling names meanwhile.
                .filter(|one| one.name != "keddah-dns.service")
                .map(ToString::to_string)
                .collect();
            ensure!(elsewhere.is_empty(), "others restart: {elsewhere:#?}");
            keddah.apply()?;
            keddah.plan()?.expect_empty()?;
            wait_healthy(sandbox, 2, 4, Duration::from_secs(60)).map(|_| ())
        })?;
        step("it serves", || {
            ensure!(writes(sandbox, 5)? == "200", "the new member's write was refused");
            let reader = login("test", "test", &address(5), 5432, "test");
            let answer = reader.query(sandbox, "SELECT count(*) > 0 FROM written_while_scaling")?;
            ensure!(answer == "t", "the new replica has not got what was written");
            let seen = (0..16)
                .map(|_| {
                    let any = login("dbuser_view", "DBUser.Viewer", &address(3), 5434, "test");
                    any.query(sandbox, "SHOW primary_slot_name")
                })
                .collect::<Outcome<Vec<String>>>()?;
            ensure!(seen.iter().any(|slot| slot == "pg_test_4"), "no read reaches it: {seen:?}");
            Ok(())
        })?;
        let serves = || -> Outcome {
            ensure!(members(sandbox, 2)?.len() == 4, "the refused removal removed something");
            Ok(())
        };
        let name = address(5);
        step("its removal wants the right name typed", || {
            for wrong in [&["remove", &name][..], &["remove", &name, "--confirm", "pg-test-3"]] {
                let refused = keddah.run(wrong)?;
                ensure!(refused.code == Some(1), "not refused: {refused}");
            }
            serves()
        })?;
        step("its removal is refused while pg_safeguard is on", || {
            let guarded = NEW.replace(" }", ", pg_safeguard: true }");
            project.edit(NEW, &guarded)?;
            let refused = keddah.run(&["remove", &name, "--confirm", &name])?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            crate::keddah::says(&refused, "pg_safeguard")?;
            project.edit(&guarded, NEW)?;
            serves()
        })?;
        step("its removal is refused while the cluster is paused", || {
            let ctl = |verb: &str| {
                let line = format!(
                    "runuser -u postgres -- patronictl -c /etc/patroni/conf.d {verb} --wait pg-test"
                );
                sandbox.shell(2, &line)?.success()
            };
            ctl("pause")?;
            let refused = keddah.run(&["remove", &name, "--confirm", &name])?;
            ctl("resume")?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            crate::keddah::says(&refused, "pg-test is paused")?;
            serves()
        })?;
        step("another one in the place of the one that is named stays", || {
            let wrong = NEW.replace("pg_seq: 4", "pg_seq: 9");
            ensure!(wrong != NEW, "the number of the new member is another");
            project.edit(NEW, &wrong)?;
            let refused =
                keddah.run(&["remove", "pg-test-9", "--confirm", "pg-test-9"])?.expect(&[1])?;
            project.edit(&wrong, NEW)?;
            for words in ["removes-another", "is pg-test-4"] {
                crate::keddah::says(&refused, words)?;
            }
            serves()
        })?;
        step("the primary's removal is refused", || {
            let leader = crate::cluster::leader(sandbox, 2)?;
            let primary = address(leader.node);
            let refused = keddah.run(&["remove", &primary, "--confirm", &primary])?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            serves()
        })?;
        step("remove pg-test-4, while a database waits to be dropped by another command", || {
            let leader = crate::cluster::leader(sandbox, 2)?;
            let psql = |sql: &str| {
                let line = format!("runuser -u postgres -- psql -qAtX -c \"{sql}\"");
                sandbox.shell(leader.node, &line)?.success()
            };
            psql("CREATE DATABASE waits")?;
            project.edit(DATABASES, &format!("{DATABASES}{WAITS}"))?;
            let removed = keddah.run(&["remove", &name, "--confirm", &name])?.success()?;
            for words in [
                "other change waits for `keddah apply`",
                "pg-test-4: its data, /data/postgres/pg-test-",
                "take pg-test-4 (10.10.10.14) out of the inventory",
                "ends in `.removed`",
            ] {
                ensure!(removed.stdout.contains(words), "`{words}` is not said: {removed}");
            }
            let there = psql("SELECT count(*) FROM pg_database WHERE datname = 'waits'")?;
            ensure!(there.text() == "1", "the removal has dropped a database");
            keddah.plan()?.contains(&expected("pg-database", "waits").action("delete"))?;
            project.edit(WAITS, "")?;
            psql("DROP DATABASE waits")?;
            wait_healthy(sandbox, 2, 3, Duration::from_secs(60))?;
            // A parameter (`pg_rm_data`) deletes nothing: the data is moved aside, and goes when told.
            let left = left_behind(sandbox)?;
            let (rest, kept) =
                left.lines().partition::<Vec<_>, _>(|line| !line.ends_with(".removed"));
            ensure!(rest.is_empty(), "something is left on node-5: {left}");
            ensure!(kept.len() == 1, "its data is not kept once: {left}");
            sandbox
                .shell(5, "test -f /data/postgres/pg-test-*.removed/data/PG_VERSION")?
                .success()?;
            let host = address(5);
            keddah.run(&["remove", &host, "--aside", "--confirm", &host])?.success()?;
            let left = left_behind(sandbox)?;
            ensure!(left.is_empty(), "something is left on node-5: {left}");
            ensure!(
                writes(sandbox, 5)? == "403",
                "a write of a member that has gone was not refused"
            );
            Ok(())
        })?;
        step("out of the inventory, nothing is left to change", || {
            project.edit(NEW, "")?;
            keddah.plan()?.expect_empty()
        })?;
        step("adding it again works", || {
            project.edit(LAST, &format!("{LAST}{NEW}"))?;
            keddah.apply()?;
            keddah.plan()?.expect_empty()?;
            wait_healthy(sandbox, 2, 4, Duration::from_secs(60)).map(|_| ())
        })?;
        step(
            "its node is gone for ever: the others forget it, and what stays on it is said",
            || {
                sandbox.stop(5, true)?;
                let removed = keddah.run(&["remove", &name, "--confirm", &name, "--json"])?;
                let removed = removed.success()?;
                for words in ["10.10.10.14 does not answer", "pg_test_4", "/data/postgres"] {
                    ensure!(removed.stdout.contains(words), "`{words}` is not said: {removed}");
                }
                let backends = sandbox.shell(2, "cat /etc/haproxy/*.cfg")?.success()?;
                ensure!(!backends.text().contains("10.10.10.14"), "HAProxy still knows it");
                // The same in other words has nothing left to do.
                let again =
                    keddah.run(&["remove", "pg-test-4", "--confirm", "pg-test-4"])?.success()?;
                ensure!(again.stdout.contains("Nothing to change"), "something is left: {again}");
                project.edit(NEW, "")?;
                // Until its lease ends in etcd, it may be alive somewhere, and nothing is taken from it.
                wait_until("etcd forgets it", Duration::from_secs(60), || {
                    keddah.plan()?.expect_empty()
                })?;
                wait_healthy(sandbox, 2, 3, Duration::from_secs(60)).map(|_| ())
            },
        )?;
        step("it comes back all the same, and is removed with what it has", || {
            sandbox.start(5)?;
            wait_healthy(sandbox, 2, 4, Duration::from_secs(60))?;
            project.edit(LAST, &format!("{LAST}{NEW}"))?;
            keddah.run(&["remove", &name, "--confirm", &name, "--destroy", &name])?.success()?;
            let left = left_behind(sandbox)?;
            ensure!(left.is_empty(), "something is left on node-5: {left}");
            project.edit(NEW, "")?;
            keddah.plan()?.expect_empty()
        })
    })();
    let records = [("one session", load.finish()), ("a session each", hasty.finish())];
    let mut steps = Steps::default();
    for (writer, record) in records {
        let record = record?;
        println!("          {writer}: {record}");
        let figure = format!("scale: adding and removing an instance, {writer}: {record}");
        world.figures.push(figure);
        steps.step(&format!("{writer}: no write failed, none was lost"), || {
            if record.failures == 0 && record.lost == 0 {
                return Ok(());
            }
            Err(Failure::new(record.to_string()).with(record.errors.join("\n")))
        });
    }
    scaled.and(steps.finish())
}

/// What there is of an instance on the node that it was on, a line each.
fn left_behind(sandbox: &Sandbox) -> Outcome<String> {
    let look = "ls -d /data/postgres/pg-test-* /data/backups/pg-test-*[!d] /pg/data 2>/dev/null; \
         pgrep -x 'postgres|patroni|pgbouncer'; true";
    Ok(sandbox.shell(5, look)?.success()?.text().to_owned())
}
