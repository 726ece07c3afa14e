//! One change of a plan, whole or in short.

use crate::render::fold::{self, Entry};
use crate::render::theme::{Meaning, Theme};
use crate::render::{counted, wrap};
use keddah_plan::{Certainty, PlannedChange};
use keddah_resource::kind::file::SAMPLE;
use keddah_resource::{Action, Class, Difference, FieldChange, Kind};
use similar::TextDiff;
use std::fmt::Write;

/// Lines of unchanged text around a change.
const CONTEXT_LINES: usize = 3;

/// Lines of a difference that are shown unless all are asked for.
const DIFF_LINES: usize = 40;

/// How changes are shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Everything, or what fits a page.
    pub full: bool,
    /// Characters of a line.
    pub width: usize,
    /// Colours.
    pub theme: Theme,
}

/// A change with all its fields.
pub fn whole(text: &mut String, change: &PlannedChange, style: Style) {
    heading(text, change, style.theme);
    fields(text, change, style);
}

/// What a short plan shows; answers whether something was folded away.
pub fn folded(text: &mut String, entry: &Entry<'_>, style: Style) -> bool {
    let theme = style.theme;
    match entry {
        Entry::One(change) => in_short(text, change, style),
        Entry::Alike(changes) => {
            let first = changes[0];
            let (sign, meaning) = symbol(first);
            // That something new does not exist yet goes without saying.
            let reason = match first.difference.reason.as_str() {
                "it does not exist" => String::new(),
                "it does not run" => " (start)".to_owned(),
                other => format!(" ({other})"),
            };
            let kind = first.id.kind.to_string();
            let what = match changes.len() {
                1 => format!("{kind}{reason}"),
                count => format!("{}{reason}:", counted(count, &kind)),
            };
            let names = fold::names(changes).join(", ");
            listed(text, &theme.paint(meaning, sign), &what, &names, style);
            true
        }
        Entry::Later { because, changes } => {
            let what = format!("{} compared later, for {because}:", changes.len());
            let kinds = fold::kinds(changes).join(", ");
            listed(text, &theme.paint(Meaning::Muted, "?"), &what, &kinds, style);
            true
        }
    }
}

/// A sign, and what is listed after it, on as many lines as it takes.
fn listed(text: &mut String, sign: &str, what: &str, names: &str, style: Style) {
    let lines = wrap(&format!("{what} {names}"), style.width.saturating_sub(8));
    let _ = writeln!(text, "    {sign} {}", lines.join("\n        "));
}

fn symbol(change: &PlannedChange) -> (&'static str, Meaning) {
    match (&change.certainty, change.difference.action) {
        (Certainty::NotYet { .. }, _) => ("?", Meaning::Muted),
        // A unit that does not run is started, and may have been there for long.
        (_, Action::Create) if change.id.kind == Kind::Unit => ("~", Meaning::Update),
        (_, Action::Create) => ("+", Meaning::Create),
        (_, Action::Update) => ("~", Meaning::Update),
        (_, Action::Delete) => ("-", Meaning::Delete),
    }
}

fn heading(text: &mut String, change: &PlannedChange, theme: Theme) {
    let (symbol, meaning) = symbol(change);
    let Difference { action: _, class, fields: _, reason, impossible } = &change.difference;
    let reason = match &change.certainty {
        Certainty::Known => reason.clone(),
        Certainty::NotYet { because } => format!("compared later: {because}"),
    };
    let class = match class {
        Class::InPlace => String::new(),
        class @ Class::Reload => format!("{class}, "),
        // Nothing restarts by it alone: what it makes restart is a change of its own.
        class if *class < Class::Stop && change.id.kind == Kind::PatroniConfig => {
            format!("asks for a {class}, ")
        }
        class => theme.paint(Meaning::Grave, &class.to_string()) + ", ",
    };
    let id = &change.id;
    let (symbol, reason) = (theme.paint(meaning, symbol), theme.paint(Meaning::Muted, &reason));
    let _ = writeln!(text, "    {symbol} {} {}  {class}{reason}", id.kind, id.name);
    if let Some(why) = impossible {
        let label = theme.paint(Meaning::Error, "impossible:");
        let _ = writeln!(text, "        {label} {why}");
    }
}

