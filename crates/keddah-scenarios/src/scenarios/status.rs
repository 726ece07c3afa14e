//! Things that go wrong, one after the other: each is told with its remedy, in words and in JSON, and is
//! gone after the remedy. The last one takes three of four nodes away.

use crate::cluster::leader;
use crate::command::{Output, wait_until};
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::{Keddah, says};
use crate::sandbox::{Sandbox, address};
use crate::world::{World, step};
use serde_json::Value;
use std::time::Duration;

/// `status` always answers within this time (and the start of a process).
const ALWAYS: Duration = Duration::from_millis(4500);

/// The nodes of pg-test.
const TEST: [u8; 3] = [2, 3, 4];

/// Something that goes wrong on a node, and how it ends.
struct Fault {
    about: &'static str,
    /// The finding, and what it is about: `%` stands for the instance, `@` for the node.
    finding: &'static str,
    place: &'static str,
    severity: &'static str,
    /// `LEADER` in these stands for the leader's address, `INSTANCE` for the member's name.
    begin: &'static str,
    end: &'static str,
    /// On the leader, rather than on a replica.
    on_leader: bool,
}

const FAULTS: &[Fault] = &[
    Fault {
        about: "Patroni is paused",
        finding: "paused",
        place: "pg-test",
        severity: "warning",
        begin: "runuser -u postgres -- patronictl -c /etc/patroni/conf.d pause --wait",
        end: "runuser -u postgres -- patronictl -c /etc/patroni/conf.d resume --wait",
        on_leader: false,
    },
    Fault {
        about: "a replica's postmaster is frozen",
        finding: "server-silent",
        place: "%",
        severity: "critical",
        begin: "kill -STOP $(head -1 /pg/data/postmaster.pid)",
        end: "kill -CONT $(head -1 /pg/data/postmaster.pid)",
        on_leader: false,
    },
    Fault {
        about: "the leader's postmaster is frozen",
        finding: "server-silent",
        place: "%",
        severity: "critical",
        begin: "kill -STOP $(head -1 /pg/data/postmaster.pid)",
        end: "kill -CONT $(head -1 /pg/data/postmaster.pid)",
        on_leader: true,
    },
    Fault {
        about: "a pool is down",
        finding: "service-down",
        place: "@",
        severity: "warning",
        begin: "systemctl stop pgbouncer",
        end: "systemctl start pgbouncer",
        on_leader: false,
    },
    Fault {
        about: "a pool is frozen",
        finding: "pool-silent",
        place: "%",
        severity: "critical",
        begin: "kill -STOP $(systemctl show --property MainPID --value pgbouncer)",
        end: "kill -CONT $(systemctl show --property MainPID --value pgbouncer)",
        on_leader: false,
    },
    Fault {
        about: "the leader's pool is frozen, behind its services",
        finding: "service-silent",
        place: "pg-test-primary",
        severity: "critical",
        begin: "kill -STOP $(systemctl show --property MainPID --value pgbouncer)",
        end: "kill -CONT $(systemctl show --property MainPID --value pgbouncer)",
        on_leader: true,
    },
    Fault {
        about: "somebody paused a pool",
        finding: "pool-paused",
        place: "%",
        severity: "warning",
        begin: "cd / && runuser -u postgres -- psql -X -q -p 6432 -c 'PAUSE test' pgbouncer",
        end: "cd / && runuser -u postgres -- psql -X -q -p 6432 -c 'RESUME test' pgbouncer",
        on_leader: false,
    },
    Fault {
        about: "a replica receives nothing",
        finding: "not-streaming",
        place: "%",
        severity: "warning",
        begin: "ip route add blackhole LEADER; kill $(pgrep -u postgres -f '^postgres: .*walreceiver')",
        end: "ip route del blackhole LEADER",
        on_leader: false,
    },
    Fault {
        about: "a replica does not replay",
        finding: "lagging",
        place: "%",
        severity: "warning",
        begin: "kill -STOP $(pgrep -u postgres -f '^postgres: .*startup')",
        end: "kill -CONT $(pgrep -u postgres -f '^postgres: .*startup')",
        on_leader: false,
    },
    Fault {
        about: "WAL cannot be archived",
        finding: "archiving-fails",
        place: "%",
        severity: "critical",
        begin: "mv /etc/pgbackrest/pgbackrest.conf /root/pgbackrest.conf; cd / && \
                runuser -u postgres -- psql -X -q -c \"SELECT pg_create_restore_point('status'), pg_switch_wal()\" >/dev/null",
        end: "mv /root/pgbackrest.conf /etc/pgbackrest/pgbackrest.conf; cd / && \
              runuser -u postgres -- psql -X -q -c \"SELECT pg_create_restore_point('status'), pg_switch_wal()\" >/dev/null",
        on_leader: true,
    },
    Fault {
        about: "somebody made the leader read-only",
        finding: "read-only",
        place: "%",
        severity: "critical",
        begin: "cd / && runuser -u postgres -- psql -X -q -o /dev/null \
                -c 'ALTER SYSTEM SET default_transaction_read_only = on' -c 'SELECT pg_reload_conf()'",
        end: "cd / && runuser -u postgres -- psql -X -q -o /dev/null \
              -c 'ALTER SYSTEM RESET default_transaction_read_only' -c 'SELECT pg_reload_conf()'",
        on_leader: true,
    },
    Fault {
        about: "commits wait for a standby that nobody has",
        finding: "commits-wait",
        place: "%",
        severity: "critical",
        begin: "cd / && runuser -u postgres -- psql -X -q -o /dev/null \
                -c \"ALTER SYSTEM SET synchronous_standby_names = 'nobody'\" -c 'SELECT pg_reload_conf()'",
        end: "cd / && runuser -u postgres -- psql -X -q -o /dev/null \
              -c 'ALTER SYSTEM RESET synchronous_standby_names' -c 'SELECT pg_reload_conf()'",
        on_leader: true,
    },
    Fault {
        about: "somebody shut a database",
        finding: "database-shut",
        place: "pg-test",
        severity: "critical",
        begin: "cd / && runuser -u postgres -- psql -X -q -c 'ALTER DATABASE test ALLOW_CONNECTIONS false'",
        end: "cd / && runuser -u postgres -- psql -X -q -c 'ALTER DATABASE test ALLOW_CONNECTIONS true'",
        on_leader: true,
    },
    Fault {
        about: "a pool has read an empty list, and the file is right again",
        finding: "login-refused",
        place: "%",
        severity: "warning",
        begin: "cd /etc/pgbouncer && cp -a userlist.txt /root/userlist.txt && : > userlist.txt && \
                systemctl reload pgbouncer && sleep 1 && cp -a /root/userlist.txt userlist.txt",
        end: "systemctl reload pgbouncer",
        on_leader: false,
    },
    Fault {
        about: "a file was changed after it was read",
        finding: "configuration-unloaded",
        place: "@",
        severity: "warning",
        begin: "touch /etc/haproxy/haproxy.cfg",
        end: "systemctl reload haproxy",
        on_leader: false,
    },
    Fault {
        about: "somebody told a pool otherwise on its console",
        finding: "configuration-unloaded",
        place: "%",
        severity: "warning",
        begin: "cd / && runuser -u postgres -- psql -X -q -p 6432 -c 'SET auth_type = trust' pgbouncer",
        end: "systemctl reload pgbouncer",
        on_leader: false,
    },
    // A delay made with ALTER SYSTEM, and a replay that somebody paused, Patroni ends by itself within seconds; a
    // delay in a file that it does not write stays.
    Fault {
        about: "a file makes a replica replay late",
        finding: "replay-held",
        place: "%",
        severity: "warning",
        begin: "echo \"recovery_min_apply_delay = '1h'\" >>/pg/data/postgresql.base.conf; cd / && \
                runuser -u postgres -- psql -X -q -o /dev/null -c 'SELECT pg_reload_conf()'",
        end: "sed -i /recovery_min_apply_delay/d /pg/data/postgresql.base.conf; cd / && \
              runuser -u postgres -- psql -X -q -o /dev/null -c 'SELECT pg_reload_conf()'",
        on_leader: false,
    },
    Fault {
        about: "PostgreSQL was upgraded on the disk, and runs on",
        finding: "program-replaced",
        place: "%",
        severity: "warning",
        begin: "program=$(readlink /proc/$(head -1 /pg/data/postmaster.pid)/exe) && \
                cp -a $program $program.new && mv $program.new $program",
        end: "runuser -u postgres -- patronictl -c /etc/patroni/conf.d restart pg-test INSTANCE --force",
        on_leader: false,
    },
    Fault {
        about: "HAProxy was upgraded on the disk, and runs on",
        finding: "program-replaced",
        place: "@",
        severity: "warning",
        begin: "cp -a /usr/sbin/haproxy /usr/sbin/haproxy.new && mv /usr/sbin/haproxy.new /usr/sbin/haproxy",
        end: "systemctl restart haproxy",
        on_leader: false,
    },
    Fault {
        about: "Patroni was upgraded on the disk, and runs on",
        finding: "program-replaced",
        place: "%",
        severity: "warning",
        begin: "cd /usr/lib/python3/dist-packages/patroni && cp -a version.py /root/version.py && \
                sed -i \"s/^__version__ = .*/__version__ = '99.1.2'/\" version.py",
        end: "cp -a /root/version.py /usr/lib/python3/dist-packages/patroni/version.py",
        on_leader: false,
    },
    // The packages themselves are in no sandbox, whose images mask the timer: what counts are their programs'
    // presence and apt's own word.
    Fault {
        about: "the machine may upgrade its servers at night",
        finding: "unattended-upgrades",
        place: "@",
        severity: "warning",
        begin: "rm -f /etc/systemd/system/apt-daily-upgrade.timer && touch /usr/bin/unattended-upgrade && printf '%s\\n' 'APT::Periodic::Unattended-Upgrade \"1\";' \
                'Unattended-Upgrade::Origins-Pattern { \"origin=Debian,label=Debian\"; };' \
                >/etc/apt/apt.conf.d/99-keddah-scenario",
        end: "echo 'Unattended-Upgrade::Package-Blacklist { \"^postgresql-\"; \"^patroni$\"; \"^pgbouncer\"; \
              \"haproxy\"; \"keepalived\"; \"etcd\"; };' >>/etc/apt/apt.conf.d/99-keddah-scenario",
        on_leader: false,
    },
    Fault {
        about: "needrestart restarts servers by itself",
        finding: "unattended-upgrades",
        place: "@",
        severity: "warning",
        begin: "ln -s /dev/null /etc/systemd/system/apt-daily-upgrade.timer && \
                rm /usr/bin/unattended-upgrade /etc/apt/apt.conf.d/99-keddah-scenario && \
                mkdir -p /etc/needrestart/conf.d && touch /usr/sbin/needrestart && \
                echo \"\\$nrconf{restart} = 'a';\" >/etc/needrestart/conf.d/50-automatic.conf",
        end: "rm -r /usr/sbin/needrestart /etc/needrestart",
        on_leader: false,
    },
    Fault {
        about: "somebody forgot a server in maintenance",
        finding: "service-by-hand",
        place: "pg-test-primary",
        severity: "warning",
        begin: "python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(\"/run/haproxy/admin.sock\"); \
                s.sendall((sys.argv[1] + chr(10)).encode()); print(s.recv(4096).decode())' \
                'set server pg-test-primary/INSTANCE state maint'",
        end: "python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(\"/run/haproxy/admin.sock\"); \
                s.sendall((sys.argv[1] + chr(10)).encode()); print(s.recv(4096).decode())' \
                'set server pg-test-primary/INSTANCE state ready'",
        on_leader: false,
    },
    Fault {
        about: "the leader itself is in maintenance",
        finding: "writes-lead-nowhere",
        place: "pg-test-primary",
        severity: "critical",
        begin: "python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(\"/run/haproxy/admin.sock\"); \
                s.sendall((sys.argv[1] + chr(10)).encode()); print(s.recv(4096).decode())' \
                'set server pg-test-primary/INSTANCE state maint'",
        end: "python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(\"/run/haproxy/admin.sock\"); \
                s.sendall((sys.argv[1] + chr(10)).encode()); print(s.recv(4096).decode())' \
                'set server pg-test-primary/INSTANCE state ready'",
        on_leader: true,
    },
    Fault {
        about: "a firewall shuts a member's port",
        finding: "port-closed",
        place: "%",
        severity: "warning",
        begin: "nft 'table inet shut { chain input { type filter hook input priority 0; \
                iifname != \"lo\" tcp dport 5432 reject with tcp reset; }; }'",
        end: "nft delete table inet shut",
        on_leader: false,
    },
    Fault {
        about: "a member's Patroni is stopped",
        finding: "member-down",
        place: "%",
        severity: "warning",
        begin: "systemctl stop patroni",
        end: "systemctl start patroni",
        on_leader: false,
    },
];

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let (sandbox, project) = world.demo()?;
    let keddah = Keddah { sandbox, project };
    let took = step("all is well, exit code 0", || {
        let told = well(&keddah)?;
        says(&told, "All is well: 2 clusters on 4 nodes.")?;
        Ok(told.elapsed)
    })?;
    for fault in FAULTS {
        step(&format!("{}: {}", fault.finding, fault.about), || play(sandbox, &keddah, fault))?;
    }
    step("scheduled: somebody set a time for a switchover and a restart", || {
        scheduled(sandbox, &keddah)
    })?;
    step("who serves each service now is told", || services(sandbox, &keddah))?;
    step("nothing restarts into a cluster with a frozen member, unless that is said", || {
        not_into_the_sick(sandbox, &keddah)
    })?;
    step("a member whose line is gone from the inventory is told, for it may lead", || {
        undeclared(&keddah)
    })?;
    step("what is accepted is shown, and the fleet is well", || accepted(sandbox, &keddah))?;
    let dark = step(
        "three of four nodes and etcd are gone: it answers, and nothing is called well",
        || in_the_dark(sandbox, &keddah),
    )?;
    world.figures.push(format!(
        "status: {:.2} s of four well nodes, {:.2} s with three of them dead",
        took.as_secs_f64(),
        dark.as_secs_f64()
    ));
    Ok(())
}

