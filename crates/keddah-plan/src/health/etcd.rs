//! etcd: whether it has a majority, and is one cluster.

use super::{Answers, Finding, bytes};
use keddah_core::NodeName;
use keddah_resource::health::{Asked, EtcdHealth, ExpectedEtcd, KnownEtcd};
use keddah_resource::kind::etcd_member::{STORE_QUOTA, TOOL};
use keddah_resource::{Effect, ForeignSetting};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What findings are about etcd as a whole.
pub(super) const PLACE: &str = "etcd";

/// etcd takes no writes once its store is as large as its quota; three quarters of that leave time
/// (etcd's documentation, "Maintenance").
const LARGE_STORE: i64 = STORE_QUOTA / 4 * 3;

/// etcd as a person wants to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EtcdClusterHealth {
    /// Whether a majority of its members answers and has a leader.
    pub quorum: bool,
    /// Its members, by name.
    pub members: Vec<EtcdMemberHealth>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EtcdMemberHealth {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: NodeName,
    /// `leader`, `follower`, `learner`, or `unknown`.
    pub role: &'static str,
    /// Its store in bytes.
    pub size: Option<i64>,
    /// Its version.
    pub version: Option<String>,
}

pub(super) fn judge(
    expected: &[ExpectedEtcd],
    prefixes: &BTreeSet<String>,
    answers: &Answers,
    findings: &mut Vec<Finding>,
) -> Option<EtcdClusterHealth> {
    if expected.is_empty() {
        return None;
    }
    let asked: Vec<(&ExpectedEtcd, Result<&EtcdHealth, String>)> =
        expected.iter().map(|member| (member, told(member, answers))).collect();
    let answering: Vec<(&ExpectedEtcd, &EtcdHealth)> = asked
        .iter()
        .filter_map(|(member, health)| Some((*member, *health.as_ref().ok()?)))
        .collect();
    let list = list(&answering);
    for (member, health) in &asked {
        if let Err(because) = health {
            if is_unlisted(member, &list) {
                findings.push(unlisted(member));
                continue;
            }
            findings.push(Finding::of(
                "etcd-member-down",
                &member.name,
                format!("it does not answer: {because}"),
                match answers.get(&member.node).and_then(|answer| answer.health.told()) {
                    Some(_) => format!(
                        "`systemctl status etcd` and `journalctl -u etcd` on {}",
                        member.node
                    ),
                    None => format!(
                        "bring its machine back; one that is gone for ever is struck by `keddah remove {}`",
                        member.name
                    ),
                },
            ));
        }
    }
    let mut clusters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (member, health) in &answering {
        clusters.entry(&health.cluster).or_default().push(&member.name);
    }
    if clusters.len() > 1 {
        let each: Vec<String> = clusters.values().map(|names| names.join(" and ")).collect();
        findings.push(Finding::of(
            "etcd-two-clusters",
            PLACE,
            format!("its members are of {} clusters: {}", clusters.len(), each.join("; ")),
            "`keddah plan` says which one has the others' state (`etcd-rogue`), and how the rest joins \
             it",
        ));
    }
    for member in expected {
        if let Some(health) = answers.get(&member.node).and_then(|answer| answer.health.told()) {
            settings(member, &health.etcd_settings, findings);
        }
    }
    // A voter that loses the majority loses its leader within an election's time.
    let quorum = answering.iter().any(|(_, health)| health.leader != "0" && !health.learner);
    if !quorum {
        findings.push(Finding::of(
            "etcd-no-quorum",
            PLACE,
            format!(
                "{} of {} members answer, and none of them has a leader: no cluster of PostgreSQL can \
                 fail over or be changed",
                answering.len(),
                if list.is_empty() { expected.len() } else { list.len() }
            ),
            "bring members back until more than half of them run; Patroni's failsafe mode keeps \
             primaries writing meanwhile",
        ));
    }
    for (member, health) in &answering {
        let complaints: Vec<&str> = health
            .errors
            .iter()
            .map(String::as_str)
            .filter(|error| !error.contains("no leader"))
            .collect();
        if !complaints.is_empty() {
            findings.push(Finding::of(
                "etcd-alarm",
                &member.name,
                complaints.join("; "),
                format!(
                    "as root on {}, `{TOOL} alarm list`; for want of space: compact, as docs/findings.md shows, \
                     `{TOOL} defrag` on one member after the other, then `{TOOL} alarm disarm`",
                    member.node
                ),
            ));
        }
        if health.size > LARGE_STORE {
            findings.push(Finding::of(
                "etcd-size",
                &member.name,
                format!(
                    "its store is {}; at {} it takes no more writes",
                    bytes(health.size),
                    bytes(STORE_QUOTA)
                ),
                format!(
                    "as root on {}, compact, as docs/findings.md shows, then `{TOOL} defrag`; one member after \
                     the other",
                    member.node
                ),
            ));
        }
    }
    if quorum {
        for (member, health) in &answering {
            strangers(member, health, prefixes, findings);
        }
        known(expected, &answering, findings);
    }
    if list.len() == 1 || list.is_empty() && expected.len() == 1 {
        findings.push(Finding::of(
            "etcd-alone",
            PLACE,
            "it has one member: while that is away, no cluster can fail over",
            if expected.len() == 1 {
                "give two more nodes an `etcd_seq`, or accept this"
            } else {
                "`keddah apply` makes those that the inventory has members, too"
            },
        ));
    }
    for finding in findings.iter_mut().filter(|one| one.member.is_none()) {
        let member = expected.iter().find(|member| member.name == finding.place);
        finding.member = member.and_then(|member| id(member, &answering, &list));
    }
    let one = |(member, health): &(&ExpectedEtcd, Result<&EtcdHealth, String>)| EtcdMemberHealth {
        name: member.name.clone(),
        node: member.node.clone(),
        role: match health {
            Err(_) => "unknown",
            Ok(health) if health.learner => "learner",
            Ok(health) if health.leader == health.member => "leader",
            Ok(_) => "follower",
        },
        size: health.as_ref().ok().map(|health| health.size),
        version: health.as_ref().ok().map(|health| health.version.clone()),
    };
    Some(EtcdClusterHealth { quorum, members: asked.iter().map(one).collect() })
}

