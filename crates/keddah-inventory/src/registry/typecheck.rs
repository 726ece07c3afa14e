//! Whether a value fits a parameter's type, and if not, what to say about it.

use super::{Field, ParameterType, Structure, nearest};
use crate::{Data, Value};
use keddah_core::{Severity, Span};
use std::net::IpAddr;

/// A value that does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeProblem {
    /// A stable name: `wrong-type`, `unknown-field`, `missing-field` or `unquoted-password`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where the value (or the key) stands.
    pub span: Option<Span>,
    /// One sentence without the offending value: what must be, and where.
    pub message: String,
    /// What stands there instead, `None` where the message says it all. Not for values that
    /// placeholders were filled into: they may have become secrets.
    pub found: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Whether a text holds a `${…}` or `{{ … }}` that is filled in later, so that its type cannot be
/// told yet.
pub fn has_placeholder(text: &str) -> bool {
    text.contains("${") || text.contains("{{") || text.contains("{%")
}

impl TypeProblem {
    /// The whole sentence, with what stands there.
    pub fn sentence(&self) -> String {
        match &self.found {
            Some(found) => format!("{}, but is {found}", self.message),
            None => self.message.clone(),
        }
    }
}

impl ParameterType {
    /// Checks a value. `what` names it in messages, such as `` `pg_port` ``. Null always passes: it
    /// means the default.
    pub fn check(&self, value: &Value, what: &str) -> Vec<TypeProblem> {
        let mut problems = Vec::new();
        check(self, value, what, &mut problems);
        problems
    }

    /// What is expected, in words: `a port from 1 to 65535`.
    pub fn expected(&self) -> String {
        match self {
            Self::Text | Self::Arguments => "text".into(),
            Self::Username => "a name".into(),
            Self::Password => "a password as text".into(),
            Self::Path => "an absolute path".into(),
            Self::RelativePath => "a path".into(),
            Self::Url | Self::DatabaseUrl => "a URL".into(),
            Self::Size => "a size such as 64MiB".into(),
            Self::Interval | Self::Duration => "a time such as 10s, 1h or 7300d".into(),
            Self::Ip => "an IP address".into(),
            Self::IpOrEmpty => "an IP address or ''".into(),
            Self::IpList => "IP addresses separated by commas".into(),
            Self::Cidr4 => "an IPv4 address with prefix length, such as 10.10.10.2/24".into(),
            Self::Cidr => "a network such as 10.0.0.0/8".into(),
            Self::Integer { min, max } if *max >= i64::from(i32::MAX) => {
                format!("a whole number from {min} on")
            }
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::IntegerOr { words } => format!("a whole number or one of {}", words.join(", ")),
            Self::Port => "a port from 1 to 65535".into(),
            Self::Float { min, max } => format!("a number from {min} to {max}"),
            Self::Bool => "true or false".into(),
            Self::Choice { values, open: false } => format!("one of {}", values.join(", ")),
            Self::Choice { values, open: true } => format!("a word such as {}", values.join(", ")),
            Self::TextList => "a list of texts".into(),
            Self::PathList => "a list of paths".into(),
            Self::CidrList => "a list of networks such as 10.0.0.0/8".into(),
            Self::PortList => "a list of ports".into(),
            Self::Mapping => "a mapping".into(),
            Self::One(structure) => format!("a mapping of {}s", structure.name),
            Self::List(structure) => match structure.shorthand {
                Some(_) => format!("a list of {}s", structure.name),
                None => format!("a list of {} mappings", structure.name),
            },
            Self::TextOrList => "text or a list of texts".into(),
        }
    }
}

fn check(kind: &ParameterType, value: &Value, what: &str, problems: &mut Vec<TypeProblem>) {
    if value.is_null() || value.as_str().is_some_and(has_placeholder) {
        return;
    }
    match kind {
        ParameterType::List(structure) => match value.as_list() {
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    entry(structure, item, &entry_name(structure, item, what, index), problems);
                }
            }
            None => wrong(kind, value, what, problems),
        },
        ParameterType::One(structure) => entry(structure, value, what, problems),
        ParameterType::TextList => each(&ParameterType::Text, kind, value, what, problems),
        ParameterType::PathList => each(&ParameterType::RelativePath, kind, value, what, problems),
        ParameterType::PortList => each(&ParameterType::Port, kind, value, what, problems),
        ParameterType::CidrList => each(&ParameterType::Cidr, kind, value, what, problems),
        // An encrypted value is a secret by its nature.
        ParameterType::Password => match &value.data {
            Data::Null | Data::List(_) | Data::Map(_) => wrong(kind, value, what, problems),
            Data::Int(_) | Data::BigInt(_) | Data::Float(_) | Data::Bool(_) => {
                problems.push(TypeProblem {
                    code: "unquoted-password",
                    severity: Severity::Warning,
                    span: value.span,
                    message: format!("{what} is not text, so YAML may have changed it"),
                    found: None,
                    help: Some("put the password in quotes".into()),
                });
            }
            _ => {}
        },
        ParameterType::Choice { values, open: false } => match choice_text(value, values) {
            Some(text) if values.contains(&text.as_str()) => {}
            Some(text) => {
                wrong(kind, value, what, problems);
                if let (Some(near), Some(last)) =
                    (nearest(&text, values.iter().copied()), problems.last_mut())
                {
                    last.help = Some(format!("did you mean `{near}`?"));
                }
            }
            None => wrong(kind, value, what, problems),
        },
        _ if fits(kind, value) => {}
        _ => wrong(kind, value, what, problems),
    }
}

