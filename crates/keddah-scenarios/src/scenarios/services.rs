//! Four nodes as conf/sandbox.yml has them: who may do what through which port.

use crate::cluster::wait_healthy;
use crate::command::wait_until;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::Keddah;
use crate::postgres::{Login, login};
use crate::project::Project;
use crate::sandbox::{Sandbox, address};
use crate::world::{Steps, World, step};
use std::collections::BTreeSet;
use std::time::Duration;

/// An address outside of every network that the access rules know (TEST-NET-2, RFC 5737).
const STRANGER: &str = "198.51.100.1";

/// Users of both clusters, and their passwords.
const USERS: [(&str, &str); 3] = [
    ("dbuser_meta", "DBUser.Meta"),
    ("dbuser_view", "DBUser.Viewer"),
    ("dbuser_dba", "DBUser.DBA"),
];

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let (sandbox, project) = world.demo()?;
    let keddah = Keddah { sandbox, project };
    step("the next plan is empty", || keddah.plan()?.expect_empty())?;
    step("three members: one leads, two stream", || {
        let leader = wait_healthy(sandbox, 2, 3, Duration::from_secs(10))?;
        ensure!(leader.node == 2, "the inventory's primary should lead, not {leader:?}");
        Ok(())
    })?;
    let mut steps = Steps::default();
    steps.step("every user through every service of every node", || every_service(sandbox));
    steps.step("reads spread over the replicas", || spread(sandbox));
    steps.step("default roles and their privileges", || privileges(sandbox));
    steps.step("dbrole_admin makes objects in public, and others read them", || {
        owner(5436)
            .query(
                sandbox,
                "SET ROLE dbrole_admin; DROP TABLE IF EXISTS made; CREATE TABLE made (n int)",
            )
            .map(|_| ())?;
        viewer(5436).query(sandbox, "SELECT count(*) FROM made").map(|_| ())
    });
    steps.step("a read-only role cannot write", || read_only(sandbox));
    steps.step("a rejected address is rejected", || {
        stranger(sandbox, true)?;
        let result = rejected(sandbox);
        stranger(sandbox, false)?;
        result
    });
    steps.step("TLS where it is offered, plain where documented", || tls(sandbox, project));
    steps.step("etcd wants a client's certificate", || etcd(sandbox));
    steps.step("HAProxy's page and metrics", || admin_page(sandbox));
    steps.step("WAL is archived, and a full backup is there", || backup(sandbox));
    steps.step("logs are under /pg/log", || {
        for node in 2..=4 {
            let script = "for kind in postgres patroni pgbouncer pgbackrest; do \
                 test -n \"$(find /pg/log/$kind/ -type f -size +0 2>/dev/null)\" || echo $kind; done";
            let without = sandbox.shell(node, script)?;
            let words: Vec<&str> = without.text().split_whitespace().collect();
            // A replica's pgBackRest has nothing to say until it leads.
            ensure!(
                words.iter().all(|word| *word == "pgbackrest" && node != 2),
                "node-{node} has no logs of {words:?}"
            );
        }
        Ok(())
    });
    steps.finish()
}

fn every_service(sandbox: &Sandbox) -> Outcome {
    for node in 1..=4 {
        let database = if node == 1 { "meta" } else { "test" };
        for (user, password) in USERS {
            // The meta cluster has no replica: reads fall back to its primary, and nothing is offline.
            let services: &[(u16, bool)] = match node {
                1 => &[(5433, false), (5434, false), (5436, false)],
                _ => &[(5433, false), (5434, true), (5436, false), (5438, true)],
            };
            for &(port, replica) in services {
                let client = login(user, password, &address(node), port, database);
                let answer = client.query(sandbox, "SELECT current_user, pg_is_in_recovery()")?;
                let expected = format!("{user}|{}", if replica { "t" } else { "f" });
                ensure!(answer == expected, "node-{node}:{port} answers {answer}, not {expected}");
            }
        }
    }
    let nobody = login("dbuser_meta", "DBUser.Meta", &address(1), 5438, "meta");
    let refused = nobody.attempt(sandbox, "SELECT 1")?;
    ensure!(refused.code != Some(0), "5438 of a cluster without replicas leads somewhere");
    let wrong = login("dbuser_meta", "wrong", &address(2), 5433, "test");
    let refused = wrong.attempt(sandbox, "SELECT 1")?;
    ensure!(refused.code != Some(0), "a wrong password is as good as the right one");
    Ok(())
}

fn spread(sandbox: &Sandbox) -> Outcome {
    let seen = |port: u16, node: u8| -> Outcome<BTreeSet<String>> {
        let client = login("dbuser_view", "DBUser.Viewer", &address(node), port, "test");
        // Each replica reads from a replication slot of its own name.
        (0..12).map(|_| client.query(sandbox, "SHOW primary_slot_name")).collect()
    };
    let replicas = BTreeSet::from(["pg_test_2".to_owned(), "pg_test_3".to_owned()]);
    for node in 2..=4 {
        let found = seen(5434, node)?;
        ensure!(found == replicas, "5434 of node-{node} leads to {found:?}");
    }
    let found = seen(5438, 2)?;
    ensure!(found == BTreeSet::from(["pg_test_3".to_owned()]), "5438 leads to {found:?}");
    Ok(())
}

