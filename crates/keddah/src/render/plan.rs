//! A plan as people and programs read it.

use crate::error::CommandError;
use crate::render::theme::{Meaning, Theme};
use crate::render::{Output, change, counted, findings, fold, wrap};
use indexmap::IndexMap;
use keddah_plan::health::{Finding, Health, beside, not_said_by};
use keddah_plan::{Certainty, Failure, Plan, PlannedChange, Unobserved};
use keddah_resource::{Class, Kind, Module, ResourceId};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Shows the answer of `keddah plan`.
pub fn show(output: &Output, plan: &Plan, health: &Health, full: bool) {
    if output.is_json() {
        output.data(&json(plan, health));
    } else {
        output.answer(&with_health(plan, Some(health), full, output.width, output.stdout));
    }
}

/// Shows a plan that is about to be applied; with JSON, it is part of the report instead.
pub fn announce(output: &Output, plan: &Plan, health: &Health, full: bool) {
    if !output.is_json() && !plan.changes.is_empty() {
        output.answer(&with_health(plan, Some(health), full, output.width, output.stdout));
    }
}

/// A plan for programs, with what is not well beside it.
pub fn json(plan: &Plan, health: &Health) -> serde_json::Value {
    let findings = beside(plan, health);
    let mut document = json!({
        "summary": plan.summary(),
        "digest": plan.digest(),
        "plan": plan,
        "well": health.is_well() && plan.otherwise == 0,
    });
    document["plan"]["notes"] = json!(not_said_by(plan, &findings));
    document["findings"] = json!(findings);
    document
}

