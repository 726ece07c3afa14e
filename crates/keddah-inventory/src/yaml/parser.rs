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
    pub offset: usize,
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
    let help = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => Some("indent with spaces, never with tabs"),
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent => Some("look for a quote that is never closed"),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            Some("look for a missing comma or a bracket that is never closed")
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            Some("quote the value when it starts with a special character such as @ or `")
        }
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation => {
            Some("check the indentation, and quote values that contain `: `")
        }
        _ => None,
    };
    SyntaxError {
        offset: error.marker().byte_offset().unwrap_or_default(),
        message: kind.to_string(),
        help,
    }
}
