//! A cluster of PostgreSQL: who leads, who follows, and how far behind.

use super::{Answers, Finding, bytes, server};
use keddah_core::NodeName;
use keddah_resource::health::{
    Asked, ExpectedCluster, ExpectedMember, PatroniHealth, PostgresHealth, ServerHealth,
};
use keddah_resource::is_leading;
use serde::Serialize;

/// A backup of every night is late after this time, in seconds: two nights and some.
const LATE_BACKUP: i64 = 50 * 3600;

/// Bytes of WAL that a slot without a user may keep before it is told.
const KEPT_BY_SLOT: i64 = 512 << 20;

/// Where a standby is told to be behind in any case, whatever `pg_rpo` says: in bytes.
const MUCH_LAG: i64 = 256 << 20;

/// `autovacuum_freeze_max_age` is 200 million, after which a server vacuums whatever it takes; a database
/// that is far beyond that is not vacuumed. At 2,147 million less 3 it refuses writes (PostgreSQL's
/// manual, "Preventing Transaction ID Wraparound Failures").
const OLD_TRANSACTIONS: i64 = 800_000_000;
const LAST_TRANSACTIONS: i64 = 1_800_000_000;

/// A cluster as a person wants to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterHealth {
    /// Its name.
    pub name: String,
    /// Its leader's instance; `None` where nobody leads, or nobody could be asked.
    pub leader: Option<String>,
    /// Whether Patroni is paused.
    pub paused: bool,
    /// Its members, in the inventory's order.
    pub members: Vec<MemberHealth>,
}

/// One of its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberHealth {
    /// Its name.
    pub instance: String,
    /// Its node.
    pub node: NodeName,
    /// Its server's port.
    pub port: u16,
    /// `leader`, `sync`, `replica`, or `unknown`.
    pub role: &'static str,
    /// Patroni's word: `running`, `streaming`, `stopped`, …; or `unknown`.
    pub state: String,
    /// The timeline.
    pub timeline: Option<i64>,
    /// Bytes behind the leader.
    pub lag: Option<i64>,
}

/// A member with what was answered of it.
struct Member<'a> {
    expected: &'a ExpectedMember,
    patroni: Option<&'a PatroniHealth>,
    server: Option<&'a PostgresHealth>,
}

impl Member<'_> {
    /// Patroni's word, and where it is silent, the server's own.
    fn leads(&self) -> bool {
        match self.patroni {
            Some(patroni) => is_leading(&patroni.role),
            None => self.server.is_some_and(|server| !server.in_recovery),
        }
    }

    fn runs(&self) -> bool {
        self.patroni
            .is_some_and(|patroni| matches!(patroni.state.as_str(), "running" | "streaming"))
    }

    fn streams(&self) -> Option<bool> {
        let told = self.patroni.and_then(|patroni| patroni.streams);
        told.or_else(|| self.server.map(|server| server.receiving))
    }
}

/// What a cluster's view is, and what is not well with it.
pub(super) fn judge(
    cluster: &ExpectedCluster,
    answers: &Answers,
    findings: &mut Vec<Finding>,
) -> ClusterHealth {
    let members: Vec<Member<'_>> = cluster
        .members
        .iter()
        .map(|expected| {
            let answered = server(answers, &expected.node, &expected.instance).ok();
            Member {
                expected,
                patroni: answered.and_then(|one| one.patroni.told()),
                server: answered.and_then(|one| one.server.told()),
            }
        })
        .collect();
    leadership(cluster, &members, findings);
    let leader = members.iter().find(|member| member.leads());
    for (member, expected) in members.iter().zip(&cluster.members) {
        let Ok(answered) = server(answers, &expected.node, &expected.instance) else { continue };
        itself(cluster, member, answered, findings);
        if let Some(leader) = leader.filter(|leader| leader.expected.instance != expected.instance)
        {
            following(cluster, leader, member, findings);
        }
        let now = answers.get(&expected.node).map_or(0, |answer| answer.answered / 1000);
        if let Some(server) = member.server {
            contents(expected, server, findings);
        }
        // One that follows another cluster is backed up there.
        if cluster.backups
            && let Some(backups) = &answered.backups
        {
            backed_up(cluster, backups, now, findings);
        }
        if let Some(patroni) = member.patroni.filter(|one| one.heard_dcs > 0) {
            let clock = answers.get(&expected.node).and_then(|one| one.health.told());
            let silent = clock.map_or(0, |health| health.clock / 1000) - patroni.heard_dcs;
            if silent > cluster.lease {
                findings.push(
                    Finding::of(
                        "dcs-unheard",
                        &expected.instance,
                        format!("its Patroni has not heard etcd for {silent} s"),
                        format!(
                            "`journalctl -u patroni` on {} says why; look at etcd and at the network \
                             between them",
                            expected.node
                        ),
                    )
                    .since(patroni.heard_dcs),
                );
            }
        }
    }
    synchronous(cluster, &members, leader, findings);
    let paused = members.iter().any(|member| member.patroni.is_some_and(|one| one.paused));
    if paused {
        findings.push(Finding::of(
            "paused",
            &cluster.name,
            "Patroni is paused: nobody takes over when the leader dies",
            "when the work is done that it was paused for: `patronictl resume` on one of its nodes",
        ));
    }
    if cluster.backups && cluster.backups_on_nodes {
        findings.push(Finding::of(
            "backups-on-nodes",
            &cluster.name,
            "its backups are on its nodes' own disks: who loses the nodes loses them, too",
            "give it a repository elsewhere (`pgbackrest_method`), or accept this",
        ));
    }
    view(cluster, &members, leader, paused)
}