/// The refusal to apply something else than what was reviewed, naming what is different.
pub fn differs(reviewed: &Plan, now: &Plan) -> CommandError {
    let mut error = CommandError::user("the machines or the inventory are not as reviewed")
        .hint("plan again, review, and apply the new plan");
    let keyed = |plan: &Plan| -> BTreeMap<ResourceId, PlannedChange> {
        plan.changes.iter().map(|change| (change.id.clone(), change.clone())).collect()
    };
    let (before, after) = (keyed(reviewed), keyed(now));
    let mut differences = Vec::new();
    for (id, change) in &after {
        match before.get(id) {
            None => differences.push(format!("{id} was not in the reviewed plan")),
            Some(old) if old.difference != change.difference => {
                differences.push(format!("{id} would change in another way"));
            }
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|id| !after.contains_key(id));
    differences.extend(gone.map(|id| format!("{id} no longer changes")));
    let rest = differences.len().saturating_sub(10);
    error.causes.extend(differences.into_iter().take(10));
    if rest > 0 {
        error.causes.push(format!("and {rest} more"));
    }
    error
}

/// A plan for people.
#[cfg(test)]
pub fn text(plan: &Plan, full: bool, width: usize, theme: Theme) -> String {
    with_health(plan, None, full, width, theme)
}

/// A plan for people, and what is not well beside it; its last sentence is about both.
pub fn with_health(
    plan: &Plan,
    health: Option<&Health>,
    full: bool,
    width: usize,
    theme: Theme,
) -> String {
    let mut text = String::new();
    unreachable(&mut text, plan, theme);
    let style = change::Style { full, width, theme };
    let mut folds = false;
    for (heading, changes) in sections(plan) {
        let _ = writeln!(text, "{}", theme.paint(Meaning::Heading, &heading));
        for (nodes, changes) in fold::by_nodes(&changes) {
            let _ = writeln!(text, "  {}", theme.paint(Meaning::Muted, &fold::node_list(&nodes)));
            if full {
                changes.into_iter().for_each(|one| change::whole(&mut text, one, style));
                continue;
            }
            for entry in fold::entries(&changes) {
                folds |= change::folded(&mut text, &entry, style);
            }
        }
        text.push('\n');
    }
    problems(&mut text, plan, theme);
    let beside: Vec<&Finding> = health.map(|health| beside(plan, health)).unwrap_or_default();
    let counts: Vec<&Finding> = beside.into_iter().filter(|finding| finding.counts()).collect();
    let notes = not_said_by(plan, &counts);
    for note in &notes {
        let _ = match note.strip_prefix("warning: ") {
            Some(grave) => writeln!(text, "{} {grave}", theme.paint(Meaning::Warning, "warning:")),
            None => writeln!(text, "{} {note}", theme.paint(Meaning::Hint, "note:")),
        };
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    findings::show(&mut text, counts.iter().copied(), None, &theme, width);
    if !counts.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(plan, health, width, theme));
    if !counts.is_empty() {
        let _ =
            writeln!(text, "{}; `keddah status` shows it all.", findings::verdict(&counts, &theme));
    }
    if folds {
        let hint = "What is only counted or named here, -v shows in full.";
        let _ = writeln!(text, "{}", theme.paint(Meaning::Muted, hint));
    }
    text
}

/// By cluster, or by module for what belongs to none, which comes first.
fn sections(plan: &Plan) -> Vec<(String, Vec<&PlannedChange>)> {
    let mut sections: BTreeMap<(Module, Option<&str>), Vec<&PlannedChange>> = BTreeMap::new();
    for change in &plan.changes {
        // An etcd cluster is usually named as its module.
        let cluster = change.cluster.as_deref().filter(|name| *name != change.module.to_string());
        sections.entry((change.module, cluster)).or_default().push(change);
    }
    let heading = |(module, cluster): (Module, Option<&str>)| match cluster {
        Some(cluster) => format!("{module} {cluster}"),
        None => module.to_string(),
    };
    sections.into_iter().map(|(section, changes)| (heading(section), changes)).collect()
}

/// Nodes that do not answer come first: all that follows is said without them.
fn unreachable(text: &mut String, plan: &Plan, theme: Theme) {
    let error = theme.paint(Meaning::Error, "error:");
    for (node, failure) in &plan.unreachable {
        // Most failures to reach a node name it themselves.
        let message = failure.message.strip_prefix(node.as_str()).unwrap_or(&failure.message);
        let message = message.trim_start_matches(':').trim_start();
        let _ = writeln!(text, "{error} {node} {message}; nothing is planned for it");
        failure_details(text, failure, theme);
    }
    if !plan.unreachable.is_empty() {
        let _ = writeln!(
            text,
            "{} the rest is planned without {}: no cluster with a member there is made, and what follows \
             its members' sizes stays as it is\n",
            theme.paint(Meaning::Hint, "note:"),
            if plan.unreachable.len() == 1 { "it" } else { "them" },
        );
    }
}

/// So many that cannot be looked at for one reason are named one by one.
const FEW: usize = 3;

fn problems(text: &mut String, plan: &Plan, theme: Theme) {
    let error = theme.paint(Meaning::Error, "error:");
    let mut alike: Vec<(&Failure, Vec<&ResourceId>)> = Vec::new();
    for Unobserved { id, failure } in &plan.unobserved {
        let same = alike.iter_mut().find(|(one, ids)| *one == failure && ids[0].node == id.node);
        match same {
            Some((_, ids)) => ids.push(id),
            None => alike.push((failure, vec![id])),
        }
    }
    for (failure, ids) in alike {
        if ids.len() <= FEW {
            for id in ids {
                let _ = writeln!(text, "{error} {id} cannot be looked at: {failure}");
                failure_details(text, failure, theme);
            }
        } else {
            let (node, count) = (&ids[0].node, counted(ids.len(), "resource"));
            let kinds: BTreeSet<Kind> = ids.iter().map(|id| id.kind).collect();
            let kinds: Vec<String> = kinds.iter().map(Kind::to_string).collect();
            let _ = writeln!(
                text,
                "{error} {node}: {count} cannot be looked at ({}): {failure}",
                kinds.join(", ")
            );
            failure_details(text, failure, theme);
        }
    }
    if !plan.blocked.is_empty() {
        let _ = writeln!(
            text,
            "{error} for that reason, {} left out",
            match plan.blocked.len() {
                1 => format!("{} is", plan.blocked[0].id),
                count => format!("{count} changes that come after are"),
            }
        );
    }
    if !plan.unobserved.is_empty() {
        text.push('\n');
    }
}

/// The log and the hint of a failure, indented; what its message says already is not said again.
pub fn failure_details(text: &mut String, failure: &Failure, theme: Theme) {
    let new = |line: &&String| line.trim().is_empty() || !failure.message.contains(line.trim());
    for line in failure.log.iter().filter(new) {
        let _ = writeln!(text, "    {} {line}", theme.paint(Meaning::Muted, "|"));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "    {} {hint}", theme.paint(Meaning::Hint, "hint:"));
    }
}

