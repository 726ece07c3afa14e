//! What the start of stopped members decides. Where nobody runs, whoever is started first leads, and the others
//! throw away what they have beyond it. Patroni itself compares only those that run at that moment, and
//! takes one as long as it is less than `maximum_lag_on_failover` behind (Patroni's documentation,
//! "Replication modes", "Maximum lag on failover").

mod follows;

use crate::{Plan, PlannedChange};
use keddah_resource::{Action, Class, StoppedCluster, StoppedMember, WalEnd};
use std::collections::{BTreeMap, BTreeSet};

/// The start of a stopped cluster's members by a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// Who leads, and why.
    pub message: String,
    /// What would be lost, or cannot be known; where there is something of that, the start wants a word.
    pub losses: Vec<String>,
    /// What else can be done.
    pub ways: Vec<String>,
    /// Whether the loss is chosen: by starting one member alone, whose timeline is the newest.
    pub chosen: bool,
}

impl Start<'_> {
    /// Whether it is refused unless the cluster is named.
    pub fn is_refused(&self) -> bool {
        !self.losses.is_empty() && !self.chosen
    }

    /// What a plan says of it.
    pub fn note(&self) -> String {
        let Self { cluster, message, losses, ways, .. } = self;
        if losses.is_empty() {
            return message.clone();
        }
        let mut note = format!("{message}: {}", losses.join("; "));
        if self.is_refused() {
            note.push_str(&format!(
                "; apply refuses that without `--despite {cluster}`: {}",
                ways.join("; ")
            ));
        }
        note
    }
}

/// The starts of a plan, in the order of the clusters.
pub fn starts<'a>(plan: &Plan, stopped: &'a [StoppedCluster]) -> Vec<Start<'a>> {
    if stopped.is_empty() {
        return Vec::new();
    }
    let starting: BTreeSet<_> =
        plan.changes.iter().filter(|change| begins(change)).map(|change| &change.id).collect();
    let start = |cluster: &'a StoppedCluster| {
        let members = cluster.members.iter().filter(|member| starting.contains(&member.unit));
        start(cluster, &members.collect::<Vec<_>>())
    };
    stopped.iter().filter_map(start).collect()
}

fn begins(change: &PlannedChange) -> bool {
    let difference = &change.difference;
    difference.impossible.is_none()
        && (difference.action == Action::Create
            || matches!(difference.class, Class::Restart | Class::OrderedRestart))
}

fn start<'a>(cluster: &'a StoppedCluster, starting: &[&'a StoppedMember]) -> Option<Start<'a>> {
    if let Some(led) = &cluster.led {
        return follows::start(cluster, led, starting);
    }
    let Some(first) = starting.iter().find(|member| !member.barred).copied() else {
        return starting.first().map(|barred| without_leader(cluster, barred));
    };
    let most = cluster.members.first()?;
    let name = &cluster.name;
    let others =
        || cluster.members.iter().filter(|other| other.name != first.name && other.holds_data);
    let mut losses = Vec::new();
    let mut chosen = starting.len() == 1;
    for other in others() {
        let (Some(loss), by_choice) = lost(first, other) else { continue };
        chosen &= by_choice;
        losses.push(loss);
    }
    for silent in &cluster.silent {
        chosen = false;
        losses.push(format!("{silent} cannot be asked what it has"));
    }
    for lost in &cluster.lost {
        chosen = false;
        losses.push(format!(
            "{lost} has been made, and its data is not there: what it had is not known"
        ));
    }
    let mut message = format!("nobody of {name} runs, and {} starts first", place(first));
    let mut ways = Vec::new();
    if losses.is_empty() {
        match (&first.wal, others().count()) {
            (Some(wal), 1..) => message.push_str(&format!(
                ": it has all that the others have, up to {wal}{}",
                behind(wal, others())
            )),
            _ => return None,
        }
    } else {
        message
            .push_str(" and leads; what others have beyond it is thrown away when they follow it");
        if !cluster.silent.is_empty() {
            ways.push(format!("bring {} up", cluster.silent.join(" and ")));
        }
        if !cluster.lost.is_empty() {
            ways.push(format!(
                "if a disk is not mounted for {}, mount it and plan again",
                cluster.lost.join(" and ")
            ));
        }
        let holds_most = |wal: &WalEnd| {
            let held = |one: &StoppedMember| one.wal.as_ref().is_some_and(|other| wal.holds(other));
            cluster.members.iter().filter(|one| one.holds_data).all(held)
        };
        let kept_back: Vec<&str> = others()
            .filter(|other| other.barred && lost(first, other).0.is_some())
            .map(|other| other.name.as_str())
            .collect();
        let only_kept_back =
            others().filter(|other| lost(first, other).0.is_some()).all(|other| other.barred);
        if !kept_back.is_empty() {
            ways.push(format!(
                "to keep what {0} has, take its `pg_delay` away: then it may lead, and starts first",
                kept_back.join(" and ")
            ));
        }
        if only_kept_back && !kept_back.is_empty() {
            // Nobody else has more.
        } else if most.wal.as_ref().is_some_and(holds_most) {
            if most.name != first.name {
                ways.push(format!(
                    "start all (`keddah apply -l {name}`): {} starts first, for it has all that the others \
                     have",
                    place(most)
                ));
            }
        } else {
            ways.push(format!(
                "choose who shall lead, and start that member alone: `keddah apply -l HOST`{}; once it leads, \
                 `keddah apply -l {name} --despite {name}` has the others follow it",
                newest(cluster, name)
            ));
        }
    }
    Some(Start { cluster: name, message, losses, ways, chosen })
}

/// Members that Patroni never lets lead, and nobody beside them.
fn without_leader<'a>(cluster: &'a StoppedCluster, barred: &StoppedMember) -> Start<'a> {
    let name = &cluster.name;
    Start {
        cluster: name,
        message: format!(
            "nobody of {name} runs, and {} stays behind on purpose (`pg_delay`): Patroni never lets it lead",
            place(barred)
        ),
        losses: vec!["nobody would take writes".to_owned()],
        ways: vec![format!("start others as well: `keddah apply -l {name}`")],
        chosen: false,
    }
}

