//! Whoever hangs does not hold up a plan: each is frozen once, a plan is made in time and says who it was,
//! and nothing that is not so.

use crate::cluster::leader;
use crate::command::wait_until;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::sandbox::{Sandbox, address};
use crate::world::{World, step};
use serde_json::Value;
use std::time::Duration;

/// A plan waits three seconds for what is silent. This and twice the time of a plan of what is well leave
/// room for a busy machine.
const COST: Duration = Duration::from_secs(6);

/// The nodes of pg-test.
const TEST: [u8; 3] = [2, 3, 4];

/// A plan says of a node that it could not be asked; that is no finding beside it.
const UNREACHABLE: &str = "unreachable";

/// Where it happens.
#[derive(Clone, Copy)]
enum Place {
    Leader,
    Replica,
    /// The node of the one member of etcd.
    Etcd,
}

/// Something that hangs, and goes on.
struct Hang {
    about: &'static str,
    place: Place,
    begin: &'static str,
    end: &'static str,
    /// What is found, and what it is about: `%` stands for the instance, `@` for the node.
    finding: (&'static str, &'static str),
    /// What else follows from it.
    others: &'static [&'static str],
    /// Whether resources cannot be compared meanwhile.
    hides: bool,
}

const HANGS: &[Hang] = &[
    Hang {
        about: "a replica's postmaster",
        place: Place::Replica,
        begin: "kill -STOP $(head -1 /pg/data/postmaster.pid)",
        end: "kill -CONT $(head -1 /pg/data/postmaster.pid)",
        finding: ("server-silent", "%"),
        others: &["service-silent", "service-leads-nowhere"],
        hides: true,
    },
    Hang {
        about: "the leader's postmaster",
        place: Place::Leader,
        begin: "kill -STOP $(head -1 /pg/data/postmaster.pid)",
        end: "kill -CONT $(head -1 /pg/data/postmaster.pid)",
        finding: ("server-silent", "%"),
        others: &["service-silent", "node-unknown"],
        hides: true,
    },
    Hang {
        about: "the leader's pool",
        place: Place::Leader,
        begin: "kill -STOP $(systemctl show --property MainPID --value pgbouncer)",
        end: "kill -CONT $(systemctl show --property MainPID --value pgbouncer)",
        finding: ("pool-silent", "%"),
        // Logins that wait for it leave no time for others.
        others: &["service-silent", "node-unknown"],
        hides: false,
    },
    Hang {
        about: "a replica's Patroni",
        place: Place::Replica,
        begin: "kill -STOP $(systemctl show --property MainPID --value patroni)",
        end: "kill -CONT $(systemctl show --property MainPID --value patroni)",
        finding: ("member-down", "%"),
        others: &["service-leads-nowhere"],
        hides: true,
    },
    Hang {
        about: "etcd",
        place: Place::Etcd,
        begin: "kill -STOP $(systemctl show --property MainPID --value etcd)",
        end: "kill -CONT $(systemctl show --property MainPID --value etcd)",
        finding: ("etcd-no-quorum", "etcd"),
        others: &["etcd-member-down", "dcs-unheard"],
        hides: true,
    },
    Hang {
        about: "the store of backups, for pgBackRest",
        place: Place::Leader,
        begin: "printf '#!/bin/sh\\nexec sleep 600\\n' > /usr/local/bin/pgbackrest; chmod 755 /usr/local/bin/pgbackrest",
        end: "rm /usr/local/bin/pgbackrest; pkill -x -u postgres sleep; true",
        finding: ("backups-unknown", "pg-test"),
        others: &[],
        hides: true,
    },
    Hang {
        about: "a file that the agent reads",
        place: Place::Replica,
        begin: "cd /pg/backup/backup/pg-test && mv backup.info kept && mkfifo backup.info",
        // Whoever reads it has to see its end first.
        end: "cd /pg/backup/backup/pg-test && timeout 1 sh -c ': > backup.info'; mv kept backup.info",
        finding: (UNREACHABLE, "@"),
        others: &[],
        hides: true,
    },
    Hang {
        about: "a node's logins",
        place: Place::Replica,
        begin: "kill -STOP $(pgrep -x 'sshd[a-z-]*')",
        end: "kill -CONT $(pgrep -x 'sshd[a-z-]*')",
        finding: (UNREACHABLE, "@"),
        others: &[],
        hides: true,
    },
];

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let (sandbox, project) = world.demo()?;
    let keddah = Keddah { sandbox, project };
    let well = step("all is well", || well(&keddah))?;
    let mut longest = (Duration::ZERO, "");
    for hang in HANGS {
        let took = step(hang.about, || freeze(sandbox, &keddah, hang, well * 2 + COST))?;
        longest = longest.max((took, hang.about));
    }
    world.figures.push(format!(
        "silent: plan {:.2} s of four well nodes, at most {:.2} s with something that hangs ({})",
        well.as_secs_f64(),
        longest.0.as_secs_f64(),
        longest.1
    ));
    Ok(())
}

