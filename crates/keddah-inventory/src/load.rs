//! From bytes to an inventory: the one door into this crate.

use crate::ansible;
use crate::inventory::Inventory;
use crate::yaml;
use keddah_core::{Diagnostic, SourceId, SourceMap, Span};

/// Loads an inventory from the bytes of a file that the user knows as `name`.
///
/// Never panics, whatever the bytes. All problems are collected; with an error among them the
/// inventory, if there is one, lacks what could not be understood and must not be acted upon.
pub fn load(
    sources: &mut SourceMap,
    name: &str,
    bytes: &[u8],
) -> (Option<Inventory>, Vec<Diagnostic>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let shown = String::from_utf8_lossy(bytes);
            let source = sources.add(name, shown.as_ref());
            // The lossy text agrees with the bytes up to the first bad one.
            let start = error.valid_up_to();
            let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
            let diagnostic = Diagnostic::error(
                "not-utf8",
                Span { source, start, end },
                "the file is not UTF-8 text",
            )
            .label("the first byte that is not")
            .help("save the file in UTF-8 encoding");
            return (None, vec![diagnostic]);
        }
    };
    let source = sources.add(name, text);
    if let Some(diagnostic) = control_character(source, text) {
        return (None, vec![diagnostic]);
    }
    let yaml::Composed { root, odd_keys, mut diagnostics } = yaml::compose(source, text);
    let Some(root) = root else {
        return (None, diagnostics);
    };
    let (inventory, problems) = ansible::build(&root, odd_keys);
    diagnostics.extend(problems);
    diagnostics.sort_by_key(|problem| problem.primary.as_ref().map(|label| label.span.start));
    (Some(inventory), diagnostics)
}

/// YAML texts are printable: Ansible's parser refuses control characters outside of escapes.
fn control_character(source: SourceId, text: &str) -> Option<Diagnostic> {
    let (start, bad) = text.char_indices().find(|&(at, c)| {
        let printable = matches!(
            c,
            '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..
        );
        !printable || (c == '\u{feff}' && at > 0)
    })?;
    Some(
        Diagnostic::error(
            "yaml-control-character",
            Span { source, start, end: start + bad.len_utf8() },
            format!("the character U+{:04X} cannot stand in YAML", u32::from(bad)),
        )
        .help("remove it, or write it as an escape in double quotes"),
    )
}