fn view(
    cluster: &ExpectedCluster,
    members: &[Member<'_>],
    leader: Option<&Member<'_>>,
    paused: bool,
) -> ClusterHealth {
    let synchronous: Vec<&str> = leader
        .and_then(|leader| leader.patroni)
        .and_then(|patroni| patroni.synchronous.as_ref())
        .map(|names| names.iter().map(String::as_str).collect())
        .unwrap_or_default();
    let position = leader.and_then(|leader| leader.server).map(|server| server.position);
    let one = |member: &Member<'_>| {
        let role = match member.patroni {
            _ if member.leads() => "leader",
            None => "unknown",
            Some(_) if synchronous.contains(&member.expected.instance.as_str()) => "sync",
            Some(_) => "replica",
        };
        let state = member.patroni.map_or("unknown", |patroni| patroni.state.as_str());
        let state = if state == "running" && !member.leads() && member.streams() == Some(true) {
            "streaming"
        } else {
            state
        };
        MemberHealth {
            instance: member.expected.instance.clone(),
            node: member.expected.node.clone(),
            port: member.expected.port,
            role,
            state: state.to_owned(),
            timeline: member.server.map(|server| server.timeline),
            lag: position
                .zip(member.server)
                .filter(|_| !member.leads())
                .map(|(position, server)| (position - server.position).max(0)),
        }
    };
    ClusterHealth {
        name: cluster.name.clone(),
        leader: leader.map(|leader| leader.expected.instance.clone()),
        paused,
        members: members.iter().map(one).collect(),
    }
}

