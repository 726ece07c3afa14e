//! Member selectors: JMESPath expressions that pick instances of a cluster, as inventories write them.
//!
//! Inventories put bare words between backticks (`` `primary` ``), as the Python implementation
//! reads them; the crate behind this module knows JSON there only, so literals are rewritten first.

use serde_json::Value as Json;
use std::fmt;

/// Operators and brackets in one selector beyond which it is refused: the parser calls itself for
/// each, and a stack has an end. Real selectors have fewer than ten.
const MOST_OPERATORS: usize = 200;

/// The key under which an instance carries its place through an expression.
const PLACE: &str = "\u{1}keddah_place";

/// Why a selector is no good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError {
    /// The byte of the expression at which it was noticed.
    pub offset: usize,
    /// What is wrong, in a few words.
    pub reason: String,
}

impl fmt::Display for SelectorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (at character {})", self.reason, self.offset + 1)
    }
}

impl std::error::Error for SelectorError {}

/// A selector that was understood.
#[derive(Debug, Clone)]
pub struct Selector {
    expression: jmespath::Expression<'static>,
    everything: bool,
}

/// Reads a selector.
///
/// # Errors
/// When it is not a JMESPath expression, or has more than 200 operators.
pub fn compile(text: &str) -> Result<Selector, SelectorError> {
    let operators = text.bytes().filter(|byte| b"([{!&|.,<>=".contains(byte));
    if operators.count() > MOST_OPERATORS {
        let reason = format!("it has more than {MOST_OPERATORS} operators");
        return Err(SelectorError { offset: 0, reason });
    }
    let rewritten = rewrite_literals(text);
    let expression = jmespath::compile(&rewritten.text).map_err(|error| {
        let reason = match &error.reason {
            jmespath::ErrorReason::Parse(reason) => plain(reason),
            jmespath::ErrorReason::Runtime(reason) => reason.to_string(),
        };
        SelectorError { offset: rewritten.source_offset(error.offset, text.len()), reason }
    })?;
    let bare: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    Ok(Selector { expression, everything: matches!(bare.as_str(), "[]" | "[*]" | "@") })
}

impl Selector {
    /// The places of the instances that the selector picks, ascending. Each instance is a JSON
    /// object of its variables.
    ///
    /// An expression may return one instance or a list of them; whatever else it returns picks
    /// nothing.
    ///
    /// # Errors
    /// When the expression calls a function that does not exist or fits no such values.
    pub fn select(&self, instances: &[Json]) -> Result<Vec<usize>, SelectorError> {
        if self.everything {
            return Ok((0..instances.len()).collect());
        }
        let marked: Vec<Json> = instances
            .iter()
            .enumerate()
            .map(|(place, instance)| {
                let mut instance = instance.clone();
                if let Json::Object(entries) = &mut instance {
                    entries.insert(PLACE.into(), place.into());
                }
                instance
            })
            .collect();
        let result = self.expression.search(Json::Array(marked)).map_err(|error| {
            let reason = error.reason.to_string();
            let reason = reason.strip_prefix("Runtime error: ").unwrap_or(&reason).to_owned();
            SelectorError { offset: 0, reason }
        })?;
        let mut places: Vec<usize> = match result.as_array() {
            Some(items) => items.iter().filter_map(|item| place(item)).collect(),
            None => place(&result).into_iter().collect(),
        };
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

fn place(value: &jmespath::Variable) -> Option<usize> {
    let number = value.as_object()?.get(PLACE)?.as_number()?;
    // Places are small counts that a float holds exactly.
    Some(number as usize)
}

/// The parser's words without its jargon.
fn plain(reason: &str) -> String {
    let Some((_, token)) = reason.split_once(" -- found ") else {
        return reason.to_owned();
    };
    match token {
        "Eof" => "it ends too early".into(),
        "Rbracket" => "`]` is not expected here".into(),
        "Lbracket" => "`[` is not expected here".into(),
        "Rparen" => "`)` is not expected here".into(),
        "Lparen" => "`(` is not expected here".into(),
        "Rbrace" => "`}` is not expected here".into(),
        token => format!("{token} is not expected here"),
    }
}

/// An expression after the rewrite, with the way back to the source.
struct Rewritten {
    text: String,
    /// Pairs of an offset in the rewritten text and in the source, ascending.
    anchors: Vec<(usize, usize)>,
}

impl Rewritten {
    fn source_offset(&self, offset: usize, source_length: usize) -> usize {
        let index = self.anchors.partition_point(|(rewritten, _)| *rewritten <= offset);
        let (rewritten, source) =
            index.checked_sub(1).map_or((0, 0), |previous| self.anchors[previous]);
        let limit = self.anchors.get(index).map_or(source_length, |(_, source)| *source);
        (source + offset - rewritten).min(limit)
    }
}

/// Turns literals that are not JSON into JSON strings, after jmespath.py's rule: unescape
/// backticks; keep the body when it is JSON, otherwise take it, without leading blanks, as text.
/// Quoted names and raw strings pass unchanged.
fn rewrite_literals(source: &str) -> Rewritten {
    let mut text = String::with_capacity(source.len());
    let mut anchors = Vec::new();
    let mut rest = source;
    while let Some(quote) = rest.chars().next() {
        let end = match quote {
            '"' | '\'' | '`' => closing(rest, quote),
            _ => None,
        };
        let start = source.len() - rest.len();
        match end {
            Some(end) => {
                let token = &rest[..end];
                rest = &rest[end..];
                if quote == '`' {
                    anchors.push((text.len(), start));
                    text.push_str(&literal(&token[1..token.len() - 1]));
                    anchors.push((text.len(), start + token.len()));
                } else {
                    text.push_str(token);
                }
            }
            None => {
                text.push(quote);
                rest = &rest[quote.len_utf8()..];
            }
        }
    }
    Rewritten { text, anchors }
}

/// One past the quote that closes a token, which begins with the same quote.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Some(at + 1);
        }
    }
    None
}