/// What goes when one member leads and another has to follow it, and whether that is what somebody wants who
/// starts the first one alone: it is the one that somebody has led last, or restored, on a timeline of its own.
fn lost(first: &StoppedMember, other: &StoppedMember) -> (Option<String>, bool) {
    let at = place(other);
    if !first.holds_data {
        let loss = format!("{at} holds data, and {} none", first.name);
        return (Some(loss), false);
    }
    let (Some(ours), Some(theirs)) = (&first.wal, &other.wal) else {
        let unread = if first.wal.is_none() { first } else { other };
        let loss = format!("how far the WAL of {} reaches cannot be read", place(unread));
        return (Some(loss), false);
    };
    if ours.holds(theirs) {
        let loss = format!("the WAL of {at} cannot be read behind {theirs}");
        return (Some(loss).filter(|_| !theirs.exact), false);
    }
    if let Some(bytes) = ours.lacks(theirs) {
        let size = size(bytes);
        let loss = format!("{at} has {size} of WAL that {} lacks ({theirs}; {ours})", first.name);
        return (Some(loss), false);
    }
    let fork = ours.forks.iter().find(|(timeline, _)| *timeline == theirs.timeline);
    let beyond = fork.and_then(|(_, left)| theirs.position.checked_sub(*left));
    let own = match beyond {
        Some(bytes) => format!("{} of WAL of its own behind the fork", size(bytes)),
        None => "a history of its own".to_owned(),
    };
    let loss = format!("{at} has {own} ({theirs}; {} is on {ours})", first.name);
    (Some(loss), ours.exact && theirs.exact && beyond.is_some())
}

/// The member whose timeline is the newest of all, which can be chosen without another word.
fn newest(cluster: &StoppedCluster, name: &str) -> String {
    let mut by_timeline: BTreeMap<u32, Vec<&StoppedMember>> = BTreeMap::new();
    for member in &cluster.members {
        if let Some(wal) = &member.wal {
            by_timeline.entry(wal.timeline).or_default().push(member);
        }
    }
    match by_timeline.pop_last() {
        Some((timeline, members)) if members.len() == 1 && !by_timeline.is_empty() => format!(
            ", HOST being {} for {}, whose timeline {timeline} is the newest; another one with `--despite {name}`",
            members[0].node, members[0].name
        ),
        _ => format!(" with `--despite {name}`"),
    }
}

/// By how much the others are behind.
fn behind<'m>(wal: &WalEnd, others: impl Iterator<Item = &'m StoppedMember>) -> String {
    let each = others.filter_map(|other| {
        let lacks = other.wal.as_ref()?.lacks(wal).filter(|bytes| *bytes > 0)?;
        Some(format!("{} lacks {} of it", other.name, size(lacks)))
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { String::new() } else { format!("; {}", each.join(", ")) }
}

fn place(member: &StoppedMember) -> String {
    format!("{} on {}", member.name, member.node)
}

fn size(bytes: u64) -> String {
    crate::health::bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