fn well(keddah: &Keddah<'_>) -> Outcome<Output> {
    wait_until("all is well", Duration::from_secs(60), || keddah.run(&["status"])?.expect(&[0]))
}

/// Makes it, sees it in words and in JSON, mends it, and sees that all is well.
fn play(sandbox: &Sandbox, keddah: &Keddah<'_>, fault: &Fault) -> Outcome {
    let leads = leader(sandbox, 2)?.node;
    let node = if fault.on_leader {
        leads
    } else {
        let replica = TEST.into_iter().find(|node| *node != leads);
        replica.ok_or_else(|| Failure::new("there is no replica"))?
    };
    let place =
        fault.place.replace('%', &format!("pg-test-{}", node - 1)).replace('@', &address(node));
    let instance = format!("pg-test-{}", node - 1);
    let there =
        |script: &str| script.replace("LEADER", &address(leads)).replace("INSTANCE", &instance);
    sandbox.shell(node, &there(fault.begin))?.success()?;
    if fault.finding == "lagging" {
        let write = "cd / && runuser -u postgres -- psql -X -q -c 'CREATE TABLE public.much AS \
                     SELECT n, repeat(md5(n::text), 30) AS text FROM generate_series(1, 40000) n' \
                     -c 'DROP TABLE public.much'";
        sandbox.shell(leads, write)?.success()?;
    }
    let found = wait_until("it is found", Duration::from_secs(30), || {
        let told = keddah.run(&["status", "--json"])?.expect(&[2])?;
        ensure!(told.elapsed < ALWAYS, "it took {:.1} s", told.elapsed.as_secs_f64());
        finding(&told, fault.finding, &place)
    });
    let in_words = keddah.run(&["status"])?;
    let plan = keddah.run(&["plan"])?;
    // Mended whatever was seen, for what comes after.
    sandbox.shell(node, &there(fault.end))?.success()?;
    let found = found?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    ensure!(text("severity") == fault.severity, "another severity: {found}");
    ensure!(!text("remedy").is_empty(), "it has no remedy: {found}");
    says(&in_words, &format!("[{}", fault.finding))?;
    says(&in_words, "Not well: ")?;
    // A plan tells it, too, or mends it.
    if plan.stdout.contains("Nothing to change") {
        ensure!(
            matches!(plan.code, Some(1 | 2)),
            "what is not well has an exit code of its own: {plan}"
        );
        says(&plan, &format!("[{}]", fault.finding))?;
        ensure!(!plan.stdout.contains("all is well"), "it calls that well: {plan}");
    }
    well(keddah)?;
    Ok(())
}

