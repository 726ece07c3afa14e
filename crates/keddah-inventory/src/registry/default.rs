//! Default values as they stand in the tables, and their way into [`Value`]s.

use crate::{Data, Key, Value};

/// A parameter's default, as written in the registry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// There is none: absent means absent.
    None,
    /// Text.
    Text(&'static str),
    /// A whole number.
    Integer(i64),
    /// A fraction.
    Float(f64),
    /// A yes or no.
    Bool(bool),
    /// A list or mapping, as JSON text.
    Json(&'static str),
}

pub(super) const NONE: Default = Default::None;
pub(super) const YES: Default = Default::Bool(true);
pub(super) const NO: Default = Default::Bool(false);

pub(super) const fn text(text: &'static str) -> Default {
    Default::Text(text)
}
pub(super) const fn int(number: i64) -> Default {
    Default::Integer(number)
}
pub(super) const fn float(number: f64) -> Default {
    Default::Float(number)
}
pub(super) const fn json(text: &'static str) -> Default {
    Default::Json(text)
}

impl Default {
    /// The default as JSON; `None` when there is none.
    pub fn to_json(self) -> Option<serde_json::Value> {
        Some(match self {
            Self::None => return None,
            Self::Text(text) => text.into(),
            Self::Integer(number) => number.into(),
            Self::Float(number) => number.into(),
            Self::Bool(flag) => flag.into(),
            Self::Json(text) => {
                serde_json::from_str(text).expect("a test parses every JSON default of the tables")
            }
        })
    }

    /// The default as an inventory value without a place.
    pub fn to_value(self) -> Option<Value> {
        self.to_json().map(|json| value_from_json(&json))
    }
}

/// An inventory value with the data of a JSON value and without a place.
pub fn value_from_json(json: &serde_json::Value) -> Value {
    Value::from(match json {
        serde_json::Value::Null => Data::Null,
        serde_json::Value::Bool(flag) => Data::Bool(*flag),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Data::Int(integer),
            None if number.is_u64() => Data::BigInt(number.to_string()),
            None => Data::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Data::String(text.clone()),
        serde_json::Value::Array(items) => Data::List(items.iter().map(value_from_json).collect()),
        serde_json::Value::Object(entries) => Data::Map(
            entries
                .iter()
                .map(|(key, value)| (Key { text: key.clone(), span: None }, value_from_json(value)))
                .collect(),
        ),
    })
}
