//! A cluster as Patroni sees it: who leads, who follows.

use crate::command::wait_until;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::sandbox::Sandbox;
use serde_json::Value;
use std::time::Duration;

/// Patroni's usual port.
const PORT: u16 = 8008;

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, `pg-test-1`.
    pub name: String,
    /// Its node's number.
    pub node: u8,
    /// `leader`, `replica`, `sync_standby`.
    pub role: String,
    /// `running`, `streaming`, `starting`, …
    pub state: String,
}

/// Asks Patroni on a node.
pub fn members(sandbox: &Sandbox, node: u8) -> Outcome<Vec<Member>> {
    members_at(sandbox, node, PORT)
}

/// Asks the Patroni that answers at a port of a node.
pub fn members_at(sandbox: &Sandbox, node: u8, port: u16) -> Outcome<Vec<Member>> {
    let answer = sandbox.get(node, port, "/cluster")?;
    let document: Value = serde_json::from_str(&answer)
        .map_err(|_| Failure::new("Patroni's answer is not JSON").with(&answer))?;
    let text = |member: &Value, field: &str| {
        member.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let members = document.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(members
        .iter()
        .map(|member| Member {
            name: text(member, "name"),
            node: text(member, "host")
                .rsplit('.')
                .next()
                .and_then(|last| last.parse::<u8>().ok())
                .and_then(|last| last.checked_sub(9))
                .unwrap_or_default(),
            role: text(member, "role"),
            state: text(member, "state"),
        })
        .collect())
}

/// The member that leads, asked at a node.
pub fn leader(sandbox: &Sandbox, node: u8) -> Outcome<Member> {
    leader_at(sandbox, node, PORT)
}

/// The member that leads the cluster whose Patroni answers at a port of a node.
pub fn leader_at(sandbox: &Sandbox, node: u8, port: u16) -> Outcome<Member> {
    let members = members_at(sandbox, node, port)?;
    let leader = members.iter().find(|one| one.role == "leader" && one.state == "running");
    leader.cloned().ok_or_else(|| Failure::new("nobody leads").with(format!("{members:#?}")))
}

/// Waits until a cluster has one leader and its other members stream.
pub fn wait_healthy(
    sandbox: &Sandbox,
    node: u8,
    count: usize,
    at_most: Duration,
) -> Outcome<Member> {
    wait_until("a healthy cluster", at_most, || {
        let members = members(sandbox, node)?;
        let leader = leader(sandbox, node)?;
        let up = ["running", "streaming"];
        ensure!(
            members.len() == count && members.iter().all(|one| up.contains(&one.state.as_str())),
            "not all of {count} members are up: {members:?}"
        );
        // Older versions of Patroni do not tell whether a replica streams; its primary does.
        let script = "runuser -u postgres -- psql -X -A -t -c \"SELECT count(*) FROM \
             pg_stat_replication WHERE state = 'streaming' AND application_name LIKE 'pg-%'\"";
        let streaming = sandbox.shell(leader.node, script)?;
        ensure!(
            streaming.text() == (count - 1).to_string(),
            "{} replicas stream of {}",
            streaming.text(),
            count - 1
        );
        Ok(leader)
    })
}
