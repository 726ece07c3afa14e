//! etcd's members are lost, rebuilt, found in a cluster of their own, and dead for ever: nothing that
//! exists is born a second time.

use crate::cluster::wait_healthy;
use crate::command::{Output, wait_until};
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::postgres::superuser;
use crate::project::repository_file;
use crate::sandbox::{Image, Sandbox, address};
use crate::world::{World, step};
use std::path::Path;
use std::time::Duration;

const INVENTORY: &str = include_str!("../../inventories/etcd.yml");

const THIRD: &str = "        10.10.10.12: { etcd_seq: 3 }\n";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let project = world.project("etcd", INVENTORY)?;
    let sandbox = step("boot three warm nodes", || world.fresh(Image::Warm, 3))?;
    let keddah = Keddah { sandbox, project: &project };
    step("three members, and a PostgreSQL beside the first", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        etcdctl(sandbox, 1, "put /kept yes")?.success().map(|_| ())
    })?;
    step("a cluster's certificate and login reach its own keys, and nobody else's", || {
        alone(sandbox)
    })?;
    step("what the remedies and docs/findings.md say is typed as it stands", || {
        let findings = repository_file("docs/findings.md")?;
        let documented: Vec<&str> =
            findings.lines().filter(|line| line.starts_with("    keddah-etcdctl ")).collect();
        ensure!(documented.len() == 3, "docs/findings.md shows {documented:?}");
        let said = ["alarm list", "endpoint health --cluster", "endpoint status --cluster"];
        for words in said {
            etcdctl(sandbox, 2, words)?.success()?;
        }
        for line in documented {
            sandbox.shell(3, line)?.success()?;
        }
        kept(sandbox, 3)
    })?;
    step(
        "a fleet whose etcd asks for no logins is brought there, and no primary steps down",
        || {
            without_logins(sandbox, &project.directory)?;
            let started = || superuser(sandbox, 1, "postgres", "SELECT pg_postmaster_start_time()");
            let before = started()?;
            keddah.plan()?.contains(&expected("etcd-login", "pg-one-1").action("create"))?;
            let applied = keddah.apply()?;
            keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))?;
            ensure!(started()? == before, "PostgreSQL was restarted: {applied}");
            let log = sandbox.shell(1, "! grep -h Demoting /pg/log/patroni/patroni.log")?;
            ensure!(log.code == Some(0), "{log}");
            alone(sandbox)
        },
    )?;
    step("a node of etcd is rebuilt: its member is struck, and joins the same cluster", || {
        let before = members(sandbox)?;
        let rebuilt = "systemctl stop etcd; mv /data/etcd /data/etcd.struck; rm -rf /etc/etcd";
        sandbox.shell(3, rebuilt)?.success()?;
        says(&keddah.run(&["plan"])?, "if a disk is not mounted there, mount it first")?;
        keddah.plan()?.contains(&expected("etcd-member", "etcd-3").action("update"))?;
        rejoined(&keddah, 3)?;
        ensure!(members(sandbox)? != before, "the member came back under the id of the lost one");
        Ok(())
    })?;
    step("a disk with a struck member's data comes back over that of its replacement", || {
        let refused = |code: &str, why: &str| {
            for command in [&["plan"][..], &["apply", "--yes"]] {
                let refused = keddah.run(command)?;
                ensure!(refused.code == Some(1), "not refused: {refused}");
                says(&refused, code)?;
                says(&refused, why)?;
            }
            Ok(())
        };
        sandbox.shell(3, "mount --bind /data/etcd.struck /data/etcd")?.success()?;
        refused("etcd-place", "what lies in /data/etcd now is not its data")?;
        // With that it does not start any more.
        sandbox
            .shell(3, "systemctl restart etcd; ! systemctl --quiet is-active etcd")?
            .success()?;
        refused("etcd-leftover", "which the cluster of 10.10.10.10 does not list")?;
        let mended = "umount /data/etcd && systemctl reset-failed etcd && systemctl start etcd && \
                      rm -r /data/etcd.struck";
        sandbox.shell(3, mended)?.success()?;
        keddah.plan()?.expect_empty()?;
        kept(sandbox, 3)
    })?;
    step("a member that nobody declared is named, and another peer port is refused", || {
        // etcd takes another one only some seconds after the last one was connected.
        let add = "member add --learner etcd-9 --peer-urls=https://10.10.10.19:2380";
        let id = wait_until("etcd takes another member", Duration::from_secs(30), || {
            let added = etcdctl(sandbox, 1, add)?.success()?.text().to_owned();
            Ok(added.split_whitespace().nth(1).unwrap_or_default().to_owned())
        })?;
        let planned = keddah.run(&["plan"])?;
        says(
            &planned,
            "it has a member that the inventory does not have: one that has never started at https://10.10.10.19:2380",
        )?;
        // Typed as it stands there, on any member.
        let typed = format!("keddah-etcdctl member remove {id}");
        says(&keddah.run(&["plan", "--json"])?, &format!("`{typed}`"))?;
        sandbox.shell(2, &typed)?.success()?;
        project.edit("etcd_cluster: etcd", "etcd_cluster: etcd, etcd_peer_port: 2480")?;
        let refused = keddah.run(&["apply", "--yes"])?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        says(&refused, "etcd-place")?;
        project.edit("etcd_cluster: etcd, etcd_peer_port: 2480", "etcd_cluster: etcd")?;
        keddah.plan()?.expect_empty()
    })?;
    step(
        "a member that became a cluster of its own is refused, and mended as the help says",
        || {
            let alone = "systemctl stop etcd && rm -rf /data/etcd/member && \
             printf 'ETCD_INITIAL_CLUSTER=etcd-2=https://10.10.10.11:2380\\nETCD_INITIAL_CLUSTER_STATE=new\\n' \
             > /etc/etcd/bootstrap.env && systemctl start etcd";
            sandbox.shell(2, alone)?.success()?;
            for command in [&["plan"][..], &["apply", "--yes"]] {
                let refused = keddah.run(command)?;
                ensure!(refused.code == Some(1), "not refused: {refused}");
                says(&refused, "etcd on 10.10.10.11 is a cluster of its own")?;
            }
            sandbox.shell(2, "systemctl stop etcd && mv /data/etcd /data/etcd.wrong")?.success()?;
            rejoined(&keddah, 2)
        },
    )?;
    step(
        "no member restarts where the others are no quorum, and one by one where they are",
        || {
            let started = |node| {
                let words = "systemctl show --property=ExecMainStartTimestampMonotonic etcd";
                sandbox.shell(node, words)?.success().map(|output| output.text().to_owned())
            };
            sandbox.shell(3, "systemctl mask --quiet --runtime --now etcd")?.success()?;
            let before = [started(1)?, started(2)?];
            project
                .edit("etcd_cluster: etcd", "etcd_cluster: etcd, etcd_election_timeout: 1500")?;
            let failed = keddah.run(&["apply", "--yes"])?;
            ensure!(failed.code != Some(0), "not refused: {failed}");
            says(&failed, "of 3 members 2 are a quorum, and without this one 1 are well")?;
            ensure!([started(1)?, started(2)?] == before, "etcd was restarted: {failed}");
            sandbox.shell(3, "systemctl unmask --quiet --runtime etcd")?.success()?;
            rejoined(&keddah, 3)?;
            ensure!(started(1)? != before[0] && started(2)? != before[1], "etcd was not restarted");
            Ok(())
        },
    )?;
    step("a member whose next start would be another's is not restarted", || {
        let before = members(sandbox)?;
        let forced = "mkdir -p /run/systemd/system/etcd.service.d && \
             printf '[Service]\\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\\n' \
             > /run/systemd/system/etcd.service.d/force.conf";
        sandbox.shell(2, forced)?.success()?;
        let found = keddah.run(&["status"])?;
        says(
            &found,
            "ETCD_FORCE_NEW_CLUSTER=true (/run/systemd/system/etcd.service.d/force.conf)",
        )?;
        says(&found, "[etcd-next-start]")?;
        project.edit("etcd_election_timeout: 1500", "etcd_election_timeout: 1600")?;
        let refused = keddah.run(&["apply", "--yes"])?;
        ensure!(refused.code != Some(0), "not refused: {refused}");
        says(&refused, "etcd.service is not started: it would have what nobody declared")?;
        ensure!(members(sandbox)? == before, "the members are others: {refused}");
        sandbox.shell(2, "rm /run/systemd/system/etcd.service.d/force.conf")?.success()?;
        rejoined(&keddah, 2)?;
        ensure!(members(sandbox)? == before, "the members are others");
        Ok(())
    })?;
    step("a member goes by its own name, with what only members have, and comes back", || {
        project
            .edit("etcd_cluster: etcd,", "etcd_cluster: etcd, etcd_root_password: of-our-own,")?;
        let changed = keddah.apply()?;
        for node in 1..=3 {
            let list = sandbox.shell(node, "keddah-etcdctl member list")?.success()?;
            ensure!(
                voting(list.text()) == 3,
                "node {node} has another password: {list}\n{changed}"
            );
        }
        let removed = keddah.run(&["remove", "etcd-3", "--confirm", "etcd-3"])?;
        ensure!(removed.code == Some(0), "it failed: {removed}");
        says(&removed, "etcd is left with 2 members: none of them may fail")?;
        let left = members(sandbox)?;
        ensure!(left.lines().count() == 2, "these are left:\n{left}\n{removed}");
        let gone = "! systemctl --quiet is-active etcd && ! ls /etc/etcd/root.password && \
                    ! command -v keddah-etcdctl && ls -d /data/etcd.removed";
        sandbox.shell(3, gone)?.success()?;
        project.edit(THIRD, "")?;
        keddah.plan()?.expect_empty()?;
        project.edit(
            "        10.10.10.11: { etcd_seq: 2 }\n",
            &format!("        10.10.10.11: {{ etcd_seq: 2 }}\n{THIRD}"),
        )?;
        rejoined(&keddah, 3)
    })?;
    step("a dead member cannot be struck where that costs the quorum", || {
        sandbox.shell(2, "systemctl stop etcd")?.success()?;
        sandbox.stop(3, true)?;
        let gone = address(3);
        let refused = keddah.run(&["remove", &gone, "--confirm", &gone])?;
        ensure!(refused.code == Some(1), "not refused: {refused}");
        let why = ["etcd-quorum", "etcd-unasked"];
        ensure!(why.iter().any(|code| refused.stderr.contains(code)), "for what?\n{refused}");
        Ok(())
    })?;
    step("the second member starts again", || {
        sandbox.shell(2, "systemctl start etcd")?.success().map(|_| ())
    })?;
    step("a node that is gone for ever is struck", || {
        let gone = address(3);
        let removed = keddah.run(&["remove", &gone, "--confirm", &gone])?;
        let left = members(sandbox)?;
        ensure!(left.lines().count() == 2, "these are left:\n{left}\n{removed}");
        project.edit(THIRD, "")?;
        keddah.plan()?.expect_empty()?;
        kept(sandbox, 2)
    })?;
    step("a quorum that is gone for ever is given up as docs/operations.md says", || {
        sandbox.shell(2, "systemctl stop etcd; rm -rf /data/etcd")?.success()?;
        let refused = keddah.run(&["apply", "--yes"])?;
        says(&refused, "etcd-quorum")?;
        says(&refused, "etcd without a quorum")?;
        let forced = "systemctl stop etcd && cp -a /data/etcd /data/etcd.before && \
             mkdir -p /run/systemd/system/etcd.service.d && \
             printf '[Service]\\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\\n' \
             > /run/systemd/system/etcd.service.d/force.conf && \
             systemctl daemon-reload && systemctl start etcd && \
             rm /run/systemd/system/etcd.service.d/force.conf && \
             systemctl daemon-reload && systemctl restart etcd";
        sandbox.shell(1, forced)?.success()?;
        let applied = keddah.apply()?;
        keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))?;
        let left = members(sandbox)?;
        ensure!(voting(&left) == 2, "these are members:\n{left}");
        kept(sandbox, 2)
    })?;
    step("an etcd whose data is gone everywhere begins anew as the help says", || {
        let query =
            "sudo -u postgres psql -Atc 'select system_identifier from pg_control_system()'";
        let before = sandbox.shell(1, query)?.success()?.text().to_owned();
        for node in [1, 2] {
            sandbox.shell(node, "systemctl stop etcd; rm -rf /data/etcd")?.success()?;
        }
        let refused = keddah.run(&["apply", "--yes"])?;
        says(&refused, "etcd-lost")?;
        // Of one of etcd's hosts alone: what PostgreSQL has elsewhere counts all the same.
        let alone = keddah.run(&["apply", "--yes", "--limit", &address(2)])?;
        ensure!(alone.code == Some(1), "not refused: {alone}");
        says(&alone, "etcd-lost")?;
        sandbox.shell(1, "systemctl stop patroni")?.success()?;
        for node in [1, 2] {
            sandbox.shell(node, "rm /etc/etcd/bootstrap.env")?.success()?;
        }
        let applied = keddah.run(&["apply", "--yes", "--limit", "etcd"])?.success()?;
        keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))?;
        ensure!(voting(&members(sandbox)?) == 2, "etcd has not begun anew: {applied}");
        let after = sandbox.shell(1, query)?.success()?.text().to_owned();
        ensure!(before == after, "the system was {before}, and is {after}");
        let writes = "sudo -u postgres psql -Atc 'create table again (); drop table again'";
        sandbox.shell(1, writes)?.success().map(|_| ())
    })?;
    world.discard();
    Ok(())
}

