//! Every broken file is explained, and none of them, nor any other bytes, makes the loader panic.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use keddah_core::{Diagnostic, Label, Severity, SourceMap};
use keddah_inventory::{Interpolator, Unknown, ansible, load};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    files
}

/// Loads the bytes and asks for everything that an inventory can answer.
fn exercise(name: &str, bytes: &[u8]) -> (SourceMap, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let (inventory, diagnostics) = load(&mut sources, name, bytes);
    let errors = diagnostics.iter().filter(|problem| problem.severity == Severity::Error).count();
    match inventory {
        None => assert!(errors > 0, "{name}: no inventory and no error"),
        Some(inventory) => {
            let lookup = |_: &str| None;
            let mut interpolator = Interpolator::new(&lookup, Unknown::Keep);
            for host in inventory.hosts() {
                let vars = inventory.resolve(&host.name);
                for (variable, sourced) in vars.iter() {
                    assert!(vars.get(variable).is_some());
                    let _ = interpolator.expand(&sourced.value);
                    let _ = keddah_inventory::to_json(&sourced.value);
                }
            }
            for group in inventory.groups() {
                let _ = inventory.members(&group.name);
            }
            let _ = ansible::list_json(&inventory);
            let _ = ansible::graph(&inventory, "all");
        }
    }
    // A place that cannot be shown would break whoever prints the message.
    for diagnostic in &diagnostics {
        for label in diagnostic.primary.iter().chain(&diagnostic.related) {
            let text = &sources.file(label.span.source).text;
            assert!(text.get(label.span.start..label.span.end).is_some(), "{name}: {diagnostic:?}");
        }
    }
    (sources, diagnostics)
}

fn place(sources: &SourceMap, label: &Label) -> String {
    let file = sources.file(label.span.source);
    let (line, column) = file.line_column(label.span.start);
    format!("{}:{line}:{column}", file.name)
}

fn describe(sources: &SourceMap, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = write!(out, "{severity}[{}]", diagnostic.code);
        if let Some(label) = &diagnostic.primary {
            let _ = write!(out, " {}", place(sources, label));
        }
        let _ = writeln!(out, ": {}", diagnostic.message);
        let label = diagnostic.primary.iter().map(|label| &label.text);
        for text in label.filter(|text| !text.is_empty()) {
            let _ = writeln!(out, "  here: {text}");
        }
        for label in &diagnostic.related {
            let _ = writeln!(out, "  {}: {}", place(sources, label), label.text);
        }
        for help in &diagnostic.help {
            let _ = writeln!(out, "  help: {help}");
        }
    }
    out
}

#[test]
fn every_broken_file_is_explained() {
    let files = yaml_files("broken");
    assert!(files.len() > 40, "the broken files are missing");
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (sources, diagnostics) = exercise(name, &std::fs::read(&path).unwrap());
        assert!(!diagnostics.is_empty(), "{name} is not broken");
        for one in diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            assert!(!one.help.is_empty(), "{name}: no remedy for {}: {}", one.code, one.message);
        }
        insta::assert_snapshot!(name.trim_end_matches(".yml"), describe(&sources, &diagnostics));
    }
}

/// Pieces that mean something to YAML or to an inventory.
const PIECES: [&str; 44] = [
    "all:",
    "hosts:",
    "children:",
    "vars:",
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    ": ",
    ":",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "<<: *a",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "!vault ",
    "!unsafe ",
    "!!set ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "\u{feff}",
    "\u{2028}",
    "é",
    "0x",
    "22:22",
    "2030-02-30",
    "node[1:9]",
    "[a:c]",
    "=",
    "~",
    "${a}",
    "{{ b }}",
];

#[derive(Debug, Clone)]
enum Edit {
    Delete(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Insert(prop::sample::Index, usize),
    Byte(prop::sample::Index, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1usize..40).prop_map(|(at, length)| Edit::Delete(at, length)),
        (at(), 1usize..200).prop_map(|(at, length)| Edit::Repeat(at, length)),
        (at(), 0..PIECES.len()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    if bytes.is_empty() {
        return;
    }
    match *edit {
        Edit::Delete(at, length) => {
            let start = at.index(bytes.len());
            bytes.drain(start..(start + length).min(bytes.len()));
        }
        Edit::Repeat(at, length) => {
            let start = at.index(bytes.len());
            let piece = bytes[start..(start + length).min(bytes.len())].to_vec();
            bytes.splice(start..start, piece);
        }
        Edit::Insert(at, piece) => {
            let start = at.index(bytes.len());
            bytes.splice(start..start, PIECES[piece].bytes());
        }
        Edit::Byte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise("bytes", &bytes);
    }

    #[test]
    fn no_pieces_make_it_panic(pieces in prop::collection::vec(0..PIECES.len(), 0..60)) {
        let text: String = pieces.iter().map(|&piece| PIECES[piece]).collect();
        exercise("pieces", text.as_bytes());
    }

    #[test]
    fn no_edited_file_makes_it_panic(
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec(edit(), 1..12),
    ) {
        let mut files = yaml_files("inventories");
        files.extend(yaml_files("broken"));
        let mut bytes = std::fs::read(file.get(&files)).unwrap();
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        exercise("edited", &bytes);
    }
}
