//! JSON exactly as Python's `json.dumps(sort_keys=True, indent=4, ensure_ascii=False)` writes it.

use crate::value::{Data, Value};
use std::fmt::Write;

/// What can be written: values of the inventory, and the frame of the listing around them.
pub(super) enum Node<'a> {
    Value(&'a Value),
    Text(&'a str),
    List(Vec<Node<'a>>),
    Map(Vec<(&'a str, Node<'a>)>),
}

/// How `!unsafe` texts are written: `--list` marks them, `--host` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnsafeTexts {
    Marked,
    Plain,
}

/// The document as text, without a line break at the end.
pub(super) fn dump(node: Node<'_>, unsafe_texts: UnsafeTexts) -> String {
    let mut out = Output { text: String::new(), unsafe_texts };
    write_node(&mut out, node, 0);
    out.text
}

struct Output {
    text: String,
    unsafe_texts: UnsafeTexts,
}

fn write_node(out: &mut Output, node: Node<'_>, depth: usize) {
    match node {
        Node::Value(value) => write_value(out, value, depth),
        Node::Text(text) => write_text(out, text),
        Node::List(items) => write_list(out, items.into_iter(), depth, write_node),
        Node::Map(entries) => write_map(out, entries, depth, write_node),
    }
}

fn write_value(out: &mut Output, value: &Value, depth: usize) {
    match &value.data {
        Data::Null => out.text.push_str("null"),
        Data::Bool(flag) => out.text.push_str(if *flag { "true" } else { "false" }),
        Data::Int(number) => {
            let _ = write!(out.text, "{number}");
        }
        Data::BigInt(digits) => out.text.push_str(digits),
        Data::Float(number) => out.text.push_str(&python_float(*number)),
        Data::String(text) => write_text(out, text),
        Data::Unsafe(text) if out.unsafe_texts == UnsafeTexts::Plain => write_text(out, text),
        Data::Unsafe(text) => {
            write_map(out, vec![("__ansible_unsafe", text.as_str())], depth, marked)
        }
        Data::Vault(text) => {
            write_map(out, vec![("__ansible_vault", text.as_str())], depth, marked)
        }
        Data::List(items) => write_list(out, items.iter(), depth, write_value),
        Data::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.text.as_str(), value)).collect();
            write_map(out, entries, depth, write_value);
        }
    }
}

fn marked(out: &mut Output, text: &str, _depth: usize) {
    write_text(out, text);
}

fn line(out: &mut Output, depth: usize) {
    out.text.push('\n');
    for _ in 0..depth {
        out.text.push_str("    ");
    }
}

fn write_list<Item>(
    out: &mut Output,
    items: impl Iterator<Item = Item>,
    depth: usize,
    write_item: fn(&mut Output, Item, usize),
) {
    out.text.push('[');
    let mut empty = true;
    for item in items {
        if !empty {
            out.text.push(',');
        }
        empty = false;
        line(out, depth + 1);
        write_item(out, item, depth + 1);
    }
    if !empty {
        line(out, depth);
    }
    out.text.push(']');
}

fn write_map<Item>(
    out: &mut Output,
    mut entries: Vec<(&str, Item)>,
    depth: usize,
    write_item: fn(&mut Output, Item, usize),
) {
    entries.sort_by_key(|(key, _)| *key);
    out.text.push('{');
    let mut empty = true;
    for (key, item) in entries {
        if !empty {
            out.text.push(',');
        }
        empty = false;
        line(out, depth + 1);
        write_text(out, key);
        out.text.push_str(": ");
        write_item(out, item, depth + 1);
    }
    if !empty {
        line(out, depth);
    }
    out.text.push('}');
}

fn write_text(out: &mut Output, text: &str) {
    out.text.push('"');
    for c in text.chars() {
        match c {
            '"' => out.text.push_str("\\\""),
            '\\' => out.text.push_str("\\\\"),
            '\n' => out.text.push_str("\\n"),
            '\r' => out.text.push_str("\\r"),
            '\t' => out.text.push_str("\\t"),
            '\u{8}' => out.text.push_str("\\b"),
            '\u{c}' => out.text.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out.text, "\\u{:04x}", u32::from(c));
            }
            c => out.text.push(c),
        }
    }
    out.text.push('"');
}

/// A float as Python's `repr` (and so its JSON) writes it: `1.0`, `1e-05`, `1e+16`, `Infinity`.
pub(crate) fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        for (number, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
            (1.5e300, "1.5e+300"),
            (685_230.15, "685230.15"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }
}
