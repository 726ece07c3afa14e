//! A node: its clock, disks, certificates, units and services; and the addresses that nodes share.

use super::{Answer, Answers, ClusterHealth, Finding, services};
use keddah_core::NodeName;
use keddah_resource::health::{Asked, DiskHealth, Expected, NodeHealth, SharedAddress};
use std::collections::{BTreeMap, BTreeSet};

/// Clocks further apart than this, in milliseconds, mislead whoever compares logs, and come near what
/// leases and certificates bear.
const APART: i64 = 1000;

/// Percent of a file system that are taken.
const FILLING: u64 = 85;
const FULL: u64 = 95;

/// What is free on a large file system is enough, whatever the percentage says.
const ENOUGH: u64 = 100 << 30;

const DAY: i64 = 24 * 3600;

/// Whether it answers.
pub(super) fn unknown(node: &NodeName, answer: &Answer, findings: &mut Vec<Finding>) {
    if let Some(because) = answer.health.why() {
        findings.push(Finding::of(
            "node-unknown",
            node.as_str(),
            format!("it could not be asked how it does: {because}"),
            "see whether the machine runs and lets you log in",
        ));
    }
}

/// What there was no time for: so many that they stand for the others are named.
fn untried(node: &NodeName, health: &NodeHealth, findings: &mut Vec<Finding>) {
    let names = |all: &[&str]| match all {
        [first, second, rest @ ..] if rest.len() > 2 => {
            format!("{first}, {second} and {} others", rest.len())
        }
        few => few.join(", "),
    };
    let mut parts = Vec::new();
    let servers = health.servers.iter().filter(|one| {
        let backups = one.backups.as_ref().is_some_and(Asked::is_untried);
        one.patroni.is_untried() || one.server.is_untried() || backups
    });
    let servers: Vec<&str> = servers.map(|one| one.instance.as_str()).collect();
    if !servers.is_empty() {
        parts.push(format!("ask {} all that they know", names(&servers)));
    }
    let logins: Vec<&str> = health.logins_untried.iter().map(String::as_str).collect();
    if !logins.is_empty() {
        parts.push(format!("log in to {}", names(&logins)));
    }
    if !parts.is_empty() {
        findings.push(Finding::of(
            "node-unknown",
            node.as_str(),
            format!("there was no time to {}", parts.join(", nor to ")),
            "others took it all: the findings say which, or the machine is busy; a longer `--timeout` tries \
             these, too",
        ));
    }
}

pub(super) fn judge(node: &NodeName, answer: &Answer, findings: &mut Vec<Finding>) {
    unknown(node, answer, findings);
    let Asked::Told(health) = &answer.health else { return };
    if let Some(because) = health.idle_listeners.why() {
        findings.push(Finding::of(
            "node-unknown",
            node.as_str(),
            format!("which of its services have servers is not known: {because}"),
            "`systemctl status haproxy` there, and its log",
        ));
    }
    if let Some(because) = health.addresses.why() {
        findings.push(Finding::of(
            "node-unknown",
            node.as_str(),
            format!("which addresses it holds is not known: {because}"),
            "see what keeps the machine from answering: load, memory, disks",
        ));
    }
    untried(node, health, findings);
    clock(node, answer, health, findings);
    disks(node, &health.disks, findings);
    certificates(node, health, answer.answered / 1000, findings);
    units(node, health, findings);
    for unloaded in &health.unloaded {
        let unit = &unloaded.unit;
        findings.push(Finding::of(
            "configuration-unloaded",
            node.as_str(),
            format!(
                "{unit} does not use what its files say: {} changed after it has read them",
                unloaded.files.join(", ")
            ),
            format!("`systemctl reload {unit}` there, if what they say is right"),
        ));
    }
}

