//! New logins: what a client would meet at a server, at its pool, and at each service.

use super::{Answers, Finding};
use keddah_core::NodeName;
use keddah_resource::health::{Asked, Expected, LoginDoor, LoginHealth, NodeHealth};
use std::collections::BTreeMap;

pub(super) fn judge(expected: &Expected, answers: &Answers, findings: &mut Vec<Finding>) {
    let mut silent: BTreeMap<&str, (&str, Vec<&str>)> = BTreeMap::new();
    for (node, answer) in answers.iter().filter(|(node, _)| expected.nodes.contains(*node)) {
        let Some(health) = answer.health.told() else { continue };
        for login in &health.logins {
            let service = matches!(login.door, LoginDoor::PooledService | LoginDoor::DirectService);
            match &login.answer {
                Asked::Unknown { because } if service => {
                    if !told_already(health, "haproxy", login) {
                        let entry = silent.entry(&login.name);
                        entry.or_insert((because, Vec::new())).1.push(node.as_str());
                    }
                }
                Asked::Unknown { because } => own(node, health, login, because, findings),
                // Through a service it may be another node's, which tells itself.
                Asked::Told(_) if service => {}
                Asked::Told(told) => {
                    let name = &login.name;
                    let pool = if login.door.is_pool() { "the pool of " } else { "" };
                    if let Some(words) = told.refused.as_ref().filter(|_| told.wrong_password) {
                        findings.push(Finding::of(
                            "monitor-refused",
                            name,
                            format!("{pool}{name} does not let the monitoring role in: {words}"),
                            format!("`keddah apply -l {node}` gives it the declared password"),
                        ));
                    }
                    if !told.paused.is_empty() {
                        findings.push(Finding::of(
                            "pool-paused",
                            name,
                            format!(
                                "its pool holds back the clients of {}",
                                told.paused.join(", ")
                            ),
                            format!(
                                "`RESUME` or `ENABLE` on its console, as postgres on {node}: \
                                 `psql -p 6432 pgbouncer`"
                            ),
                        ));
                    }
                }
            }
        }
    }
    for (name, (because, nodes)) in silent {
        findings.push(Finding::of(
            "service-silent",
            name,
            format!("a new login through it fails on {}: {because}", nodes.join(", ")),
            "the findings about its cluster say what does not answer behind it; HAProxy's log says where \
             it sent the login",
        ));
    }
}

/// A server or pool of the node itself.
fn own(
    node: &NodeName,
    health: &NodeHealth,
    login: &LoginHealth,
    because: &str,
    findings: &mut Vec<Finding>,
) {
    let name = &login.name;
    if login.door.is_pool() {
        if !told_already(health, "pgbouncer", login) {
            findings.push(Finding::of(
                "pool-silent",
                name,
                format!("a new login to its pool fails: {because}"),
                format!("`systemctl status pgbouncer` and its log on {node}"),
            ));
        }
        return;
    }
    // Where its socket is silent, too, that is told of the server.
    let server = health.servers.iter().find(|server| server.instance == *name);
    if server.is_some_and(|server| server.server.told().is_some()) {
        findings.push(Finding::of(
            "server-silent",
            name,
            format!("a new login over the network fails: {because}"),
            format!("look at `pg_listen`, at firewalls, and at the server's log on {node}"),
        ));
    }
}

/// Whether the program in front is not up, or leads nowhere, which is a finding of its own.
fn told_already(health: &NodeHealth, program: &str, login: &LoginHealth) -> bool {
    let down = health.units.told().into_iter().flatten().any(|unit| {
        unit.unit.starts_with(program) && unit.state != "active" && unit.state != "reloading"
    });
    let idle = health.idle_listeners.told().into_iter().flatten();
    down || idle.into_iter().any(|listener| listener.name == login.name)
}
