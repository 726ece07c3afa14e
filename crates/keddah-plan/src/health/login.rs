//! New logins: what a client would meet at a server, at its pool, and at each service.

use super::{Answers, Finding};
use keddah_core::NodeName;
use keddah_resource::health::{
    Asked, Expected, ExpectedMember, LoginAnswer, LoginDoor, LoginHealth, NodeHealth, PoolSetting,
};
use std::collections::BTreeMap;

pub(super) fn judge(expected: &Expected, answers: &Answers, findings: &mut Vec<Finding>) {
    let mut silent: BTreeMap<&str, (&str, Vec<&str>)> = BTreeMap::new();
    let mut refused: BTreeMap<&str, (&str, Vec<&str>)> = BTreeMap::new();
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
                Asked::Untried => {}
                Asked::Told(told) if service => {
                    if let Some(words) = &told.refused {
                        let entry = refused.entry(&login.name);
                        entry.or_insert((words, Vec::new())).1.push(node.as_str());
                    }
                }
                Asked::Told(told) => {
                    let member = expected
                        .clusters
                        .iter()
                        .flat_map(|cluster| &cluster.members)
                        .find(|member| member.instance == login.name);
                    answered(node, member, login, told, findings);
                    // A file that was changed since is told as that.
                    let unit = member.map(|member| &member.pool_unit);
                    if !health.unloaded.iter().any(|one| Some(&one.unit) == unit) {
                        otherwise(node, member, &login.name, &told.otherwise, findings);
                    }
                }
            }
        }
    }
    wrong_passwords(expected, answers, findings);
    for (name, (words, nodes)) in refused {
        // What one of its members says to a login is told of that one.
        let cluster = super::cluster_of(expected, name);
        let told = findings.iter().any(|finding| {
            matches!(
                finding.name,
                "connections-exhausted" | "login-refused" | "monitor-refused" | "pool-paused"
            ) && super::cluster_of(expected, &finding.place) == cluster
        });
        if !told {
            findings.push(Finding::of(
                "login-refused",
                name,
                format!(
                    "a new login of the monitoring role through it is refused on {}: {words}",
                    nodes.join(", ")
                ),
                "HAProxy's log says where it sent the login, and the log of that pool or server why",
            ));
        }
    }
    for (name, (because, nodes)) in silent {
        let remedy = if because.contains("refused") {
            // Nobody listens at the service's own port.
            format!("HAProxy does not offer it there: `keddah apply -l {}`", nodes.join(","))
        } else {
            "the findings about its cluster say what does not answer behind it; HAProxy's log says where \
             it sent the login"
                .to_owned()
        };
        findings.push(Finding::of(
            "service-silent",
            name,
            format!("a new login through it fails on {}: {because}", nodes.join(", ")),
            remedy,
        ));
    }
}

/// Clusters whose servers or pools want another password of the monitoring role than the declared one.
fn wrong_passwords(expected: &Expected, answers: &Answers, findings: &mut Vec<Finding>) {
    for cluster in &expected.clusters {
        let mut refusing = Vec::new();
        let mut words = None;
        for member in &cluster.members {
            let health = answers.get(&member.node).and_then(|answer| answer.health.told());
            let logins = health.into_iter().flat_map(|health| &health.logins);
            for login in logins.filter(|login| login.name == member.instance) {
                let Some(told) = login.answer.told().filter(|told| told.wrong_password) else {
                    continue;
                };
                let pool = if login.door.is_pool() { "the pool of " } else { "" };
                refusing.push(format!("{pool}{}", member.instance));
                words = words.or(told.refused.as_ref());
            }
        }
        if let Some(words) = words {
            let (name, verb) = (&cluster.name, if refusing.len() == 1 { "does" } else { "do" });
            findings.push(Finding::of(
                "monitor-refused",
                name,
                format!("{} {verb} not let the monitoring role in: {words}", refusing.join(", ")),
                format!("`keddah apply -l {name}` gives it the declared password"),
            ));
        }
    }
}

/// What a server or pool of the node itself said to a login.
fn answered(
    node: &NodeName,
    member: Option<&ExpectedMember>,
    login: &LoginHealth,
    told: &LoginAnswer,
    findings: &mut Vec<Finding>,
) {
    let name = &login.name;
    let pool = if login.door.is_pool() { "the pool of " } else { "" };
    match &told.refused {
        // Of the whole cluster, once: the role is one.
        Some(_) if told.wrong_password => {}
        Some(words) if told.full => findings.push(Finding::of(
            "connections-exhausted",
            name,
            format!("no session is left on {pool}{name}: {words}"),
            format!(
                "as the superuser on {node}, `pg_stat_activity` says by whom they are taken, and \
                 `pg_terminate_backend` ends those that are idle; clients belong behind the pool"
            ),
        )),
        Some(words) => {
            let unit = member.map_or("pgbouncer", |member| &member.pool_unit);
            findings.push(Finding::of(
                "login-refused",
                name,
                format!("{pool}{name} refuses a new login of the monitoring role: {words}"),
                if login.door.is_pool() {
                    format!("`systemctl reload {unit}` on {node} makes it read its lists again; its log says more")
                } else {
                    format!("the server's log on {node} says why; `SELECT pg_reload_conf()` makes it read its rules again")
                },
            ));
        }
        None => {}
    }
    for (databases, word) in [(&told.paused, "RESUME"), (&told.disabled, "ENABLE")] {
        if databases.is_empty() {
            continue;
        }
        let port = member.map_or(6432, |member| member.pool_port);
        let commands: Vec<String> =
            databases.iter().map(|database| format!("`{word} {database}`")).collect();
        findings.push(Finding::of(
            "pool-paused",
            name,
            format!("its pool holds back the clients of {}", databases.join(", ")),
            format!(
                "{} on its console, as postgres on {node}: `psql -p {port} pgbouncer`; `RESUME` alone \
                 where that says that it is not paused",
                commands.join(" and ")
            ),
        ));
    }
}

/// What a pool does not have from its file.
fn otherwise(
    node: &NodeName,
    member: Option<&ExpectedMember>,
    name: &str,
    settings: &[PoolSetting],
    findings: &mut Vec<Finding>,
) {
    if settings.is_empty() {
        return;
    }
    let word =
        |value: &str| if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") };
    let words: Vec<String> = settings
        .iter()
        .map(|one| format!("`{}` is {}, and {} there", one.name, word(&one.runs), word(&one.file)))
        .collect();
    let unit = member.map_or("pgbouncer", |member| &member.pool_unit);
    findings.push(Finding::of(
        "configuration-unloaded",
        name,
        format!("its pool does not use what its file says: {}", words.join("; ")),
        format!(
            "`systemctl reload {unit}` on {node} takes back what somebody has `SET`; what stays so counts from \
             a restart on"
        ),
    ));
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
