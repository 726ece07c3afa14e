//! Builds one value from the parser's events, with an explicit stack and hard limits, so that no
//! input can exhaust the stack or the memory.

use super::map::{MapBuilder, Slot};
use super::parser::{Event, Parser, Properties, Style};
use super::readings::Readings;
use super::tag::{self, Dialect};
use crate::value::{Data, Value};
use keddah_core::{Diagnostic, Severity, SourceId, Span};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Real inventories nest about ten levels; recursive code over values stays safe below this.
const MAX_DEPTH: usize = 128;

/// How much the aliases of a document may add, in nodes: generous for any real inventory, and far
/// below what "a billion laughs" wants.
const MAX_ALIAS_COST: usize = 2_000_000;

/// So many errors of one document are worth reading.
const MAX_ERRORS: usize = 100;

/// A document as far as it could be composed.
pub(crate) struct Composed {
    /// Its value; `None` when it could not be read to its end.
    pub root: Option<Value>,
    /// Where mappings have keys that are numbers, booleans or null: as names of groups and hosts
    /// they are mistakes.
    pub odd_keys: HashSet<Span>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Composes the only document of a text.
pub(crate) fn compose(source: SourceId, text: &str) -> Composed {
    // Ansible tries JSON first, where `1e3` is a number and `<<` an ordinary key.
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    let is_json = looks_like_json && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let mut composer = Composer {
        source,
        dialect: if is_json { Dialect::Json } else { Dialect::Yaml },
        stack: Vec::new(),
        anchors: HashMap::new(),
        anchor_names: HashMap::new(),
        alias_cost: 0,
        root: None,
        odd_keys: HashSet::new(),
        readings: Readings::default(),
        diagnostics: Vec::new(),
    };
    let complete = composer.run(text);
    let root = composer.root.unwrap_or_else(|| Value::from(Data::Null));
    Composed {
        root: complete.then_some(root),
        odd_keys: composer.odd_keys,
        diagnostics: composer.diagnostics,
    }
}

/// A finished node that an alias can repeat.
struct Anchored {
    value: Value,
    height: usize,
    cost: usize,
}

enum Content {
    List(Vec<Value>),
    Map(Box<MapBuilder>),
}

/// A collection that is still open.
struct Frame {
    content: Content,
    properties: Properties,
    style: Style,
    /// Whether `<<` can take it, or what is in it.
    mergeable: bool,
    start: usize,
    height: usize,
    cost: usize,
}

struct Composer {
    source: SourceId,
    dialect: Dialect,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    anchor_names: HashMap<String, Span>,
    alias_cost: usize,
    root: Option<Value>,
    odd_keys: HashSet<Span>,
    readings: Readings,
    diagnostics: Vec<Diagnostic>,
}

impl Composer {
    /// Whether the document was read to its end.
    fn run(&mut self, text: &str) -> bool {
        let mut parser = Parser::new(text);
        let mut seen_document = false;
        let (mut counted, mut errors) = (0, 0);
        while let Some(next) = parser.next() {
            let (event, range) = match next {
                Ok(next) => next,
                Err(error) => {
                    let offset = floor_char_boundary(text, error.offset);
                    let end =
                        text[offset..].chars().next().map_or(offset, |c| offset + c.len_utf8());
                    let tabs = error.tab.then(|| tabs(text, offset)).flatten();
                    let label = if tabs.is_some() { "this is a tab, not spaces" } else { "" };
                    let span = self.span(tabs.unwrap_or(offset..end));
                    let mut diagnostic =
                        Diagnostic::error(error.code, span, error.message).label(label);
                    if let Some(help) = error.help {
                        diagnostic = diagnostic.help(help);
                    }
                    self.diagnostics.push(diagnostic);
                    return false;
                }
            };
            if let Event::Document = event {
                if seen_document {
                    self.diagnostics.push(
                        Diagnostic::error(
                            "yaml-multiple-documents",
                            self.span(range),
                            "an inventory is a single YAML document",
                        )
                        .label("a second document starts here")
                        .help("remove the `---` line, or keep the documents in files of their own"),
                    );
                    return false;
                }
                seen_document = true;
            } else if !self.take(event, range) {
                return false;
            }
            errors += self.diagnostics[counted..]
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .count();
            counted = self.diagnostics.len();
            if errors >= MAX_ERRORS {
                return false;
            }
        }
        true
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span { source: self.source, start: range.start, end: range.end.max(range.start) }
    }