/// The last line: what it all comes to.
fn summary(plan: &Plan, health: Option<&Health>, width: usize, theme: Theme) -> String {
    let well = health.is_some_and(Health::is_well);
    let of = format!("{} on {}", counted(plan.resources, "resource"), counted(plan.nodes, "node"));
    if plan.changes.is_empty() {
        return if plan.is_complete() {
            if plan.otherwise > 0 {
                let words = "Nothing to change, but not all is as declared:";
                let words = theme.paint(Meaning::Warning, words);
                let servers = counted(plan.otherwise, "server");
                return format!("{words} {servers} with other settings among {of}.\n");
            }
            let words =
                if well { "Nothing to change, and all is well:" } else { "Nothing to change:" };
            let good = theme.paint(Meaning::Good, words);
            format!("{good} {of} are as declared.\n")
        } else {
            "Nothing to change in what could be looked at.\n".to_owned()
        };
    }
    let summary = plan.summary();
    let mut parts = Vec::new();
    let mut part = |count: usize, words: &str| {
        if count > 0 {
            parts.push(format!("{count} {words}"));
        }
    };
    part(summary.create, "to create");
    part(summary.start, "to start");
    part(summary.update, "to update");
    part(summary.delete, "to delete");
    part(summary.not_yet, "to compare later");
    let counts = parts.join(", ");
    // The number that the progress of an apply counts to.
    let all = counted(plan.changes.len(), "change");
    let label = theme.paint(Meaning::Heading, "Plan:");
    let mut text = format!("{label} {all} ({counts}); {of}.\n");
    for (class, words, meaning) in [
        (Class::Reload, "reloads", Meaning::Update),
        (Class::Restart, "restarts", Meaning::Grave),
        (Class::OrderedRestart, "rolling restart", Meaning::Grave),
        (Class::Stop, "stops", Meaning::Grave),
        (Class::Replace, "is made anew", Meaning::Grave),
        (Class::Destroy, "is lost for good", Meaning::Grave),
    ] {
        let affected: Vec<&PlannedChange> = plan
            .changes
            .iter()
            .filter(|one| one.certainty == Certainty::Known && one.difference.class == class)
            // It makes others restart; those are named themselves.
            .filter(|one| one.id.kind != Kind::PatroniConfig || class >= Class::Stop)
            .collect();
        if affected.is_empty() {
            continue;
        }
        let mut by_name: IndexMap<String, usize> = IndexMap::new();
        for change in &affected {
            let leads = if leads(change, health) { " (it leads: no writes meanwhile)" } else { "" };
            let name = format!("{} {}{leads}", change.id.kind, change.id.name);
            *by_name.entry(name).or_default() += 1;
        }
        let names: Vec<String> = by_name
            .into_iter()
            .map(|(name, count)| if count == 1 { name } else { format!("{name} on {count} nodes") })
            .collect();
        let label = format!("{words}:");
        let lines = wrap(&format!("{label} {}", names.join(", ")), width.saturating_sub(4));
        let lines = lines.join("\n    ").replacen(&label, &theme.paint(meaning, &label), 1);
        let _ = writeln!(text, "  {lines}");
    }
    if summary.impossible > 0 {
        let error = theme.paint(Meaning::Error, "error:");
        let what = counted(summary.impossible, "change");
        let hint = "mend what is said at it, then plan again";
        let _ = writeln!(
            text,
            "{error} {what} of these cannot be made like this, so apply carries out none of them; {hint}"
        );
    }
    text
}

/// Whether it is the restart of a server that leads its cluster: nobody else takes its part meanwhile, as
/// they do where its Patroni restarts.
fn leads(change: &PlannedChange, health: Option<&Health>) -> bool {
    let restarts = matches!(change.difference.class, Class::Restart | Class::OrderedRestart);
    change.id.kind == Kind::Postmaster
        && restarts
        && health.is_some_and(|health| {
            let mut clusters = health.clusters.iter();
            clusters.any(|cluster| cluster.leader.as_deref() == Some(change.id.name.as_str()))
        })
}
