//! Problems of an inventory: the line itself, what is wrong with it, what to do. Secrets in the
//! lines are masked.

use crate::render::counted;
use crate::render::theme::Theme;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use keddah_controller::Read;
use keddah_core::{Diagnostic, Severity, SourceFile, SourceId, Span};
use serde::Serialize;
use std::collections::BTreeMap;

/// Problems of a key with several values: those that lost are not in the inventory, which cannot tell
/// whether they are secrets. Of such lines the keys are shown, and what certainly is none.
const LOST_VALUES: [&str; 2] = ["yaml-duplicate-key", "yaml-merge-readings"];

/// Where, what, and what was meant.
pub fn in_a_line(read: &Read, problem: &Diagnostic) -> String {
    // The warning about passwords is of many lines.
    let placed = problem.primary.as_ref().filter(|_| problem.code != "public-password");
    let place = placed.map(|label| {
        let (line, _) = read.sources.file(label.span.source).line_column(label.span.start);
        format!("{}:{line}: ", read.path.display())
    });
    let help = match problem.help.first() {
        Some(help) if help.starts_with("did you mean") => format!("; {help}"),
        _ => String::new(),
    };
    format!("{}{}{help}", place.unwrap_or_default(), problem.message)
}

/// All problems of a file, with source lines that are fit to be shown.
pub struct Problems<'a> {
    read: &'a Read,
    masked: BTreeMap<SourceId, String>,
    keys_only: BTreeMap<SourceId, String>,
}

#[derive(Serialize)]
struct ProblemView<'a> {
    severity: &'static str,
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<PlaceView<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<PlaceView<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    help: &'a [String],
}

#[derive(Serialize)]
struct PlaceView<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
}

impl<'a> Problems<'a> {
    /// Prepares the problems of a file.
    pub fn of(read: &'a Read) -> Self {
        let secrets = read.inventory.as_ref().map(keddah_inventory::secret_spans);
        let mut masked = BTreeMap::new();
        let mut keys: BTreeMap<SourceId, Vec<Span>> = BTreeMap::new();
        for problem in &read.diagnostics {
            for label in problem.primary.iter().chain(&problem.related) {
                let source = label.span.source;
                if LOST_VALUES.contains(&problem.code) {
                    keys.entry(source).or_default().push(label.span);
                }
                masked.entry(source).or_insert_with(|| {
                    let file = read.sources.file(source);
                    match &secrets {
                        Some(spans) => mask(file, spans.iter().filter(|one| one.source == source)),
                        None => {
                            let spans = keddah_inventory::secret_spans_in_text(source, &file.text);
                            mask(file, spans.iter())
                        }
                    }
                });
            }
        }
        let keys_only = keys
            .iter()
            .map(|(source, spans)| {
                let text = &read.sources.file(*source).text;
                let mut shown = keddah_inventory::plain_spans_in_text(*source, text);
                shown.extend(spans);
                (*source, mask_but(text, &shown))
            })
            .collect();
        Self { read, masked, keys_only }
    }

    /// For people.
    pub fn text(&self, theme: &Theme) -> String {
        let renderer = if theme.is_colored() { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in &self.read.diagnostics {
            text.push_str(&renderer.render(&[self.group(problem)]));
            text.push_str("\n\n");
        }
        let count =
            |severity| self.read.diagnostics.iter().filter(|one| one.severity == severity).count();
        text.push_str(&match (count(Severity::Error), count(Severity::Warning)) {
            (0, 0) => "The inventory is correct.\n".to_owned(),
            (0, warnings) => format!("No errors, {}.\n", counted(warnings, "warning")),
            (errors, 0) => format!("{}.\n", counted(errors, "error")),
            (errors, warnings) => {
                format!("{}, {}.\n", counted(errors, "error"), counted(warnings, "warning"))
            }
        });
        text
    }

    fn group(&self, problem: &'a Diagnostic) -> Group<'_> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str()).id(problem.code);
        let mut labels: Vec<_> = problem.primary.iter().map(|one| (true, one)).collect();
        labels.extend(problem.related.iter().map(|one| (false, one)));
        let mut group = Group::with_title(title);
        let mut sources: Vec<SourceId> = labels.iter().map(|(_, one)| one.span.source).collect();
        sources.dedup();
        for source in sources {
            let texts =
                if LOST_VALUES.contains(&problem.code) { &self.keys_only } else { &self.masked };
            let mut snippet = Snippet::source(texts[&source].as_str())
                .path(self.read.sources.file(source).name.as_str());
            for (primary, label) in labels.iter().filter(|(_, one)| one.span.source == source) {
                let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                let annotation = kind.span(label.span.start..label.span.end);
                snippet = snippet.annotation(if label.text.is_empty() {
                    annotation
                } else {
                    annotation.label(label.text.as_str())
                });
            }
            group = group.element(snippet);
        }
        for help in &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    /// For programs.
    pub fn json(&self) -> impl Serialize + '_ {
        let place = |span: &Span, label: &'a str| {
            let file = self.read.sources.file(span.source);
            let (line, column) = file.line_column(span.start);
            PlaceView { file: &file.name, line, column, label }
        };
        let views = self.read.diagnostics.iter().map(|problem| ProblemView {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: problem.code,
            message: &problem.message,
            place: problem.primary.as_ref().map(|one| place(&one.span, &one.text)),
            related: problem.related.iter().map(|one| place(&one.span, &one.text)).collect(),
            help: &problem.help,
        });
        views.collect::<Vec<_>>()
    }
}