fn each(
    item_kind: &ParameterType,
    kind: &ParameterType,
    value: &Value,
    what: &str,
    problems: &mut Vec<TypeProblem>,
) {
    match value.as_list() {
        Some(items) => {
            for (index, item) in items.iter().enumerate() {
                check(item_kind, item, &format!("{what}, item {},", index + 1), problems);
            }
        }
        None => wrong(kind, value, what, problems),
    }
}

/// Whether a scalar fits a scalar type.
fn fits(kind: &ParameterType, value: &Value) -> bool {
    let text = value.as_str();
    let integer = as_integer(value);
    match kind {
        ParameterType::Text
        | ParameterType::Arguments
        | ParameterType::Url
        | ParameterType::DatabaseUrl => is_scalar(value),
        ParameterType::Username => match text {
            Some(text) => !text.is_empty() && !text.chars().any(char::is_control),
            None => is_scalar(value),
        },
        ParameterType::Path => text.is_some_and(|text| text.starts_with('/')),
        ParameterType::RelativePath => text.is_some_and(|text| !text.contains('\0')),
        ParameterType::Size => {
            integer.is_some_and(|number| number >= 0)
                || text.is_some_and(|text| has_unit(text, SIZE_UNITS))
        }
        ParameterType::Interval | ParameterType::Duration => {
            integer.is_some_and(|number| number >= 0)
                || text.is_some_and(|text| has_unit(text, TIME_UNITS))
        }
        ParameterType::Ip => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        ParameterType::IpOrEmpty => {
            text.is_some_and(|text| text.is_empty() || text.parse::<IpAddr>().is_ok())
        }
        ParameterType::IpList => text.is_some_and(|text| {
            text.split(',')
                .map(str::trim)
                .all(|part| part == "*" || part == "localhost" || part.parse::<IpAddr>().is_ok())
        }),
        ParameterType::Cidr4 => {
            text.is_some_and(|text| text.contains('/') && text.parse::<ipnet::Ipv4Net>().is_ok())
        }
        ParameterType::Cidr => text.is_some_and(|text| text.parse::<ipnet::IpNet>().is_ok()),
        ParameterType::Integer { min, max } => {
            integer.is_some_and(|number| (*min..=*max).contains(&number))
        }
        ParameterType::IntegerOr { words } => {
            integer.is_some_and(|number| number >= 0)
                || text.is_some_and(|text| words.contains(&text))
        }
        ParameterType::Port => integer.is_some_and(|number| (1..=65_535).contains(&number)),
        ParameterType::Float { min, max } => {
            let number = match value.data {
                Data::Float(number) => Some(number),
                _ => integer.map(|number| number as f64),
            };
            number.is_some_and(|number| (*min..=*max).contains(&number))
        }
        ParameterType::Bool => matches!(value.data, Data::Bool(_)),
        ParameterType::Choice { .. } => is_scalar(value) && text != Some(""),
        ParameterType::Mapping => matches!(value.data, Data::Map(_)),
        ParameterType::TextOrList => {
            is_scalar(value) || value.as_list().is_some_and(|items| items.iter().all(is_scalar))
        }
        ParameterType::Password
        | ParameterType::TextList
        | ParameterType::PathList
        | ParameterType::CidrList
        | ParameterType::PortList
        | ParameterType::One(_)
        | ParameterType::List(_) => true,
    }
}

fn entry(structure: &Structure, value: &Value, what: &str, problems: &mut Vec<TypeProblem>) {
    if value.is_null() || value.as_str().is_some_and(has_placeholder) {
        return;
    }
    let Some(entries) = value.as_map() else {
        if structure.shorthand.is_none() || !is_scalar(value) {
            problems.push(TypeProblem {
                code: "wrong-type",
                severity: Severity::Error,
                span: value.span,
                message: format!("{what} must be a mapping of {} fields", structure.name),
                found: Some(found(value)),
                help: None,
            });
        }
        return;
    };
    let mut seen: Vec<&Field> = Vec::new();
    for (key, item) in entries {
        let Some(field) = structure.field(&key.text) else {
            if !structure.open {
                let names = structure.fields.iter().map(|field| field.name);
                problems.push(TypeProblem {
                    code: "unknown-field",
                    severity: Severity::Error,
                    span: key.span,
                    message: format!("{what} has no field `{}`", key.text),
                    found: None,
                    help: nearest(&key.text, names).map(|near| format!("did you mean `{near}`?")),
                });
            }
            continue;
        };
        if !item.is_null() {
            seen.push(field);
        }
        check(&field.kind, item, &format!("`{}` of {what}", key.text), problems);
    }
    for field in structure.fields.iter().filter(|field| field.required) {
        if !seen.iter().any(|present| present.name == field.name) {
            problems.push(TypeProblem {
                code: "missing-field",
                severity: Severity::Error,
                span: value.span,
                message: format!("{what} lacks its field `{}`", field.name),
                found: None,
                help: None,
            });
        }
    }
}