fn finding(told: &Output, name: &str, place: &str) -> Outcome<Value> {
    let document: Value = serde_json::from_str(&told.stdout)
        .map_err(|error| Failure::new(format!("no JSON: {error}")).with(told))?;
    ensure!(document.pointer("/well") == Some(&Value::Bool(false)), "it calls that well: {told}");
    let findings = document.pointer("/findings").and_then(Value::as_array).cloned();
    findings
        .into_iter()
        .flatten()
        .find(|one| {
            let is = |field: &str, word: &str| one.get(field).and_then(Value::as_str) == Some(word);
            is("name", name) && is("place", place)
        })
        .ok_or_else(|| Failure::new(format!("no finding {name} of {place}")).with(told))
}

/// A note: it is told, and the fleet is well; and it is gone after the remedy.
fn scheduled(sandbox: &Sandbox, keddah: &Keddah<'_>) -> Outcome {
    let leads = leader(sandbox, 2)?.node;
    let patronictl = |command: &str| {
        let all = format!("runuser -u postgres -- patronictl -c /etc/patroni/conf.d {command}");
        sandbox.shell(leads, &all)?.success()
    };
    let later = "$(date -d '+1 day' +%Y-%m-%dT%H:%M:%S+00:00)";
    patronictl(&format!("switchover pg-test --scheduled {later} --force"))?;
    patronictl(&format!("restart pg-test pg-test-{} --scheduled {later} --force", leads - 1))?;
    let told = wait_until("it is told", Duration::from_secs(20), || {
        let told = keddah.run(&["status"])?.expect(&[0])?;
        says(&told, "a switchover")?;
        says(&told, &format!("a restart of pg-test-{}", leads - 1))?;
        Ok(told)
    });
    patronictl("flush pg-test switchover --force")?;
    patronictl("flush pg-test restart --force")?;
    says(&told?, "[scheduled]")?;
    wait_until("it is gone", Duration::from_secs(20), || {
        let told = keddah.run(&["status"])?.expect(&[0])?;
        ensure!(!told.stdout.contains("[scheduled]"), "it stays: {told}");
        Ok(())
    })
}

