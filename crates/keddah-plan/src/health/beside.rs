//! Findings beside a plan: what a plan does not mend by itself, and what it must not be carried out into.

use super::{ClusterHealth, Finding, Health, MemberHealth};
use crate::{Certainty, Plan, PlannedChange};
use keddah_core::NodeName;
use keddah_resource::{Action, Class, Kind};

/// A cluster that is in this state loses more by a restart or a removal than it does without one: who
/// restarts the last good member of a sick cluster ends its service.
const IN_THE_WAY: &[&str] = &[
    "commits-wait",
    "dcs-unheard",
    "disk-full",
    // A full store takes no writes: no member could take the lead.
    "etcd-alarm",
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
            || finding.name.starts_with("etcd-") && makes_etcd(plan, health)
            || plan.changes.iter().any(|change| mends(change, finding, health))
    };
    health.findings.iter().filter(|finding| !mended(finding)).collect()
}

/// Notes of a plan that these findings do not say, too: one thing is said in one place, with its remedy.
pub fn not_said_by<'a>(plan: &'a Plan, shown: &[&Finding]) -> Vec<&'a str> {
    let said = |note: &str| {
        shown.iter().any(|finding| match finding.name {
            // The note ends with the command that strikes it.
            "etcd-undeclared" => {
                let id = finding.member.as_ref();
                id.is_some_and(|id| note.ends_with(&format!(" member remove {id}")))
            }
            "altered-settings" => {
                note.starts_with(&format!("{} has settings of ALTER SYSTEM", finding.place))
            }
            _ => false,
        })
    };
    plan.notes.iter().map(String::as_str).filter(|note| !said(note)).collect()
}

/// Whether a change makes a finding untrue once it is carried out. What merely might help does not count:
/// a restart ends no alarm of etcd's, and a member that joins makes no cluster well.
fn mends(change: &PlannedChange, finding: &Finding, health: &Health) -> bool {
    let id = &change.id;
    let node = id.node.as_str();
    let made = change.difference.action == Action::Create;
    let here = finding.place == node;
    let own =
        |prefix: &str| id.name.starts_with(prefix) && instance_on(health, node, &finding.place);
    match id.kind {
        // A cluster that is being made is not ill; one that grows may be.
        Kind::PgInstance if made => match &finding.cluster {
            Some(cluster) if is_bare(health, cluster) => change.cluster.as_ref() == Some(cluster),
            _ => finding.place == id.name || here,
        },
        Kind::EtcdMember if made => match finding.name {
            "etcd-member-down" | "etcd-unlisted" => member_on(health, node, &finding.place),
            name => name.starts_with("etcd-") && etcd_is_bare(health),
        },
        Kind::Unit => {
            let (starts, names) = (made, finding.message.starts_with(&id.name));
            let restarts = starts || change.difference.class >= Class::Restart;
            match finding.name {
                "service-down" => here && names && starts,
                "configuration-unloaded" => here && names || own("pgbouncer"),
                "program-replaced" => {
                    restarts
                        && (here && names || own("patroni") && finding.message.contains("Patroni"))
                }
                "member-down" => starts && own("patroni"),
                "etcd-member-down" => {
                    starts && id.name == "etcd.service" && member_on(health, node, &finding.place)
                }
                "address-missing" => {
                    starts
                        && id.name == "keddah-vip.service"
                        && takes_address(health, node, finding)
                }
                "pool-silent" => restarts && own("pgbouncer"),
                // It reads its lists again, and is asked with its new password then.
                "login-refused" => own("pgbouncer"),
                // A reload ends no hang; it does open a port that is not offered yet.
                "service-silent" => {
                    let only_here = format!("a new login through it fails on {node}: ");
                    id.name == "haproxy.service"
                        && finding.message.starts_with(&only_here)
                        && (restarts || finding.message.contains("refused"))
                }
                _ => false,
            }
        }
        Kind::Postmaster => {
            let restarts = change.difference.class >= Class::Restart;
            let mended = match finding.name {
                "pending-restart" | "port-closed" | "configuration-unloaded" => true,
                "program-replaced" => restarts && finding.message.starts_with("its server"),
                _ => false,
            };
            mended && finding.place == id.name
        }
        // What it declares, Patroni does not know of yet.
        Kind::PatroniConfig => {
            finding.name == "no-synchronous-standby" && finding.cluster == change.cluster
        }
        Kind::PgDatabase => {
            let name = id.name.split_once('/').map_or(id.name.as_str(), |(_, name)| name);
            let into = format!("no connection is let into {name}, ");
            finding.name == "database-shut"
                && finding.cluster == change.cluster
                && finding.message.starts_with(&into)
        }
        Kind::PgRole => {
            let name = id.name.split_once('/').map_or(id.name.as_str(), |(_, name)| name);
            let own = finding.name == "user-shut"
                && finding.message.starts_with(&format!("{name} cannot log in"));
            finding.cluster == change.cluster && (own || finding.name == "monitor-refused")
        }
        // Whatever that file has beside its words goes with its change.
        Kind::File => {
            let of_start = ["etcd-next-start", "etcd-foreign-settings"].contains(&finding.name);
            let here = format!("({})", id.name);
            let places = finding.message.matches("(/").count();
            of_start
                && member_on(health, node, &finding.place)
                && places > 0
                && finding.message.matches(&here).count() == places
        }
        Kind::Certificate => {
            finding.name.starts_with("certificate-")
                && here
                && finding.message.starts_with(&id.name)
        }
        _ => false,
    }
}