/// The fields one below the other.
fn fields(text: &mut String, change: &PlannedChange, style: Style) {
    let difference = &change.difference;
    let width = difference.fields.iter().map(|field| field.field().chars().count()).max();
    let width = width.unwrap_or_default().min(24);
    for field in &difference.fields {
        let name = format!("{:width$}", field.field());
        let name = style.theme.paint(Meaning::Muted, &name);
        match short(field, difference.action, style.theme) {
            Some(shown) => {
                let _ = writeln!(text, "        {name}  {shown}");
            }
            None => {
                let _ = writeln!(text, "        {name}");
            }
        }
        if let FieldChange::Text { before, after, .. } = field {
            long(text, before, after, style);
        }
    }
}

/// One change with its fields on as few lines as they can be read on; answers whether something
/// was folded away.
fn in_short(text: &mut String, change: &PlannedChange, style: Style) -> bool {
    let difference = &change.difference;
    let plain = Theme::new(false);
    if let Some(names) = missing(&difference.fields) {
        let (sign, meaning) = symbol(change);
        let what = format!("{} ({}):", change.id.kind, difference.reason);
        listed(text, &style.theme.paint(meaning, sign), &what, &names.join(", "), style);
        return true;
    }
    heading(text, change, style.theme);
    if difference.reason == SAMPLE {
        // Nobody's work goes; what it was before, the package's own documents say.
        let lines = |field: &FieldChange| match field {
            FieldChange::Text { after, .. } => Some(counted(after.lines().count(), "line")),
            _ => None,
        };
        if let Some(lines) = difference.fields.iter().find_map(lines) {
            let _ = writeln!(text, "        content  {lines}");
            return true;
        }
    }
    let all: Option<Vec<String>> = difference
        .fields
        .iter()
        .filter(|field| !says_nothing(field))
        .map(|field| Some(format!("{} {}", field.field(), short(field, difference.action, plain)?)))
        .collect();
    let lines = wrap(&all.unwrap_or_default().join("; "), style.width.saturating_sub(8));
    // What is new may be read as a sentence; what differs, only where it is short.
    let few = difference.fields.len() <= 2 && lines.len() == 1;
    let readable = difference.action == Action::Create || few;
    if !lines.is_empty() && readable {
        let _ = writeln!(text, "        {}", lines.join("\n        "));
        return difference.fields.iter().any(|field| matches!(field, FieldChange::Text { .. }));
    }
    let before = text.len();
    fields(text, change, style);
    text[before..].contains("(… ")
}

/// A field of something new that has no value, such as the common name of a certificate without one.
fn says_nothing(field: &FieldChange) -> bool {
    matches!(field, FieldChange::Value { before: None, after: Some(after), .. } if after.is_empty())
}

/// Names alone where every field says the same of another one, such as missing packages.
fn missing(fields: &[FieldChange]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut said = None;
    for field in fields {
        let FieldChange::Value { field, before: None, after: Some(after) } = field else {
            return None;
        };
        if *said.get_or_insert(after) != after {
            return None;
        }
        names.push(field.clone());
    }
    (names.len() > 1).then_some(names)
}

/// A field's change on one line, if it fits on one.
fn short(field: &FieldChange, action: Action, theme: Theme) -> Option<String> {
    Some(match field {
        FieldChange::Value { before, after, .. } => match (before, after) {
            (None, Some(after)) if action == Action::Create => after.clone(),
            (None, Some(after)) => theme.paint(Meaning::Create, &format!("+ {after}")),
            (Some(before), None) => theme.paint(Meaning::Delete, &format!("- {before}")),
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, None) => String::new(),
        },
        FieldChange::Secret { .. } if action == Action::Create => "********".to_owned(),
        FieldChange::Secret { .. } => "******** → ********".to_owned(),
        FieldChange::Text { before, after, .. } if before.is_empty() => {
            counted(after.lines().count(), "line")
        }
        FieldChange::Text { .. } => return None,
    })
}

/// The lines of a text.
fn long(text: &mut String, before: &str, after: &str, style: Style) {
    let theme = style.theme;
    if before.is_empty() {
        for line in after.lines().filter(|_| style.full) {
            let _ =
                writeln!(text, "          {}", theme.paint(Meaning::Create, &format!("+{line}")));
        }
        return;
    }
    let diff = TextDiff::from_lines(before, after);
    let unified = diff.unified_diff().context_radius(CONTEXT_LINES).to_string();
    let lines = if style.full {
        unified.lines().map(str::to_owned).collect()
    } else {
        fold::without_removed_comments(&unified)
    };
    let shown = if style.full { lines.len() } else { DIFF_LINES };
    for line in lines.iter().take(shown) {
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
    if lines.len() > shown {
        let rest = format!("(… {}: -v shows all)", counted(lines.len() - shown, "more line"));
        let _ = writeln!(text, "          {}", theme.paint(Meaning::Muted, &rest));
    }
}
