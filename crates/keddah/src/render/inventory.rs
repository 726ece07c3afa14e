//! A host's or an instance's resolved parameters, each with its origin; secrets are hidden.

use crate::render::theme::{Meaning, Theme};
use keddah_core::{SourceMap, Span};
use keddah_inventory::{
    Data, ParamOrigin, Params, Value, readable_yaml, registry, secret_spans, to_json,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What hides a secret.
const HIDDEN: &str = "********";

struct Shown {
    name: String,
    value: serde_json::Value,
    origin: String,
}

fn resolve(sources: &SourceMap, params: &Params<'_>, all: bool) -> Vec<Shown> {
    let secrets: BTreeSet<Span> = secret_spans(params.inventory()).into_iter().collect();
    let mut shown: Vec<Shown> = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, sourced) in params.vars().iter() {
        seen.insert(registry::canonical(name));
        let mut value = params.expand(&sourced.value).unwrap_or_else(|_| sourced.value.clone());
        hide(&sourced.value, &mut value, &secrets);
        let place = sourced.origin.span.map(|span| sources.location(span));
        let origin = match place {
            Some(place) => format!("{place} ({})", sourced.origin.from),
            None => sourced.origin.from.to_string(),
        };
        shown.push(Shown { name: name.to_owned(), value: to_json(&value), origin });
    }
    if all {
        for parameter in registry::all().filter(|one| !seen.contains(one.name)) {
            if params.origin(parameter.name) != ParamOrigin::Default {
                continue;
            }
            let value = if parameter.kind.is_secret() {
                serde_json::Value::String(HIDDEN.to_owned())
            } else {
                to_json(&params.value(parameter.name))
            };
            let name = parameter.name.to_owned();
            shown.push(Shown { name, value, origin: "default".to_owned() });
        }
    }
    shown.sort_by(|one, other| one.name.cmp(&other.name));
    shown
}

/// Hides, in the expanded value, whatever was written at the place of a secret.
fn hide(written: &Value, expanded: &mut Value, secrets: &BTreeSet<Span>) {
    if written.span.is_some_and(|span| secrets.contains(&span)) {
        expanded.data = Data::String(HIDDEN.to_owned());
        return;
    }
    match (&written.data, &mut expanded.data) {
        (Data::List(written), Data::List(expanded)) => {
            for (written, expanded) in written.iter().zip(expanded) {
                hide(written, expanded, secrets);
            }
        }
        (Data::Map(written), Data::Map(expanded)) => {
            for (written, expanded) in written.values().zip(expanded.values_mut()) {
                hide(written, expanded, secrets);
            }
        }
        _ => {}
    }
}

/// Values that are longer than this stand below their name.
const SHORT: usize = 28;

/// For people: what it prints can be read as YAML.
pub fn show(
    sources: &SourceMap,
    params: &Params<'_>,
    all: bool,
    line: usize,
    theme: &Theme,
) -> String {
    let shown = resolve(sources, params, all);
    let width = shown.iter().map(|one| one.name.len() + 1).max().unwrap_or_default();
    let mut text = String::new();
    for Shown { name, value, origin } in shown {
        let origin = theme.paint(Meaning::Muted, &format!("# {origin}"));
        let name = format!("{name}:");
        let single = !(value.is_array() || value.is_object());
        match readable_yaml(&value, SHORT).as_slice() {
            [value] if single || value.chars().count() <= SHORT => {
                let _ = writeln!(text, "{name:width$} {value:SHORT$} {origin}");
            }
            _ => {
                let _ = writeln!(text, "{name:width$} {:SHORT$} {origin}", "");
                for line in readable_yaml(&value, line.saturating_sub(2)) {
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
    }
    text
}

/// For programs.
pub fn show_json(sources: &SourceMap, params: &Params<'_>, all: bool) -> serde_json::Value {
    let one = |Shown { name, value, origin }| (name, json!({ "value": value, "origin": origin }));
    resolve(sources, params, all).into_iter().map(one).collect::<serde_json::Map<_, _>>().into()
}
