//! Values that are read and do not do what they say: told once, for silence would be taken for obedience.

use super::parameters::layers;
use super::{Report, warning};
use crate::registry::{self, Decision, Parameter, Support, scalar_text};
use crate::{Data, Value};
use keddah_core::Span;
use std::collections::BTreeMap;

/// Says of the file itself what it is, and asks for nothing.
const INFORMATION: &[&str] = &["version"];

pub(super) fn check(report: &mut Report<'_>) {
    let mut without: BTreeMap<&'static str, Option<Span>> = BTreeMap::new();
    let mut decided: BTreeMap<&'static str, (&Value, Option<Span>, &'static Decision)> =
        BTreeMap::new();
    for layer in layers(report.inventory) {
        for (key, value) in layer.vars {
            let Some(parameter) = registry::find(&key.text) else { continue };
            let span = value.span.or(key.span);
            match parameter.support {
                Support::Accepted if asks(parameter, value) => {
                    without.entry(parameter.name).or_insert(span);
                }
                Support::Decided(decision) if !value.is_null() && !agrees(value, decision) => {
                    decided.entry(parameter.name).or_insert((value, span, decision));
                }
                _ => {}
            }
        }
    }
    for (name, (value, span, decision)) in decided {
        let written = scalar_text(value).unwrap_or_else(|| "this value".to_owned());
        let message = format!("`{name}: {written}` is not obeyed: {}", decision.instead);
        let obeyed = decision.value.to_json().map(|json| json.to_string()).unwrap_or_default();
        let help = format!("leave it out, or write `{name}: {}`", obeyed.trim_matches('"'));
        report.add(warning("decided", span, message).help(help));
    }
    let Some(first) = without.values().copied().flatten().min() else { return };
    let names: Vec<String> = without.keys().map(|name| format!("`{name}`")).collect();
    let message = match names.as_slice() {
        [one] => format!("{one} has no effect yet"),
        _ => format!("{} parameters have no effect yet: {}", names.len(), names.join(", ")),
    };
    report.add(warning("no-effect-yet", Some(first), message));
}

/// Whether a value asks for something to be done.
fn asks(parameter: &Parameter, value: &Value) -> bool {
    let nothing = match &value.data {
        Data::Null | Data::Bool(false) => true,
        Data::List(items) => items.is_empty(),
        Data::Map(entries) => entries.is_empty(),
        _ => scalar_text(value).is_some_and(|text| matches!(text.as_str(), "" | "none" | "0")),
    };
    !nothing && !INFORMATION.contains(&parameter.name)
}

/// Whether a value says what happens anyway.
fn agrees(value: &Value, decision: &Decision) -> bool {
    let Some(obeyed) = decision.value.to_value() else { return false };
    match (value.as_bool(), obeyed.as_bool()) {
        (Some(value), Some(obeyed)) => value == obeyed,
        _ => scalar_text(value) == scalar_text(&obeyed),
    }
}