fn literal(body: &str) -> String {
    let unescaped = body.replace("\\`", "`");
    let is_json = |text: &str| serde_json::from_str::<Json>(text).is_ok();
    let as_text = format!("\"{}\"", unescaped.trim_start());
    if !is_json(&unescaped) && is_json(&as_text) {
        format!("`{}`", as_text.replace('`', "\\`"))
    } else {
        format!("`{body}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cluster() -> Vec<Json> {
        vec![
            json!({ "pg_seq": 1, "pg_role": "primary", "pg_offline_query": false }),
            json!({ "pg_seq": 2, "pg_role": "replica", "pg_offline_query": false }),
            json!({ "pg_seq": 3, "pg_role": "replica", "pg_offline_query": true }),
            json!({ "pg_seq": 4, "pg_role": "offline" }),
        ]
    }

    fn picks(selector: &str) -> Vec<usize> {
        compile(selector).expect(selector).select(&cluster()).expect(selector)
    }

    #[test]
    fn the_documents_selectors_pick_what_they_say() {
        assert_eq!(picks("[]"), [0, 1, 2, 3]);
        assert_eq!(picks("[? pg_role == `primary`]"), [0]);
        assert_eq!(picks("[? pg_role == `primary` || pg_role == `offline` ]"), [0, 3]);
        assert_eq!(picks("[? pg_role == `offline` || pg_offline_query ]"), [2, 3]);
        assert_eq!(picks("[? pg_role == `replica` && !pg_offline_query]"), [1]);
    }

    #[test]
    fn other_forms_of_the_language_work() {
        assert_eq!(picks("[? pg_role == 'primary']"), [0]);
        assert_eq!(picks("[? pg_role == `\"primary\"`]"), [0]);
        assert_eq!(picks("[? pg_seq > `2`]"), [2, 3]);
        assert_eq!(picks("[0]"), [0]);
        assert_eq!(picks("[?pg_offline_query] | [0]"), [2]);
        assert_eq!(picks("[?starts_with(pg_role, `re`)]"), [1, 2]);
        assert_eq!(picks("[?\"pg_role\" == `  offline`]"), [3]);
        assert_eq!(picks("[].pg_seq"), [0; 0], "numbers are not instances");
        assert_eq!(picks("[? pg_role == `it's`]"), [0; 0]);
    }

    #[test]
    fn errors_point_into_the_source() {
        let error = compile("[? pg_role == `primary` || ]").expect_err("an operand is missing");
        assert_eq!(&"[? pg_role == `primary` || ]"[error.offset..], "]", "{error}");
        let error = compile("[? pg_role = `x`]").expect_err("one = is not an operator");
        assert_eq!(error.offset, 11, "{error}");
        let error = compile("[? `a` == `b` c").expect_err("a stray name");
        assert_eq!(error.offset, 14, "{error}");
        assert!(compile("[? pg_role == `primary]").is_err());
        assert!(compile("").is_err());
    }

    #[test]
    fn unknown_functions_are_errors_when_selecting() {
        let selector = compile("[?nonsense(pg_role)]").expect("it parses");
        assert!(selector.select(&cluster()).is_err());
    }

    #[test]
    fn nesting_has_an_end_before_the_stack_has() {
        for text in ["(".repeat(100_000), "!".repeat(100_000), "[".repeat(100_000)] {
            assert!(compile(&text).is_err());
        }
        for text in ["(".repeat(199), "!".repeat(199), format!("a{}", ".a".repeat(199))] {
            let _ = compile(&text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]?`'\"a-z=|&! .\\\\{}()0-9é]{0,40}") {
            if let Err(error) = compile(&text) {
                assert!(error.offset <= text.len());
            }
        }
    }
}