fn owner(port: u16) -> Login {
    login("test", "test", &address(2), port, "test")
}

fn viewer(port: u16) -> Login {
    login("dbuser_view", "DBUser.Viewer", &address(2), port, "test")
}

fn privileges(sandbox: &Sandbox) -> Outcome {
    let admin = login("dbuser_dba", "DBUser.DBA", &address(3), 5436, "test");
    let answer = admin.query(
        sandbox,
        "SELECT string_agg(rolname || ':' || rolcanlogin::text || ':' || rolsuper::text || ':' || \
         rolreplication::text, ' ' ORDER BY rolname) FROM pg_roles \
         WHERE rolname ~ '^(dbrole_|replicator$|dbuser_dba$|dbuser_monitor$)'",
    )?;
    let expected = "dbrole_admin:false:false:false dbrole_offline:false:false:false \
         dbrole_readonly:false:false:false dbrole_readwrite:false:false:false \
         dbuser_dba:true:true:false dbuser_monitor:true:false:false replicator:true:false:true";
    ensure!(answer == expected, "the default roles are {answer}");
    let answer = admin.query(
        sandbox,
        "SELECT count(*) FROM (VALUES ('dbuser_meta', 'dbrole_admin'), \
         ('dbuser_view', 'dbrole_readonly'), ('dbrole_admin', 'dbrole_readwrite'), \
         ('dbrole_readwrite', 'dbrole_readonly'), ('dbuser_monitor', 'pg_monitor')) AS expected (who, what) \
         WHERE pg_has_role(who::name, what::name, 'member')",
    )?;
    ensure!(answer == "5", "{answer} of 5 memberships");
    login("dbuser_dba", "DBUser.DBA", &address(2), 5436, "test")
        .query(
            sandbox,
            "DROP TABLE IF EXISTS shared; CREATE TABLE shared (n int); \
             INSERT INTO shared VALUES (1)",
        )
        .map(|_| ())
}

fn read_only(sandbox: &Sandbox) -> Outcome {
    for port in [5433, 5436] {
        let answer = viewer(port).query(sandbox, "SELECT count(*) FROM shared")?;
        ensure!(answer == "1", "the reader sees {answer} rows");
        let denied = "permission denied";
        viewer(port).refused(sandbox, "INSERT INTO shared VALUES (2)", denied)?;
        viewer(port).refused(sandbox, "CREATE TABLE public.mine (n int)", denied)?;
        viewer(port).refused(sandbox, "CREATE ROLE mine", denied)?;
    }
    let read_only = "read-only transaction";
    let replica = login("test", "test", &address(2), 5434, "test");
    replica.refused(sandbox, "INSERT INTO shared VALUES (2)", read_only)
}

/// Makes connections from here to node-2 come from a strange address, or ends that.
fn stranger(sandbox: &Sandbox, on: bool) -> Outcome {
    let verb = if on { "replace" } else { "del" };
    let node = address(2);
    sandbox.shell(2, &format!("ip route {verb} {STRANGER}/32 dev eth0"))?.success()?;
    let here = format!(
        "ip addr {} {STRANGER}/32 dev br0 && ip route {verb} {node}/32 dev br0 src {STRANGER}",
        if on { "replace" } else { "del" }
    );
    let gone = format!("ip route del {node}/32; ip addr del {STRANGER}/32 dev br0");
    let script = if on { here } else { gone };
    let mut shell = sandbox.within("sh");
    shell.args(["-c", &script]);
    crate::command::run(&mut shell, Duration::from_secs(10))?.success().map(|_| ())
}

fn rejected(sandbox: &Sandbox) -> Outcome {
    let host = address(2);
    let admin = |mode: &str| login("dbuser_dba", "DBUser.DBA", &host, 5432, "test").tls(mode);
    let answer = admin("require").query(sandbox, "SELECT host(inet_client_addr())")?;
    ensure!(answer == STRANGER, "the server sees {answer}: nothing is proven");
    let unknown = "no pg_hba.conf entry";
    admin("disable").refused(sandbox, "SELECT 1", unknown)?;
    for mode in ["disable", "require"] {
        let user = login("test", "test", &host, 5432, "test").tls(mode);
        user.refused(sandbox, "SELECT 1", unknown)?;
    }
    for (user, password) in [("test", "test"), ("dbuser_dba", "DBUser.DBA")] {
        login(user, password, &host, 6432, "test").refused(sandbox, "SELECT 1", "FATAL")?;
    }
    Ok(())
}

