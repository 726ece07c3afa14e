//! Whether all is well: what nodes answered, judged by what the inventory says should be.
//!
//! Pure, like planning: the same answers give the same findings. What could not be asked is a finding,
//! never well.

mod backups;
mod beside;
mod cluster;
mod contents;
mod etcd;
mod finding;
mod login;
mod node;
mod port;
mod services;
mod settings;
mod unattended;
mod versions;

pub use beside::{InTheWay, beside, in_the_way, not_said_by};
pub use cluster::{ClusterHealth, MemberHealth};
pub use etcd::{EtcdClusterHealth, EtcdMemberHealth};
pub use finding::{FINDINGS, Finding, Severity};
pub use services::{AddressHealth, ServiceHealth};

use keddah_core::NodeName;
use keddah_resource::health::{Asked, Expected, ExpectedMember, NodeHealth, ServerHealth};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What one node answered, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub health: Asked<NodeHealth>,
    /// The clock of this machine when the question went out, in milliseconds since 1970.
    pub asked: i64,
    /// The same when the answer was there.
    pub answered: i64,
}

/// All answers.
pub type Answers = BTreeMap<NodeName, Answer>;

/// How a fleet does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// PostgreSQL's clusters.
    pub clusters: Vec<ClusterHealth>,
    /// etcd; `None` where the inventory has none.
    pub etcd: Option<EtcdClusterHealth>,
    /// Addresses that nodes share and that go with no cluster.
    pub addresses: Vec<AddressHealth>,
    /// What is not well, the worst first.
    pub findings: Vec<Finding>,
}

impl Health {
    /// Whether nothing is to be done.
    pub fn is_well(&self) -> bool {
        !self.findings.iter().any(Finding::counts)
    }
}

/// Judges what the nodes answered.
pub fn judge(expected: &Expected, answers: &Answers) -> Health {
    let mut findings = Vec::new();
    let mut clusters: Vec<ClusterHealth> = expected
        .clusters
        .iter()
        .map(|cluster| cluster::judge(cluster, answers, &mut findings))
        .collect();
    for cluster in &mut clusters {
        cluster.addresses = services::addresses(expected, Some(&cluster.name), answers);
    }
    let etcd = etcd::judge(&expected.etcd, &expected.key_prefixes, answers, &mut findings);
    for (node, answer) in answers {
        if expected.nodes.contains(node) {
            node::judge(node, answer, &mut findings);
            if let Some(health) = answer.health.told() {
                unattended::judge(node, health, &expected.clusters, &mut findings);
            }
        } else if has_member(expected, node) {
            // For its cluster's sake: what is not known of a member is not well.
            node::unknown(node, answer, &mut findings);
        }
    }
    login::judge(expected, answers, &mut findings);
    port::judge(expected, answers, &mut findings);
    versions::judge(expected, answers, &mut findings);
    public_passwords(expected, answers, &mut findings);
    node::services(expected, &clusters, answers, &mut findings);
    node::addresses(expected, answers, &clusters, &mut findings);
    for finding in &mut findings {
        finding.cluster = cluster_of(expected, &finding.place);
    }
    accept(expected, &mut findings);
    let allowed = expected.public_passwords.as_ref().is_some_and(|public| public.allowed);
    for finding in findings.iter_mut().filter(|one| one.place == INVENTORY) {
        finding.accepted |= allowed;
    }
    once_each(expected, &mut findings);
    findings.sort_by(|one, other| key(one).cmp(&key(other)).then_with(|| one.cmp(other)));
    findings.dedup();
    let addresses = services::addresses(expected, None, answers);
    Health { clusters, etcd, addresses, findings }
}

/// The worst first; and of what is as bad, causes before what follows from them.
fn key(finding: &Finding) -> (Severity, bool) {
    const CAUSES: &[&str] = &[
        "disk-full",
        "etcd-no-quorum",
        "no-leader",
        "node-unknown",
        "two-writable",
        "undeclared-leader",
    ];
    (finding.severity, !CAUSES.contains(&finding.name))
}

/// A Patroni that is stopped is told of its instance, and not of its unit besides.
fn once_each(expected: &Expected, findings: &mut Vec<Finding>) {
    let members = expected.clusters.iter().flat_map(|cluster| &cluster.members);
    let down: Vec<&ExpectedMember> = members
        .filter(|member| {
            findings.iter().any(|one| one.name == "member-down" && one.place == member.instance)
        })
        .collect();
    findings.retain(|finding| {
        finding.name != "service-down"
            || !down.iter().any(|member| {
                finding.place == member.node.as_str()
                    && finding.message.starts_with(&member.patroni_unit)
            })
    });
}

