//! A parameter with the type that it is read as: who misspells a name, or reads a port as a text, does not compile.

use super::kind::ParameterType;
use super::typecheck::{as_integer, scalar_text, word};
use super::{Parameter, SECTIONS, extra};
use crate::params::{seconds, size_bytes};
use crate::{Data, Key, Value};
use indexmap::IndexMap;
use keddah_core::Secret;
use std::fmt;
use std::marker::PhantomData;

/// A parameter of the registry, read as a `T`.
pub struct Handle<T> {
    name: &'static str,
    row: Row,
    reading: PhantomData<fn() -> T>,
}

/// A row of the tables. Not a reference: each constant would bring a copy of the tables along.
#[derive(Clone, Copy)]
struct Row {
    extra: bool,
    section: usize,
    row: usize,
}

impl Row {
    const fn parameter(self) -> &'static Parameter {
        let sections = if self.extra { extra::SECTIONS } else { SECTIONS };
        &sections[self.section][self.row]
    }
}

// Not derived: that would ask the same of T.
impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl<T> fmt::Display for Handle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl<T> Handle<T> {
    /// Its name, the key under `vars`.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What the registry says of it.
    pub fn parameter(self) -> &'static Parameter {
        self.row.parameter()
    }
}

/// A parameter by its name, known or not: what is asked about many at once goes by names.
pub trait Named {
    /// The name.
    fn name(&self) -> &str;
}

impl<T> Named for Handle<T> {
    fn name(&self) -> &str {
        self.name
    }
}

impl Named for str {
    fn name(&self) -> &str {
        self
    }
}

impl<T: Named + ?Sized> Named for &T {
    fn name(&self) -> &str {
        (**self).name()
    }
}

/// A mapping's entries, in the order of the file.
pub type Entries = IndexMap<Key, Value>;

/// Reads a size in bytes, as a `u64`. Units are powers of 1024, as in PostgreSQL; a bare number is bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bytes;

/// Reads a span of time in seconds, as a `u64`, rounded down; a bare number is seconds.
#[derive(Debug, Clone, Copy)]
pub struct Seconds;

/// What parameters are read as.
pub trait Reading {
    /// What comes of it.
    type Value: Default;

    /// Which types of parameters can be read so.
    const FORM: Form;

    /// A value; `None` where it does not convert.
    fn read(value: &Value, kind: &ParameterType) -> Option<Self::Value>;

    /// Whether a value is as good as none.
    fn is_empty(_value: &Self::Value) -> bool {
        false
    }
}

/// The sorts of readings, for the comparison with a parameter's type while this is compiled.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A scalar as a text.
    Text,
    /// A whole number.
    Integer,
    /// A TCP port.
    Port,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// A list of scalars as texts.
    Texts,
    /// A list.
    List,
    /// A mapping.
    Mapping,
    /// A password.
    Secret,
    /// A size.
    Size,
    /// A span of time.
    Time,
}

impl Form {
    const fn fits(self, kind: &ParameterType) -> bool {
        use ParameterType as P;
        match self {
            Self::Text => matches!(
                kind,
                P::Text
                    | P::Username
                    | P::Path
                    | P::RelativePath
                    | P::Url
                    | P::DatabaseUrl
                    | P::Arguments
                    | P::Size
                    | P::Interval
                    | P::Duration
                    | P::Ip
                    | P::IpOrEmpty
                    | P::IpList
                    | P::Cidr4
                    | P::Cidr
                    | P::IntegerOr { .. }
                    | P::Choice { .. }
            ),
            // Some are numbers that only some versions have, or one word beside them.
            Self::Integer => {
                matches!(kind, P::Integer { .. } | P::IntegerOr { .. } | P::Choice { .. })
            }
            Self::Port => matches!(kind, P::Port),
            Self::Number => matches!(kind, P::Float { .. } | P::Integer { .. }),
            Self::Flag => matches!(kind, P::Bool),
            Self::Texts => matches!(
                kind,
                P::TextList | P::PathList | P::CidrList | P::PortList | P::TextOrList
            ),
            Self::List => matches!(kind, P::List(_) | P::TextList),
            Self::Mapping => matches!(kind, P::Mapping | P::One(_)),
            Self::Secret => matches!(kind, P::Password),
            Self::Size => matches!(kind, P::Size | P::Integer { .. }),
            Self::Time => matches!(kind, P::Interval | P::Duration),
        }
    }
}