/// The primary service leads to the leader, and the replicas' to the others, in words and in JSON.
fn services(sandbox: &Sandbox, keddah: &Keddah<'_>) -> Outcome {
    let leads = format!("pg-test-{}", leader(sandbox, 2)?.node - 1);
    let told = keddah.run(&["status", "-l", "pg-test"])?.expect(&[0])?;
    let line = told.stdout.lines().find(|line| line.contains("pg-test-primary"));
    let fields: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    ensure!(fields == ["pg-test-primary", "5433", leads.as_str()], "not so: {told}");
    let told = keddah.run(&["status", "--json"])?.expect(&[0])?;
    let document: Value = serde_json::from_str(&told.stdout)
        .map_err(|error| Failure::new(format!("no JSON: {error}")).with(&told))?;
    let clusters = document.pointer("/clusters").and_then(Value::as_array);
    let test = clusters.into_iter().flatten().find(|one| one["name"] == "pg-test");
    let services = test.and_then(|one| one["services"].as_array()).cloned().unwrap_or_default();
    let members =
        |name: &str| services.iter().find(|one| one["name"] == name)?["members"].as_array();
    ensure!(
        members("pg-test-primary").is_some_and(|all| *all == [leads.as_str()]),
        "not so: {told}"
    );
    let replicas = members("pg-test-replica").cloned().unwrap_or_default();
    ensure!(!replicas.is_empty() && !replicas.contains(&leads.into()), "not so: {told}");
    Ok(())
}

