//! Explicit tags: those of YAML 1.1 that PyYAML's safe loader knows, and Ansible's own.

use super::map::Entries;
use super::parser::Properties;
use super::scalar::{self, Plain};
use crate::value::{Data, Value};
use keddah_core::{Diagnostic, Span};

const CORE: &str = "tag:yaml.org,2002:";

/// How the untagged plain scalars of a file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Yaml,
    Json,
}

/// Whether a scalar is the merge key or may be a mapping key in the form of `=`.
pub(super) fn is_merge_key(text: &str, plain: bool, properties: &Properties) -> bool {
    plain && text == "<<" && properties.tag.is_none()
}

fn unknown_tag(tag: &str, what: &str, span: Span) -> Diagnostic {
    let shown = tag.strip_prefix(CORE).map_or_else(|| tag.to_owned(), |name| format!("!!{name}"));
    Diagnostic::error("yaml-unknown-tag", span, format!("the tag `{shown}` does not fit {what}"))
        .help("remove the tag; if the value starts with an exclamation mark, quote it")
}

fn plain(text: &str, dialect: Dialect, as_key: bool, span: Span) -> Result<Data, Diagnostic> {
    let resolved = match dialect {
        Dialect::Yaml => scalar::resolve(text),
        Dialect::Json => scalar::resolve_json(text),
    };
    match resolved {
        Plain::Data(data) => Ok(data),
        Plain::DefaultValue if as_key => Ok(Data::String(text.to_owned())),
        Plain::DefaultValue => Err(Diagnostic::error(
            "yaml-invalid-scalar",
            span,
            "a lone `=` has a special meaning in YAML 1.1",
        )
        .help("quote it: \"=\"")),
        Plain::Invalid(message) => Err(Diagnostic::error("yaml-invalid-scalar", span, message)
            .help("quote it if it is meant as text")),
    }
}

/// Constructs a scalar.
pub(super) fn construct_scalar(
    text: &str,
    is_plain: bool,
    properties: &Properties,
    dialect: Dialect,
    as_key: bool,
    span: Span,
) -> Result<Data, Diagnostic> {
    // The lone `!` is no tag to the parser that Ansible uses.
    let Some(tag) = properties.tag.as_deref().filter(|tag| *tag != "!") else {
        return if is_plain {
            plain(text, dialect, as_key, span)
        } else {
            Ok(Data::String(text.to_owned()))
        };
    };
    let misfit = || unknown_tag(tag, "this value", span);
    match tag {
        // Ansible resolves the content afresh, even when it is quoted.
        "!unsafe" => {
            return Ok(match plain(text, Dialect::Yaml, as_key, span)? {
                Data::String(text) => Data::Unsafe(text),
                other => other,
            });
        }
        "!vault" | "!vault-encrypted" => {
            return match plain(text, Dialect::Yaml, as_key, span)? {
                Data::String(text) => Ok(Data::Vault(text)),
                _ => Err(misfit()),
            };
        }
        _ => {}
    }
    match tag.strip_prefix(CORE) {
        Some("str" | "python/unicode") => Ok(Data::String(text.to_owned())),
        Some("null") => Ok(Data::Null),
        Some("bool") => {
            scalar::parse_bool(&text.to_ascii_lowercase()).map(Data::Bool).ok_or_else(misfit)
        }
        Some("int") => match scalar::resolve(text) {
            Plain::Data(data @ (Data::Int(_) | Data::BigInt(_))) => Ok(data),
            _ => Err(misfit()),
        },
        Some("float") => match scalar::resolve(text) {
            Plain::Data(data @ Data::Float(_)) => Ok(data),
            #[allow(clippy::cast_precision_loss)]
            Plain::Data(Data::Int(number)) => Ok(Data::Float(number as f64)),
            _ => text
                .parse()
                .ok()
                .filter(|_| text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)))
                .map(Data::Float)
                .ok_or_else(misfit),
        },
        Some("timestamp") => match scalar::resolve(text) {
            Plain::Data(data @ Data::String(_)) if text.len() >= 8 => Ok(data),
            _ => Err(misfit()),
        },
        Some("binary") => Err(Diagnostic::error(
            "yaml-binary",
            span,
            "binary values cannot stand in an inventory",
        )
        .help("Ansible cannot print them either; write text")),
        _ => Err(misfit()),
    }
}

/// Constructs a finished list.
pub(super) fn construct_list(
    items: Vec<Value>,
    properties: &Properties,
    span: Span,
) -> Result<Data, Diagnostic> {
    let Some(tag) = properties.tag.as_deref() else {
        return Ok(Data::List(items));
    };
    match tag {
        "!" => Ok(Data::List(items)),
        "!unsafe" => Ok(mark_unsafe(Data::List(items))),
        _ => match tag.strip_prefix(CORE) {
            Some("seq") => Ok(Data::List(items)),
            Some("omap" | "pairs") => items
                .into_iter()
                .map(|item| match item.data {
                    Data::Map(mut entries) if entries.len() == 1 => {
                        let pair = entries.pop().into_iter().flat_map(|(key, value)| {
                            [Value { data: Data::String(key.text), span: key.span }, value]
                        });
                        Ok(Value { data: Data::List(pair.collect()), span: item.span })
                    }
                    _ => Err(unknown_tag(tag, "a list whose items are not single pairs", span)),
                })
                .collect::<Result<_, _>>()
                .map(Data::List),
            _ => Err(unknown_tag(tag, "a list", span)),
        },
    }
}

/// Constructs a finished mapping.
pub(super) fn construct_map(
    entries: Entries,
    properties: &Properties,
    span: Span,
) -> Result<Data, Diagnostic> {
    let Some(tag) = properties.tag.as_deref() else {
        return Ok(Data::Map(entries));
    };
    match tag {
        "!" => Ok(Data::Map(entries)),
        "!unsafe" => Ok(mark_unsafe(Data::Map(entries))),
        _ => match tag.strip_prefix(CORE) {
            Some("map" | "python/dict") => Ok(Data::Map(entries)),
            // A set prints as the list of its members.
            Some("set") => Ok(Data::List(
                entries
                    .into_keys()
                    .map(|key| Value { data: Data::String(key.text), span: key.span })
                    .collect(),
            )),
            _ => Err(unknown_tag(tag, "a mapping", span)),
        },
    }
}

fn mark_unsafe(data: Data) -> Data {
    let mark = |value: Value| Value { data: mark_unsafe(value.data), span: value.span };
    match data {
        Data::String(text) => Data::Unsafe(text),
        Data::List(items) => Data::List(items.into_iter().map(mark).collect()),
        Data::Map(entries) => {
            Data::Map(entries.into_iter().map(|(key, value)| (key, mark(value))).collect())
        }
        other => other,
    }
}