/// What a finding is about that the inventory itself says.
const INVENTORY: &str = "inventory";

/// Where nodes are a sandbox's, nobody else gets there.
fn public_passwords(expected: &Expected, answers: &Answers, findings: &mut Vec<Finding>) {
    let Some(public) = &expected.public_passwords else { return };
    let mut told = answers.values().filter_map(|answer| answer.health.told()).peekable();
    let sandbox = told.peek().is_some() && told.all(|health| health.sandbox);
    findings.push(Finding::of(
        if sandbox { "public-passwords-sandbox" } else { "public-passwords" },
        INVENTORY,
        public.message.clone(),
        "choose passwords of your own: `keddah check` shows where they stand",
    ));
}

fn has_member(expected: &Expected, node: &NodeName) -> bool {
    let mut members = expected.clusters.iter().flat_map(|cluster| &cluster.members);
    members.any(|member| member.node == *node)
}

/// The cluster that something is, or is a member or service of.
fn cluster_of(expected: &Expected, place: &str) -> Option<String> {
    let own = |cluster: &&keddah_resource::health::ExpectedCluster| {
        cluster.name == place || cluster.members.iter().any(|member| member.instance == place)
    };
    // A service is named after its cluster; of `pg` and `pg-test`, `pg-test-primary` is the latter's.
    let service = |cluster: &&keddah_resource::health::ExpectedCluster| {
        place.strip_prefix(cluster.name.as_str()).is_some_and(|rest| rest.starts_with('-'))
    };
    let clusters = &expected.clusters;
    clusters
        .iter()
        .find(own)
        .or_else(|| clusters.iter().filter(service).max_by_key(|cluster| cluster.name.len()))
        .map(|cluster| cluster.name.clone())
}

/// Says which nodes findings are about, and marks what the inventory says to be known: of a node, of an instance, member of etcd or address on
/// it, or of a cluster or service that it has a part in.
fn accept(expected: &Expected, findings: &mut [Finding]) {
    for finding in findings {
        let concerned = concerned(expected, finding);
        let nodes = concerned.iter().map(|&node| node.clone()).collect();
        finding.accepted = expected
            .accepted
            .iter()
            .any(|accepted| accepted.finding == finding.name && concerned.contains(&accepted.node));
        finding.nodes = nodes;
    }
}

/// The nodes that a finding is about.
fn concerned<'a>(expected: &'a Expected, finding: &'a Finding) -> BTreeSet<&'a NodeName> {
    let place = finding.place.as_str();
    let members = expected.clusters.iter().flat_map(|cluster| &cluster.members);
    let instance: BTreeSet<&NodeName> =
        members.filter(|member| member.instance == place).map(|member| &member.node).collect();
    let etcd = expected.etcd.iter().filter(|one| one.name == place || place == etcd::PLACE);
    if place == INVENTORY {
        return expected.nodes.iter().collect();
    }
    let shared = expected.shared_addresses.iter().filter(|shared| shared.address == place);
    let everywhere = expected.clusters.iter().flat_map(|cluster| &cluster.members);
    let node = everywhere
        .map(|member| &member.node)
        .chain(&expected.nodes)
        .filter(|node| node.as_str() == place);
    let mut nodes: BTreeSet<&NodeName> = node
        .chain(etcd.map(|one| &one.node))
        .chain(shared.flat_map(|shared| &shared.nodes))
        .collect();
    if instance.is_empty() {
        let own =
            expected.clusters.iter().filter(|one| finding.cluster.as_ref() == Some(&one.name));
        nodes.extend(own.flat_map(|cluster| &cluster.members).map(|member| &member.node));
    }
    nodes.extend(instance);
    nodes
}

/// What a node answered of one of its instances, or why nothing.
fn server<'a>(
    answers: &'a Answers,
    node: &NodeName,
    instance: &str,
) -> Result<&'a ServerHealth, String> {
    let silent = || "it was not asked".to_owned();
    match answers.get(node).map(|answer| &answer.health) {
        Some(Asked::Told(health)) => {
            health.servers.iter().find(|server| server.instance == instance).ok_or_else(silent)
        }
        Some(unsaid) => Err(unsaid.why().unwrap_or_default().to_owned()),
        None => Err(silent()),
    }
}

/// Bytes as a person reads them.
pub(crate) fn bytes(number: i64) -> String {
    let mut size = number;
    for unit in ["B", "kB", "MB", "GB"] {
        if size.abs() < 10 * 1024 {
            return format!("{size} {unit}");
        }
        size /= 1024;
    }
    format!("{size} TB")
}
