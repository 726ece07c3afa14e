//! How a fleet does, as a person wants to see it at three in the morning.

use super::findings::{self, verdict};
use super::theme::{Meaning, Theme};
use super::{Output, counted};
use keddah_core::NodeName;
use keddah_plan::health::{
    AddressHealth, ClusterHealth, EtcdClusterHealth, Finding, Health, MemberHealth, ServiceHealth,
};
use std::fmt::Write as _;

/// What is shown.
#[derive(Debug)]
pub struct View<'a> {
    /// How the fleet does.
    pub health: &'a Health,
    /// Nodes that were asked about.
    pub nodes: usize,
    /// Errors of the inventory: what stands there is not known, and was not asked about.
    pub unread: usize,
    /// Seconds since 1970.
    pub now: i64,
}

impl View<'_> {
    /// Whether all that is declared was asked about, and is well.
    pub fn is_well(&self) -> bool {
        self.unread == 0 && self.health.is_well()
    }
}

/// Shows it.
pub fn show(output: &Output, view: &View<'_>) {
    if output.is_json() {
        output.data(&json(view));
    } else {
        output.answer(&text(view, &output.stdout, output.width));
    }
}

/// Clears the screen for the next look; where there is none, an empty line has to do. What was read of a
/// log hours later, or over a shoulder, says when it was so.
pub fn again(output: &Output, now: i64) {
    let clear = if output.stdout.is_colored() { "\x1b[2J\x1b[H" } else { "\n" };
    let heading = output.stdout.paint(Meaning::Heading, &moment(now));
    output.answer(&format!("{clear}{heading}\n\n"));
}

/// A moment, in seconds since 1970, as a person reads it.
fn moment(now: i64) -> String {
    let form =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    time::OffsetDateTime::from_unix_timestamp(now)
        .ok()
        .and_then(|moment| moment.format(&form).ok())
        .unwrap_or_else(|| now.to_string())
}

fn json(view: &View<'_>) -> serde_json::Value {
    let mut json = serde_json::json!(view.health);
    json["well"] = view.is_well().into();
    json["inventory_errors"] = view.unread.into();
    json["nodes"] = view.nodes.into();
    json["time"] = view.now.into();
    json
}

/// For people.
pub fn text(view: &View<'_>, theme: &Theme, width: usize) -> String {
    let mut text = String::new();
    for cluster in &view.health.clusters {
        self::cluster(&mut text, cluster, theme);
    }
    if let Some(etcd) = &view.health.etcd {
        self::etcd(&mut text, etcd, theme);
    }
    for address in &view.health.addresses {
        self::address(&mut text, address, None, theme);
    }
    if !view.health.addresses.is_empty() {
        text.push('\n');
    }
    findings::show(&mut text, &view.health.findings, Some(view.now), theme, width);
    if !view.health.findings.is_empty() {
        text.push('\n');
    }
    text.push_str(&last_sentence(view, theme));
    text
}

/// Columns as wide as their widest cell; the last one is not filled up.
fn table(
    text: &mut String,
    rows: &[Vec<String>],
    theme: &Theme,
    paint: impl Fn(usize, usize) -> Option<Meaning>,
) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for (line, row) in rows.iter().enumerate() {
        text.push_str("  ");
        for (at, cell) in row.iter().enumerate() {
            let meaning = if line == 0 { Some(Meaning::Muted) } else { paint(line - 1, at) };
            match meaning {
                Some(meaning) => text.push_str(&theme.paint(meaning, cell)),
                None => text.push_str(cell),
            }
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[at] + 2 - cell.chars().count()));
            }
        }
        text.push('\n');
    }
}

fn cluster(text: &mut String, cluster: &ClusterHealth, theme: &Theme) {
    let paused = if cluster.paused { ", paused" } else { "" };
    let leader = match &cluster.leader {
        Some(leader) => format!("led by {leader}"),
        None if cluster.members.iter().any(|member| member.role == "unknown") => {
            "its leader is unknown".to_owned()
        }
        None => "led by nobody".to_owned(),
    };
    let members = counted(cluster.members.len(), "member");
    let heading = theme.paint(Meaning::Heading, &cluster.name);
    let name = cluster.dns_name.as_ref().filter(|name| **name != cluster.name);
    let name = name.map(|name| format!(", found as {name}")).unwrap_or_default();
    let _ = writeln!(text, "{heading}  {members}, {leader}{paused}{name}");
    let mut rows = vec![words(&["instance", "address", "role", "state", "timeline", "behind"])];
    for member in &cluster.members {
        let MemberHealth { instance, node, port, role, state, timeline, lag } = member;
        let dash = || "-".to_owned();
        rows.push(vec![
            instance.clone(),
            format!("{node}:{port}"),
            (*role).to_owned(),
            state.clone(),
            timeline.map_or_else(dash, |timeline| timeline.to_string()),
            lag.map_or_else(dash, size),
        ]);
    }
    let members = &cluster.members;
    table(text, &rows, theme, |line, column| match (column, members[line].state.as_str()) {
        (3, "running" | "streaming") => Some(Meaning::Good),
        (3, _) => Some(Meaning::Error),
        _ => None,
    });
    services(text, cluster, theme);
    for one in &cluster.addresses {
        address(text, one, Some(cluster), theme);
    }
    text.push('\n');
}

