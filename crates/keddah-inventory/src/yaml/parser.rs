//! The only module that knows the YAML parser crate: its events, in our words, with byte ranges.

use granit_parser::{
    ErrorKind, Event as GranitEvent, Parser as GranitParser, ScalarStyle, StrInput, StructureStyle,
};
use std::borrow::Cow;
use std::ops::Range;

/// What a node carries besides its content.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties {
    /// The number of the anchor defined here; 0 for none.
    pub anchor: usize,
    /// The resolved tag, such as `tag:yaml.org,2002:str` or `!vault`.
    pub tag: Option<String>,
}

/// How a collection is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// By indentation.
    Block,
    /// In brackets or braces.
    Flow,
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}

/// One step through the document.
#[derive(Debug)]
pub(super) enum Event<'text> {
    Document,
    Scalar {
        text: Cow<'text, str>,
        /// Neither quoted nor a block: only such a scalar can be anything but text.
        plain: bool,
        properties: Properties,
    },
    ListStart(Properties, Style),
    MapStart(Properties, Style),
    End,
    /// The anchor of the node that the event before this one began.
    Anchor(String),
    Alias(usize),
    UnknownAlias(String),
}

/// Why the text is not YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub code: &'static str,
    pub offset: usize,
    /// Whether it is about a tab, which the parser may notice only in the line before or behind it.
    pub tab: bool,
    pub message: String,
    pub help: Option<&'static str>,
}

/// Walks a text event by event.
pub(super) struct Parser<'text> {
    inner: GranitParser<'text, StrInput<'text>>,
}

impl<'text> Parser<'text> {
    pub fn new(text: &'text str) -> Self {
        let mut options = granit_parser::options! {
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
        };
        options.set_emit_comments(false);
        Self { inner: GranitParser::new_from_str_with_options(text, options) }
    }

    /// The next event and its bytes; `None` at the end.
    pub fn next(&mut self) -> Option<Result<(Event<'text>, Range<usize>), SyntaxError>> {
        loop {
            let (event, span) = match self.inner.next_event()? {
                Ok(item) => item,
                Err(error) => return Some(Err(syntax_error(&error))),
            };
            let range = span.byte_range().unwrap_or_default();
            let event = match event {
                GranitEvent::DocumentStart(..) => Event::Document,
                GranitEvent::Scalar(text, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain;
                    // An omitted value arrives as `~` without a width; as text it is empty.
                    let omitted = plain && range.is_empty();
                    Event::Scalar {
                        text: if omitted { Cow::Borrowed("") } else { text },
                        plain,
                        properties: properties(anchor, tag.as_deref()),
                    }
                }
                GranitEvent::SequenceStart(style, anchor, tag) => {
                    Event::ListStart(properties(anchor, tag.as_deref()), style.into())
                }
                GranitEvent::MappingStart(style, anchor, tag) => {
                    Event::MapStart(properties(anchor, tag.as_deref()), style.into())
                }
                GranitEvent::SequenceEnd | GranitEvent::MappingEnd => Event::End,
                GranitEvent::Anchor(_, name) => Event::Anchor(name.into_owned()),
                GranitEvent::Alias(anchor) => Event::Alias(anchor),
                GranitEvent::UnresolvedAlias(name) => Event::UnknownAlias(name.into_owned()),
                // Stream and document ends say nothing that the next event does not; the enum is
                // open, so that future presentation events are skipped as well.
                _ => continue,
            };
            return Some(Ok((event, range)));
        }
    }
}

fn properties(anchor: usize, tag: Option<&granit_parser::Tag>) -> Properties {
    Properties { anchor, tag: tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix())) }
}

fn syntax_error(error: &granit_parser::ScanError) -> SyntaxError {
    let kind = error.kind();
    let (message, help) = explain(kind);
    SyntaxError {
        code: match kind {
            ErrorKind::RecursionLimitExceeded => "yaml-too-deep",
            _ => "yaml-syntax",
        },
        offset: error.marker().byte_offset().unwrap_or_default(),
        tab: is_tab(kind),
        message: message.map_or_else(|| kind.to_string(), str::to_owned),
        help,
    }
}

/// Our words for the mistakes that people make; the parser's own words do for the others.
fn explain(kind: &ErrorKind) -> (Option<&'static str>, Option<&'static str>) {
    let (message, help) = match kind {
        _ if is_tab(kind) => ("a tab cannot stand here", "indent with spaces, never with tabs"),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => (
            "the text in quotes does not end before this line",
            "look above for a quote that is never closed",
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            "something follows the closing quote",
            "quote the whole value; within single quotes, write a single quote twice",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "double quotes know no such escape",
            "use single quotes, where a backslash is a backslash, or write it twice",
        ),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::InvalidFlowScalarIndent => {
            ("a bracket is never closed", "look above for a `[` or `{` without its partner")
        }
        ErrorKind::InvalidColonPlacement => (
            "a colon cannot stand here between brackets",
            "look above for a bracket that is never closed, or quote the value",
        ),
        ErrorKind::MismatchedFlowCollectionEnd { .. } | ErrorKind::MisplacedFlowCollectionEnd => {
            ("this bracket closes none that is open", "`[` is closed by `]`, and `{` by `}`")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => (
            "a comma or the closing bracket is missing before this",
            "separate entries by commas, and quote values that contain special characters",
        ),
        ErrorKind::UnexpectedCharacter { .. } => (
            "a value cannot start with this character",
            "quote values that start with a special character such as @, ` or %",
        ),
        ErrorKind::MappingValueNotAllowed => (
            "a colon cannot stand here",
            "quote values that contain `: `, and write a space behind each key's colon",
        ),
        ErrorKind::SimpleKeyExpected
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed => (
            "this line does not fit the lines above it",
            "check its indentation, and that it reads `key: value` or `- item`",
        ),
        ErrorKind::ExpectedDocumentStart => (
            "the text goes on after its end",
            "an inventory is one YAML mapping; rewrite an INI inventory as YAML first",
        ),
        ErrorKind::UnsupportedYamlMajorVersion => {
            ("this version of YAML is unknown", "remove the line that starts with %YAML")
        }
        ErrorKind::RecursionLimitExceeded => {
            ("values nest too deep", "no inventory needs that; look for a bracket too many")
        }
        _ => return (None, None),
    };
    (Some(message), Some(help))
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    )
}
