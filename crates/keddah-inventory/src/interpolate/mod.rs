//! Expands `${name}` placeholders and `{{ expression }}` templates in values.
//!
//! Ansible's own listing leaves both as written; whoever uses a value expands it first, with the
//! names that are visible there (a host's variables, or the context of one rule).

mod expression;

use crate::value::{Data, Value};
use keddah_core::{Diagnostic, Severity, Span};
use std::collections::HashMap;

/// What to do with a name that the lookup does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Report it.
    Error,
    /// Leave the placeholder as it is, for a later expansion with more names.
    Keep,
}

/// Longer chains of variables that refer to variables are a mistake.
const MAX_CHAIN: usize = 32;

/// A bound on what expanding one value may produce, in nodes and 64-byte pieces of text, so that variables
/// that double each other end in a message.
const MAX_GROWTH: usize = 200_000;

/// Expands one value; see [`Interpolator`].
///
/// # Errors
/// As [`Interpolator::expand`].
pub fn interpolate(
    value: &Value,
    lookup: &dyn Fn(&str) -> Option<Value>,
    unknown: Unknown,
) -> Result<Value, Diagnostic> {
    Interpolator::new(lookup, unknown).expand(value)
}

/// Whether there is anything to expand in a value.
pub fn has_placeholders(value: &Value) -> bool {
    match &value.data {
        Data::String(text) => text.contains("${") || is_template(text),
        Data::List(items) => items.iter().any(has_placeholders),
        Data::Map(entries) => entries.values().any(has_placeholders),
        _ => false,
    }
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Expands values with the same names, remembering the variables it has already expanded.
pub struct Interpolator<'lookup> {
    lookup: &'lookup dyn Fn(&str) -> Option<Value>,
    unknown: Unknown,
    expanded: HashMap<String, Option<Value>>,
    /// The variables that are being expanded, outermost first.
    chain: Vec<String>,
    growth: usize,
}

impl<'lookup> Interpolator<'lookup> {
    /// `lookup` gives a name's value as written; what it refers to is expanded as well.
    pub fn new(lookup: &'lookup dyn Fn(&str) -> Option<Value>, unknown: Unknown) -> Self {
        Self { lookup, unknown, expanded: HashMap::new(), chain: Vec::new(), growth: 0 }
    }

    /// Expands a value: texts, and those within lists and mappings; keys stay as they are.
    ///
    /// A text that is nothing but one placeholder or expression takes over the type of what it
    /// stands for; otherwise the result is text. `!unsafe` and `!vault` values stay as they are.
    ///
    /// # Errors
    /// When a name is unknown (unless they are kept) or refers to itself, when an expression does
    /// not parse or fails, or when a list or mapping is put into the middle of a text.
    pub fn expand(&mut self, value: &Value) -> Result<Value, Diagnostic> {
        self.growth = 0;
        self.expand_inner(value)
    }

