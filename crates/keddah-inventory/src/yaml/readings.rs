//! The second reading of merge keys, PyYAML 6.0.4's, kept beside ours so that an inventory can be
//! told where the two give different values (docs/decisions/yaml.md).
//!
//! PyYAML merges lists of pairs and lets the last pair of a key win. 6.0.4 lays the mappings of a
//! list down in their order, and skips a pair whose key was merged already; that it tells by the
//! identity of Python's string: the key of the same node, or any text that Python keeps only once.

use super::map::Entries;
use crate::value::{Key, Value};
use keddah_core::{Diagnostic, Span};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// So many differences of one document are worth reading.
const MAX_WARNINGS: usize = 100;

/// What Python's `id()` tells of a key's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// The text of the node that stands there; an alias repeats the node.
    Node(Span),
    /// Python has the empty text, and each text of one Latin-1 character, only once.
    Shared(Option<char>),
}

/// A pair of a mapping as it was written or merged; a later one of the same key wins.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub key: Key,
    pub identity: Identity,
    /// Shared, since every mapping that merges this one holds it again.
    pub value: Rc<Value>,
}

/// What one mapping has merged so far, by the second reading.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pairs: Vec<Pair>,
    seen: HashSet<Identity>,
}

impl Merged {
    fn push(&mut self, pair: &Pair) {
        if self.seen.insert(pair.identity) {
            self.pairs.push(pair.clone());
        }
    }

    /// All pairs of the mapping, with its own ones.
    pub fn followed_by(mut self, own: Vec<Pair>) -> Vec<Pair> {
        self.pairs.extend(own);
        self.pairs
    }
}

/// The side table of a document.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// Scalars with a text that Python has only once.
    shared: HashMap<Span, Option<char>>,
    /// The pairs of each mapping that can be merged, by its place.
    pairs: HashMap<Span, Vec<Pair>>,
    warnings: usize,
}

impl Readings {
    /// Takes note of a scalar that is a key, or that an alias can make one.
    pub fn scalar(&mut self, text: &str, span: Span) {
        let mut characters = text.chars();
        let first = characters.next();
        if characters.next().is_none() && first.is_none_or(|character| character <= '\u{ff}') {
            self.shared.insert(span, first);
        }
    }

    /// The identity of the key whose node stands there.
    pub fn identity(&self, node: Span) -> Identity {
        self.shared.get(&node).map_or(Identity::Node(node), |text| Identity::Shared(*text))
    }

    /// Keeps the pairs of a mapping that can be merged.
    pub fn keep(&mut self, mapping: Span, pairs: Vec<Pair>) {
        self.pairs.insert(mapping, pairs);
    }

    /// Merges a mapping by the second reading.
    pub fn merge(&self, merged: &mut Merged, mapping: Option<Span>) {
        for pair in mapping.and_then(|span| self.pairs.get(&span)).into_iter().flatten() {
            merged.push(pair);
        }
    }

    /// Warns of the keys that have another value by the second reading. `entries` are what the
    /// mapping merges by ours; keys of its `own` win by both. Values are not shown: any may be a
    /// secret.
    pub fn compare(
        &mut self,
        entries: &Entries,
        merged: &Merged,
        own: &Entries,
        at: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let second: HashMap<&str, &Pair> =
            merged.pairs.iter().map(|pair| (pair.key.text.as_str(), pair)).collect();
        for (key, value) in entries.iter().filter(|(key, _)| !own.contains_key(*key)) {
            let other = second.get(key.text.as_str());
            let same = other.is_some_and(|other| {
                (value.span.is_some() && other.value.span == value.span) || *other.value == *value
            });
            if same {
                continue;
            }
            self.warnings += 1;
            if self.warnings > MAX_WARNINGS {
                return;
            }
            let mut diagnostic = Diagnostic::warning(
                "yaml-merge-readings",
                at,
                format!("PyYAML 6.0.4 merges another value of `{}` here", key.text),
            )
            .label("merged here")
            .help(format!("write `{}` itself beside `<<`: that wins by both readings", key.text));
            if let Some(place) = key.span {
                diagnostic = diagnostic.related(place, "this value is used, as by PyYAML 6.0.3");
            }
            if let Some(place) = other.and_then(|other| other.key.span) {
                diagnostic = diagnostic.related(place, "PyYAML 6.0.4 uses this value");
            }
            diagnostics.push(diagnostic);
        }
    }
}
