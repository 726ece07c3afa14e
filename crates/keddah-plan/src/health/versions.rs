//! Which versions run: beside those that are installed, and beside each other's.

use super::{Answers, Finding, etcd, server};
use keddah_core::NodeName;
use keddah_resource::health::{
    Expected, ExpectedCluster, ExpectedMember, NodeHealth, ServerHealth,
};
use std::collections::BTreeMap;

pub(super) fn judge(expected: &Expected, answers: &Answers, findings: &mut Vec<Finding>) {
    for cluster in &expected.clusters {
        for member in &cluster.members {
            if let Ok(answered) = server(answers, &member.node, &member.instance) {
                behind(cluster, member, answered, findings);
            }
        }
        apart(cluster, answers, findings);
    }
    for (node, answer) in answers.iter().filter(|(node, _)| expected.nodes.contains(*node)) {
        if let Some(health) = answer.health.told() {
            units(expected, node, health, findings);
        }
    }
    let members = expected.etcd.iter().filter_map(|member| {
        let etcd = answers.get(&member.node)?.health.told()?.etcd.as_ref()?.told()?;
        Some((etcd.version.clone(), member.name.as_str()))
    });
    if let Some(words) = different(members) {
        findings.push(Finding::of(
            "versions-apart",
            etcd::PLACE,
            format!("its members run different versions: {words}"),
            "bring the same package onto all of its nodes, one after the other: `keddah status` between them",
        ));
    }
}

/// An instance whose server or Patroni was upgraded on the disk and not restarted since.
fn behind(
    cluster: &ExpectedCluster,
    member: &ExpectedMember,
    answered: &ServerHealth,
    findings: &mut Vec<Finding>,
) {
    let ExpectedMember { instance, node, .. } = member;
    if let Some(replaced) = &answered.replaced {
        let runs = answered.server.told().map(|server| postgresql(server.version));
        let message = match (runs, &replaced.version) {
            (Some(runs), Some(installed)) if runs != *installed => {
                format!("its server runs PostgreSQL {runs}, and {installed} is installed")
            }
            _ => {
                format!("its server runs another {} than the one that is installed", replaced.path)
            }
        };
        findings.push(Finding::of(
            "program-replaced",
            instance,
            message,
            format!(
                "`{} restart {} {instance}` on {node}; of a cluster's members the replicas first, each once \
                 the one before streams again, the leader last",
                super::cluster::patronictl(member),
                cluster.name
            ),
        ));
    }
    if let Some(patroni) = answered.patroni.told()
        && let Some(installed) = &patroni.installed
        && !patroni.version.is_empty()
        && *installed != patroni.version
    {
        findings.push(Finding::of(
            "program-replaced",
            instance,
            format!("its Patroni is {}, and {installed} is installed", patroni.version),
            restart_of_patroni(cluster, member),
        ));
    }
}

/// While it is paused, Patroni leaves its server running when it stops.
fn restart_of_patroni(cluster: &ExpectedCluster, member: &ExpectedMember) -> String {
    let ExpectedMember { node, patroni_unit: unit, .. } = member;
    let (patronictl, name) = (super::cluster::patronictl(member), &cluster.name);
    format!(
        "on {node}: `{patronictl} pause {name} --wait`, `systemctl restart {unit}`, which leaves the server \
         running then, and once `{patronictl} list` shows it again `{patronictl} resume {name} --wait`"
    )
}

/// Units of a node whose program was replaced.
fn units(expected: &Expected, node: &NodeName, health: &NodeHealth, findings: &mut Vec<Finding>) {
    let stale = health.units.told().into_iter().flatten();
    for (unit, path) in stale.filter_map(|unit| Some((&unit.unit, unit.replaced.as_ref()?))) {
        let patroni = expected.clusters.iter().find_map(|cluster| {
            let own =
                |member: &&ExpectedMember| member.node == *node && member.patroni_unit == *unit;
            Some(restart_of_patroni(cluster, cluster.members.iter().find(own)?))
        });
        let remedy = match (patroni, unit.as_str()) {
            (Some(remedy), _) => remedy,
            (None, "etcd.service") => {
                "`systemctl restart etcd` there, on one member after the other, each once `keddah status` shows \
                 the one before again"
                    .to_owned()
            }
            (None, unit) => format!(
                "`systemctl restart {unit}` there, which ends sessions that go through it; on one node after \
                 the other"
            ),
        };
        findings.push(Finding::of(
            "program-replaced",
            node.as_str(),
            format!("{unit} runs another {path} than the one that is installed"),
            remedy,
        ));
    }
}

/// Members of a cluster that run different versions.
fn apart(cluster: &ExpectedCluster, answers: &Answers, findings: &mut Vec<Finding>) {
    let answered = || {
        cluster.members.iter().filter_map(|member| {
            Some((member.instance.as_str(), server(answers, &member.node, &member.instance).ok()?))
        })
    };
    let servers = answered()
        .filter_map(|(name, one)| Some((postgresql(one.server.told()?.version), name)))
        .collect::<Vec<_>>();
    let patronis = answered()
        .filter_map(|(name, one)| Some((one.patroni.told()?.version.clone(), name)))
        .collect::<Vec<_>>();
    for (what, versions) in [("PostgreSQL", servers), ("Patroni", patronis)] {
        if let Some(words) = different(versions.into_iter()) {
            findings.push(Finding::of(
                "versions-apart",
                &cluster.name,
                format!("its members run different versions of {what}: {words}"),
                "bring the same packages onto all of its nodes (`apt-cache policy`), and restart those that are \
                 behind, the replicas first: whoever replays should not be older than whoever writes",
            ));
        }
    }
}

/// `17.5 (pg-1), 17.6 (pg-2 and pg-3)`, where there is more than one.
fn different<'a>(members: impl Iterator<Item = (String, &'a str)>) -> Option<String> {
    let mut versions: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (version, member) in members.filter(|(version, _)| !version.is_empty()) {
        versions.entry(version).or_default().push(member);
    }
    let words = versions.iter().map(|(version, names)| format!("{version} ({})", names.join(", ")));
    (versions.len() > 1).then(|| words.collect::<Vec<_>>().join(", "))
}

/// `17.6` of 170006 (PostgreSQL's manual, `server_version_num`).
fn postgresql(number: i64) -> String {
    format!("{}.{}", number / 10_000, number % 10_000)
}