/// Who leads, asked of each: etcd's word is not enough.
fn leadership(cluster: &ExpectedCluster, members: &[Member<'_>], findings: &mut Vec<Finding>) {
    let names = |of: &[&Member<'_>]| -> String {
        let names: Vec<&str> = of.iter().map(|one| one.expected.instance.as_str()).collect();
        names.join(" and ")
    };
    let writable: Vec<&Member<'_>> = members
        .iter()
        .filter(|member| member.server.is_some_and(|server| !server.in_recovery))
        .collect();
    if writable.len() > 1 {
        findings.push(Finding::of(
            "two-writable",
            &cluster.name,
            format!("{} take writes, each for itself", names(&writable)),
            "stop the one that Patroni does not call the leader (`systemctl stop patroni` on its node) \
             before anything else, and keep its data directory: commits of its own are only there",
        ));
    }
    let leading: Vec<&Member<'_>> = members.iter().filter(|member| member.leads()).collect();
    let unknown: Vec<&Member<'_>> = members
        .iter()
        .filter(|member| member.patroni.is_none() && member.server.is_none())
        .collect();
    if leading.is_empty() {
        let message = if unknown.len() == members.len() {
            "nobody could be asked who leads: whether anybody can write is not known".to_owned()
        } else if unknown.is_empty() {
            "it has no leader: nobody can write".to_owned()
        } else {
            format!("none of those that answer leads; {} does not answer", names(&unknown))
        };
        findings.push(Finding::of(
            "no-leader",
            &cluster.name,
            message,
            "look at etcd first: without its majority nobody can lead; then at the members' logs \
             (`journalctl -u patroni`)",
        ));
    } else if writable.is_empty() && !cluster.follows {
        let silent = leading.iter().all(|leader| leader.server.is_none());
        if !silent {
            findings.push(Finding::of(
                "no-leader",
                &cluster.name,
                format!("{} leads, and its server takes no writes", names(&leading)),
                "it may be taking over just now; if that lasts, its log says what it waits for",
            ));
        }
    }
}

/// Whether it runs and answers.
fn itself(
    cluster: &ExpectedCluster,
    member: &Member<'_>,
    answered: &ServerHealth,
    findings: &mut Vec<Finding>,
) {
    let ExpectedMember { instance, node, .. } = member.expected;
    if let Asked::Unknown { because } = &answered.patroni {
        findings.push(Finding::of(
            "member-down",
            instance,
            format!("its Patroni does not answer: {because}"),
            format!("`systemctl status patroni` and `journalctl -u patroni` on {node}"),
        ));
    }
    match &answered.server {
        Asked::Unknown { because } if member.runs() => findings.push(Finding::of(
            "server-silent",
            instance,
            format!("its Patroni calls it running, and a new session gets no answer: {because}"),
            format!(
                "look at the server on {node}: sessions that are full, a disk that hangs, a process \
                 that was stopped (`ps -o pid,stat,wchan:20,cmd -u postgres`)"
            ),
        )),
        Asked::Unknown { .. } => {
            if let Some(patroni) = member.patroni {
                findings.push(Finding::of(
                    "member-down",
                    instance,
                    format!("its server does not serve: Patroni calls it `{}`", patroni.state),
                    format!("its log, and `journalctl -u patroni` on {node}, say why"),
                ));
            }
        }
        Asked::Told(_) => {}
    }
    let waits = member.server.map(|server| server.pending_restart.as_slice()).unwrap_or_default();
    if member.patroni.is_some_and(|patroni| patroni.pending_restart) || !waits.is_empty() {
        let what =
            if waits.is_empty() { String::new() } else { format!(" ({})", waits.join(", ")) };
        findings.push(Finding::of(
            "pending-restart",
            instance,
            format!("a changed setting waits for its restart{what}"),
            format!("`keddah apply -l {}` restarts one member after the other", cluster.name),
        ));
    }
}

/// How it follows its leader.
fn following(
    cluster: &ExpectedCluster,
    leader: &Member<'_>,
    member: &Member<'_>,
    findings: &mut Vec<Finding>,
) {
    let ExpectedMember { instance, node, delayed, .. } = member.expected;
    let Some(server) = member.server.filter(|server| server.in_recovery) else { return };
    if member.streams() == Some(false) {
        findings.push(Finding::of(
            "not-streaming",
            instance,
            "it runs and receives nothing of what is written now; readers may be shown what is old",
            format!(
                "its log and `journalctl -u patroni` on {node} say why; where the WAL that it needs is \
                 gone, `patronictl reinit {} {instance}` clones it anew",
                cluster.name
            ),
        ));
    }
    let Some(leads) = leader.server else { return };
    if server.timeline < leads.timeline && member.streams() != Some(true) {
        findings.push(Finding::of(
            "other-timeline",
            instance,
            format!(
                "it is on timeline {}, and {} is on {}",
                server.timeline, leader.expected.instance, leads.timeline
            ),
            format!(
                "its log on {node} says whether it comes over; else `patronictl reinit {} {instance}` \
                 clones it anew",
                cluster.name
            ),
        ));
    }
    let lag = leads.position - server.position;
    let most = if cluster.most_lag > 0 { cluster.most_lag.max(16 << 20) } else { MUCH_LAG };
    if lag > most && !delayed {
        findings.push(Finding::of(
            "lagging",
            instance,
            format!("it is {} behind {}", bytes(lag), leader.expected.instance),
            "a long query on it, a slow disk or a slow line holds it up: `pg_stat_wal_receiver` and \
             `pg_stat_activity` on it, `pg_stat_replication` on the leader",
        ));
    }
}

/// What is in a server.
fn contents(expected: &ExpectedMember, server: &PostgresHealth, findings: &mut Vec<Finding>) {
    let ExpectedMember { instance, node, .. } = expected;
    if let Some(archiver) = &server.archiver
        && let Some(failed) = archiver.failed_at
        && archiver.archived_at.is_none_or(|archived| archived < failed)
    {
        let file = archiver.failed_file.as_deref().unwrap_or("a file");
        findings.push(
            Finding::of(
                "archiving-fails",
                instance,
                format!("{file} cannot be archived, and what is written since is in no backup"),
                format!(
                    "the server's log on {node} has the words of `archive_command`; WAL is kept until \
                     it succeeds, and fills the disk"
                ),
            )
            .since(archiver.archived_at.unwrap_or_default()),
        );
    }
    for slot in &server.idle_slots {
        let lost = slot.wal_status.as_deref() == Some("lost");
        let kept = slot.kept.unwrap_or_default();
        if lost || kept > KEPT_BY_SLOT {
            let name = &slot.name;
            let message = if lost {
                format!("the replication slot {name} has lost the WAL that its user needs")
            } else {
                format!(
                    "the replication slot {name}, which nobody uses, keeps {} of WAL",
                    bytes(kept)
                )
            };
            findings.push(Finding::of(
                "idle-slot",
                instance,
                message,
                format!(
                    "bring its user back, or drop it: \
                     `SELECT pg_drop_replication_slot('{name}')` on {instance}"
                ),
            ));
        }
    }
    let age = server.transaction_age;
    if age > OLD_TRANSACTIONS && !server.in_recovery {
        let name = if age > LAST_TRANSACTIONS { "transaction-ids-end" } else { "transaction-ids" };
        findings.push(Finding::of(
            name,
            instance,
            format!(
                "the database {} has not been frozen for {} million transactions; at 2,147 million \
                 nothing more can be written",
                server.oldest_database,
                age / 1_000_000
            ),
            "end old transactions, prepared transactions and idle slots that hold it back, then \
             `VACUUM FREEZE` it",
        ));
    }
    if server.most_connections > 0 && server.connections * 10 >= server.most_connections * 9 {
        findings.push(Finding::of(
            "connections-full",
            instance,
            format!("{} of {} sessions are taken", server.connections, server.most_connections),
            "`pg_stat_activity` says by whom; clients belong behind the pool",
        ));
    }
}

fn backed_up(
    cluster: &ExpectedCluster,
    backups: &Asked<keddah_resource::health::BackupHealth>,
    now: i64,
    findings: &mut Vec<Finding>,
) {
    let remedy = "`/pg/bin/pg-backup full` on its leader makes one now; `pg_crontab` makes one every \
                  night";
    match backups {
        Asked::Unknown { because } => findings.push(Finding::of(
            "backups-unknown",
            &cluster.name,
            format!("its backups could not be asked for: {because}"),
            "`pgbackrest info` on its leader; look at the repository",
        )),
        Asked::Told(told) if told.full == 0 => findings.push(Finding::of(
            "backup-missing",
            &cluster.name,
            "it has no full backup",
            remedy,
        )),
        Asked::Told(told) => {
            let newest = told.newest.unwrap_or_default();
            if now - newest > LATE_BACKUP {
                findings.push(
                    Finding::of(
                        "backup-missing",
                        &cluster.name,
                        format!("its newest backup is {} hours old", (now - newest) / 3600),
                        remedy,
                    )
                    .since(newest),
                );
            }
        }
    }
}

fn synchronous(
    cluster: &ExpectedCluster,
    members: &[Member<'_>],
    leader: Option<&Member<'_>>,
    findings: &mut Vec<Finding>,
) {
    // A cluster of one has nobody to wait for, and says so by its members.
    if cluster.synchronous == 0 || members.len() < 2 {
        return;
    }
    let patroni = leader.and_then(|leader| leader.patroni);
    let Some(names) = patroni.and_then(|patroni| patroni.synchronous.as_ref()) else { return };
    let there = i64::try_from(names.len()).unwrap_or(i64::MAX);
    if there < cluster.synchronous {
        let what = if there == 0 {
            "commits should wait for a standby, and there is none that they could wait for"
                .to_owned()
        } else {
            format!(
                "commits should wait for {} standbys, and there are {there}",
                cluster.synchronous
            )
        };
        findings.push(Finding::of(
            "no-synchronous-standby",
            &cluster.name,
            what,
            "bring the standbys back: the findings about its members say which",
        ));
    }
}