/// Waits until a plan says that all is well; how long that plan took.
fn well(keddah: &Keddah<'_>) -> Outcome<Duration> {
    wait_until("all is well", Duration::from_secs(60), || {
        let plan = keddah.plan()?;
        plan.expect_empty()?;
        let document: Value = serde_json::from_str(&plan.output.stdout)
            .map_err(|error| Failure::new(format!("no JSON: {error}")).with(&plan.output))?;
        let well = document.pointer("/well") == Some(&Value::Bool(true));
        ensure!(well, "something is not well: {}", plan.output);
        Ok(plan.output.elapsed)
    })
}

fn freeze(
    sandbox: &Sandbox,
    keddah: &Keddah<'_>,
    hang: &Hang,
    most: Duration,
) -> Outcome<Duration> {
    let leads = leader(sandbox, 2)?.node;
    let node = match hang.place {
        Place::Leader => leads,
        Place::Replica => {
            let replica = TEST.into_iter().find(|node| *node != leads);
            replica.ok_or_else(|| Failure::new("there is no replica"))?
        }
        Place::Etcd => 1,
    };
    let place = hang.finding.1.replace('%', &format!("pg-test-{}", node - 1));
    let place = place.replace('@', &address(node));
    sandbox.shell(node, hang.begin)?.success()?;
    // On a busy machine, others may not answer in time either, once.
    let told = wait_until("a plan names it, and nothing else", Duration::from_secs(20), || {
        told(keddah, hang, &place, most)
    });
    // It goes on whatever was seen, for what comes after.
    sandbox.shell(node, hang.end)?.success()?;
    let took = told?;
    well(keddah)?;
    Ok(took)
}

/// What a plan says meanwhile; how long it took.
fn told(keddah: &Keddah<'_>, hang: &Hang, place: &str, most: Duration) -> Outcome<Duration> {
    let planned = keddah.run(&["plan", "--json"])?.expect(&[0, 1, 2])?;
    let document: Value = serde_json::from_str(&planned.stdout)
        .map_err(|error| Failure::new(format!("no JSON: {error}")).with(&planned))?;
    let took = planned.elapsed;
    ensure!(took < most, "a plan took {:.1} s: {planned}", took.as_secs_f64());
    ensure!(
        document.pointer("/well") == Some(&Value::Bool(false)),
        "it calls that well: {planned}"
    );
    let list =
        |path: &str| document.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, field: &str| {
        value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let name = hang.finding.0;
    let findings = list("/findings");
    let found = if name == UNREACHABLE {
        document.pointer("/plan/unreachable").is_some_and(|nodes| nodes.get(place).is_some())
    } else {
        findings.iter().any(|one| text(one, "name") == name && text(one, "place") == place)
    };
    ensure!(found, "it does not say {name} of {place}: {planned}");
    for other in findings.iter().filter(|one| text(one, "severity") != "note") {
        let other = text(other, "name");
        ensure!(other == name || hang.others.contains(&&*other), "{other} is not so: {planned}");
    }
    // What could not be looked at is compared later, or not at all; nothing is planned for what is silent.
    for change in list("/plan/changes") {
        let later = change.pointer("/certainty/type").and_then(Value::as_str) == Some("not-yet");
        ensure!(later, "a change of what is as declared: {change}");
    }
    ensure!(!hang.hides || planned.code != Some(0), "everything was compared: {planned}");
    Ok(took)
}