fn tls(sandbox: &Sandbox, project: &Project) -> Outcome {
    let root = format!("sslrootcert={}", project.authority().display());
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for node in 1..=4 {
        let (database, cluster) = if node == 1 { ("meta", "pg-meta") } else { ("test", "pg-test") };
        let at = |host: &str, port: u16| {
            login("dbuser_meta", "DBUser.Meta", host, port, database).option(&root)
        };
        let direct = at(&address(node), 5432).tls("verify-full").query(sandbox, encrypted)?;
        ensure!(direct == "t", "5432 of node-{node} is not encrypted");
        // Any node's 5436 leads to the primary, whose certificate bears the cluster's name.
        let through = at(cluster, 5436).tls("verify-full");
        let through = through.option(&format!("hostaddr={}", address(node)));
        ensure!(through.query(sandbox, encrypted)? == "t", "5436 of node-{node} is not encrypted");
        let plain = at(&address(node), 5432).tls("disable").query(sandbox, encrypted)?;
        ensure!(plain == "f", "a plain connection is encrypted");
        // pgbouncer_sslmode is `disable` unless the inventory says otherwise.
        at(&address(node), 6432).tls("disable").query(sandbox, "SELECT 1")?;
        at(&address(node), 6432).tls("require").refused(sandbox, "SELECT 1", "SSL")?;
    }
    let other = login("dbuser_meta", "DBUser.Meta", "pg-other", 5436, "test").tls("verify-full");
    let other = other.option(&root).option(&format!("hostaddr={}", address(2)));
    other.refused(sandbox, "SELECT 1", "pg-other")
}

fn etcd(sandbox: &Sandbox) -> Outcome {
    let curl = |options: &str| {
        let script = format!("curl -s -m 5 {options} https://{}:2379/health", address(1));
        sandbox.shell(1, &script)
    };
    let ca = "--cacert /etc/pki/etcd-ca.crt";
    let nameless = curl(ca)?;
    ensure!(nameless.code != Some(0), "etcd answers without a certificate: {nameless}");
    // A client of databases has one of the fleet's CA too.
    let database = curl(&format!("{ca} --cert /pg/cert/server.crt --key /pg/cert/server.key"))?;
    ensure!(database.code != Some(0), "a database's certificate opens etcd: {database}");
    for pair in ["/etc/etcd/server", "/pg/cert/etcd"] {
        let known = curl(&format!("{ca} --cert {pair}.crt --key {pair}.key"))?.success()?;
        ensure!(known.stdout.contains("true"), "etcd is not well: {known}");
    }
    Ok(())
}

fn admin_page(sandbox: &Sandbox) -> Outcome {
    for node in 1..=4 {
        let cluster = if node == 1 { "pg-meta" } else { "pg-test" };
        let get = |options: &str, path: &str| {
            sandbox
                .shell(node, &format!("curl -s -m 5 {options} http://{}:9101{path}", address(node)))
        };
        let page = get("-u admin:pigsty", "/")?;
        ensure!(page.stdout.contains(&format!("{cluster}-primary")), "no page on node-{node}");
        let page = get("-o /dev/null -w '%{http_code}'", "/")?;
        ensure!(page.text() == "401", "the page of node-{node} asks for no password");
        let metrics = get("", "/metrics")?;
        ensure!(metrics.stdout.contains("haproxy_process_"), "no metrics on node-{node}");
    }
    Ok(())
}

fn backup(sandbox: &Sandbox) -> Outcome {
    for (node, cluster, database) in [(1, "pg-meta", "meta"), (2, "pg-test", "test")] {
        let admin = login("dbuser_dba", "DBUser.DBA", &address(node), 5436, database);
        admin.query(sandbox, "SELECT pg_switch_wal()")?;
        // A cluster is older than its stanza: the first attempts fail.
        let count = "SELECT archived_count > 0 AND \
             coalesce(last_failed_time < last_archived_time, true) FROM pg_stat_archiver";
        wait_until("WAL reaches the archive", Duration::from_secs(30), || {
            let answer = admin.query(sandbox, count)?;
            let seen = admin.query(sandbox, "SELECT pg_stat_archiver FROM pg_stat_archiver")?;
            ensure!(answer == "t", "{cluster}: {seen}");
            Ok(())
        })?;
        let info = || -> Outcome<String> {
            let script = "runuser -u postgres -- pgbackrest info";
            Ok(sandbox.shell(node, script)?.success()?.stdout)
        };
        let before = info()?;
        ensure!(
            before.contains("full backup") && before.contains("status: ok"),
            "{cluster} has no full backup:\n{before}"
        );
        sandbox.shell_for(node, "/pg/bin/pg-backup", Duration::from_secs(300))?.success()?;
        let after = info()?;
        ensure!(after.contains("incr backup"), "pg-backup made no incremental one:\n{after}");
    }
    let replica = sandbox.shell(3, "/pg/bin/pg-backup")?.success()?;
    ensure!(replica.stdout.contains("not the primary"), "a replica backs up: {replica}");
    Ok(())
}