/// Where clients come in, and who serves them there now.
fn services(text: &mut String, cluster: &ClusterHealth, theme: &Theme) {
    if cluster.services.is_empty() {
        return;
    }
    let mut rows = vec![words(&["service", "port", "leads to"])];
    for ServiceHealth { name, port, members } in &cluster.services {
        let members = match members {
            None => "unknown".to_owned(),
            Some(members) if members.is_empty() => "none".to_owned(),
            Some(members) if members.len() > FEW => counted(members.len(), "member"),
            Some(members) => members.join(", "),
        };
        rows.push(vec![name.clone(), port.to_string(), members]);
    }
    let members = |line: usize| cluster.services[line].members.as_ref();
    table(text, &rows, theme, |line, column| {
        let serves = members(line).is_some_and(|members| !members.is_empty());
        (column == 2 && !serves).then_some(Meaning::Error)
    });
}

/// Members of a service that are named; more are counted, so that a line stays a line.
const FEW: usize = 5;

/// An address, and who holds it.
fn address(
    text: &mut String,
    address: &AddressHealth,
    cluster: Option<&ClusterHealth>,
    theme: &Theme,
) {
    let holder = |node: &NodeName| {
        let members = cluster.into_iter().flat_map(|cluster| &cluster.members);
        let mut own = members.filter(|member| member.node == *node);
        own.next()
            .map_or_else(|| node.to_string(), |member| format!("{} ({node})", member.instance))
    };
    let label = theme.paint(Meaning::Muted, "address");
    let held: Vec<String> = address.held_by.iter().map(holder).collect();
    let held = match held.as_slice() {
        [] => theme.paint(Meaning::Error, "held by nobody"),
        [one] => format!("held by {one}"),
        many => theme.paint(Meaning::Error, &format!("held by {}", many.join(" and "))),
    };
    let _ = writeln!(text, "  {label}  {}  {held}", address.address);
}

fn etcd(text: &mut String, etcd: &EtcdClusterHealth, theme: &Theme) {
    let heading = theme.paint(Meaning::Heading, "etcd");
    let members = counted(etcd.members.len(), "member");
    let quorum = if etcd.quorum { "with a majority" } else { "WITHOUT a majority" };
    let _ = writeln!(text, "{heading}  {members}, {quorum}");
    let mut rows = vec![words(&["member", "node", "role", "store", "version"])];
    for member in &etcd.members {
        rows.push(vec![
            member.name.clone(),
            member.node.to_string(),
            member.role.to_owned(),
            member.size.map_or_else(|| "-".to_owned(), size),
            member.version.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let members = &etcd.members;
    table(text, &rows, theme, |line, column| {
        (column == 2 && members[line].role == "unknown").then_some(Meaning::Error)
    });
    text.push('\n');
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn last_sentence(view: &View<'_>, theme: &Theme) -> String {
    let Health { clusters, findings, .. } = view.health;
    let what = format!("{} on {}", counted(clusters.len(), "cluster"), counted(view.nodes, "node"));
    if view.is_well() {
        return format!("{}\n", theme.paint(Meaning::Good, &format!("All is well: {what}.")));
    }
    let unread = match view.unread {
        0 => String::new(),
        errors => format!(
            "{}: what is wrong there was not looked at; `keddah check` shows it.\n",
            theme.paint(Meaning::Error, &format!("The inventory has {}", counted(errors, "error")))
        ),
    };
    let counts: Vec<&Finding> = findings.iter().filter(|finding| finding.counts()).collect();
    if counts.is_empty() {
        return format!("{unread}Nothing else was found: {what}.\n");
    }
    format!("{unread}{}; {what}.\n", verdict(&counts, theme))
}

/// A size in bytes.
fn size(bytes: i64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} kB", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} MB", bytes >> 20),
        _ => format!("{} GB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_moment_is_a_day_and_a_time() {
        assert_eq!(moment(1_795_817_066), "2026-11-27 22:04:26 UTC");
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
    }
}