/// etcdctl with the certificate and the login of the cluster `pg-one`.
fn as_cluster(sandbox: &Sandbox, login: &str, words: &str) -> Outcome<Output> {
    let line = format!(
        "ETCDCTL_API=3 {login} etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/pki/etcd-ca.crt \
         --cert=/pg/cert/etcd.crt --key=/pg/cert/etcd.key {words}"
    );
    sandbox.shell(1, &line)
}

fn alone(sandbox: &Sandbox) -> Outcome {
    const LOGIN: &str = "ETCDCTL_USER=pg-one:pg-one";
    let own = as_cluster(sandbox, LOGIN, "get --print-value-only /pg/pg-one/leader")?.success()?;
    ensure!(own.text() == "pg-one-1", "it does not read its own leader: {own}");
    as_cluster(sandbox, LOGIN, "put /keddah/pg-one/note yes")?.success()?;
    for words in [
        "get --prefix /pg/pg-two/",
        "put /pg/pg-two/leader pg-one-1",
        "put /pg/pg-one2/leader pg-one-1",
        "get --prefix /pg",
        "get --prefix /keddah-passwords/",
    ] {
        let refused = as_cluster(sandbox, LOGIN, words)?;
        ensure!(refused.code != Some(0), "{words} is not refused: {refused}");
        says(&refused, "permission denied")?;
    }
    let nobody = as_cluster(sandbox, "", "get /pg/pg-one/leader")?;
    ensure!(nobody.code != Some(0), "no login is needed: {nobody}");
    Ok(())
}

