//! A plan as people and programs read it.

use crate::error::CommandError;
use crate::render::theme::{Meaning, Theme};
use crate::render::{Output, counted};
use indexmap::IndexMap;
use keddah_plan::{Certainty, Failure, Plan, PlannedChange};
use keddah_resource::{Action, Class, FieldChange, ResourceId};
use serde_json::json;
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines of unchanged text around a change.
const CONTEXT_LINES: usize = 3;

/// Lines of a new file that are shown unless all are asked for.
const NEW_FILE_LINES: usize = 0;

/// Shows the answer of `keddah plan`.
pub fn show(output: &Output, plan: &Plan, full: bool) {
    if output.is_json() {
        output.data(&json(plan));
    } else {
        output.answer(&text(plan, full, output.stdout));
    }
}

/// Shows a plan that is about to be applied; with JSON, it is part of the report instead.
pub fn announce(output: &Output, plan: &Plan, full: bool) {
    if !output.is_json() && !plan.changes.is_empty() {
        output.answer(&text(plan, full, output.stdout));
    }
}

/// A plan for programs.
pub fn json(plan: &Plan) -> serde_json::Value {
    json!({ "summary": plan.summary(), "digest": plan.digest(), "plan": plan })
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
pub fn text(plan: &Plan, full: bool, theme: Theme) -> String {
    let mut text = String::new();
    for (heading, changes) in sections(plan) {
        let _ = writeln!(text, "{}", theme.paint(Meaning::Heading, &heading));
        for (nodes, changes) in folded(&changes) {
            let _ = writeln!(text, "  {}", theme.paint(Meaning::Muted, &node_list(&nodes)));
            for change in changes {
                one_change(&mut text, change, full, theme);
            }
        }
        text.push('\n');
    }
    problems(&mut text, plan, theme);
    for note in &plan.notes {
        let _ = writeln!(text, "{} {note}", theme.paint(Meaning::Hint, "note:"));
    }
    if !plan.notes.is_empty() {
        text.push('\n');
    }
    text.push_str(&summary(plan, theme));
    text
}

/// By cluster, or by module for what belongs to none.
fn sections(plan: &Plan) -> IndexMap<String, Vec<&PlannedChange>> {
    let mut sections: IndexMap<String, Vec<&PlannedChange>> = IndexMap::new();
    for change in &plan.changes {
        let heading = match &change.cluster {
            Some(cluster) => format!("{} {cluster}", change.module),
            None => change.module.to_string(),
        };
        sections.entry(heading).or_default().push(change);
    }
    sections
}

/// Whether two changes of different nodes read the same.
fn reads_alike(one: &PlannedChange, other: &PlannedChange) -> bool {
    one.id.kind == other.id.kind
        && one.id.name == other.id.name
        && one.difference == other.difference
        && one.certainty == other.certainty
}

type Folded<'a> = IndexMap<Vec<&'a str>, Vec<&'a PlannedChange>>;

/// Identical changes on several nodes become one; what is on the same nodes stands together.
fn folded<'a>(changes: &[&'a PlannedChange]) -> Folded<'a> {
    let mut entries: Vec<(&PlannedChange, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<(keddah_resource::Kind, &str), Vec<usize>> = BTreeMap::new();
    for &change in changes {
        let same = places.entry((change.id.kind, change.id.name.as_str())).or_default();
        match same.iter().find(|&&at| reads_alike(entries[at].0, change)) {
            Some(&at) => entries[at].1.push(change.id.node.as_str()),
            None => {
                same.push(entries.len());
                entries.push((change, vec![change.id.node.as_str()]));
            }
        }
    }
    let mut folded: Folded<'_> = IndexMap::new();
    for (change, mut nodes) in entries {
        nodes.sort_unstable();
        folded.entry(nodes).or_default().push(change);
    }
    folded
}

fn node_list(nodes: &[&str]) -> String {
    match nodes {
        [one] => (*one).to_owned(),
        few if few.len() <= 4 => few.join(", "),
        many => {
            format!("{}, … {} (on {} nodes)", many[0], many[many.len() - 1], many.len())
        }
    }
}

fn symbol(change: &PlannedChange) -> (&'static str, Meaning) {
    match (&change.certainty, change.difference.action) {
        (Certainty::NotYet { .. }, _) => ("?", Meaning::Muted),
        (_, Action::Create) => ("+", Meaning::Create),
        (_, Action::Update) => ("~", Meaning::Update),
        (_, Action::Delete) => ("-", Meaning::Delete),
    }
}

fn one_change(text: &mut String, change: &PlannedChange, full: bool, theme: Theme) {
    let difference = &change.difference;
    let (symbol, meaning) = symbol(change);
    let symbol = theme.paint(meaning, symbol);
    let _ = write!(text, "    {symbol} {} {}", change.id.kind, change.id.name);
    let reason = match &change.certainty {
        Certainty::Known => difference.reason.clone(),
        Certainty::NotYet { because } => format!("compared later: {because}"),
    };
    let class = match difference.class {
        Class::InPlace => String::new(),
        class @ Class::Reload => format!("{class}, "),
        class => theme.paint(Meaning::Grave, &class.to_string()) + ", ",
    };
    let _ = writeln!(text, "  {}{}", class, theme.paint(Meaning::Muted, &reason));
    if let Some(why) = &difference.impossible {
        let label = theme.paint(Meaning::Error, "impossible:");
        let _ = writeln!(text, "        {label} {why}");
    }
    let width = difference.fields.iter().map(|field| field.field().chars().count()).max();
    let width = width.unwrap_or_default().min(24);
    for field in &difference.fields {
        one_field(text, field, difference.action, width, full, theme);
    }
}

