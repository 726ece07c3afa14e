//! What is not well, for people: each finding with its remedy, and those of many places that are alike once.

use super::theme::{Meaning, Theme};
use super::{counted, wrap};
use keddah_plan::health::{Finding, Severity};
use std::fmt::Write as _;

/// Places of findings that differ in nothing else are named one by one up to so many: what ails a hundred
/// clusters in the same way must not hide what ails one.
const FEW: usize = 3;

/// All of them, with their remedies; since when, where somebody says what time it is.
pub fn show<'a>(
    text: &mut String,
    findings: impl IntoIterator<Item = &'a Finding>,
    now: Option<i64>,
    theme: &Theme,
    width: usize,
) {
    for alike in alike(findings) {
        if alike.len() > FEW {
            together(text, &alike, theme, width);
        } else {
            for one in alike {
                finding(text, one, now, theme, width);
            }
        }
    }
}

/// Those of one kind that say the same of different places, where the first of them stands.
fn alike<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<Vec<&'a Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| {
            (other.name, other.severity, other.accepted, &other.message)
                == (finding.name, finding.severity, finding.accepted, &finding.message)
        };
        match groups.iter_mut().find(|group| same(group[0])) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

fn together(text: &mut String, alike: &[&Finding], theme: &Theme, width: usize) {
    let first = alike[0];
    let places = format!("{} and {}", first.place, counted(alike.len() - 1, "other"));
    let accepted = if first.accepted { ", accepted" } else { "" };
    let Finding { message, name, .. } = first;
    let _ = writeln!(text, "{}: {places}: {message} [{name}{accepted}]", label(first, theme));
    let others: Vec<&str> = alike[1..].iter().map(|one| one.place.as_str()).collect();
    let others = format!("the others: {}", others.join(", "));
    for line in wrap(&others, width.saturating_sub(6)) {
        let _ = writeln!(text, "      {}", theme.paint(Meaning::Muted, &line));
    }
    remedy(text, first, theme, width);
}

/// One finding with its remedy.
fn finding(text: &mut String, finding: &Finding, now: Option<i64>, theme: &Theme, width: usize) {
    let since = finding.since.zip(now).map(|(since, now)| format!(", for {}", ago(now - since)));
    let since = since.unwrap_or_default();
    let accepted = if finding.accepted { ", accepted" } else { "" };
    let Finding { place, message, name, .. } = finding;
    let label = label(finding, theme);
    let _ = writeln!(text, "{label}: {place}: {message} [{name}{since}{accepted}]");
    remedy(text, finding, theme, width);
}

fn label(finding: &Finding, theme: &Theme) -> String {
    let meaning = match finding.severity {
        _ if finding.accepted => Meaning::Muted,
        Severity::Critical => Meaning::Error,
        Severity::Warning => Meaning::Warning,
        Severity::Note => Meaning::Muted,
    };
    theme.paint(meaning, &finding.severity.to_string())
}

fn remedy(text: &mut String, finding: &Finding, theme: &Theme, width: usize) {
    if !finding.counts() {
        return;
    }
    for (at, line) in wrap(&finding.remedy, width.saturating_sub(6)).iter().enumerate() {
        let arrow = if at == 0 { theme.paint(Meaning::Hint, "->") } else { "  ".to_owned() };
        let _ = writeln!(text, "   {arrow} {line}");
    }
}

/// `Not well: 1 critical and 2 warnings`.
pub fn verdict(counts: &[&Finding], theme: &Theme) -> String {
    let count = |severity| counts.iter().filter(|one| one.severity == severity).count();
    let (critical, warnings) = (count(Severity::Critical), count(Severity::Warning));
    let mut parts = Vec::new();
    if critical > 0 {
        parts.push(format!("{critical} critical"));
    }
    if warnings > 0 {
        parts.push(counted(warnings, "warning"));
    }
    let meaning = if critical > 0 { Meaning::Error } else { Meaning::Warning };
    theme.paint(meaning, &format!("Not well: {}", parts.join(" and ")))
}

/// A time that has passed, in seconds.
fn ago(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