    fn expand_inner(&mut self, value: &Value) -> Result<Value, Diagnostic> {
        if !has_placeholders(value) {
            return Ok(value.clone());
        }
        let data = match &value.data {
            Data::String(text) => self.text(text, value.span)?,
            Data::List(items) => Data::List(
                items.iter().map(|item| self.expand_inner(item)).collect::<Result<_, _>>()?,
            ),
            Data::Map(entries) => Data::Map(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.expand_inner(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => other.clone(),
        };
        Ok(Value { data, span: value.span })
    }

    fn text(&mut self, text: &str, span: Option<Span>) -> Result<Data, Diagnostic> {
        let expanded = if is_template(text) {
            match self.template(text, span)? {
                Data::String(text) => text,
                data => return Ok(data),
            }
        } else {
            text.to_owned()
        };
        self.placeholders(&expanded, span)
    }

    fn placeholders(&mut self, text: &str, span: Option<Span>) -> Result<Data, Diagnostic> {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            result.push_str(before);
            // Anything else in braces, such as a shell's `${HOME:-/}`, is not ours.
            let Some((name, length)) = placeholder_name(after) else {
                result.push_str("${");
                rest = &after[2..];
                continue;
            };
            let (whole, tail) = after.split_at(length);
            rest = tail;
            match self.variable(name, span)? {
                Some(value) if before.is_empty() && result.is_empty() && tail.is_empty() => {
                    return Ok(value.data);
                }
                Some(value) => result.push_str(&embed(&value, name, span)?),
                None if self.unknown == Unknown::Keep => result.push_str(whole),
                None => return Err(unknown_name(name, span)),
            }
        }
        result.push_str(rest);
        Ok(Data::String(result))
    }

    fn template(&mut self, text: &str, span: Option<Span>) -> Result<Data, Diagnostic> {
        let template = expression::Template::parse(text).map_err(|reason| failed(reason, span))?;
        let mut known = Vec::new();
        for name in template.names() {
            match self.variable(&name, span)? {
                Some(value) => known.push((name, value)),
                None if self.unknown == Unknown::Keep => return Ok(Data::String(text.to_owned())),
                // A filter may still supply a default; the engine reports what stays undefined.
                None => {}
            }
        }
        let data = template.evaluate(known).map_err(|reason| failed(reason, span))?;
        self.grow(&data, span)?;
        Ok(data)
    }

    /// A variable's expanded value; `None` when there is none of that name.
    fn variable(&mut self, name: &str, span: Option<Span>) -> Result<Option<Value>, Diagnostic> {
        if let Some(known) = self.expanded.get(name) {
            let known = known.clone();
            if let Some(value) = &known {
                self.grow(&value.data, span)?;
            }
            return Ok(known);
        }
        if let Some(position) = self.chain.iter().position(|open| open == name) {
            let mut circle = self.chain[position..].to_vec();
            circle.push(name.to_owned());
            return Err(Diagnostic::new(
                Severity::Error,
                "interpolation-cycle",
                span,
                format!("variable `{name}` refers to itself: {}", circle.join(" → ")),
            )
            .help("give one of these variables a value of its own"));
        }
        if self.chain.len() >= MAX_CHAIN {
            return Err(Diagnostic::new(
                Severity::Error,
                "interpolation-too-deep",
                span,
                format!("more than {MAX_CHAIN} variables refer to each other in a chain"),
            ));
        }
        let value = match (self.lookup)(name) {
            None => None,
            Some(value) => {
                self.chain.push(name.to_owned());
                let expanded = self.expand_inner(&value);
                self.chain.pop();
                let expanded = expanded?;
                self.grow(&expanded.data, span)?;
                Some(expanded)
            }
        };
        self.expanded.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    fn grow(&mut self, data: &Data, span: Option<Span>) -> Result<(), Diagnostic> {
        self.growth = self.growth.saturating_add(size(data));
        if self.growth <= MAX_GROWTH {
            return Ok(());
        }
        Err(Diagnostic::new(
            Severity::Error,
            "interpolation-too-large",
            span,
            "the placeholders of this value expand to an enormous value",
        ))
    }
}

fn size(data: &Data) -> usize {
    match data {
        Data::String(text) | Data::Unsafe(text) => 1 + text.len() / 64,
        Data::List(items) => 1 + items.iter().map(|item| size(&item.data)).sum::<usize>(),
        Data::Map(entries) => 1 + entries.values().map(|item| size(&item.data)).sum::<usize>(),
        _ => 1,
    }
}

/// The name in `${name}` or `${ name }` at the start of the text, and the placeholder's length.
fn placeholder_name(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find('}')?;
    let name = inner[..end].trim_matches(' ');
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    valid.then_some((name, 2 + end + 1))
}

/// A value as a part of a longer text.
fn embed(value: &Value, name: &str, span: Option<Span>) -> Result<String, Diagnostic> {
    match &value.data {
        Data::String(text) | Data::Unsafe(text) => Ok(text.clone()),
        Data::Bool(flag) => Ok(flag.to_string()),
        Data::Int(number) => Ok(number.to_string()),
        Data::BigInt(digits) => Ok(digits.clone()),
        Data::Float(number) => Ok(crate::ansible::python_float(*number)),
        Data::Null | Data::List(_) | Data::Map(_) | Data::Vault(_) => Err(Diagnostic::new(
            Severity::Error,
            "interpolation-not-text",
            span,
            format!(
                "`${{{name}}}` stands for {}, which cannot be part of a text",
                value.describe()
            ),
        )),
    }
}

fn unknown_name(name: &str, span: Option<Span>) -> Diagnostic {
    Diagnostic::new(
        Severity::Error,
        "unknown-placeholder",
        span,
        format!("`${{{name}}}` stands for a variable that is not set here"),
    )
    .help(format!("set `{name}`, or correct its spelling"))
}

fn failed(reason: String, span: Option<Span>) -> Diagnostic {
    Diagnostic::new(Severity::Error, "expression-failed", span, reason)
        .help("expressions are Jinja2; write text that should not be expanded with the tag !unsafe")
}

#[cfg(test)]
mod tests;