    /// Whether the next node stands at the place of a mapping's key.
    fn at_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame { content: Content::Map(map), .. }) if map.slot.is_none()
        )
    }

    /// Handles an event; `false` ends the reading.
    fn take(&mut self, event: Event<'_>, range: Range<usize>) -> bool {
        let span = self.span(range);
        match event {
            Event::Document => true,
            Event::Scalar { text, plain, properties } => {
                let at_key = self.at_key();
                if at_key
                    && self.dialect == Dialect::Yaml
                    && tag::is_merge_key(&text, plain, &properties)
                {
                    if let Some(Frame { content: Content::Map(map), .. }) = self.stack.last_mut() {
                        map.slot = Some(Slot::Merge(span));
                    }
                    return true;
                }
                if plain && text.starts_with(['?', ':']) && self.in_flow() {
                    self.ambiguous(&text, span);
                }
                if at_key || properties.anchor != 0 {
                    self.readings.scalar(&text, span);
                }
                let data =
                    tag::construct_scalar(&text, plain, &properties, self.dialect, at_key, span);
                let data = self.or_null(data);
                self.node(Value { data, span: Some(span) }, span, &properties, 0, cost(&text))
            }
            Event::ListStart(properties, style) => {
                self.open(Content::List(Vec::new()), properties, style, span)
            }
            Event::MapStart(properties, style) => {
                self.open(Content::Map(Box::default()), properties, style, span)
            }
            Event::End => self.close(span),
            Event::Anchor(name) => {
                self.anchor(name, span);
                true
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnknownAlias(name) => {
                self.diagnostics.push(
                    Diagnostic::error(
                        "yaml-unknown-alias",
                        span,
                        format!("the anchor `{name}` is not defined above this line"),
                    )
                    .help(format!("define it with `&{name}`, or quote a text that starts with *")),
                );
                self.placeholder(span)
            }
        }
    }

    /// Stands in for a node that was already reported as unusable.
    fn placeholder(&mut self, span: Span) -> bool {
        // Nobody needs to hear that nothing cannot be merged.
        if let Some(Frame { content: Content::Map(map), .. }) = self.stack.last_mut()
            && let Some(slot @ Slot::Merge(_)) = &mut map.slot
        {
            *slot = Slot::Dropped;
        }
        let null = Value { data: Data::Null, span: Some(span) };
        self.node(null, span, &Properties::default(), 0, 1)
    }

    fn in_flow(&self) -> bool {
        self.stack.last().is_some_and(|frame| frame.style == Style::Flow)
    }

    /// Between brackets, YAML 1.1 takes these two characters as indicators even without a space
    /// behind them, and reads something else than is meant.
    fn ambiguous(&mut self, text: &str, span: Span) {
        self.diagnostics.push(
            Diagnostic::error(
                "yaml-ambiguous-scalar",
                span,
                format!("`{text}` in brackets must be quoted, because of its first character"),
            )
            .help("put the value in quotes"),
        );
    }

    fn or_null(&mut self, data: Result<Data, Diagnostic>) -> Data {
        data.unwrap_or_else(|diagnostic| {
            self.diagnostics.push(diagnostic);
            Data::Null
        })
    }

    fn too_deep(&mut self, span: Span) -> bool {
        self.diagnostics.push(
            Diagnostic::error(
                "yaml-too-deep",
                span,
                format!("values nest more than {MAX_DEPTH} levels deep"),
            )
            .help("no inventory needs that; look for a bracket or an alias too many"),
        );
        false
    }

    fn open(
        &mut self,
        mut content: Content,
        properties: Properties,
        style: Style,
        span: Span,
    ) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(span);
        }
        let mergeable = properties.anchor != 0
            || self.stack.last().is_some_and(|parent| match &parent.content {
                Content::List(_) => parent.mergeable,
                Content::Map(map) => matches!(map.slot, Some(Slot::Merge(_))),
            });
        if let Content::Map(map) = &mut content {
            map.mergeable = mergeable;
        }
        self.stack.push(Frame {
            content,
            properties,
            style,
            mergeable,
            start: span.start,
            height: 0,
            cost: 1,
        });
        true
    }

    fn close(&mut self, end: Span) -> bool {
        let Some(Frame { content, properties, start, height, cost, .. }) = self.stack.pop() else {
            return true;
        };
        let span = self.span(start..end.end);
        let data = match content {
            Content::List(items) => tag::construct_list(items, &properties, span),
            Content::Map(map) => {
                let entries = map.finish(span, &mut self.readings, &mut self.diagnostics);
                tag::construct_map(entries, &properties, span)
            }
        };
        let data = self.or_null(data);
        self.node(Value { data, span: Some(span) }, span, &properties, height + 1, cost)
    }

    /// Accounts for a copy of a value; `false` when the document copies too much.
    fn spend(&mut self, cost: usize, span: Span) -> bool {
        self.alias_cost = self.alias_cost.saturating_add(cost);
        if self.alias_cost <= MAX_ALIAS_COST {
            return true;
        }
        self.diagnostics.push(
            Diagnostic::error(
                "yaml-alias-bomb",
                span,
                "the aliases of this file expand to an enormous value",
            )
            .help("repeat less with aliases of aliases"),
        );
        false
    }

    /// YAML allows to define an anchor anew, but the parser that Ansible uses refuses it.
    fn anchor(&mut self, name: String, span: Span) {
        if let Some(first) = self.anchor_names.get(&name) {
            self.diagnostics.push(
                Diagnostic::error(
                    "yaml-duplicate-anchor",
                    span,
                    format!("the anchor `{name}` is defined twice"),
                )
                .related(*first, "first defined here")
                .help("give each anchor a name of its own"),
            );
        } else {
            self.anchor_names.insert(name, span);
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> bool {
        let Some((height, cost)) =
            self.anchors.get(&anchor).map(|known| (known.height, known.cost))
        else {
            self.diagnostics.push(
                Diagnostic::error(
                    "yaml-recursive-alias",
                    span,
                    "this alias stands inside of the value that it repeats",
                )
                .help("move the anchor to a value that does not contain the alias"),
            );
            return self.placeholder(span);
        };
        if !self.spend(cost, span) {
            return false;
        }
        if self.stack.len() + height > MAX_DEPTH {
            return self.too_deep(span);
        }
        let value = self.anchors[&anchor].value.clone();
        self.node(value, span, &Properties::default(), height, cost)
    }

    /// Puts a finished node where it belongs.
    fn node(
        &mut self,
        value: Value,
        span: Span,
        properties: &Properties,
        height: usize,
        cost: usize,
    ) -> bool {
        if properties.anchor != 0 {
            if !self.spend(cost, span) {
                return false;
            }
            let value = value.clone();
            self.anchors.insert(properties.anchor, Anchored { value, height, cost });
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(value);
            return true;
        };
        frame.height = frame.height.max(height);
        frame.cost = frame.cost.saturating_add(cost);
        match &mut frame.content {
            Content::List(items) => items.push(value),
            Content::Map(map) if map.slot.is_none() => {
                let identity = self.readings.identity(value.span.unwrap_or(span));
                map.take_key(value, span, identity, &mut self.odd_keys, &mut self.diagnostics);
            }
            Content::Map(map) => map.take_value(value, &self.readings, &mut self.diagnostics),
        }
        true
    }
}

/// A node's share of [`MAX_ALIAS_COST`]: long texts count for more than one.
fn cost(text: &str) -> usize {
    1 + text.len() / 64
}

/// The tabs that the parser means by a place near them: right there, or in the indentation of that line or of the
/// next one that has any text.
fn tabs(text: &str, offset: usize) -> Option<Range<usize>> {
    let run = |at: usize| {
        let start = text[..at].trim_end_matches('\t').len();
        let end = text.len() - text[at..].trim_start_matches('\t').len();
        (start < end).then_some(start..end)
    };
    if let Some(here) = run(offset) {
        return Some(here);
    }
    let mut start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let here = start;
    for line in text[start..].split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '\t']);
        let indentation = &line[..line.len() - content.len()];
        if let Some(at) = indentation.find('\t') {
            return run(start + at);
        }
        if start > here && !content.trim().is_empty() {
            return None;
        }
        start += line.len();
    }
    None
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
