//! Where a text holds secrets, by its look alone: for files that did not load, and for values that loading dropped
//! (the first of two equal keys), of which no inventory can tell what they are.

use super::secrets::names_a_secret;
use crate::registry::{self, ParameterType};
use keddah_core::{SourceId, Span};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

/// Fields of users, databases, rules and their kind by name, with all that they can be.
static FIELDS: LazyLock<HashMap<&'static str, Vec<ParameterType>>> = LazyLock::new(|| {
    let mut fields: HashMap<_, Vec<_>> = HashMap::new();
    for parameter in registry::all().chain(registry::extra()) {
        if let ParameterType::List(structure) | ParameterType::One(structure) = parameter.kind {
            for field in structure.fields {
                fields.entry(field.name).or_default().push(field.kind);
            }
        }
    }
    fields
});

/// The places of secrets in a text that need be no YAML: what follows a key whose name says that it is a secret, up
/// to the end of the value, and passwords within URLs. In case of doubt it is one.
pub fn secret_spans_in_text(source: SourceId, text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    // The indentation of a key whose value stands in the lines below it.
    let mut below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '\t']);
        let indentation = line.len() - content.len();
        let blank = content.trim().is_empty();
        match below {
            Some(of) if blank || indentation > of => {
                spans.push(Span {
                    source,
                    start: start + indentation,
                    end: start + line.trim_end().len().max(indentation),
                });
                start += line.len();
                continue;
            }
            _ => below = None,
        }
        for Key { name, colon } in keys(line) {
            let value = &line[colon + 1..];
            if is_secret(&name) {
                let begin = colon + 1 + (value.len() - value.trim_start().len());
                let end = colon + 1 + value_length(value);
                let shown = value.trim();
                if shown.is_empty() || shown.starts_with(['|', '>', '#']) {
                    below = Some(indentation);
                } else if begin < end {
                    spans.push(Span { source, start: start + begin, end: start + end });
                }
            }
            if value.starts_with("//")
                && let Some(authority) = value[2..].split(['/', ' ', ',', '\n']).next()
                && let Some((user, _)) = authority.rsplit_once('@')
                && user.contains(':')
            {
                let begin = start + colon + 3;
                spans.push(Span { source, start: begin, end: begin + user.len() });
            }
        }
        start += line.len();
    }
    spans.retain(|span| span.start < span.end);
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// The places of what certainly is no secret in such a text: keys that the registry knows, and their values where
/// these are numbers, words and addresses.
pub fn plain_spans_in_text(source: SourceId, text: &str) -> Vec<Span> {
    let secrets = secret_spans_in_text(source, text);
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for Key { name, colon } in keys(line) {
            let kinds = kinds(&name);
            if kinds.is_empty() {
                continue;
            }
            let key = line[..colon].trim_end().trim_end_matches(['"', '\'']).len();
            spans.push(start + key.saturating_sub(name.len())..start + key);
            let value = &line[colon + 1..];
            let blank = value.len() - value.trim_start_matches([' ', '"', '\'']).len();
            let plain =
                |character: char| character.is_ascii_alphanumeric() || "_.-/".contains(character);
            let length = value[blank..].find(|one| !plain(one)).unwrap_or(value.len() - blank);
            let ends = value[blank + length..].trim_start_matches([' ', '"', '\'']);
            let whole = ends.is_empty() || ends.starts_with([',', '}', ']', '\n', '\r']);
            let parameter = registry::find(&name).is_some();
            if whole && kinds.iter().all(|kind| shows(kind, parameter)) {
                let begin = start + colon + 1 + blank;
                spans.push(begin..begin + length);
            }
        }
        start += line.len();
    }
    let apart = |span: &Range<usize>| {
        secrets.iter().all(|secret| span.end <= secret.start || secret.end <= span.start)
    };
    spans.retain(|span| span.start < span.end && apart(span));
    spans.into_iter().map(|span| Span { source, start: span.start, end: span.end }).collect()
}

/// Whether values of a kind are never secrets; texts are none where a parameter's name says what they are.
fn shows(kind: &ParameterType, parameter: bool) -> bool {
    match kind {
        ParameterType::Bool
        | ParameterType::Choice { .. }
        | ParameterType::Integer { .. }
        | ParameterType::IntegerOr { .. }
        | ParameterType::Float { .. }
        | ParameterType::Port
        | ParameterType::Size
        | ParameterType::Interval
        | ParameterType::Duration
        | ParameterType::Ip
        | ParameterType::IpOrEmpty
        | ParameterType::Cidr
        | ParameterType::Cidr4 => true,
        ParameterType::Text | ParameterType::Username | ParameterType::Path => parameter,
        _ => false,
    }
}

/// What the registry says that a parameter or field of this name is; nothing of a name that it does not know.
fn kinds(name: &str) -> Vec<ParameterType> {
    let parameter = registry::find(name).map(|parameter| parameter.kind);
    parameter.into_iter().chain(FIELDS.get(name).into_iter().flatten().copied()).collect()
}

/// A word before a colon.
struct Key {
    name: String,
    /// Where in the line the colon is.
    colon: usize,
}