/// Services without a server, each once, however many nodes offer it.
pub(super) fn services(
    expected: &Expected,
    clusters: &[ClusterHealth],
    answers: &Answers,
    findings: &mut Vec<Finding>,
) {
    let mut idle: BTreeMap<&str, (&str, Vec<&str>)> = BTreeMap::new();
    for (node, answer) in answers.iter().filter(|(node, _)| expected.nodes.contains(*node)) {
        let told = answer.health.told().and_then(|health| health.idle_listeners.told());
        for listener in told.into_iter().flatten() {
            let (_, nodes) = idle.entry(&listener.name).or_insert((&listener.because, Vec::new()));
            nodes.push(node.as_str());
        }
    }
    let told = by_hand(expected, answers);
    for (name, (because, nodes)) in idle {
        let cluster = clusters.iter().find(|one| one.services.iter().any(|its| its.name == name));
        let writes = expected.clusters.iter().filter(|one| !one.follows);
        let mut writes = writes.flat_map(|one| &one.services).filter(|one| one.primary);
        let primary = writes.any(|one| one.name == name);
        // Where nobody leads, that is the cause, and told.
        let led = cluster.is_some_and(|cluster| cluster.leader.is_some());
        findings.push(Finding::of(
            if primary && led { "writes-lead-nowhere" } else { "service-leads-nowhere" },
            name,
            format!("it has no server on {}: {because}", nodes.join(", ")),
            match told.get(name) {
                Some((_, back)) => at_the_socket(back),
                None => "the findings about its cluster say which members are away".to_owned(),
            },
        ));
    }
    for (name, (words, back)) in told {
        findings.push(Finding::of(
            "service-by-hand",
            name,
            format!("HAProxy was told otherwise than its file: {}", words.join("; ")),
            format!("where that is forgotten: {}; a reload keeps it", at_the_socket(&back)),
        ));
    }
}

/// How changes are taken back.
fn at_the_socket(commands: &BTreeSet<String>) -> String {
    let commands: Vec<String> = commands.iter().map(|one| format!("`{one}`")).collect();
    format!("{} at HAProxy's socket, as docs/findings.md shows it", commands.join(", "))
}

/// What HAProxys were told about servers while they ran, by service: in words, and the commands that take it
/// back.
fn by_hand<'a>(
    expected: &Expected,
    answers: &'a Answers,
) -> BTreeMap<&'a str, (Vec<String>, BTreeSet<String>)> {
    let members = || expected.clusters.iter().flat_map(|cluster| &cluster.members);
    let mut told: BTreeMap<&str, (Vec<String>, BTreeSet<String>)> = BTreeMap::new();
    for (node, answer) in answers.iter().filter(|(node, _)| expected.nodes.contains(*node)) {
        let health = answer.health.told();
        for listener in health.into_iter().flat_map(|health| &health.listeners) {
            let name = &listener.name;
            let (words, back) = told.entry(name).or_default();
            for one in &listener.by_hand {
                words.push(format!("on {node}, {} {}", one.server, one.what));
                back.insert(one.back.clone());
            }
            for (server, address) in &listener.addresses {
                let Some(member) = members().find(|member| member.instance == *server) else {
                    continue;
                };
                let own = member.node.as_str();
                let is_address = own.parse::<std::net::IpAddr>().is_ok();
                if is_address && address.parse::<std::net::IpAddr>().is_ok() && address != own {
                    words.push(format!("on {node}, {server} is led to {address}"));
                    back.insert(format!("set server {name}/{server} addr {own}"));
                }
            }
        }
    }
    told.retain(|_, (words, _)| !words.is_empty());
    told
}