fn not_into_the_sick(sandbox: &Sandbox, keddah: &Keddah<'_>) -> Outcome {
    let before = keddah.project.text()?;
    let leads = leader(sandbox, 2)?.node;
    let Some(frozen) = TEST.into_iter().find(|node| *node != leads) else {
        return Err(Failure::new("there is no replica"));
    };
    let postmaster = "$(head -1 /pg/data/postmaster.pid)";
    sandbox.shell(frozen, &format!("kill -STOP {postmaster}"))?.success()?;
    keddah.project.edit("pg_max_conn: 100", "pg_max_conn: 110")?;
    let refused = keddah.run(&["apply", "--yes", "-l", "pg-test"])?;
    keddah.project.write(&before)?;
    sandbox.shell(frozen, &format!("kill -CONT {postmaster}"))?.success()?;
    let refused = refused.expect(&[1])?;
    says(&refused, "pg-test is not well, and this would restart")?;
    says(&refused, "--despite pg-test")?;
    keddah.plan()?.expect_empty()?;
    well(keddah)?;
    Ok(())
}

fn undeclared(keddah: &Keddah<'_>) -> Outcome {
    let before = keddah.project.text()?;
    let without: Vec<&str> = before.lines().filter(|line| !line.contains("10.10.10.13:")).collect();
    keddah.project.write(&without.join("\n"))?;
    let told = keddah.run(&["status", "--json"]);
    keddah.project.write(&before)?;
    finding(&told?.expect(&[2])?, "undeclared-member", "pg-test")?;
    well(keddah)?;
    Ok(())
}

