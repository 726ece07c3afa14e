//! Parameters, explained.

use crate::render::theme::{Meaning, Theme};
use crate::render::wrap;
use keddah_inventory::registry::{Parameter, Support};
use serde_json::{Value, json};
use std::fmt::Write;

/// More parameters than this are listed, one line each.
const IN_FULL: usize = 8;

/// For people, in lines of at most so many characters: a few in full, many as a list.
pub fn text(parameters: &[&Parameter], line: usize, theme: &Theme) -> String {
    let mut text = String::new();
    let width = parameters.iter().map(|one| one.name.len()).max().unwrap_or_default();
    let mut section = ("", "");
    for parameter in parameters {
        let Parameter { name, module, section: part, kind, levels, description, support, .. } =
            parameter;
        if parameters.len() > IN_FULL {
            if section != (module.name(), part) {
                section = (module.name(), part);
                let heading = format!("{module} {part}");
                let heading = theme.paint(Meaning::Heading, heading.trim_end());
                let _ = writeln!(text, "{}{heading}", if text.is_empty() { "" } else { "\n" });
            }
            let first = description.split_inclusive(". ").next().unwrap_or_default();
            let first = indented(first, width + 4, line);
            let _ = writeln!(text, "  {name:width$}  {first}");
            continue;
        }
        let name = theme.paint(Meaning::Heading, name);
        let _ = writeln!(text, "{name}  {module} {part}, {}, level {levels}", kind.name());
        let _ = writeln!(text, "  {}", indented(description, 2, line));
        let default = match parameter.default.to_json() {
            Some(default) => serde_json::to_string(&default).unwrap_or_default(),
            None => "(not set)".to_owned(),
        };
        let _ = writeln!(text, "  {} {default}", theme.paint(Meaning::Muted, "default:"));
        let takes = indented(&kind.expected().to_string(), 9, line);
        let _ = writeln!(text, "  {} {takes}", theme.paint(Meaning::Muted, "takes:"));
        match support {
            Support::Managed => {}
            Support::Accepted => {
                text.push_str("  It is read and checked, and has no effect yet.\n")
            }
            Support::Decided(decision) => {
                let instead = indented(&format!("Keddah decides: {}.", decision.instead), 2, line);
                let _ = writeln!(text, "  {instead}");
            }
            Support::Unmanaged => {
                text.push_str("  It belongs to a part of the stack that Keddah does not manage.\n");
            }
        }
    }
    text
}

/// A text whose lines but the first begin after so many blanks.
fn indented(text: &str, indent: usize, line: usize) -> String {
    // A column of a few words is harder to read than lines that are too long.
    const NARROWEST: usize = 24;
    wrap(text, line.saturating_sub(indent).max(NARROWEST)).join(&format!("\n{:indent$}", ""))
}

/// For programs.
pub fn json(parameters: &[&Parameter]) -> Value {
    let one = |parameter: &&Parameter| {
        json!({
            "name": parameter.name,
            "module": parameter.module.name(),
            "section": parameter.section,
            "type": parameter.kind.name(),
            "level": parameter.levels.as_str(),
            "default": parameter.default.to_json(),
            "description": parameter.description,
            "instead": match parameter.support {
                Support::Decided(decision) => Some(decision.instead),
                _ => None,
            },
            "support": match parameter.support {
                Support::Managed => "managed",
                Support::Accepted => "accepted",
                Support::Decided(_) => "decided",
                Support::Unmanaged => "unmanaged",
            },
        })
    };
    Value::Array(parameters.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_inventory::registry;

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let all: Vec<&Parameter> = registry::all().collect();
        for (parameters, line) in [(&all[..], 80), (&all[..1], 60), (&all[40..44], 60)] {
            for shown in text(parameters, line, &Theme::new(false)).lines() {
                // A default is a value, and stays on its line.
                let whole = shown.trim_start().starts_with("default:");
                assert!(shown.chars().count() <= line || whole, "{shown}");
            }
        }
    }
}
