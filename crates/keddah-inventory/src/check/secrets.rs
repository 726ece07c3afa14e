//! Where an inventory holds secrets, so that nobody prints those places.

use crate::registry::{self, ParameterType, Structure};
use crate::{Data, Inventory, Key, Value};
use indexmap::IndexMap;
use keddah_core::{SourceId, Span};

/// The places of all secret values, ascending: passwords by type, by the name of their key, or
/// within a URL. A misspelt password counts, too. Whoever prints a source line masks these.
pub fn secret_spans(inventory: &Inventory) -> Vec<Span> {
    let mut spans = Vec::new();
    let layers =
        inventory.groups().map(|group| &group.vars).chain(inventory.hosts().map(|host| &host.vars));
    for vars in layers {
        variables(vars, &mut spans);
    }
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// The variables of a group, a host or an instance.
fn variables(vars: &IndexMap<Key, Value>, spans: &mut Vec<Span>) {
    for (key, value) in vars {
        let parameter =
            registry::find(&key.text).or_else(|| registry::find(registry::suggest(&key.text)?));
        let kind = parameter.map(|parameter| parameter.kind);
        let several = parameter.is_some_and(|parameter| parameter.name == "pg_instances");
        match value.as_map() {
            Some(instances) if several => {
                for vars in instances.values() {
                    match vars.as_map() {
                        Some(vars) => variables(vars, spans),
                        None => entry("", None, vars, spans),
                    }
                }
            }
            _ => entry(&key.text, kind.as_ref(), value, spans),
        }
    }
}

/// Walks a value under a key; `kind` is what the registry says about it.
fn entry(key: &str, kind: Option<&ParameterType>, value: &Value, spans: &mut Vec<Span>) {
    if kind.is_some_and(ParameterType::is_secret) || names_a_secret(key) {
        everything(value, spans);
        return;
    }
    match &value.data {
        Data::String(text) | Data::Unsafe(text) if has_credentials(text) => {
            spans.extend(value.span);
        }
        Data::Vault(_) => spans.extend(value.span),
        Data::List(items) => {
            let structure = match kind {
                Some(ParameterType::List(structure)) => Some(*structure),
                _ => None,
            };
            for item in items {
                match structure {
                    Some(structure) => fields(structure, item, spans),
                    None => entry("", None, item, spans),
                }
            }
        }
        Data::Map(entries) => {
            if let Some(ParameterType::One(structure)) = kind {
                fields(structure, value, spans);
                return;
            }
            // Users of the portal: name to password.
            let passwords = key == "nginx_users";
            for (key, item) in entries {
                let inner = passwords.then_some(&ParameterType::Password);
                entry(&key.text, inner, item, spans);
            }
        }
        _ => {}
    }
}

fn fields(structure: &'static Structure, value: &Value, spans: &mut Vec<Span>) {
    let Some(entries) = value.as_map() else {
        entry("", None, value, spans);
        return;
    };
    for (key, item) in entries {
        let field = structure.field(&key.text).or_else(|| {
            let names = structure.fields.iter().map(|field| field.name);
            structure.field(registry::nearest(&key.text, names)?)
        });
        entry(&key.text, field.map(|field| &field.kind), item, spans);
    }
}

fn everything(value: &Value, spans: &mut Vec<Span>) {
    match &value.data {
        Data::Null => {}
        Data::List(items) => items.iter().for_each(|item| everything(item, spans)),
        Data::Map(entries) => entries.values().for_each(|item| everything(item, spans)),
        _ => spans.extend(value.span),
    }
}

/// Whether a key's name says that its value is a secret. Switches such as
/// `pg_pwd_enc` and public keys are none.
fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let named = [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "cipher_pass",
        "auth_pass",
        "private_key",
        "s3_key",
        "sodium_key",
        "api_key",
        "ansible_ssh_pass",
        "become_pass",
    ];
    named.iter().any(|part| key.contains(part))
}

/// Whether a text holds a URL with a password, `scheme://user:password@host`.
fn has_credentials(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', ' ']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

/// The places of secrets by the look of the text alone, for files that did not load, and for
/// values that loading dropped (the first of two equal keys): what follows a key whose name says
/// that it is a secret, up to the end of the value, and passwords within URLs.
pub fn secret_spans_in_text(source: SourceId, text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (at, _) in line.match_indices(':') {
            let key = line[..at].trim_end().trim_end_matches(['"', '\'']);
            let name = key
                .rsplit(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .next()
                .unwrap_or_default();
            // Comparing every key of a long file with every parameter would take seconds.
            let likely = ["pas", "pw", "word", "sec", "key"].iter().any(|part| name.contains(part));
            let known = registry::find(name)
                .or_else(|| registry::find(likely.then(|| registry::suggest(name)).flatten()?))
                .is_some_and(|parameter| parameter.kind.is_secret());
            let value = &line[at + 1..];
            if !name.is_empty() && (known || names_a_secret(name) || nearly_password(name)) {
                let begin = at + 1 + (value.len() - value.trim_start().len());
                let end = at + 1 + value_length(value);
                if begin < end {
                    spans.push(Span { source, start: start + begin, end: start + end });
                }
            }
            if value.starts_with("//")
                && let Some(authority) = value[2..].split(['/', ' ', ',', '\n']).next()
                && let Some((user, _)) = authority.rsplit_once('@')
                && user.contains(':')
            {
                let begin = start + at + 3;
                spans.push(Span { source, start: begin, end: begin + user.len() });
            }
        }
        start += line.len();
    }
    spans.sort_unstable();
    spans.dedup();
    spans
}

fn nearly_password(name: &str) -> bool {
    ["password", "secret_key"].into_iter().any(|word| registry::nearest(name, [word]).is_some())
}

/// How far a value reaches: to its closing quote, or to what ends it in a flow mapping or a line.
fn value_length(value: &str) -> usize {
    let trimmed = value.trim_start();
    let blank = value.len() - trimmed.len();
    let length = match trimmed.chars().next() {
        Some(quote @ ('"' | '\'')) => trimmed[1..].find(quote).map(|end| end + 2),
        // A list or mapping of secrets: the rest of the line.
        Some('[' | '{') => None,
        _ => trimmed.find([',', '}']).or_else(|| trimmed.find(" #")),
    };
    let rest = trimmed.trim_end();
    blank + length.map_or(rest.len(), |length| rest[..length.min(rest.len())].trim_end().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_text_that_is_no_yaml() {
        let text = "all: [\n  pg_admin_password: poison-1\n  pg_users: [{ name: a, password: 'poison,2', x: 1 }, { pasword: poison-3 }\n\
                    \x20 \"s3_key_secret\" :poison-4 # a remark\n  url: http://me:poison-5@host/x\n  etcd_root_password: [poison-6, poison-7\n  pg_port: 5432\n";
        let spans = secret_spans_in_text(SourceId(0), text);
        let mut masked = text.to_owned();
        for span in spans.iter().rev() {
            masked.replace_range(span.start..span.end, &"*".repeat(span.end - span.start));
        }
        assert!(!masked.contains("poison"), "{masked}");
        for kept in ["name: a", "x: 1", "@host/x", "pg_port: 5432", "# a remark"] {
            assert!(masked.contains(kept), "{kept} in {masked}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z_:'\"{}\\[\\], #/@\né]{0,60}|password: ?['\"é]{0,9}") {
            for span in secret_spans_in_text(SourceId(0), &text) {
                assert!(span.end <= text.len() && text.is_char_boundary(span.start));
                assert!(text.is_char_boundary(span.end));
            }
        }
    }
}
