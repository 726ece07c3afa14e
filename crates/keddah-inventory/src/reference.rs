//! The parameter reference page, `docs/parameters.md`, made from the registry.

use crate::readable_yaml;
use crate::registry::{self, Module, Parameter, Support, structures};
use std::fmt::Write;

/// Characters of a line of a long default: a rule of access stays on one.
const LINE: usize = 160;

/// Defaults longer than this many characters do not go into a table.
const LONG: usize = 90;

/// The reference page as Markdown. A test compares it with the file in the repository.
pub fn params_reference() -> String {
    let mut page = String::from(
        "# Parameters\n\n\
         <!-- Made from the parameter registry; change crates/keddah-inventory/src/registry and run\n     \
         UPDATE_DOCS=1 cargo test -p keddah-inventory --test reference -->\n\n\
         Every parameter of the inventory: where it is meant to be set (level G for everything under\n\
         `all.vars`, C for a cluster, I for an instance, A as an argument of one run), its default, and\n\
         what it does. A value may hold `${name}`, which stands for another parameter's value.\n\n\
         Parameters marked † are read and checked, and have no effect yet. Those marked § Keddah decides\n\
         itself, because another value would lose something or break a promise: what it does is said, and\n\
         `keddah check` tells whoever writes another value. Parameters of modules marked ‡ belong to parts\n\
         of the stack that Keddah does not manage: they are reported and ignored.\n",
    );
    let mut module: Option<Module> = None;
    let mut section = None;
    for parameter in registry::all() {
        if module != Some(parameter.module) {
            module = Some(parameter.module);
            section = None;
            let _ = write!(page, "\n## {}\n", parameter.module);
        }
        if section != Some(parameter.section) {
            section = Some(parameter.section);
            let mark = if parameter.support == Support::Unmanaged { " ‡" } else { "" };
            if !parameter.section.is_empty() {
                let _ = write!(page, "\n### {}{mark}\n", parameter.section);
            } else if !mark.is_empty() {
                page.push_str("\nNot managed ‡\n");
            }
            page.push_str("\n| name | type | level | default | description |\n");
            page.push_str("| --- | --- | --- | --- | --- |\n");
        }
        row(&mut page, parameter);
    }
    long_defaults(&mut page);
    fields(&mut page);
    older_names(&mut page);
    page
}

fn row(page: &mut String, parameter: &Parameter) {
    let mark = mark(parameter);
    let default = match parameter.default.to_json() {
        None => String::new(),
        Some(json) => {
            let text = json.to_string();
            // A table cell cannot hold the long ones; the page's end shows them in full.
            if text.chars().count() > LONG {
                format!("[below](#{})", parameter.name)
            } else {
                format!("`{}`", escape(&text))
            }
        }
    };
    let _ = writeln!(
        page,
        "| `{}`{mark} | {} | {} | {default} | {} |",
        parameter.name,
        parameter.kind.name(),
        parameter.levels,
        escape(&meaning(parameter))
    );
}

fn mark(parameter: &Parameter) -> &'static str {
    match parameter.support {
        Support::Accepted => " †",
        Support::Decided(_) => " §",
        Support::Managed | Support::Unmanaged => "",
    }
}

/// What it does, and what happens instead.
fn meaning(parameter: &Parameter) -> String {
    let description = parameter.description;
    match parameter.support {
        Support::Decided(decision) => {
            format!("{description} Keddah decides: {}.", decision.instead)
        }
        _ => description.to_owned(),
    }
}

fn long_defaults(page: &mut String) {
    page.push_str("\n## Long defaults\n");
    for parameter in registry::all() {
        let Some(json) = parameter.default.to_json() else { continue };
        if json.to_string().chars().count() <= LONG {
            continue;
        }
        let _ = write!(page, "\n### {}\n\n```yaml\n", parameter.name);
        for line in readable_yaml(&json, LINE) {
            let _ = writeln!(page, "{line}");
        }
        page.push_str("```\n");
    }
}

fn fields(page: &mut String) {
    page.push_str("\n## Fields of structured parameters\n");
    for (place, structure) in structures::all() {
        let _ = write!(page, "\n### {place}\n\n");
        if let Some(shorthand) = structure.shorthand {
            let _ = write!(page, "A bare text stands for `{shorthand}`.\n\n");
        }
        page.push_str("| field | type | default | description |\n| --- | --- | --- | --- |\n");
        for field in structure.fields {
            let required = if field.required { " (required)" } else { "" };
            let older = match field.aliases {
                [] => String::new(),
                names => format!(" Older name: `{}`.", names.join("`, `")),
            };
            let default = if field.default.is_empty() {
                String::new()
            } else {
                format!("`{}`", field.default)
            };
            let _ = writeln!(
                page,
                "| `{}`{required} | {} | {} | {}{older} |",
                field.name,
                words(&field.kind),
                escape(&default),
                escape(field.description)
            );
        }
    }
}

/// A choice's words, or the type's name.
fn words(kind: &registry::ParameterType) -> String {
    match kind {
        registry::ParameterType::Choice { values, open: false } => values.join(", "),
        _ => kind.name().into(),
    }
}

fn older_names(page: &mut String) {
    page.push_str("\n## Older names\n\n| older | today |\n| --- | --- |\n");
    for (older, today) in registry::aliases() {
        let _ = writeln!(page, "| `{older}` | `{today}` |");
    }
    page.push_str(
        "\n## Outside the reference\n\nRead because real inventories hold them.\n\n\
         | name | module | description |\n| --- | --- | --- |\n",
    );
    for parameter in registry::extra() {
        let _ = writeln!(
            page,
            "| `{}`{} | {} | {} |",
            parameter.name,
            mark(parameter),
            parameter.module,
            escape(&meaning(parameter))
        );
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
