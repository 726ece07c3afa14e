//! How applying ended: what failed and why, what was left out, what to do next.

use crate::render::plan::{failure_details, json};
use crate::render::theme::{Meaning, Theme};
use crate::render::{Output, counted, findings};
use indexmap::IndexMap;
use keddah_plan::health::{Finding, Health, Severity};
use keddah_plan::{Ending, Plan, Report, SkipReason};
use keddah_resource::IdleListener;
use std::fmt::Write;
use std::process::ExitCode;

/// Says that there is nothing to apply.
pub fn nothing(output: &Output, plan: &Plan, health: &Health, left: &[String]) -> ExitCode {
    // Who changes nothing says how it is, as a plan does.
    let critical = |one: &Finding| one.counts() && one.severity == Severity::Critical;
    let code = match plan.is_complete() {
        false => 1,
        true if health.findings.iter().any(critical) => 2,
        true => 0,
    };
    if output.is_json() {
        let mut answer = json(plan, health);
        if !left.is_empty() {
            answer["afterwards"] = left.to_vec().into();
        }
        answer["success"] = (code == 0).into();
        output.data(&answer);
    } else {
        crate::render::plan::show(output, plan, health, false);
        let next =
            |line: &String| format!("{} {line}\n", output.stdout.paint(Meaning::Hint, "next:"));
        output.answer(&left.iter().map(next).collect::<String>());
    }
    ExitCode::from(code)
}

/// What a command has to add to the report of its plan.
#[derive(Debug, Clone)]
pub struct Afterwards {
    /// What goes on from where it was broken off, in the words "then … again".
    pub again: String,
    /// What is left to be done, or to be known, once all is done.
    pub lines: Vec<String>,
}

impl Default for Afterwards {
    fn default() -> Self {
        Self { again: "apply again".to_owned(), lines: Vec::new() }
    }
}

/// Shows the report, and what is not well now.
pub fn show(
    output: &Output,
    plan: &Plan,
    report: &Report,
    health: &Health,
    afterwards: &Afterwards,
) -> ExitCode {
    if output.is_json() {
        let mut answer = json(plan, health);
        answer["findings"] = serde_json::to_value(&health.findings).unwrap_or_default();
        answer["report"] = serde_json::to_value(report).unwrap_or_default();
        if report.is_success() && !afterwards.lines.is_empty() {
            answer["afterwards"] = afterwards.lines.clone().into();
        }
        answer["success"] = (report.is_success() && plan.is_complete()).into();
        output.data(&answer);
    } else {
        let mut text = text(plan, report, output.stdout, afterwards);
        let counts: Vec<&Finding> = health.findings.iter().filter(|one| one.counts()).collect();
        findings::show(&mut text, counts.iter().copied(), None, &output.stdout, output.width);
        if !counts.is_empty() {
            let verdict = findings::verdict(&counts, &output.stdout);
            let _ = writeln!(text, "{verdict}; `keddah status` shows it all.");
        }
        output.answer(&text);
    }
    if report.is_success() && plan.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// The report for people.
pub fn text(plan: &Plan, report: &Report, theme: Theme, afterwards: &Afterwards) -> String {
    let mut text = String::new();
    let error = theme.paint(Meaning::Error, "failed:");
    for (id, failure) in report.failures() {
        let _ = writeln!(text, "{error} {id}: {failure}");
        failure_details(&mut text, failure, theme);
    }
    for (node, failure) in &report.lost {
        let _ = writeln!(text, "{} {node}: {failure}", theme.paint(Meaning::Error, "lost:"));
        failure_details(&mut text, failure, theme);
    }
    let mut skipped: IndexMap<String, usize> = IndexMap::new();
    for change in &report.changes {
        if let Ending::Skipped { because } = &change.ending {
            let because = match because {
                SkipReason::DependencyFailed { id } => format!("waiting for {id}"),
                SkipReason::NodeLost { node } => format!("waiting for {node}"),
                SkipReason::Interrupted => "because you asked to stop".to_owned(),
            };
            *skipped.entry(because).or_default() += 1;
        }
    }
    for (because, count) in &skipped {
        let label = theme.paint(Meaning::Warning, "not begun:");
        let _ = writeln!(text, "{label} {}, {because}", counted(*count, "change"));
    }
    let unknown = report.count(|ending| matches!(ending, Ending::Unknown));
    if unknown > 0 {
        let label = theme.paint(Meaning::Warning, "unknown:");
        let _ = writeln!(text, "{label} how {} ended", counted(unknown, "change"));
    }
    for (node, listeners) in &report.idle {
        for listener in listeners {
            let label = theme.paint(Meaning::Warning, "warning:");
            let IdleListener { name, because } = listener;
            let _ = writeln!(text, "{label} no server answers {name} on {node} ({because})");
        }
    }
    for (node, failure) in &report.unseen {
        let label = theme.paint(Meaning::Warning, "warning:");
        let _ = writeln!(
            text,
            "{label} whether services are answered on {node} is not known: {failure}"
        );
    }
    let changed = report.count(|ending| matches!(ending, Ending::Changed { .. }));
    let settled = report.count(|ending| matches!(ending, Ending::Settled));
    let mut done = counted(changed, "change");
    if settled > 0 {
        let _ = write!(done, " ({settled} more had nothing left to do)");
    }
    if report.is_success() {
        let label = theme.paint(Meaning::Good, "Applied:");
        let _ = writeln!(text, "{label} {done}.");
        for line in &afterwards.lines {
            let _ = writeln!(text, "{} {line}", theme.paint(Meaning::Hint, "next:"));
        }
        if !plan.is_complete() {
            let label = theme.paint(Meaning::Error, "error:");
            let count = plan.unreachable.len() + plan.unobserved.len();
            let what = if count == 1 { "one thing" } else { "some things" };
            let _ = writeln!(text, "{label} {what} could not be looked at; see the plan above");
        }
    } else {
        let rest = report.changes.len() - changed - settled;
        let label = theme.paint(Meaning::Error, "Not finished:");
        let _ = writeln!(text, "{label} {done} done, {rest} not.");
        let hint = theme.paint(Meaning::Hint, "next:");
        let again = &afterwards.again;
        let step = if report.interrupted && report.failures().next().is_none() {
            format!("{again}; it goes on from here")
        } else {
            format!("mend the cause, then {again}; it goes on from here")
        };
        let _ = writeln!(text, "{hint} {step}");
    }
    text
}
