//! Reading one entry of a structured parameter, field by field.

use super::{PoolMode, State, setting};
use crate::registry::{self, Structure};
use crate::{Params, Value};
use keddah_core::{Secret, Span};

/// One entry's fields, under their own names or older ones.
pub(super) struct Entry<'value> {
    structure: &'static Structure,
    value: &'value Value,
}

/// The entries of a list parameter, or of a field, in order.
pub(super) fn entries<'value>(
    structure: &'static Structure,
    items: &'value [Value],
) -> impl Iterator<Item = Entry<'value>> {
    items.iter().map(move |value| Entry { structure, value })
}

/// Reads a parameter's entries into models.
pub(super) fn read_all<T>(
    params: &Params<'_>,
    name: &str,
    structure: &'static Structure,
    read: impl Fn(&Entry<'_>) -> Option<T>,
) -> Vec<T> {
    // Most lists hold no placeholders and need no copy, and there are thousands of hosts.
    let value = params.value(name);
    let copy;
    let items = match value.as_list() {
        Some(items) => items,
        None => {
            copy = params.named::<Vec<Value>>(name);
            &copy
        }
    };
    entries(structure, items).filter_map(|entry| read(&entry)).collect()
}

impl<'value> Entry<'value> {
    /// Where the entry stands.
    pub fn span(&self) -> Option<Span> {
        self.value.span
    }

    /// A field's value; a bare text is the shorthand field's value.
    pub fn get(&self, name: &str) -> Option<&'value Value> {
        let Some(map) = self.value.as_map() else {
            return (self.structure.shorthand == Some(name)).then_some(self.value);
        };
        let aliases = self.structure.field(name).map_or(&[][..], |field| field.aliases);
        std::iter::once(&name)
            .chain(aliases)
            .filter_map(|name| map.get(*name))
            .find(|value| !value.is_null())
    }

    /// Where a field's value stands, or the entry.
    pub fn span_of(&self, name: &str) -> Option<Span> {
        self.get(name).and_then(|value| value.span).or(self.value.span)
    }

    /// Text that is not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        registry::scalar_text(self.get(name)?).filter(|text| !text.is_empty())
    }

    /// A yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        registry::as_integer(self.get(name)?)
    }

    /// A port.
    pub fn port(&self, name: &str) -> Option<u16> {
        self.integer(name).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
    }

    /// A password that is not empty.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// A list's items.
    pub fn items(&self, name: &str) -> &'value [Value] {
        self.get(name).and_then(Value::as_list).unwrap_or_default()
    }

    /// Text or a list of texts, as a list; commas separate, too.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let items = value.as_list().unwrap_or(std::slice::from_ref(value));
        items
            .iter()
            .filter_map(registry::scalar_text)
            .flat_map(|text| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>())
            .filter(|text| !text.is_empty())
            .collect()
    }

    /// Text, or a list of texts as one text.
    pub fn joined(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let text = match value.as_list() {
            Some(items) => {
                items.iter().filter_map(registry::scalar_text).collect::<Vec<_>>().join(" ")
            }
            None => registry::scalar_text(value)?,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Settings, name to value.
    pub fn settings(&self, name: &str) -> Vec<(String, String)> {
        let Some(map) = self.get(name).and_then(Value::as_map) else { return Vec::new() };
        map.iter().filter_map(|(key, value)| Some((key.text.clone(), setting(value)?))).collect()
    }

    /// Whether it shall exist.
    pub fn state(&self) -> State {
        match self.text("state").as_deref() {
            Some("absent") => State::Absent,
            _ => State::Present,
        }
    }

    /// A pool mode.
    pub fn pool_mode(&self) -> Option<PoolMode> {
        PoolMode::parse(&self.text("pool_mode")?)
    }
}
