//! A cluster of PostgreSQL: who leads, who follows, and how far behind.

use super::{AddressHealth, Answers, Finding, ServiceHealth};
use super::{backups, bytes, contents, server, services, settings};
use keddah_core::NodeName;
use keddah_resource::health::{
    Asked, ExpectedCluster, ExpectedMember, KnownMember, PatroniHealth, PostgresHealth,
    ServerHealth,
};
use keddah_resource::is_leading;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where a standby is told to be behind in any case, whatever `pg_rpo` says: in bytes.
const MUCH_LAG: i64 = 256 << 20;

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
    /// Its services, in the inventory's order.
    pub services: Vec<ServiceHealth>,
    /// The addresses that go with its leader.
    pub addresses: Vec<AddressHealth>,
    /// The name by which clients find it; `None` where no name server has one.
    pub dns_name: Option<String>,
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
    /// Whether there was no time to ask its Patroni.
    untried: bool,
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
                untried: answered.is_some_and(|one| one.patroni.is_untried()),
            }
        })
        .collect();
    let stray = strays(cluster, &members, findings);
    leadership(cluster, &members, stray, findings);
    // Patroni's word goes before that of a server without one.
    let leader = members
        .iter()
        .find(|member| member.patroni.is_some() && member.leads())
        .or_else(|| members.iter().find(|member| member.leads()));
    for (member, expected) in members.iter().zip(&cluster.members) {
        let Ok(answered) = server(answers, &expected.node, &expected.instance) else { continue };
        itself(cluster, member, answered, findings);
        if let Some(leader) = leader.filter(|leader| leader.expected.instance != expected.instance)
        {
            following(cluster, leader, member, findings);
        }
        let now = answers.get(&expected.node).map_or(0, |answer| answer.answered / 1000);
        if let Some(server) = member.server {
            contents::judge(cluster, expected, server, findings);
            settings::judge(expected, member.leads(), server, findings);
        }
        // One that follows another cluster is backed up there.
        if cluster.backups
            && let Some(backups) = &answered.backups
        {
            let timeline = member.server.map(|server| server.timeline);
            backups::judge(cluster, expected, backups, timeline, now, findings);
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
    if let Some((leader, server)) = leader.and_then(|one| Some((one, one.server?))) {
        settings::databases(cluster, leader.expected, server, findings);
    }
    let paused = members.iter().any(|member| member.patroni.is_some_and(|one| one.paused));
    if paused {
        findings.push(Finding::of(
            "paused",
            &cluster.name,
            "Patroni is paused: nobody takes over when the leader dies, and no member is made or started; \
             restarts and settings that are planned are carried out all the same",
            format!(
                "when the work is done that it was paused for: `{} resume {}`{}",
                patronictl(&cluster.members[0]),
                cluster.name,
                on_its_nodes(&cluster.members[0])
            ),
        ));
    }
    let scheduled = leader.or(members.first()).and_then(|member| member.patroni);
    let scheduled = scheduled.map(|patroni| patroni.scheduled.as_slice()).unwrap_or_default();
    if !scheduled.is_empty() {
        findings.push(Finding::of(
            "scheduled",
            &cluster.name,
            format!("Patroni will do what somebody has set a time for: {}", scheduled.join(", ")),
            format!(
                "`{} flush {} switchover` or `… flush {1} restart`{} takes it back",
                patronictl(&cluster.members[0]),
                cluster.name,
                on_its_nodes(&cluster.members[0])
            ),
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
    view(cluster, &members, leader, paused, answers)
}

fn view(
    cluster: &ExpectedCluster,
    members: &[Member<'_>],
    leader: Option<&Member<'_>>,
    paused: bool,
    answers: &Answers,
) -> ClusterHealth {
    let synchronous: Vec<&str> = leader
        .and_then(|leader| leader.patroni)
        .and_then(|patroni| patroni.synchronous.as_ref())
        .map(|names| names.iter().map(String::as_str).collect())
        .unwrap_or_default();
    let position = leader.and_then(|leader| leader.server).map(|server| server.position);
    let one = |member: &Member<'_>| {
        let leads = leader.is_some_and(|one| one.expected.instance == member.expected.instance);
        let role = match member.patroni {
            _ if leads => "leader",
            // Beside the leader, or without a Patroni that knows of it.
            _ if member.leads() => "writable",
            None => "unknown",
            Some(_) if synchronous.contains(&member.expected.instance.as_str()) => "sync",
            Some(_) => "replica",
        };
        let state = member.patroni.map_or("unknown", |patroni| patroni.state.as_str());
        let state = if state == "running" && !member.leads() && member.streams() == Some(true) {
            "streaming"
        } else if state == "streaming" && leader.is_none() {
            // From whom, nobody knows: a connection to a dead machine lasts until its time is over.
            "running"
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
        services: services::of(cluster, answers),
        addresses: Vec::new(),
        dns_name: cluster.dns_name.clone(),
    }
}

/// Members that run and that the inventory does not have: whatever is made from the inventory, load
/// balancers first of all, leaves them out. The one that leads is returned.
fn strays<'a>(
    cluster: &ExpectedCluster,
    members: &[Member<'a>],
    findings: &mut Vec<Finding>,
) -> Option<&'a KnownMember> {
    let mut strays: BTreeMap<&str, &'a KnownMember> = BTreeMap::new();
    for known in members.iter().filter_map(|member| member.patroni).flat_map(|one| &one.members) {
        let declared = cluster.members.iter().any(|member| member.instance == known.name);
        if !declared && !cluster.leaving.contains(&known.name) {
            strays.entry(&known.name).or_insert(known);
        }
    }
    for KnownMember { name, host, leads } in strays.values() {
        let (finding, does) = if *leads {
            ("undeclared-leader", "leads it")
        } else {
            ("undeclared-member", "is a member of it and may lead it at any time")
        };
        findings.push(Finding::of(
            finding,
            &cluster.name,
            format!(
                "{name} on {host} {does}, and the inventory does not have it: no service leads there"
            ),
            format!(
                "put its host back into the inventory; where it is to go, `keddah remove {name}` takes it \
                 away in good order first"
            ),
        ));
    }
    strays.into_values().find(|stray| stray.leads)
}

/// Who leads, asked of each: etcd's word is not enough.
fn leadership(
    cluster: &ExpectedCluster,
    members: &[Member<'_>],
    stray: Option<&KnownMember>,
    findings: &mut Vec<Finding>,
) {
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
            stop_it(&writable),
        ));
    }
    let leading: Vec<&Member<'_>> = members.iter().filter(|member| member.leads()).collect();
    let unknown: Vec<&Member<'_>> = members
        .iter()
        .filter(|member| member.patroni.is_none() && member.server.is_none())
        .collect();
    if leading.is_empty() && stray.is_some() {
        // It has one, and that is told.
    } else if leading.is_empty() && unknown.iter().any(|member| member.untried) {
        // It may have one, and that not all were asked is told of their nodes.
    } else if leading.is_empty() {
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
            format!(
                "after a failure another member takes over within {} s at the most; if none does: is etcd \
                 without its majority, are the Patronis stopped (`keddah apply -l {}` starts them)? What \
                 keeps them from it is in `journalctl -u {}`",
                cluster.lease + 15,
                cluster.name,
                cluster.members[0].patroni_unit
            ),
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

/// How the one is stopped that takes writes without being the leader, its server included: a unit of
/// Patroni's that stops leaves a server alone that it did not start.
fn stop_it(writable: &[&Member<'_>]) -> String {
    let rogue = writable.iter().find(|one| !one.patroni.is_some_and(|it| is_leading(&it.role)));
    let keep =
        "before anything else, and keep its data directory: commits of its own are only there";
    match rogue.or(writable.last()) {
        Some(Member {
            expected: ExpectedMember { node, patroni_unit: unit, instance, data_directory, .. },
            server,
            ..
        }) => {
            let programs = programs(*server);
            format!(
                "stop {instance}, which Patroni does not call the leader, {keep}: on {node} `systemctl stop \
                 {unit}; sudo -iu postgres {programs}/pg_ctl -D {data_directory} -m fast stop`"
            )
        }
        None => format!("stop the one that Patroni does not call the leader, {keep}"),
    }
}

/// Where the programs of a server's version are in Debian, which has few of them in everybody's path.
pub(super) fn programs(server: Option<&PostgresHealth>) -> String {
    let version = server.map_or(0, |server| server.version / 10_000);
    format!("/usr/lib/postgresql/{version}/bin")
}

/// Whether it runs and answers.
fn itself(
    cluster: &ExpectedCluster,
    member: &Member<'_>,
    answered: &ServerHealth,
    findings: &mut Vec<Finding>,
) {
    let ExpectedMember { instance, node, patroni_unit: unit, .. } = member.expected;
    if let Asked::Unknown { because } = &answered.patroni {
        findings.push(Finding::of(
            "member-down",
            instance,
            format!("its Patroni does not answer: {because}"),
            format!(
                "`systemctl status {unit}` and `journalctl -u {unit}` on {node}; one that was stopped is \
                 started by `keddah apply -l {}`, and one that runs and does not answer by `systemctl restart \
                 {unit}`",
                cluster.name
            ),
        ));
    }
    match &answered.server {
        Asked::Unknown { because } if member.runs() => findings.push(Finding::of(
            "server-silent",
            instance,
            format!("its Patroni calls it running, and a new session fails: {because}"),
            format!(
                "look at the server on {node}: sessions that are full, a disk that hangs, a process \
                 that was stopped (`ps -o pid,stat,wchan:20,cmd -u postgres`); where its rules let nobody in, \
                 put them right and `systemctl reload {unit}`"
            ),
        )),
        Asked::Unknown { .. } => {
            if let Some(patroni) = member.patroni {
                findings.push(Finding::of(
                    "member-down",
                    instance,
                    format!("its server does not serve: Patroni calls it `{}`", patroni.state),
                    format!("its log, and `journalctl -u {unit}` on {node}, say why"),
                ));
            }
        }
        Asked::Told(_) | Asked::Untried => {}
    }
    if let Some(patroni) = member.patroni {
        let other = |is: &str, should: &str| !is.is_empty() && is != should;
        if other(&patroni.name, instance) || other(&patroni.scope, &cluster.name) {
            findings.push(Finding::of(
                "other-identity",
                instance,
                format!(
                    "its Patroni runs as {} of {}: what is done to the one is done to the other",
                    if patroni.name.is_empty() { "a member" } else { &patroni.name },
                    patroni.scope
                ),
                format!(
                    "`systemctl cat {unit}` on {node} shows the drop-in that sets it (`PATRONI_NAME`, \
                     `PATRONI_SCOPE`): take that away, then `systemctl daemon-reload; systemctl restart {unit}`"
                ),
            ));
        }
    }
    if member.server.is_some_and(|server| server.data_gone) {
        let directory = &member.expected.data_directory;
        findings.push(Finding::of(
            "data-gone",
            instance,
            format!("its server runs, and its data directory {directory} is not there any more"),
            format!(
                "mount its disk again on {node} before anything restarts there, or stop it (`systemctl stop \
                 {unit}`); what is made anew in its place is another copy"
            ),
        ));
    }
    for path in member.patroni.iter().flat_map(|one| &one.foreign_files) {
        findings.push(Finding::of(
            "foreign-configuration",
            instance,
            format!("its Patroni reads {path}, which Keddah has not written"),
            format!(
                "declare what it says, and move it away on {node}, then `systemctl reload {unit}`; it may \
                 keep this member from ever leading"
            ),
        ));
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
    let ExpectedMember { instance, node, delayed, patroni_unit: unit, .. } = member.expected;
    let Some(server) = member.server.filter(|server| server.in_recovery) else { return };
    if member.streams() == Some(false) {
        findings.push(Finding::of(
            "not-streaming",
            instance,
            "it runs and receives nothing of what is written now; readers may be shown what is old",
            format!(
                "its log and `journalctl -u {unit}` on {node} say why; where the WAL that it needs is \
                 gone, `{} reinit {} {instance}` there deletes what it has, and clones it anew",
                patronictl(member.expected),
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
                "its log on {node} says whether it comes over; else, with a copy of its data kept, `{} \
                 reinit {} {instance}` there deletes what it has, and clones it anew",
                patronictl(member.expected),
                cluster.name
            ),
        ));
    }
    if leads.ahead.contains(instance) {
        findings.push(Finding::of(
            "diverged",
            instance,
            format!(
                "it is ahead of {}, and receives nothing until that has caught up: it holds commits that the \
                 leader does not have, and may show what is old",
                leader.expected.instance
            ),
            format!(
                "keep a copy of its data directory; what is only there can be read from it (`{}/pg_waldump`, or \
                 a server started apart). Then `{} reinit {} {instance}` on {node}, which deletes it",
                programs(member.server),
                patronictl(member.expected),
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

/// Patroni's program with its configuration, which it does not find by itself.
pub(super) fn patronictl(member: &ExpectedMember) -> String {
    format!("sudo -iu postgres patronictl -c {}", member.patroni_directory)
}

fn on_its_nodes(member: &ExpectedMember) -> String {
    format!(" on {} or another of its nodes", member.node)
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
    let commit = leader.and_then(|leader| leader.server).map(|server| &server.synchronous_commit);
    if let Some(commit) = commit.filter(|word| matches!(word.as_str(), "off" | "local")) {
        findings.push(Finding::of(
            "no-synchronous-standby",
            &cluster.name,
            format!("commits should wait for a standby, and `synchronous_commit` is `{commit}`"),
            "`SELECT sourcefile FROM pg_settings WHERE name = 'synchronous_commit'` on the leader says where \
             it is set: `ALTER SYSTEM RESET synchronous_commit`, or `pg_parameters`",
        ));
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