/// etcd's own list, by id, as those that answer have it; each knows the others also without a majority.
fn list<'a>(answering: &[(&ExpectedEtcd, &'a EtcdHealth)]) -> BTreeMap<&'a str, &'a KnownEtcd> {
    let all = answering.iter().flat_map(|(_, health)| &health.members);
    all.map(|one| (one.id.as_str(), one)).collect()
}

/// The id of a member as etcd's own tool takes it: the others' word for it, or its own.
fn id(
    member: &ExpectedEtcd,
    answering: &[(&ExpectedEtcd, &EtcdHealth)],
    list: &BTreeMap<&str, &KnownEtcd>,
) -> Option<String> {
    let is_it =
        |one: &&&KnownEtcd| one.name == member.name || one.peer_urls.contains(&member.peer_url);
    if let Some(listed) = list.values().find(is_it) {
        return Some(listed.id.clone());
    }
    let (_, health) = answering.iter().find(|(one, _)| one.name == member.name)?;
    health.member.parse::<u64>().ok().map(|id| format!("{id:x}"))
}

/// Whether etcd itself does not count one that the inventory has: it was struck, or has never joined. Nobody
/// waits for its vote.
fn is_unlisted(member: &ExpectedEtcd, list: &BTreeMap<&str, &KnownEtcd>) -> bool {
    let mut listed = list.values();
    !list.is_empty()
        && !listed.any(|one| one.name == member.name || one.peer_urls.contains(&member.peer_url))
}

fn unlisted(member: &ExpectedEtcd) -> Finding {
    Finding::of(
        "etcd-unlisted",
        &member.name,
        "it is in the inventory, and no member of etcd: it was struck, or has never joined. Nobody waits for \
         its vote",
        format!(
            "where it was removed, take {0} (its `etcd_seq`) out of the inventory; otherwise `keddah apply -l \
             {0}` makes it one again",
            member.node
        ),
    )
}

