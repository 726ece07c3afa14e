//! A YAML value that remembers where it was written.

use indexmap::IndexMap;
use keddah_core::Span;

/// A value with the place it was written at.
///
/// Equality ignores spans: two values are equal when an Ansible playbook could not tell them apart.
#[derive(Debug, Clone)]
pub struct Value {
    /// The data.
    pub data: Data,
    /// Where it stands in the inventory; `None` for defaults and computed values.
    pub span: Option<Span>,
}

/// The data of a [`Value`], as PyYAML's safe loader would construct it from YAML 1.1.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true`, `yes`, `on`, …
    Bool(bool),
    /// An integer that fits 64 bits; PyYAML's larger ones are kept as [`Data::BigInt`].
    Int(i64),
    /// An integer beyond 64 bits, in decimal digits.
    BigInt(String),
    /// A float, `.inf` and `.nan` included.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Value>),
    /// A mapping in the order of the file, duplicates already resolved (the last one wins).
    Map(IndexMap<Key, Value>),
}

/// A mapping's key: the data by which PyYAML would tell two keys apart, plus its place.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key as Ansible's JSON output writes it (`1`, `True` → `"1"`, `"True"` … as Python's
    /// `json.dumps` does: `true` for booleans, `null` for None).
    pub text: String,
    /// Where the key stands.
    pub span: Option<Span>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Key {}
impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.text
    }
}
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl From<Data> for Value {
    fn from(data: Data) -> Self {
        Self { data, span: None }
    }
}

impl Value {
    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, when this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.data {
            Data::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The boolean, when this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.data {
            Data::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The items, when this is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, when this is a mapping.
    pub fn as_map(&self) -> Option<&IndexMap<Key, Value>> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// A mapping's entry.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }
}