/// Makes it a fleet from before logins: etcd asks for none and knows no user, Patroni has none, and is
/// connected by a certificate with a common name.
fn without_logins(sandbox: &Sandbox, project: &Path) -> Outcome {
    for words in
        ["auth disable", "user delete pg-one", "role delete pg-one", "del --prefix /keddah"]
    {
        etcdctl(sandbox, 1, words)?.success()?;
    }
    let authority = |file| std::fs::read_to_string(project.join("files/pki/etcd").join(file));
    let script = format!(
        "set -e; cd /root; umask 077; cat > ca.crt <<'END'\n{}\nEND\ncat > ca.key <<'END'\n{}\nEND\n\
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 900 \
         -subj /CN=pg-one-1 -addext basicConstraints=critical,CA:FALSE -CA ca.crt -CAkey ca.key \
         -keyout /pg/cert/etcd.key -out /pg/cert/etcd.crt 2>/dev/null\n\
         rm ca.key; chown postgres: /pg/cert/etcd.*; chmod 644 /pg/cert/etcd.crt\n\
         sed -i '/^etcd3:/{{N;N;d}}' /etc/patroni/conf.d/90-secrets.yml\n\
         systemctl restart patroni; : > /pg/log/patroni/patroni.log",
        authority("ca.crt")?.trim(),
        authority("ca.key")?.trim(),
    );
    sandbox.shell(1, &script)?.success()?;
    wait_healthy(sandbox, 1, 1, Duration::from_secs(60))?;
    Ok(())
}

/// Applies, and finds the member in the cluster that was there before.
fn rejoined(keddah: &Keddah<'_>, node: u8) -> Outcome {
    let applied = keddah.apply()?;
    keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))?;
    let list = members(keddah.sandbox)?;
    ensure!(voting(&list) == 3, "not all three are members with a vote:\n{list}");
    kept(keddah.sandbox, node)
}

/// How many of a list have started and are no learners, which its last column says.
fn voting(list: &str) -> usize {
    list.lines().filter(|line| line.contains("started") && line.ends_with("false")).count()
}

/// A node's own member has what was written before.
fn kept(sandbox: &Sandbox, node: u8) -> Outcome {
    let answer =
        etcdctl(sandbox, node, "get --print-value-only --consistency=s /kept")?.success()?;
    ensure!(answer.text() == "yes", "node {node} has lost what was written: {answer}");
    Ok(())
}

fn members(sandbox: &Sandbox) -> Outcome<String> {
    Ok(etcdctl(sandbox, 1, "member list")?.success()?.text().to_owned())
}

/// What a person types there.
fn etcdctl(sandbox: &Sandbox, node: u8, words: &str) -> Outcome<Output> {
    sandbox.shell(node, &format!("keddah-etcdctl {words}"))
}
