//! Findings beside a plan: what a plan does not mend by itself, and what it must not be carried out into.

use super::{ClusterHealth, Finding, Health, MemberHealth};
use crate::{Certainty, Plan, PlannedChange};
use keddah_resource::{Action, Class, Kind};

/// A cluster that is in this state loses more by a restart or a removal than it does without one: who
/// restarts the last good member of a sick cluster ends its service.
const IN_THE_WAY: &[&str] = &[
    "commits-wait",
    "dcs-unheard",
    "etcd-no-quorum",
    "etcd-two-clusters",
    "member-down",
    "no-leader",
    "no-synchronous-standby",
    "node-unknown",
    "not-streaming",
    "other-timeline",
    "server-silent",
    "two-writable",
];

/// What is not well and stays so when the plan is carried out. What the plan is about to make, start
/// or renew is told by the plan itself, and so is a node that does not answer.
pub fn beside<'a>(plan: &Plan, health: &'a Health) -> Vec<&'a Finding> {
    let mended = |finding: &Finding| {
        finding.name == "node-unknown"
            && plan.unreachable.iter().any(|(node, _)| node.as_str() == finding.place)
            || plan.changes.iter().any(|change| mends(change, finding, health))
    };
    health.findings.iter().filter(|finding| !mended(finding)).collect()
}

fn mends(change: &PlannedChange, finding: &Finding, health: &Health) -> bool {
    let id = &change.id;
    let made = change.difference.action == Action::Create;
    match id.kind {
        // A cluster or member that is being made is not ill.
        Kind::PgInstance if made => match &finding.cluster {
            Some(cluster) => change.cluster.as_ref() == Some(cluster),
            None => finding.place == id.node.as_str(),
        },
        Kind::EtcdMember if made => finding.place.starts_with("etcd"),
        Kind::Unit => {
            let own = finding.name == "service-down" && finding.place == id.node.as_str();
            let member = finding.name == "member-down"
                && id.name.starts_with("patroni")
                && instance_on(health, id.node.as_str(), &finding.place);
            let etcd = id.name == "etcd.service" && finding.name.starts_with("etcd-");
            let address = id.name == "keddah-vip.service" && finding.name.starts_with("address-");
            // It is reloaded or restarted, and asked at its new port or with its new password then.
            let pool = id.name.starts_with("pgbouncer")
                && matches!(finding.name, "pool-silent" | "login-refused" | "monitor-refused")
                && instance_on(health, id.node.as_str(), &finding.place);
            let unloaded = finding.name == "configuration-unloaded"
                && finding.place == id.node.as_str()
                && finding.message.starts_with(&id.name);
            let service = id.name == "haproxy.service" && finding.name == "service-silent";
            own && finding.message.starts_with(&id.name)
                || member
                || etcd
                || address
                || pool
                || unloaded
                || service
        }
        Kind::Postmaster => {
            matches!(finding.name, "pending-restart" | "port-closed" | "configuration-unloaded")
                && finding.place == id.name
        }
        Kind::PgRole => finding.name == "monitor-refused" && finding.cluster == change.cluster,
        Kind::Certificate => {
            finding.name.starts_with("certificate-")
                && finding.place == id.node.as_str()
                && finding.message.starts_with(&id.name)
        }
        _ => false,
    }
}

fn instance_on(health: &Health, node: &str, instance: &str) -> bool {
    health
        .clusters
        .iter()
        .flat_map(|cluster| &cluster.members)
        .any(|member| member.node.as_str() == node && member.instance == instance)
}

/// A change that must not be made while its cluster is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay<'a> {
    /// The cluster's name, which `--despite` takes.
    pub cluster: String,
    /// What restarts, stops or goes.
    pub change: &'a PlannedChange,
    /// What is not well.
    pub finding: &'a Finding,
}

/// Restarts, stops and removals in clusters that are not well; one for each finding. What is about the very
/// member that restarts or goes is no reason against it.
pub fn in_the_way<'a>(plan: &'a Plan, health: &'a Health) -> Vec<InTheWay<'a>> {
    let mut found: Vec<InTheWay<'a>> = Vec::new();
    let disruptive = plan.changes.iter().filter(|change| disrupts(change));
    for change in disruptive {
        let Some(cluster) =
            health.clusters.iter().find(|one| change.cluster.as_ref() == Some(&one.name))
        else {
            continue;
        };
        let concerned = instance(change, cluster);
        // A member that does not serve is restarted at nobody's cost.
        if concerned.is_some_and(|member| !matches!(member.state.as_str(), "running" | "streaming"))
            && change.difference.class < Class::Stop
        {
            continue;
        }
        let concerned = concerned.map(|member| &member.instance);
        for finding in health.findings.iter().filter(|finding| finding.counts()) {
            // A member of which nothing is known is not there for clients either.
            let silent = |member: &MemberHealth| {
                finding.name == "node-unknown"
                    && member.node.as_str() == finding.place
                    && member.state == "unknown"
                    && concerned.is_none_or(|instance| *instance != member.instance)
            };
            let about = finding.cluster.as_ref() == Some(&cluster.name)
                    && finding.name != "node-unknown"
                || finding.name.starts_with("etcd-")
                || cluster.members.iter().any(silent);
            let itself = concerned.is_some_and(|instance| *instance == finding.place);
            let told =
                found.iter().any(|one| one.finding == finding && one.cluster == cluster.name);
            if about && !itself && !told && IN_THE_WAY.contains(&finding.name) {
                found.push(InTheWay { cluster: cluster.name.clone(), change, finding });
            }
        }
    }
    found
}

/// Whether sessions end, or a member goes, where something runs now.
fn disrupts(change: &PlannedChange) -> bool {
    let ends = matches!(
        change.difference.class,
        Class::Restart | Class::OrderedRestart | Class::Stop | Class::Replace | Class::Destroy
    );
    let server = match change.id.kind {
        Kind::Postmaster | Kind::PgInstance => true,
        Kind::Unit => change.id.name.starts_with("patroni"),
        _ => false,
    };
    ends && server && change.certainty == Certainty::Known
}

/// The member that a change is about.
fn instance<'a>(
    change: &PlannedChange,
    cluster: &'a ClusterHealth,
) -> Option<&'a super::MemberHealth> {
    cluster
        .members
        .iter()
        .find(|member| member.instance == change.id.name || member.node == change.id.node)
}
