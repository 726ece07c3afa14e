//! Parameters, explained.

use crate::render::theme::{Meaning, Theme};
use crate::render::wrap;
use keddah_inventory::readable_yaml;
use keddah_inventory::registry::{Field, Parameter, ParameterType, Structure, Support};
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
            Some(default) => readable_yaml(&default, line.saturating_sub(11)),
            None => vec!["(not set)".to_owned()],
        };
        let label = theme.paint(Meaning::Muted, "default:");
        let _ = match default.as_slice() {
            [one] => writeln!(text, "  {label} {one}"),
            many => writeln!(text, "  {label}\n    {}", many.join("\n    ")),
        };
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
        match structure(kind) {
            Some(structure) if parameters.len() == 1 => fields(&mut text, structure, line, theme),
            Some(_) => {
                let more = format!("`keddah params {}` shows the fields.", parameter.name);
                let _ = writeln!(text, "  {}", indented(&more, 2, line));
            }
            None => {}
        }
    }
    text
}

/// What the entries of a structured parameter or field are made of.
fn structure(kind: &ParameterType) -> Option<&'static Structure> {
    match kind {
        ParameterType::One(structure) | ParameterType::List(structure) => Some(structure),
        _ => None,
    }
}

/// The fields of a structure, and of those within it.
fn fields(text: &mut String, structure: &'static Structure, line: usize, theme: &Theme) {
    let mut shown: Vec<&'static Structure> = vec![structure];
    let mut next = 0;
    while let Some(&one) = shown.get(next) {
        next += 1;
        let heading = theme.paint(Meaning::Muted, &format!("fields of a {}:", one.name));
        let short = one
            .shorthand
            .map_or_else(String::new, |field| format!(" (a bare text stands for its {field})"));
        let _ = writeln!(text, "  {heading}{short}");
        let width = one.fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
        for Field { name, kind, default, description, aliases: _, required } in one.fields {
            let default = match (required, *default) {
                (true, _) => ", required".to_owned(),
                (false, "") => String::new(),
                (false, default) => format!(", default {default}"),
            };
            let kind_name = match kind {
                ParameterType::Choice { values, open: false } => values.join("|"),
                _ => kind.name().to_owned(),
            };
            let said = format!("{description} ({kind_name}{default})");
            let _ = writeln!(text, "    {name:width$}  {}", indented(&said, width + 6, line));
            shown.extend(structure_of(kind, &shown));
        }
    }
}

/// The structure of a field, unless it is among those.
fn structure_of(kind: &ParameterType, shown: &[&'static Structure]) -> Option<&'static Structure> {
    structure(kind).filter(|one| !shown.contains(one))
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
            "fields": structure(&parameter.kind).map(|one| one.fields.iter().map(|field| json!({
                "name": field.name,
                "type": field.kind.name(),
                "required": field.required,
                "default": field.default,
                "description": field.description,
            })).collect::<Vec<_>>()),
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
        let users: Vec<&Parameter> = registry::find("pg_users").into_iter().collect();
        for (parameters, line) in
            [(&all[..], 80), (&all[..1], 60), (&all[40..44], 60), (&users[..], 80)]
        {
            for shown in text(parameters, line, &Theme::new(false)).lines() {
                // A default is a value, and a single word of it stays on its line.
                let whole = shown.trim_start().starts_with("default:");
                assert!(shown.chars().count() <= line || whole, "{shown}");
            }
        }
    }

    #[test]
    fn a_structured_parameter_names_its_fields_and_theirs() {
        let users: Vec<&Parameter> = registry::find("pg_users").into_iter().collect();
        let shown = text(&users, 120, &Theme::new(false));
        for wanted in [
            "  fields of a user:\n",
            "    name            Name of the role. (username, required)\n",
            "    state           Whether the role shall exist; `absent` drops it. \
             (create|present|absent, default create)\n",
            "  fields of a membership: (a bare text stands for its name)\n",
        ] {
            assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
        }
    }

    #[test]
    fn a_long_default_is_yaml_below_its_label() {
        let repository: Vec<&Parameter> = registry::find("pgbackrest_repo").into_iter().collect();
        let shown = text(&repository, 100, &Theme::new(false));
        assert!(shown.contains("  default:\n    local: { path: "), "{shown}");
        assert!(shown.contains("\n      s3_bucket: "), "{shown}");
    }
}