fn accepted(sandbox: &Sandbox, keddah: &Keddah<'_>) -> Outcome {
    let before = keddah.project.text()?;
    let node = TEST[2];
    sandbox.shell(node, "systemctl stop chrony")?.success()?;
    keddah
        .project
        .edit("pg_offline_query: true", "pg_offline_query: true, keddah_accept: [service-down]")?;
    let told = keddah.run(&["status"])?;
    let wrong = keddah.project.edit("[service-down]", "[service-dwon]");
    let misspelt = keddah.run(&["status"])?;
    keddah.project.write(&before)?;
    sandbox.shell(node, "systemctl start chrony")?.success()?;
    wrong?;
    says(&told.expect(&[0])?, "accepted]")?;
    says(&misspelt.expect(&[2])?, "did you mean `service-down`?")?;
    well(keddah)?;
    Ok(())
}

fn in_the_dark(sandbox: &Sandbox, keddah: &Keddah<'_>) -> Outcome<Duration> {
    let frozen = 4;
    sandbox.shell(frozen, "kill -STOP $(head -1 /pg/data/postmaster.pid)")?.success()?;
    for node in [1, 2, 3] {
        sandbox.stop(node, true)?;
    }
    let told = keddah.run(&["status"])?;
    let again = keddah.run(&["status", "--json"])?;
    for node in [1, 2, 3] {
        sandbox.start(node)?;
    }
    sandbox.shell(frozen, "kill -CONT $(head -1 /pg/data/postmaster.pid)")?.success()?;
    let told = told.expect(&[2])?;
    ensure!(told.elapsed < ALWAYS, "it took {:.1} s", told.elapsed.as_secs_f64());
    for words in ["[etcd-no-quorum]", "[node-unknown]", "[server-silent]", "Not well: "] {
        says(&told, words)?;
    }
    finding(&again, "no-leader", "pg-meta")?;
    // Another one may lead since, whose own disk has no backup that leads on to now: that is told, and waits
    // for the next one.
    wait_until("all is well again, but for backups", Duration::from_secs(120), || {
        let told = keddah.run(&["status"])?.expect(&[0, 2])?;
        let mut lines = told.stdout.lines();
        let wrong = lines.find(|line| {
            line.starts_with("critical:")
                || line.starts_with("warning:") && !line.contains(" backup")
        });
        ensure!(wrong.is_none(), "not yet: {told}");
        Ok(())
    })?;
    Ok(told.elapsed)
}