/// Stars in place of every byte of a secret, line breaks apart: offsets stay what they are.
fn mask<'s>(file: &SourceFile, secrets: impl Iterator<Item = &'s Span>) -> String {
    let mut bytes = file.text.as_bytes().to_vec();
    for span in secrets {
        let end = span.end.min(bytes.len());
        for byte in &mut bytes[span.start.min(end)..end] {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Stars in place of all but the spans, and what shows the shape of a line.
fn mask_but(text: &str, shown: &[Span]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in &mut bytes {
        if !byte.is_ascii_whitespace() && !b"{}[],:<".contains(byte) {
            *byte = b'*';
        }
    }
    for span in shown {
        let end = span.end.min(bytes.len());
        let start = span.start.min(end);
        bytes[start..end].copy_from_slice(&text.as_bytes()[start..end]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::SourceMap;

    fn read(text: &str) -> Read {
        let mut sources = SourceMap::default();
        let (inventory, mut diagnostics) =
            keddah_inventory::load(&mut sources, "keddah.yml", text.as_bytes());
        if let Some(inventory) = &inventory {
            diagnostics.extend(keddah_inventory::check(&sources, inventory));
        }
        Read { path: "keddah.yml".into(), digest: String::new(), sources, inventory, diagnostics }
    }

    #[test]
    fn problems_show_the_line_but_no_secret() {
        let read = read(
            "all:\n  vars:\n    pg_monitor_passwort: poison-é\n    pg_adminn: x\n  hosts:\n    \
             10.10.10.10: {}\n",
        );
        let problems = Problems::of(&read);
        let text = problems.text(&Theme::new(false));
        let json = serde_json::to_string(&problems.json()).unwrap();
        assert!(text.contains("pg_adminn") && json.contains("\"line\":3"), "{text}\n{json}");
        assert!(!text.contains("poison") && !json.contains("poison"), "{text}\n{json}");
    }

    #[test]
    fn values_that_lost_are_not_shown_either() {
        let read = read(
            "all:\n  vars:\n    pg_admin_password: poison-1\n    pg_admin_password: kept\n    \
             pg_users: [{ <<: [{ name: a, password: poison-2 }, { password: poison-é }] }]\n  hosts:\n    \
             10.10.10.10: {}\n",
        );
        let text = Problems::of(&read).text(&Theme::new(false));
        for shown in ["yaml-duplicate-key", "yaml-merge-readings", "password: *", "<<: [{ name: *"]
        {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        assert!(!text.contains("poison"), "{text}");
    }

    #[test]
    fn a_broken_file_is_masked_by_its_keys() {
        for broken in ["admin_password: poison: [", "pg_admin_password: \"poison é\"\n    b: [\n"]
        {
            let read = read(&format!("all:\n  vars:\n    {broken}\n"));
            assert!(read.inventory.is_none());
            let text = Problems::of(&read).text(&Theme::new(false));
            assert!(!text.contains("poison"), "{text}");
        }
    }

    #[test]
    fn what_stands_behind_a_missing_comma_is_seen() {
        let read =
            read("all:\n  vars:\n    pg_users: [{ name: a, password: poison pgbouncer: true }]\n");
        let text = Problems::of(&read).text(&Theme::new(false));
        assert!(text.contains("password: ****** pgbouncer: true }]"), "{text}");
    }

    #[test]
    fn two_lines_of_one_host_can_be_told_apart() {
        let read = read(
            "all:\n  hosts:\n    10.10.10.10: { pg_seq: 2, pg_role: replica, x: poison }\n    \
             10.10.10.10: { pg_seq: 3, pg_role: offline, password: poison }\n",
        );
        let text = Problems::of(&read).text(&Theme::new(false));
        assert!(text.contains("{ pg_seq: 2, pg_role: replica, *: ****** }"), "{text}");
        assert!(text.contains("{ pg_seq: 3, pg_role: offline, password: ****** }"), "{text}");
    }
}