fn keys(line: &str) -> impl Iterator<Item = Key> {
    line.match_indices(':').filter_map(|(colon, _)| {
        let key = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let name = key
            .rsplit(|one: char| !one.is_ascii_alphanumeric() && one != '_' && one != '-')
            .next()?
            .trim_start_matches('-');
        (!name.is_empty()).then(|| Key { name: name.to_owned(), colon })
    })
}

fn is_secret(name: &str) -> bool {
    // Comparing every key of a long file with every parameter would take seconds.
    let likely = ["pas", "pw", "word", "sec", "key"].iter().any(|part| name.contains(part));
    let near = || likely.then(|| registry::suggest(name)).flatten();
    registry::find(name)
        .or_else(|| registry::find(near()?))
        .is_some_and(|parameter| parameter.kind.is_secret())
        || names_a_secret(name)
        || ["password", "secret_key"].iter().any(|word| registry::nearest(name, [*word]).is_some())
}

/// How far a value reaches: to its closing quote, to what ends it in a flow mapping or a line, or to the next key
/// where the comma before that is missing.
fn value_length(value: &str) -> usize {
    let trimmed = value.trim_start();
    let blank = value.len() - trimmed.len();
    let length = match trimmed.chars().next() {
        Some(quote @ ('"' | '\'')) => trimmed[1..].find(quote).map(|end| end + 2),
        // A list or mapping of secrets: the rest of the line.
        Some('[' | '{') => None,
        _ => {
            let ends = [trimmed.find([',', '}']), trimmed.find(" #"), next_key(trimmed)];
            ends.into_iter().flatten().min()
        }
    };
    let rest = trimmed.trim_end();
    blank + length.map_or(rest.len(), |length| rest[..length.min(rest.len())].trim_end().len())
}

/// Where the next key begins that the registry knows: a blank, its name, a colon, and a blank.
fn next_key(value: &str) -> Option<usize> {
    let words = value.match_indices(": ").filter_map(|(colon, _)| {
        let begin = value[..colon].rfind(' ')? + 1;
        (!kinds(&value[begin..colon]).is_empty()).then_some(begin)
    });
    words.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut masked = text.to_owned();
        for span in secret_spans_in_text(SourceId(0), text).iter().rev() {
            masked.replace_range(span.start..span.end, &"*".repeat(span.end - span.start));
        }
        masked
    }

    #[test]
    fn secrets_are_found_in_text_that_is_no_yaml() {
        let text = "all: [\n  pg_admin_password: poison-1\n  pg_users: [{ name: a, password: 'poison,2', x: 1 }, { pasword: poison-3 }\n\
                    \x20 \"s3_key_secret\" :poison-4 # a remark\n  url: http://me:poison-5@host/x\n  etcd_root_password: [poison-6, poison-7\n  pg_port: 5432\n\
                    \x20 s3-key-secret: poison-8\n";
        let masked = masked(text);
        assert!(!masked.contains("poison"), "{masked}");
        for kept in ["name: a", "x: 1", "@host/x", "pg_port: 5432", "# a remark"] {
            assert!(masked.contains(kept), "{kept} in {masked}");
        }
    }

    #[test]
    fn what_follows_a_missing_comma_is_shown_where_it_is_a_known_key() {
        let line = "- { name: a, password: poison pgbouncer: true, roles: [dbrole_readonly] }\n";
        assert_eq!(
            masked(line),
            "- { name: a, password: ****** pgbouncer: true, roles: [dbrole_readonly] }\n"
        );
        // A word that is no key may be a part of the password.
        assert_eq!(masked("password: my poison: x, y: 1\n"), "password: ************, y: 1\n");
    }

    #[test]
    fn a_secret_that_stands_below_its_key_is_found() {
        let text = "  pg_admin_password: |\n    poison\n\n    poison\n  pg_port: 5432\n  password:\n      poison\n  x: [\n";
        let masked = masked(text);
        assert!(!masked.contains("poison"), "{masked}");
        assert!(masked.contains("  pg_port: 5432\n") && masked.contains("  x: [\n"), "{masked}");
    }

    #[test]
    fn known_keys_and_their_plain_values_are_shown_and_nothing_else() {
        let text = "10.10.10.13: { pg_seq: 3, pg_role: replica, password: poison, mine: poison, pg_conf: &p poison }\n\
                    pg_users: [{ name: poison, pgbouncer: true }]\nurl: poison\n";
        let shown: Vec<&str> = plain_spans_in_text(SourceId(0), text)
            .into_iter()
            .map(|span| &text[span.start..span.end])
            .collect();
        for word in ["pg_seq", "3", "pg_role", "replica", "pg_conf", "pgbouncer", "true"] {
            assert!(shown.contains(&word), "{word}: {shown:?}");
        }
        assert!(!shown.iter().any(|word| word.contains("poison")), "{shown:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z_:'\"{}\\[\\], #/@\né-]{0,60}|password: ?['\"é]{0,9}|password: [a-z ]{0,5} roles: [a-zé\n]{0,9}") {
            let all = secret_spans_in_text(SourceId(0), &text);
            for span in all.into_iter().chain(plain_spans_in_text(SourceId(0), &text)) {
                assert!(span.end <= text.len() && text.is_char_boundary(span.start));
                assert!(text.is_char_boundary(span.end));
            }
        }
    }
}
