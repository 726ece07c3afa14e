//! Quoting for SQL text: statements such as CREATE ROLE take no bound parameters.

use crate::HostError;

/// The longest identifier PostgreSQL keeps (`NAMEDATALEN` - 1); it cuts longer ones silently,
/// and what was declared would never be found again.
const IDENTIFIER_BYTES: usize = 63;

/// Quotes a name, always with quotation marks, so that no list of keywords is needed.
///
/// # Errors
/// When PostgreSQL could not keep the name as it is: empty, too long, or with a zero byte.
pub fn identifier(name: &str) -> Result<String, HostError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > IDENTIFIER_BYTES {
        "it is longer than 63 bytes"
    } else if name.contains('\0') {
        "it contains a zero byte"
    } else {
        return Ok(quote_identifier(name));
    };
    Err(HostError::new(format!("PostgreSQL cannot keep the name {name:?}: {why}")))
}

/// Quotes a name whatever it is.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text exactly as the server's own `quote_literal` does, so that it is right whatever
/// `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A list of texts as an SQL array of type `text[]`.
pub fn quote_array<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quote_literal).collect();
    format!("array[{}]::text[]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_backslashes_escaped() {
        assert_eq!(identifier(r#"we"ird"#).unwrap(), r#""we""ird""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(quote_array(["a", "b'"]), "array['a', 'b''']::text[]");
        assert_eq!(quote_array([]), "array[]::text[]");
    }

    #[test]
    fn names_that_the_server_would_change_are_refused() {
        assert!(identifier("").is_err());
        assert!(identifier(&"x".repeat(64)).is_err());
        assert!(identifier("a\0b").is_err());
        assert!(identifier(&"x".repeat(63)).is_ok());
    }
}
