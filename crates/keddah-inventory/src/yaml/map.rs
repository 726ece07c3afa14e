//! A mapping under construction: Python's idea of equal keys, merge keys, and duplicates.

use super::readings::{Identity, Merged, Pair, Readings};
use crate::ansible::python_float;
use crate::value::{Data, Key, Value};
use indexmap::IndexMap;
use indexmap::map::MutableKeys;
use keddah_core::{Diagnostic, Span};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

pub(super) type Entries = IndexMap<Key, Value>;

/// What the next value belongs to.
#[derive(Debug)]
pub(super) enum Slot {
    /// An ordinary entry.
    Key(Key, Identity),
    /// `<<`.
    Merge(Span),
    /// The key was already reported as unusable; its value is dropped.
    Dropped,
}

/// Collects a mapping's entries.
#[derive(Debug, Default)]
pub(super) struct MapBuilder {
    own: Entries,
    merges: Vec<Entries>,
    /// Where the first `<<` stands.
    merge_place: Option<Span>,
    /// Whether another mapping can merge this one: then its pairs are kept as they were written.
    pub mergeable: bool,
    pairs: Vec<Pair>,
    merged: Merged,
    /// The numeric keys so far: Python has `1 == 1.0 == True`.
    numbers: HashMap<u64, String>,
    /// The key whose value comes next.
    pub slot: Option<Slot>,
}

impl MapBuilder {
    /// Turns a composed node into the key of the next value.
    pub fn take_key(
        &mut self,
        value: Value,
        span: Span,
        identity: Identity,
        odd_keys: &mut HashSet<Span>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        if !matches!(value.data, Data::String(_) | Data::Unsafe(_)) {
            odd_keys.insert(span);
        }
        let (text, number) = match value.data {
            Data::String(text) | Data::Unsafe(text) => (text, None),
            Data::Null => ("null".to_owned(), None),
            Data::Bool(flag) => (flag.to_string(), Some(f64::from(u8::from(flag)))),
            #[allow(clippy::cast_precision_loss)]
            Data::Int(number) => (number.to_string(), Some(number as f64)),
            Data::Float(number) => (python_float(number), Some(number)),
            Data::BigInt(digits) => (digits, None),
            Data::List(_) | Data::Map(_) | Data::Vault(_) => {
                diagnostics.push(
                    Diagnostic::error("yaml-key-not-scalar", span, "a key must be a plain scalar")
                        .label(format!("this key is {}", value.describe()))
                        .help("a value that starts with { or [ must be quoted"),
                );
                self.slot = Some(Slot::Dropped);
                return;
            }
        };
        let text = match number {
            None => text,
            // Adding zero makes the two zeros one.
            Some(number) => self.numbers.entry((number + 0.0).to_bits()).or_insert(text).clone(),
        };
        self.slot = Some(Slot::Key(Key { text, span: Some(span) }, identity));
    }

    /// Stores the value of the pending key.
    pub fn take_value(
        &mut self,
        value: Value,
        readings: &Readings,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        match self.slot.take() {
            Some(Slot::Key(key, identity)) => {
                if self.mergeable {
                    let (key, value) = (key.clone(), Rc::new(value.clone()));
                    self.pairs.push(Pair { key, identity, value });
                }
                self.insert_own(key, value, diagnostics);
            }
            Some(Slot::Merge(span)) => self.insert_merge(value, span, readings, diagnostics),
            Some(Slot::Dropped) | None => {}
        }
    }

    fn insert_own(&mut self, key: Key, value: Value, diagnostics: &mut Vec<Diagnostic>) {
        if let Some((_, first, _)) = self.own.get_full(key.text.as_str())
            && let Some(span) = key.span
        {
            let mut diagnostic = Diagnostic::warning(
                "yaml-duplicate-key",
                span,
                format!("the key `{}` occurs twice in one mapping", key.text),
            )
            .label("this value is used")
            .help("remove one of the two, or merge them");
            if let Some(first) = first.span {
                diagnostic = diagnostic.related(first, "this value is ignored");
            }
            diagnostics.push(diagnostic);
        }
        insert(&mut self.own, key, value);
    }

    fn insert_merge(
        &mut self,
        value: Value,
        span: Span,
        readings: &Readings,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        self.merge_place.get_or_insert(span);
        let problem = |what: &'static str, at: Option<Span>| {
            Diagnostic::error(
                "yaml-merge-not-mapping",
                at.unwrap_or(span),
                "a merge key takes a mapping or a list of mappings",
            )
            .label(format!("this is {what}"))
            .help("write `<<: *anchor` with the anchor of a mapping")
        };
        let what = value.describe();
        match value.data {
            Data::Map(entries) => {
                readings.merge(&mut self.merged, value.span);
                self.merges.push(entries);
            }
            // Within one list the first mapping wins, so it is laid down last.
            Data::List(items) => {
                for item in &items {
                    readings.merge(&mut self.merged, item.span);
                }
                for item in items.into_iter().rev() {
                    let what = item.describe();
                    match item.data {
                        Data::Map(entries) => self.merges.push(entries),
                        _ => diagnostics.push(problem(what, item.span)),
                    }
                }
            }
            _ => diagnostics.push(problem(what, value.span)),
        }
    }

    /// The finished mapping: merged entries first, the mapping's own over them.
    pub fn finish(
        self,
        span: Span,
        readings: &mut Readings,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Entries {
        let mut layers = self.merges.into_iter();
        let result = match layers.next() {
            None => self.own,
            Some(mut result) => {
                for (key, value) in layers.flatten() {
                    insert(&mut result, key, value);
                }
                let at = self.merge_place.unwrap_or(span);
                readings.compare(&result, &self.merged, &self.own, at, diagnostics);
                for (key, value) in self.own {
                    insert(&mut result, key, value);
                }
                result
            }
        };
        if self.mergeable {
            readings.keep(span, self.merged.followed_by(self.pairs));
        }
        result
    }
}

/// Inserts like a Python dictionary (the first of two equal keys keeps its position), but
/// remembers the place of the key whose value counts.
fn insert(entries: &mut Entries, key: Key, value: Value) {
    let span = key.span;
    let (index, old) = entries.insert_full(key, value);
    if old.is_some()
        && let Some((key, _)) = entries.get_index_mut2(index)
    {
        key.span = span;
    }
}
