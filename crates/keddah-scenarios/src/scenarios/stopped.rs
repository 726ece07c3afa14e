//! All members of a cluster are stopped, and do not have the same: what was acknowledged last is kept,
//! whoever the inventory calls the primary; and a member that was restored to a point in time leads only
//! where somebody says so.

use crate::cluster::{leader, wait_healthy};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, says};
use crate::postgres::superuser;
use crate::sandbox::{Sandbox, address};
use crate::world::{World, step};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// The node of the inventory's primary, and those of the replicas.
const PRIMARY: u8 = 2;
const REPLICAS: [u8; 2] = [3, 4];

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    let last = step("members stop one after another, each has more than the one before", || {
        keddah.apply()?;
        let led = wait_healthy(sandbox, PRIMARY, 3, PATIENCE)?.node;
        let kept = "CREATE TABLE kept AS SELECT 1 AS n";
        superuser(sandbox, led, "test", kept)?;
        stop(sandbox, PRIMARY)?;
        let last = wait_until("one of the others leads", PATIENCE, || {
            let now = leader(sandbox, REPLICAS[0])?;
            ensure!(now.node != PRIMARY, "{} still leads", now.name);
            Ok(now.node)
        })?;
        let other = if last == REPLICAS[0] { REPLICAS[1] } else { REPLICAS[0] };
        add(sandbox, last, "2, 1000")?;
        wait_until("the other has them", PATIENCE, || counts(sandbox, other, "1000"))?;
        stop(sandbox, other)?;
        add(sandbox, last, "1001, 2000")?;
        stop(sandbox, last)?;
        Ok(last)
    })?;
    let name = |node: u8| format!("pg-test-{} on {}", node - 1, address(node));
    step("one that has less is not started alone; the plan says who has the most", || {
        let alone = keddah.run(&["apply", "--yes", "-l", &address(PRIMARY)])?;
        ensure!(alone.code == Some(1), "not refused: {alone}");
        says(&alone, &format!("{} starts first and leads", name(PRIMARY)))?;
        says(&alone, " of WAL that pg-test-1 lacks")?;
        says(&alone, "--despite pg-test")?;
        let plan = keddah.run(&["plan"])?.expect(&[2])?;
        says(&plan, &format!("{} starts first: it has all that the others have", name(last)))
    })?;
    let leads = step("an apply starts that one first, and nothing is lost", || {
        keddah.apply()?;
        let leads = wait_healthy(sandbox, PRIMARY, 3, PATIENCE)?.node;
        counts(sandbox, leads, "2000")?;
        Ok(leads)
    })?;
    step("restored to a point in time, a member has a history of its own: refused", || {
        sandbox.shell(leads, "sudo -u postgres /pg/bin/pg-backup full")?.success()?;
        add(sandbox, leads, "2001, 2001")?;
        let moment = superuser(sandbox, leads, "test", "SELECT clock_timestamp()")?;
        superuser(sandbox, leads, "test", "DELETE FROM kept")?;
        super::failover::archives(sandbox)?;
        for node in [PRIMARY, REPLICAS[0], REPLICAS[1]].into_iter().filter(|node| *node != leads) {
            stop(sandbox, node)?;
        }
        stop(sandbox, leads)?;
        // The words of docs/operations.md.
        let restore = format!(
            "sudo -u postgres pgbackrest --stanza=pg-test --pg1-path=/pg/data --delta --type=time \
             --target='{moment}' --target-action=promote restore"
        );
        sandbox.shell(leads, &restore)?.success()?;
        let recover = "sudo -u postgres $(ls /usr/lib/postgresql/*/bin/postgres) --single -D /pg/data -c \
                       hot_standby=off postgres </dev/null";
        sandbox.shell(leads, recover)?.success()?;
        let refused = keddah.run(&["apply", "--yes"])?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, " of WAL of its own behind the fork")?;
        says(&refused, &format!("HOST being {} for", address(leads)))
    })?;
    step("the restored one is chosen to lead, and the others follow it", || {
        let chosen = keddah.run(&["apply", "--yes", "-l", &address(leads)])?.success()?;
        says(&chosen, " of WAL of its own behind the fork")?;
        wait_until("it leads", PATIENCE, || leader(sandbox, leads).map(|_| ()))?;
        // What the others have behind the moment is named once more.
        let refused = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        says(&refused, " of WAL of its own behind the fork")?;
        keddah.run(&["apply", "--yes", "--despite", "pg-test"])?.success()?;
        let now = wait_healthy(sandbox, leads, 3, PATIENCE)?.node;
        ensure!(now == leads, "node {now} leads");
        for node in [PRIMARY, REPLICAS[0], REPLICAS[1]] {
            wait_until("what was restored", PATIENCE, || counts(sandbox, node, "2001"))?;
        }
        keddah.plan()?.expect_empty()
    })?;
    let other = if leads == REPLICAS[0] { REPLICAS[1] } else { REPLICAS[0] };
    step("a stopped member with a history of its own is not rewound without a word", || {
        stop(sandbox, other)?;
        sandbox.shell(other, OWN_HISTORY)?.success()?;
        let refused = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        says(&refused, &format!("{} has ", name(other)))?;
        says(&refused, " of WAL of its own behind the fork")?;
        says(&refused, "--despite pg-test")?;
        says(&keddah.run(&["plan"])?.expect(&[2])?, " of WAL of its own behind the fork")
    })?;
    step("it follows where somebody says that this may go", || {
        keddah.run(&["apply", "--yes", "--despite", "pg-test"])?.success()?;
        wait_healthy(sandbox, leads, 3, PATIENCE)?;
        counts(sandbox, other, "2001")
    })?;
    step("while the leader's node cannot be asked, no other one is taken for it", || {
        // None of the others has a backup on its node.
        sandbox.shell(leads, "kill -STOP $(pgrep -x 'sshd[a-z-]*')")?.success()?;
        let plan = keddah.run(&["plan", "--json"]);
        sandbox.shell(leads, "kill -CONT $(pgrep -x 'sshd[a-z-]*')")?.success()?;
        let plan = plan?.expect(&[1])?;
        says(&plan, &format!("{} leads pg-test and cannot be asked", name(leads)))?;
        for kind in ["backup", "pg-role", "pg-database"] {
            let planned = plan.stdout.contains(&format!("\"kind\": \"{kind}\""));
            ensure!(!planned, "a {kind} is planned elsewhere: {plan}");
        }
        Ok(())
    })
}

/// Somebody promotes a standby by hand, writes, and stops it.
const OWN_HISTORY: &str = r#"
set -e
cd /
ctl=$(ls /usr/lib/postgresql/*/bin/pg_ctl)
as() { runuser -u postgres -- "$@"; }
as $ctl -s -w -D /pg/data -l /tmp/own.log start
as $ctl -s -w -D /pg/data promote
as psql -X -q -d test -c "INSERT INTO kept SELECT generate_series(1, 5000)"
as $ctl -s -w -D /pg/data stop
"#;

fn stop(sandbox: &Sandbox, node: u8) -> Outcome {
    sandbox.shell(node, "systemctl stop patroni")?.success().map(|_| ())
}

/// Rows that are acknowledged.
fn add(sandbox: &Sandbox, node: u8, range: &str) -> Outcome {
    let sql = format!("INSERT INTO kept SELECT generate_series({range})");
    superuser(sandbox, node, "test", &sql).map(|_| ())
}

fn counts(sandbox: &Sandbox, node: u8, rows: &str) -> Outcome {
    let there = superuser(sandbox, node, "test", "SELECT count(*) FROM kept")?;
    ensure!(there == rows, "node {node} has {there} of {rows} rows");
    Ok(())
}