/// Whether a node would take the address that nobody holds: a cluster's goes with its leader.
fn takes_address(health: &Health, node: &str, finding: &Finding) -> bool {
    match health.clusters.iter().find(|one| one.name == finding.place) {
        Some(cluster) if !is_bare(health, &cluster.name) => {
            cluster.leader.as_ref().is_some_and(|leader| instance_on(health, node, leader))
        }
        _ => true,
    }
}

/// Whether no member of a cluster is there yet.
fn is_bare(health: &Health, cluster: &str) -> bool {
    let found = health.clusters.iter().find(|one| one.name == cluster);
    found.is_some_and(|one| one.members.iter().all(|member| member.state == "unknown"))
}

/// Whether nobody answers for etcd, and the plan starts all of its members.
fn makes_etcd(plan: &Plan, health: &Health) -> bool {
    let starts = |node: &NodeName| {
        plan.changes.iter().any(|change| {
            change.id.kind == Kind::Unit
                && change.id.name == "etcd.service"
                && change.id.node == *node
                && change.difference.action == Action::Create
        })
    };
    let mut members = health.etcd.iter().flat_map(|etcd| &etcd.members);
    etcd_is_bare(health) && members.all(|member| starts(&member.node))
}

fn etcd_is_bare(health: &Health) -> bool {
    health.etcd.as_ref().is_some_and(|etcd| etcd.members.iter().all(|one| one.role == "unknown"))
}

/// Whether a node has this member of etcd.
fn member_on(health: &Health, node: &str, member: &str) -> bool {
    let members = health.etcd.iter().flat_map(|etcd| &etcd.members);
    members.into_iter().any(|one| one.node.as_str() == node && one.name == member)
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
    for change in plan.changes.iter().filter(|change| disrupts(change, health)) {
        let Some(cluster) =
            health.clusters.iter().find(|one| change.cluster.as_ref() == Some(&one.name))
        else {
            continue;
        };
        let concerned = instance(change, cluster);
        // Whoever starts Patroni over a server that takes writes of its own has it demoted and rewound.
        let two = health.findings.iter().find(|finding| {
            finding.name == "two-writable" && finding.cluster.as_ref() == Some(&cluster.name)
        });
        if let Some(finding) = two.filter(|finding| finding.counts()) {
            if !found.iter().any(|one| one.finding == finding) {
                found.push(InTheWay { cluster: cluster.name.clone(), change, finding });
            }
            continue;
        }
        // A member that does not serve is restarted at nobody's cost.
        if concerned.is_some_and(|member| !matches!(member.state.as_str(), "running" | "streaming"))
            && change.difference.class < Class::Stop
            && change.difference.action != Action::Create
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
                || cluster.members.iter().any(silent)
                // A server that runs on a full disk does not start on it.
                || finding.name == "disk-full" && change.id.node.as_str() == finding.place;
            let itself = concerned.is_some_and(|instance| *instance == finding.place);
            // What this very plan declares, Patroni does not know of yet.
            let coming = finding.name == "no-synchronous-standby"
                && plan.changes.iter().any(|one| {
                    one.id.kind == Kind::PatroniConfig
                        && one.cluster.as_ref() == Some(&cluster.name)
                });
            let told =
                found.iter().any(|one| one.finding == finding && one.cluster == cluster.name);
            if about && !itself && !coming && !told && IN_THE_WAY.contains(&finding.name) {
                found.push(InTheWay { cluster: cluster.name.clone(), change, finding });
            }
        }
    }
    found
}

/// Whether sessions end, or a member goes, where something runs now; or one is to be copied, or Patroni
/// started, where that does harm or cannot end while the cluster is as it is.
fn disrupts(change: &PlannedChange, health: &Health) -> bool {
    let cluster = change.cluster.as_deref().unwrap_or_default();
    let found = |name: &str| {
        health
            .findings
            .iter()
            .any(|one| one.name == name && one.cluster.as_deref() == Some(cluster))
    };
    let starts = match change.id.kind {
        Kind::Unit => change.id.name.starts_with("patroni"),
        Kind::PgInstance => true,
        _ => false,
    };
    if starts && found("two-writable") {
        return true;
    }
    // There is nobody to copy from.
    let copied = change.id.kind == Kind::PgInstance && change.difference.action == Action::Create;
    if copied && found("no-leader") && !is_bare(health, cluster) {
        return true;
    }
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
