//! `pg_instances`: two clusters share two nodes, and neither notices what becomes of the other.

use crate::cluster::{leader_at, members_at};
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::postgres::{Login, login};
use crate::sandbox::{Image, Sandbox, address};
use crate::world::{World, step};
use std::time::Duration;

const INVENTORY: &str = include_str!("../../inventories/instances.yml");

/// The instances of pg-b, to be taken out of the inventory.
const SECOND: &str = "            5442: { pg_cluster: pg-b, pg_seq: 2, pg_role: replica }\n";

/// The user of pg-b, up to where fields are added.
const BETA: &str = "{ name: beta ,password: DBUser.Beta ,pgbouncer: true";

/// Longer than two turns of Patroni.
const TURNS: Duration = Duration::from_secs(40);

/// A cluster of the two.
struct Cluster {
    name: &'static str,
    patroni: u16,
    postgres: u16,
    /// The service of the primary.
    primary: u16,
    pool: u16,
    /// The virtual address that follows the primary.
    address: &'static str,
    user: &'static str,
    password: &'static str,
    database: &'static str,
}

const A: Cluster = Cluster {
    name: "pg-a",
    patroni: 8008,
    postgres: 5432,
    primary: 5433,
    pool: 6432,
    address: "10.10.10.4",
    user: "alpha",
    password: "DBUser.Alpha",
    database: "shop",
};

const B: Cluster = Cluster {
    name: "pg-b",
    patroni: 8018,
    postgres: 5442,
    primary: 5443,
    pool: 6442,
    address: "10.10.10.3",
    user: "beta",
    password: "DBUser.Beta",
    database: "store",
};

impl Cluster {
    fn login(&self, node: u8, port: u16) -> Login {
        login(self.user, self.password, &address(node), port, self.database)
    }

    /// Both members up, the replica streaming; returns the leader's node.
    fn wait_healthy(&self, sandbox: &Sandbox) -> Outcome<u8> {
        wait_until(&format!("{} is healthy", self.name), TURNS, || {
            let members = members_at(sandbox, 1, self.patroni)?;
            let leader = leader_at(sandbox, 1, self.patroni)?;
            ensure!(members.len() == 2, "{members:?}");
            let named = members.iter().all(|one| one.name.starts_with(self.name));
            ensure!(named, "another cluster answers: {members:?}");
            let script = format!(
                "runuser -u postgres -- psql -X -A -t -p {} -c \"SELECT count(*) FROM \
                 pg_stat_replication WHERE state = 'streaming' AND application_name LIKE 'pg-%'\"",
                self.postgres
            );
            let streaming = sandbox.shell(leader.node, &script)?.success()?;
            ensure!(streaming.text() == "1", "{} replicas stream", streaming.text());
            Ok(leader.node)
        })
    }

    /// The main processes of its units, and its postmaster, on both nodes.
    fn running(&self, sandbox: &Sandbox) -> Outcome<Vec<String>> {
        let name = self.name;
        let script = format!(
            "systemctl show -p Id,MainPID patroni-{name} pgbouncer-{name} && \
             head -n 1 /pg-{name}/data/postmaster.pid"
        );
        let ask = |node| Ok(sandbox.shell(node, &script)?.success()?.text().to_owned());
        [1, 2].into_iter().map(ask).collect()
    }

    /// Its virtual address is where it is led.
    fn is_where_it_leads(&self, sandbox: &Sandbox) -> Outcome {
        let client = login(self.user, self.password, self.address, self.postgres, self.database);
        wait_until(&format!("{} has followed {}", self.address, self.name), TURNS, || {
            let sql = "SELECT current_setting('cluster_name') || pg_is_in_recovery()";
            let answer = client.query(sandbox, sql)?;
            ensure!(answer == format!("{}false", self.name), "{} leads to {answer}", self.address);
            Ok(())
        })
    }

