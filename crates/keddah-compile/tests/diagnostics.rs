//! The codes of diagnostics: explained, all of them, and in the documentation.

use keddah_inventory::{CHECK_CODES, LOADING_CODES};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

#[test]
fn every_code_of_compilation_is_explained() {
    let found = codes_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let known: BTreeSet<String> =
        keddah_compile::CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(found, known, "src/codes.rs lists what `problem(…)` reports in the sources");
}

/// First arguments of `problem(` and `Diagnostic::warning(` in the sources.
fn codes_in(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a readable folder");
        return entries.flat_map(|entry| codes_in(&entry.expect("an entry").path())).collect();
    }
    let text = std::fs::read_to_string(path).expect("a readable source");
    let warnings = text.split("Diagnostic::warning(").skip(1);
    text.split("problem(")
        .skip(1)
        .chain(warnings)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_documentation_lists_every_code() {
    let mut page = String::from(
        "# Diagnostics\n\nEvery problem of an inventory has a code, which stays the same from version \
         to version: `keddah check --json` gives it as `code`.\n",
    );
    for (title, about, codes) in [
        ("Loading", "Every command that reads the inventory reports these.", LOADING_CODES),
        (
            "Checking",
            "`keddah check` reports these, and plan and apply refuse the errors among them.",
            CHECK_CODES,
        ),
        (
            "Planning",
            "Only the nodes can tell: plan, apply and remove report these.",
            keddah_compile::CODES,
        ),
    ] {
        let _ = write!(page, "\n## {title}\n\n{about}\n\n| code | meaning |\n| --- | --- |\n");
        for (code, meaning) in codes {
            let _ = writeln!(page, "| `{code}` | {meaning} |");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/diagnostics.md");
    if updating() {
        std::fs::write(&path, &page).expect("a writable page");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "`make docs` writes it");
}

#[expect(clippy::disallowed_methods, reason = "a developer's switch, read by a test")]
fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}