fn one_field(
    text: &mut String,
    field: &FieldChange,
    action: Action,
    width: usize,
    full: bool,
    theme: Theme,
) {
    let name = theme.paint(Meaning::Muted, &format!("{:width$}", field.field()));
    match field {
        FieldChange::Value { before, after, .. } => {
            let shown = match (before, after) {
                (None, Some(after)) if action == Action::Create => after.clone(),
                (None, Some(after)) => theme.paint(Meaning::Create, &format!("+ {after}")),
                (Some(before), None) => theme.paint(Meaning::Delete, &format!("- {before}")),
                (Some(before), Some(after)) => format!("{before} → {after}"),
                (None, None) => String::new(),
            };
            let _ = writeln!(text, "        {name}  {shown}");
        }
        FieldChange::Secret { .. } => {
            let shown = if action == Action::Create { "********" } else { "******** → ********" };
            let _ = writeln!(text, "        {name}  {shown}");
        }
        FieldChange::Text { before, after, .. } if before.is_empty() => {
            let lines = after.lines().count();
            let _ = writeln!(text, "        {name}  {}", counted(lines, "line"));
            let shown = if full { lines } else { NEW_FILE_LINES };
            for line in after.lines().take(shown) {
                let line = theme.paint(Meaning::Create, &format!("+{line}"));
                let _ = writeln!(text, "          {line}");
            }
        }
        FieldChange::Text { before, after, .. } => {
            let _ = writeln!(text, "        {name}");
            let diff = TextDiff::from_lines(before.as_str(), after.as_str());
            let unified = diff.unified_diff().context_radius(CONTEXT_LINES).to_string();
            for line in unified.lines() {
                let meaning = match line.as_bytes().first() {
                    Some(b'+') => Meaning::Create,
                    Some(b'-') => Meaning::Delete,
                    Some(b'@') => Meaning::Muted,
                    _ => {
                        let _ = writeln!(text, "          {line}");
                        continue;
                    }
                };
                let _ = writeln!(text, "          {}", theme.paint(meaning, line));
            }
        }
    }
}

fn problems(text: &mut String, plan: &Plan, theme: Theme) {
    let error = theme.paint(Meaning::Error, "error:");
    for (node, failure) in &plan.unreachable {
        // Most failures to reach a node name it themselves.
        let message = failure.message.strip_prefix(node.as_str()).unwrap_or(&failure.message);
        let message = message.trim_start_matches(':').trim_start();
        let _ = writeln!(text, "{error} {node} {message}; nothing is planned for it");
        failure_details(text, failure, theme);
    }
    for unobserved in &plan.unobserved {
        let failure = &unobserved.failure;
        let _ = writeln!(text, "{error} {} cannot be looked at: {failure}", unobserved.id);
        failure_details(text, failure, theme);
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
    if !plan.is_complete() {
        text.push('\n');
    }
}

/// The log and the hint of a failure, indented.
pub fn failure_details(text: &mut String, failure: &Failure, theme: Theme) {
    for line in &failure.log {
        let _ = writeln!(text, "    {} {line}", theme.paint(Meaning::Muted, "|"));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "    {} {hint}", theme.paint(Meaning::Hint, "hint:"));
    }
}

/// The last line: what it all comes to.
fn summary(plan: &Plan, theme: Theme) -> String {
    let of = format!("{} on {}", counted(plan.resources, "resource"), counted(plan.nodes, "node"));
    if plan.changes.is_empty() {
        return if plan.is_complete() {
            let good = theme.paint(Meaning::Good, "Nothing to change:");
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
    part(summary.update, "to update");
    part(summary.delete, "to delete");
    part(summary.not_yet, "to compare later");
    let counts = parts.join(", ");
    let mut text = format!("{} {counts}; {of}.\n", theme.paint(Meaning::Heading, "Plan:"));
    for (class, words, meaning) in [
        (Class::Reload, "reloads", Meaning::Update),
        (Class::Restart, "restarts", Meaning::Grave),
        (Class::OrderedRestart, "restarts one by one", Meaning::Grave),
        (Class::Stop, "stops", Meaning::Grave),
        (Class::Replace, "is made anew", Meaning::Grave),
        (Class::Destroy, "is lost for good", Meaning::Grave),
    ] {
        let affected: Vec<&PlannedChange> = plan
            .changes
            .iter()
            .filter(|one| one.certainty == Certainty::Known && one.difference.class == class)
            .collect();
        if affected.is_empty() {
            continue;
        }
        let mut by_name: IndexMap<String, usize> = IndexMap::new();
        for change in &affected {
            *by_name.entry(format!("{} {}", change.id.kind, change.id.name)).or_default() += 1;
        }
        let names: Vec<String> = by_name
            .into_iter()
            .map(|(name, count)| if count == 1 { name } else { format!("{name} on {count} nodes") })
            .collect();
        let label = theme.paint(meaning, &format!("{words}:"));
        let _ = writeln!(text, "  {label} {}", names.join(", "));
    }
    text
}
