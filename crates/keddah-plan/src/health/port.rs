//! Ports between nodes: one that is shut is seen by neither end of it alone.

use super::{Answers, Finding};
use keddah_core::NodeName;
use keddah_resource::health::{Asked, ClosedPort, Expected, LoginDoor, NodeHealth};
use std::collections::BTreeMap;

/// Ports that serve on their own node, and that others do not reach.
pub(super) fn judge(expected: &Expected, answers: &Answers, findings: &mut Vec<Finding>) {
    let mut closed: BTreeMap<(&str, u16), (&ClosedPort, Vec<&str>)> = BTreeMap::new();
    for (node, answer) in answers {
        let Some(health) = answer.health.told() else { continue };
        for port in &health.closed_ports {
            let known = (port.instance.as_str(), port.port);
            closed.entry(known).or_insert((port, Vec::new())).1.push(node.as_str());
        }
    }
    let members = expected.clusters.iter().flat_map(|cluster| &cluster.members);
    for member in members {
        let own = closed.iter().filter(|((instance, _), _)| *instance == member.instance);
        for ((instance, number), (port, nodes)) in own {
            // One that does not serve at home tells so itself.
            if !serves(answers, &member.node, port) {
                continue;
            }
            let whose = if port.door.is_pool() { "its pool's port" } else { "its port" };
            findings.push(Finding::of(
                "port-closed",
                *instance,
                format!("{whose} {number} is not reached from {}: {}", nodes.join(", "), port.because),
                format!(
                    "a firewall on {} or between them (`nft list ruleset`), or a server that listens \
                     elsewhere (`pg_listen`)",
                    member.node
                ),
            ));
        }
    }
}

fn serves(answers: &Answers, node: &NodeName, port: &ClosedPort) -> bool {
    let Some(health) = answers.get(node).and_then(|answer| answer.health.told()) else {
        return false;
    };
    let NodeHealth { logins, servers, .. } = health;
    let door = if port.door.is_pool() { LoginDoor::Pool } else { LoginDoor::Server };
    let login = logins.iter().find(|login| login.name == port.instance && login.door == door);
    match login {
        Some(login) => matches!(login.answer, Asked::Told(_)),
        None => servers
            .iter()
            .any(|server| server.instance == port.instance && server.server.told().is_some()),
    }
}