/// A clock that reads more than it can, even if the question or the answer took all of the time.
fn clock(node: &NodeName, answer: &Answer, health: &NodeHealth, findings: &mut Vec<Finding>) {
    let ahead = health.clock - answer.answered;
    let behind = answer.asked - health.clock;
    let (apart, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if apart > APART {
        findings.push(Finding::of(
            "clock-apart",
            node.as_str(),
            format!("its clock is {:.1} s {word} this machine's", seconds(apart)),
            "`chronyc tracking` there, and here: time servers may be out of reach",
        ));
    }
}

fn seconds(milliseconds: i64) -> f64 {
    std::time::Duration::from_millis(milliseconds.unsigned_abs()).as_secs_f64()
}

fn disks(node: &NodeName, disks: &[Asked<DiskHealth>], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for disk in disks {
        let disk = match disk {
            Asked::Told(disk) => disk,
            silent => {
                findings.push(Finding::of(
                    "disk-unknown",
                    node.as_str(),
                    silent.why().unwrap_or_default(),
                    "the kernel's log (`dmesg`) there says what its disks do",
                ));
                continue;
            }
        };
        if disk.inodes >= FULL && seen.insert(disk.device) {
            findings.push(Finding::of(
                "disk-full",
                node.as_str(),
                format!(
                    "the file system of {} has {} % of its inodes taken: it takes no more files, however \
                     much room it has",
                    disk.directory, disk.inodes
                ),
                "`df -i` there; many small files, such as WAL's `.ready` files, sessions or mail, are the usual \
                 reason",
            ));
            continue;
        }
        // As `df` counts: what is kept back for root is nobody's room.
        let whole = disk.taken.saturating_add(disk.free);
        if whole == 0 || !seen.insert(disk.device) {
            continue;
        }
        let taken = disk.taken.saturating_mul(100) / whole;
        let name = match taken {
            _ if disk.free > ENOUGH => continue,
            FULL.. => "disk-full",
            FILLING..FULL => "disk-filling",
            _ => continue,
        };
        findings.push(Finding::of(
            name,
            node.as_str(),
            format!(
                "the file system of {} is {taken} % full: {} MB are free",
                disk.directory,
                disk.free >> 20
            ),
            "see what fills it: WAL that cannot be archived, a slot that nobody uses, logs, backups",
        ));
    }
}

fn certificates(node: &NodeName, health: &NodeHealth, now: i64, findings: &mut Vec<Finding>) {
    for certificate in &health.certificates {
        let left = (certificate.ends - now).div_euclid(DAY);
        let name = match left {
            ..7 => "certificate-ended",
            7..25 => "certificate-ends",
            _ => continue,
        };
        let message = if left < 0 {
            format!("{} has ended", certificate.path)
        } else {
            format!("{} ends in {left} days", certificate.path)
        };
        findings.push(
            Finding::of(
                name,
                node.as_str(),
                message,
                format!("`keddah apply -l {node}` makes a new one 30 days before the end"),
            )
            .since(if left < 0 { certificate.ends } else { 0 }),
        );
    }
}

fn units(node: &NodeName, health: &NodeHealth, findings: &mut Vec<Finding>) {
    let units = match &health.units {
        Asked::Told(units) => units,
        silent => {
            let because = silent.why().unwrap_or_default();
            findings.push(Finding::of(
                "node-unknown",
                node.as_str(),
                format!("which of its services run is not known: {because}"),
                "see what keeps the machine from answering: load, memory, disks",
            ));
            return;
        }
    };
    for unit in units {
        if !matches!(unit.state.as_str(), "active" | "reloading" | "refreshing") {
            let name = &unit.unit;
            findings.push(
                Finding::of(
                    "service-down",
                    node.as_str(),
                    format!("{name} is {}", unit.state),
                    format!(
                        "`journalctl -u {name}` there says why; `keddah apply -l {node}` starts it"
                    ),
                )
                .since(unit.since),
            );
        }
    }
}

/// Who holds each address that nodes share: exactly one, and a cluster's its leader.
pub(super) fn addresses(
    expected: &Expected,
    answers: &Answers,
    clusters: &[ClusterHealth],
    findings: &mut Vec<Finding>,
) {
    for shared in &expected.shared_addresses {
        let SharedAddress { address, nodes, cluster } = shared;
        let told = |node: &NodeName| answers.get(node)?.health.told()?.addresses.told();
        let holders: Vec<&NodeName> = services::holders(shared, answers).collect();
        let silent: Vec<&NodeName> = nodes.iter().filter(|node| told(node).is_none()).collect();
        let place = cluster.clone().unwrap_or_else(|| address.clone());
        match holders.as_slice() {
            [] => {
                let rest = match silent.as_slice() {
                    [] => String::new(),
                    _ => format!(" of those that answer ({} do not)", silent.len()),
                };
                findings.push(Finding::of(
                    "address-missing",
                    place,
                    format!("no node{rest} holds the address {address}"),
                    "`systemctl status keddah-vip` on its nodes; it goes with the leader",
                ));
            }
            [one] => {
                let Some(health) =
                    cluster.as_ref().and_then(|name| clusters.iter().find(|one| one.name == *name))
                else {
                    continue;
                };
                let leader = health.leader.as_ref().and_then(|leader| {
                    health.members.iter().find(|member| member.instance == *leader)
                });
                if let Some(leader) = leader.filter(|leader| leader.node != **one) {
                    findings.push(Finding::of(
                        "address-elsewhere",
                        place,
                        format!("{one} holds the address {address}, and {} leads", leader.instance),
                        "it follows within seconds; if not: `journalctl -u keddah-vip` on both nodes",
                    ));
                }
            }
            many => {
                let names: Vec<&str> = many.iter().map(|node| node.as_str()).collect();
                findings.push(Finding::of(
                    "address-twice",
                    place,
                    format!("{} hold the address {address}", names.join(" and ")),
                    "one that is none of its nodes got it by hand (`ip addr del` there); between its nodes \
                     VRRP does not get through: look at firewalls and at `journalctl -u keddah-vip`",
                ));
            }
        }
    }
}