/// `user `dbuser_meta` of `pg_users``, or by number where there is no name.
fn entry_name(structure: &Structure, item: &Value, what: &str, index: usize) -> String {
    let name = item.get("name").and_then(Value::as_str).or_else(|| item.as_str());
    match name {
        Some(name) if !name.is_empty() => format!("{} `{name}` of {what}", structure.name),
        _ => format!("{} {} of {what}", structure.name, index + 1),
    }
}

fn wrong(kind: &ParameterType, value: &Value, what: &str, problems: &mut Vec<TypeProblem>) {
    let help = match (kind, value.as_str(), &value.data) {
        (ParameterType::IntegerOr { words }, Some(text), _) => {
            nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"))
        }
        (ParameterType::Bool, Some(_), _) => Some("write true or false without quotes".into()),
        (ParameterType::Cidr4, Some(text), _) if text.parse::<IpAddr>().is_ok() => {
            Some(format!("add the network's prefix length, such as {text}/24"))
        }
        (
            ParameterType::TextList | ParameterType::PortList | ParameterType::CidrList,
            _,
            Data::String(_) | Data::Int(_),
        ) => Some("write a list, even for one item: [ … ]".into()),
        _ => None,
    };
    let shown = match &value.data {
        // A list of users written as one text holds passwords.
        _ if kind.is_secret() || matches!(kind, ParameterType::List(_)) => found(value),
        Data::String(text) if text.len() <= 60 => format!("`{text}`"),
        Data::Int(number) => format!("`{number}`"),
        Data::Bool(flag) => format!("`{flag}`"),
        _ => found(value),
    };
    problems.push(TypeProblem {
        code: "wrong-type",
        severity: Severity::Error,
        span: value.span,
        message: format!("{what} must be {}", kind.expected()),
        found: Some(shown),
        help,
    });
}

/// The kind of a value in words.
fn found(value: &Value) -> String {
    match &value.data {
        Data::Null => "empty",
        Data::Bool(_) => "true or false",
        Data::Int(_) | Data::BigInt(_) => "a whole number",
        Data::Float(_) => "a number",
        _ if value.as_str().is_some() => "text",
        Data::List(_) => "a list",
        Data::Map(_) => "a mapping",
        _ => "an encrypted value",
    }
    .into()
}

/// A choice's word. YAML 1.1 reads a bare `off` as false and `on` as true, which is meant as a
/// word where the choices have one.
fn choice_text(value: &Value, values: &[&str]) -> Option<String> {
    match &value.data {
        Data::Bool(false) => {
            let word = ["off", "no", "disable"].into_iter().find(|word| values.contains(word));
            Some(word.unwrap_or("false").into())
        }
        Data::Bool(true) => {
            let word = ["on", "yes", "enable"].into_iter().find(|word| values.contains(word));
            Some(word.unwrap_or("true").into())
        }
        _ => scalar_text(value),
    }
}

/// A scalar as text, the way a template would print it; booleans that stand for one of `values`
/// become that word.
pub(crate) fn word(value: &Value, kind: &ParameterType) -> Option<String> {
    match kind {
        ParameterType::Choice { values, .. } => choice_text(value, values),
        ParameterType::Path => scalar_text(value).map(|path| plain_path(&path)),
        _ => scalar_text(value),
    }
}

/// One spelling of each place: `/data//postgres/` is `/data/postgres`, and no other directory.
fn plain_path(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    Some(match &value.data {
        Data::Int(number) => number.to_string(),
        Data::BigInt(digits) => digits.clone(),
        Data::Float(number) => number.to_string(),
        Data::Bool(flag) => flag.to_string(),
        _ => return None,
    })
}

/// An integer, or a text of digits, which Ansible's templates make no difference between.
pub(crate) fn as_integer(value: &Value) -> Option<i64> {
    match &value.data {
        Data::Int(number) => Some(*number),
        Data::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn is_scalar(value: &Value) -> bool {
    scalar_text(value).is_some()
}

const SIZE_UNITS: &[&str] =
    &["b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib", "t", "tb", "tib"];
const TIME_UNITS: &[&str] =
    &["us", "ms", "s", "sec", "m", "min", "h", "hour", "d", "day", "days", "w", "y"];

fn has_unit(text: &str, units: &[&str]) -> bool {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let Some(at) = digits else { return !text.is_empty() };
    let (number, unit) = text.split_at(at);
    number.parse::<f64>().is_ok() && units.contains(&unit.trim().to_ascii_lowercase().as_str())
}