    /// Written through the service of the primary, read back from every way in.
    fn serves(&self, sandbox: &Sandbox) -> Outcome {
        let Self { name, postgres, primary, pool, .. } = *self;
        for node in [1, 2] {
            let service = self.login(node, primary);
            service.query(sandbox, "CREATE TABLE IF NOT EXISTS seen (n int)")?;
            service.query(sandbox, "INSERT INTO seen VALUES (1)")?;
            let cluster = service.query(sandbox, "SHOW cluster_name")?;
            ensure!(cluster == name, "port {primary} of node {node} leads to {cluster}");
            for port in [postgres, pool] {
                let read = self.login(node, port).query(sandbox, "SELECT count(*) >= 0 FROM seen");
                ensure!(read? == "t", "port {port} of node {node} has not got the table");
            }
        }
        Ok(())
    }
}

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let project = world.project("instances", INVENTORY)?;
    let sandbox = step("boot two warm nodes", || world.fresh(Image::Warm, 2))?;
    let keddah = Keddah { sandbox, project: &project };
    let applied = step("apply two clusters to them", || keddah.apply())?;
    step("both have a leader and a replica", || {
        for cluster in [&A, &B] {
            let leader = cluster.wait_healthy(sandbox)?;
            ensure!(leader == 1, "{} is led by node {leader}", cluster.name);
        }
        Ok(())
    })?;
    step("each is reached by its own services, pools and ports", || {
        A.serves(sandbox)?;
        B.serves(sandbox)?;
        let wrong = login(B.user, B.password, &address(1), A.primary, B.database);
        wrong.refused(sandbox, "SELECT 1", "FATAL")?;
        A.is_where_it_leads(sandbox)?;
        B.is_where_it_leads(sandbox)
    })?;
    step("the next plan is empty", || {
        keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))
    })?;
    step("a user of one is changed, and only that one's", || {
        let before = (A.running(sandbox)?, B.running(sandbox)?);
        project.edit(BETA, &format!("{BETA} ,connlimit: 7"))?;
        keddah.change(&[expected("pg-role", "5442/beta").times(1).on(&address(1))])?;
        project.edit("DBUser.Beta ", "DBUser.Gamma ")?;
        let plan = keddah.plan()?;
        for change in &plan.changes {
            let own = change.name.contains("pg-b") || change.name == "5442/beta";
            ensure!(own, "a change of {}: {change}", A.name);
        }
        project.edit("DBUser.Gamma ", "DBUser.Beta ")?;
        keddah.plan()?.expect_empty()?;
        let after = (A.running(sandbox)?, B.running(sandbox)?);
        ensure!(before == after, "something restarted: {before:?}, then {after:?}");
        Ok(())
    })?;
    step("`-l pg-b` is the one cluster on both nodes", || {
        project.edit("connlimit: 7", "connlimit: 8")?;
        project
            .edit("pg_databases: [ { name: shop", "pg_databases: [ { name: till } ,{ name: shop")?;
        keddah.run(&["apply", "--yes", "-l", "pg-b"])?.success()?;
        let plan = keddah.plan()?;
        let left = plan.changes.iter().any(|one| one.name == "5432/till");
        let done = plan.changes.iter().all(|one| one.name != "5442/beta");
        ensure!(left && done, "not what was selected:\n{}", plan.list());
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        // The table is the user's own, which the model says nothing of.
        let privileges = keddah.run(&["pg", "privileges", "pg-b"])?.expect(&[2])?;
        says(&privileges, "pg-b: store")
    })?;
    step("both are backed up, each into its own repository", || {
        for cluster in [&A, &B] {
            let name = cluster.name;
            sandbox
                .shell_for(1, &format!("/pg-{name}/bin/pg-backup"), Duration::from_secs(300))?
                .success()?;
            let script = format!("runuser -u postgres -- pgbackrest --stanza={name} info");
            let info = sandbox.shell(1, &script)?.success()?;
            for words in ["status: ok", "full backup", "incr backup"] {
                says(&info, words)?;
            }
            let check = format!("runuser -u postgres -- pgbackrest --stanza={name} check");
            sandbox.shell(1, &check)?.success()?;
        }
        Ok(())
    })?;
    step("one moves to the other node, and nothing has to be said anew", || {
        let script = "patronictl -c /etc/patroni/pg-b switchover pg-b --leader pg-b-1 \
             --candidate pg-b-2 --force";
        sandbox.shell(1, script)?.success()?;
        wait_until("pg-b is led by node 2", TURNS, || {
            let leader = leader_at(sandbox, 1, B.patroni)?.node;
            ensure!(leader == 2, "it is led by node {leader}");
            Ok(())
        })?;
        B.wait_healthy(sandbox)?;
        // Its new primary archives into a repository of its own; users and databases are there.
        wait_until("only a backup is missing", TURNS, || {
            keddah.plan()?.expect(&[expected("backup", "pg-b").times(1).on(&address(2))])
        })?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        A.serves(sandbox)?;
        B.serves(sandbox)?;
        A.is_where_it_leads(sandbox)?;
        B.is_where_it_leads(sandbox)
    })?;
    step("a node that was off brings both of its instances back", || {
        sandbox.stop(2, false)?;
        sandbox.start(2)?;
        A.wait_healthy(sandbox)?;
        B.wait_healthy(sandbox)?;
        wait_until("nothing is left to do", TURNS, || keddah.plan()?.expect_empty())?;
        A.serves(sandbox)?;
        B.serves(sandbox)
    })?;
    step("no second copy is made when a node shall have one instance as a whole", || {
        let text = std::fs::read_to_string(project.inventory())?;
        let plain = "all:\n  children:\n    pg-a: { hosts: { 10.10.10.10: { pg_seq: 1, pg_role: \
             primary } }, vars: { pg_cluster: pg-a } }\n    etcd: { hosts: { 10.10.10.10: { \
             etcd_seq: 1 } } }\n";
        project.write(plain)?;
        let refused = keddah.run(&["plan"])?;
        project.write(&text)?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, "was set up with instances of `pg_instances`")
    })?;
    step("one is removed, the other goes on", || {
        let before = A.running(sandbox)?;
        let all = ["--confirm", "pg-b", "--no-backup", "--destroy", "pg-b"];
        keddah.run(&[&["remove", "pg-b"][..], &all].concat())?.success()?;
        A.serves(sandbox)?;
        let left = "ls -d /data/postgres/pg-b-* /etc/systemd/system/*pg-b.service 2>/dev/null; \
             pgrep -f '[p]atroni/pg-b|[p]gbouncer/pg-b'; true";
        for node in [1, 2] {
            let left = sandbox.shell(node, left)?.success()?;
            ensure!(left.text().is_empty(), "left on node {node}: {}", left.text());
        }
        let after = A.running(sandbox)?;
        ensure!(before == after, "pg-a restarted: {before:?}, then {after:?}");
        Ok(())
    })?;
    step("a cluster of the same name can be made anew", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        B.wait_healthy(sandbox)?;
        keddah.run(&["remove", "pg-b", "--confirm", "pg-b", "--no-backup"])?.success().map(|_| ())
    })?;
    step("out of the inventory, and the nodes are the other's alone", || {
        let text = std::fs::read_to_string(project.inventory())?;
        let text = text.replacen(SECOND, "", 1);
        let (from, to) = (text.find("            5442:\n"), text.find("        10.10.10.11:\n"));
        let (Some(from), Some(to)) = (from, to) else {
            return Err(crate::failure::Failure::new("the inventory lacks pg-b"));
        };
        project.write(&format!("{}{}", &text[..from], &text[to..]))?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        A.wait_healthy(sandbox)?;
        A.serves(sandbox)
    })
}