/// What others have given a member's unit: it counts at the next start, whoever causes that.
fn settings(member: &ExpectedEtcd, found: &[ForeignSetting], findings: &mut Vec<Finding>) {
    let of = |effect: Effect| {
        let words = found.iter().filter(|one| one.effect == effect).map(ForeignSetting::in_words);
        words.collect::<Vec<_>>().join(", ")
    };
    let node = &member.node;
    let another = of(Effect::NotItself);
    let take_away = format!(
        "on {node}, take that away where it stands (by `systemctl unset-environment NAME` what `systemctl \
         show-environment` has), then `systemctl daemon-reload`; until then Keddah neither starts nor restarts it"
    );
    if !another.is_empty() {
        let message = format!(
            "with its next start, whoever causes it, it would not be the member that it is: {another}"
        );
        findings.push(Finding::of("etcd-next-start", &member.name, message, take_away.clone()));
    }
    let undeclared = of(Effect::Undeclared);
    if !undeclared.is_empty() {
        findings.push(Finding::of(
            "etcd-foreign-settings",
            &member.name,
            format!("its unit has what nobody has declared: {undeclared}"),
            format!("{take_away}; what shall stay belongs into templates/etcd/etcd.env beside the inventory"),
        ));
    }
    let until_restart = of(Effect::UntilRestart);
    // Where the next start is in doubt, nobody is told to bring it about.
    if !until_restart.is_empty() && another.is_empty() {
        findings.push(Finding::of(
            "etcd-foreign-settings",
            &member.name,
            format!("it runs with what its unit does not have any more: {until_restart}"),
            format!("while all other members are well, `systemctl restart etcd` on {node}"),
        ));
    }
}

/// What the members know of each other: one that nobody has declared has a vote all the same, and one
/// that is looked for where it is not counts as down.
fn known(
    expected: &[ExpectedEtcd],
    answering: &[(&ExpectedEtcd, &EtcdHealth)],
    findings: &mut Vec<Finding>,
) {
    for KnownEtcd { id, name, peer_urls, learner } in list(answering).into_values() {
        let urls = peer_urls.join(" and ");
        match expected.iter().find(|member| member.name == *name) {
            Some(member) if !peer_urls.contains(&member.peer_url) => findings.push(Finding::of(
                "etcd-elsewhere",
                name,
                format!("the other members look for it at {urls}, and it is at {}", member.peer_url),
                format!(
                    "as root on another member's node: `{TOOL} member update {id} --peer-urls={}`",
                    member.peer_url
                ),
            )),
            Some(_) => {}
            // One that has just been announced has no name yet.
            None if expected.iter().any(|one| peer_urls.contains(&one.peer_url)) => {}
            None => findings.push(
                Finding::of(
                "etcd-undeclared",
                PLACE,
                format!(
                    "it has a member that the inventory does not have: {} at {urls} ({id}), which {}",
                    if name.is_empty() { "one that has never started" } else { name },
                    if *learner { "follows without a vote" } else { "has a vote" }
                ),
                format!(
                    "where it was ours, put its host back into the inventory and `keddah remove` it; where it is \
                     to stay, declare it; otherwise strike it, as root on a member's node: `{TOOL} member remove \
                     {id}`"
                ),
            )
            .about_member(id)),
        }
    }
}

/// Clusters that run and that the inventory does not have: a group that was taken out or renamed, or
/// somebody else's.
fn strangers(
    member: &ExpectedEtcd,
    health: &EtcdHealth,
    prefixes: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) {
    match &health.led {
        Some(Asked::Told(led)) => {
            for prefix in led.iter().filter(|prefix| !prefixes.contains(*prefix)) {
                let name = prefix.trim_end_matches('/').rsplit('/').next().unwrap_or(prefix);
                findings.push(Finding::of(
                    "undeclared-cluster",
                    PLACE,
                    format!("the cluster {name} has a leader ({prefix}leader), and the inventory has no such cluster"),
                    format!(
                        "put it back into the inventory; where it is to go, `keddah remove {name}` while it \
                         is there; another inventory's: accept this"
                    ),
                ));
            }
        }
        Some(unsaid) => findings.push(Finding::of(
            "etcd-silent-keys",
            &member.name,
            format!(
                "which clusters it holds could not be asked: {}",
                unsaid.why().unwrap_or_default()
            ),
            "`keddah plan` says whether root's password is the declared one (`etcd_root_password`)",
        )),
        None => {}
    }
}

fn told<'a>(member: &ExpectedEtcd, answers: &'a Answers) -> Result<&'a EtcdHealth, String> {
    let health = match answers.get(&member.node).map(|answer| &answer.health) {
        Some(Asked::Told(health)) => health,
        Some(unsaid) => return Err(unsaid.why().unwrap_or_default().to_owned()),
        None => return Err("it was not asked".to_owned()),
    };
    match &health.etcd {
        Some(Asked::Told(etcd)) => Ok(etcd),
        Some(unsaid) => Err(unsaid.why().unwrap_or_default().to_owned()),
        None => Err("it was not asked".to_owned()),
    }
}
