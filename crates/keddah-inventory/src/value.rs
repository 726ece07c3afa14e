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
    /// Text. Dates and times are here too, in ISO form, as Ansible's JSON writes them.
    String(String),
    /// Text tagged `!unsafe`: Ansible never expands placeholders in it.
    Unsafe(String),
    /// The ciphertext of a value tagged `!vault`.
    Vault(String),
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
    /// The text, when this is a string (a ciphertext is not).
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) | Data::Unsafe(text) => Some(text),
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

    /// What this is, in the words of a message: `a list`, `null`, `text`, ….
    pub fn describe(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Int(_) | Data::BigInt(_) => "an integer",
            Data::Float(_) => "a floating-point number",
            Data::String(_) | Data::Unsafe(_) => "text",
            Data::Vault(_) => "a vault-encrypted value",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// Whether Python would take this as true: anything but null, false, zero and the empty.
    pub fn is_truthy(&self) -> bool {
        match &self.data {
            Data::Null => false,
            Data::Bool(flag) => *flag,
            Data::Int(number) => *number != 0,
            Data::Float(number) => *number != 0.0,
            Data::String(text) | Data::Unsafe(text) => !text.is_empty(),
            Data::List(items) => !items.is_empty(),
            Data::Map(entries) => !entries.is_empty(),
            Data::BigInt(_) | Data::Vault(_) => true,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }
}

impl Key {
    /// A key without a place.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), span: None }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The value as JSON, for answers that carry data.
///
/// JSON has no infinities and no integers beyond 64 bits: those become text. A ciphertext becomes
/// `{"__ansible_vault": …}`, as in Ansible's own output.
pub fn to_json(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match &value.data {
        Data::Null => Json::Null,
        Data::Bool(flag) => Json::Bool(*flag),
        Data::Int(number) => Json::from(*number),
        Data::BigInt(digits) => match digits.parse::<u64>() {
            Ok(number) => Json::from(number),
            Err(_) => Json::String(digits.clone()),
        },
        Data::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => Json::Number(number),
            None => Json::String(crate::ansible::python_float(*number)),
        },
        Data::String(text) | Data::Unsafe(text) => Json::String(text.clone()),
        Data::Vault(text) => serde_json::json!({ "__ansible_vault": text }),
        Data::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Data::Map(entries) => Json::Object(
            entries.iter().map(|(key, value)| (key.text.clone(), to_json(value))).collect(),
        ),
    }
}
