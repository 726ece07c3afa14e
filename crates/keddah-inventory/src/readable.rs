//! Values as YAML that a person reads: in one line what fits on one, one entry below the other what
//! does not. What is written so is read back as the same value.

use serde_json::Value;

/// The lines of a value, each of at most so many characters unless a single text is longer.
pub fn readable_yaml(value: &Value, width: usize) -> Vec<String> {
    let whole = flow(value);
    if whole.chars().count() <= width {
        return vec![whole];
    }
    let below = width.saturating_sub(2);
    let mut lines = Vec::new();
    match value {
        Value::Array(items) => {
            for item in items {
                let own = readable_yaml(item, below);
                lines.extend(own.iter().enumerate().map(|(at, line)| {
                    let mark = if at == 0 { "- " } else { "  " };
                    format!("{mark}{line}")
                }));
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = text(key);
                let whole = format!("{key}: {}", flow(value));
                let single = !(value.is_array() || value.is_object());
                if single || whole.chars().count() <= width {
                    lines.push(whole);
                } else {
                    lines.push(format!("{key}:"));
                    let own = readable_yaml(value, below);
                    lines.extend(own.into_iter().map(|line| format!("  {line}")));
                }
            }
        }
        _ => lines.push(whole),
    }
    lines
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => self::text(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key), flow(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A text, in quotes where it would be read as something else without.
fn text(text: &str) -> String {
    // What YAML 1.1, which Ansible reads, takes for a yes, a no or nothing.
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let plain = text.chars().all(|one| one.is_ascii_alphanumeric() || "_-./".contains(one));
    let word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    // No number has three points.
    let address =
        text.split('.').count() == 4 && text.split('.').all(|one| one.parse::<u8>().is_ok());
    if address || (begins && plain && !word) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, load, registry, to_json};
    use keddah_core::{NodeName, SourceMap};

    #[test]
    fn what_is_short_stays_on_a_line_and_what_is_long_does_not() {
        let value = serde_json::json!({
            "local": { "path": "/pg/backup", "retention_full": 2 },
            "minio": { "type": "s3", "s3_key": "pgbackrest", "s3_uri_style": "path", "bundle": "y" },
        });
        assert_eq!(
            readable_yaml(&value, 48),
            [
                "local: { path: /pg/backup, retention_full: 2 }",
                "minio:",
                "  type: s3",
                "  s3_key: pgbackrest",
                "  s3_uri_style: path",
                "  bundle: \"y\"",
            ]
        );
        assert_eq!(readable_yaml(&serde_json::json!([]), 40), ["[]"]);
    }

    #[test]
    fn every_default_is_read_back_as_it_is() {
        for width in [20, 60, 200] {
            for parameter in registry::all().chain(registry::extra()) {
                let Some(default) = parameter.default.to_json() else { continue };
                let lines = readable_yaml(&default, width);
                let text = format!(
                    "all:\n  hosts: {{ 10.10.10.10: {{}} }}\n  vars:\n    own_value:\n      {}\n",
                    lines.join("\n      ")
                );
                let mut sources = SourceMap::default();
                let (inventory, problems) = load(&mut sources, "defaults.yml", text.as_bytes());
                let inventory = inventory.unwrap_or_else(|| panic!("{text}\n{problems:?}"));
                let host = NodeName::new("10.10.10.10");
                let params = Params::new(&inventory, &host);
                let read = params.vars().value("own_value").expect("it is set");
                assert_eq!(to_json(read), default, "{text}");
            }
        }
    }
}