impl Reading for String {
    type Value = Self;
    const FORM: Form = Form::Text;

    fn read(value: &Value, kind: &ParameterType) -> Option<Self> {
        word(value, kind)
    }

    fn is_empty(value: &Self) -> bool {
        value.is_empty()
    }
}

impl Reading for i64 {
    type Value = Self;
    const FORM: Form = Form::Integer;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        as_integer(value)
    }
}

impl Reading for u16 {
    type Value = Self;
    const FORM: Form = Form::Port;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        Self::try_from(as_integer(value)?).ok()
    }
}

impl Reading for f64 {
    type Value = Self;
    const FORM: Form = Form::Number;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        match value.data {
            Data::Float(number) => Some(number),
            _ => as_integer(value).map(|number| number as Self),
        }
    }
}

impl Reading for bool {
    type Value = Self;
    const FORM: Form = Form::Flag;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        value.as_bool()
    }
}

impl Reading for Vec<String> {
    type Value = Self;
    const FORM: Form = Form::Texts;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        Some(value.as_list()?.iter().filter_map(scalar_text).collect())
    }

    fn is_empty(value: &Self) -> bool {
        value.is_empty()
    }
}

impl Reading for Vec<Value> {
    type Value = Self;
    const FORM: Form = Form::List;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        value.as_list().map(<[Value]>::to_vec)
    }

    fn is_empty(value: &Self) -> bool {
        value.is_empty()
    }
}

impl Reading for Entries {
    type Value = Self;
    const FORM: Form = Form::Mapping;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        value.as_map().cloned()
    }

    fn is_empty(value: &Self) -> bool {
        value.is_empty()
    }
}

impl Reading for Secret {
    type Value = Self;
    const FORM: Form = Form::Secret;

    fn read(value: &Value, _kind: &ParameterType) -> Option<Self> {
        scalar_text(value).map(Self::new)
    }
}

impl Reading for Bytes {
    type Value = u64;
    const FORM: Form = Form::Size;

    fn read(value: &Value, _kind: &ParameterType) -> Option<u64> {
        size_bytes(&scalar_text(value)?)
    }
}

impl Reading for Seconds {
    type Value = u64;
    const FORM: Form = Form::Time;

    fn read(value: &Value, _kind: &ParameterType) -> Option<u64> {
        seconds(&scalar_text(value)?)
    }
}

/// The handle of a parameter. Only for constants: there, what is wrong does not compile.
///
/// # Panics
/// When no parameter has this name, or when values of its type cannot be read as a `T`.
pub(super) const fn handle<T: Reading>(name: &'static str) -> Handle<T> {
    let row = match find(false, name) {
        Some(row) => row,
        None => match find(true, name) {
            Some(row) => row,
            None => panic!("no parameter has this name"),
        },
    };
    let fits = T::FORM.fits(&row.parameter().kind);
    assert!(fits, "values of the parameter's type are read in another way");
    Handle { name, row, reading: PhantomData }
}

const fn find(extra: bool, name: &str) -> Option<Row> {
    let sections = if extra { extra::SECTIONS } else { SECTIONS };
    let mut section = 0;
    while section < sections.len() {
        let mut row = 0;
        while row < sections[section].len() {
            if same(sections[section][row].name, name) {
                return Some(Row { extra, section, row });
            }
            row += 1;
        }
        section += 1;
    }
    None
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
