//! Where PyYAML 6.0.4 merges another value than 6.0.3, whose reading is ours, a warning says so;
//! and nowhere else. `merge_readings/table.tsv` holds what both versions really gave.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod corpus;

use keddah_core::{Diagnostic, SourceMap};
use keddah_inventory::load;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The mapping's `<<`, the key, and the lines of its value by both readings (none where 6.0.4 has
/// no such key).
type Difference = (usize, String, usize, Option<usize>);

const CODE: &str = "yaml-merge-readings";

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn warnings(path: &Path) -> (SourceMap, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let bytes = std::fs::read(path).unwrap();
    let (inventory, mut diagnostics) = load(&mut sources, path.to_str().unwrap(), &bytes);
    assert!(inventory.is_some(), "{}: {diagnostics:#?}", path.display());
    diagnostics.retain(|diagnostic| diagnostic.code == CODE);
    (sources, diagnostics)
}

fn told(path: &Path) -> BTreeSet<Difference> {
    let (sources, diagnostics) = warnings(path);
    let line = |label: &keddah_core::Label| {
        sources.file(label.span.source).line_column(label.span.start).0
    };
    let count = diagnostics.len();
    let told: BTreeSet<Difference> = diagnostics
        .iter()
        .map(|diagnostic| {
            let key = diagnostic.message.split('`').nth(1).unwrap().to_owned();
            let lines: Vec<usize> = diagnostic.related.iter().map(line).collect();
            let at = line(diagnostic.primary.as_ref().unwrap());
            (at, key, lines[0], lines.get(1).copied())
        })
        .collect();
    assert_eq!(told.len(), count, "said twice: {diagnostics:#?}");
    told
}

#[test]
fn a_warning_stands_exactly_where_the_versions_differ() {
    let table = std::fs::read_to_string(tests().join("merge_readings/table.tsv")).unwrap();
    for (file, least_different, least_same) in
        [("inventories/merge.yml", 4, 15), ("merge_readings/cases.yml", 20, 60)]
    {
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|cells| cells[0] == file)
            .collect();
        let different: BTreeSet<Difference> = rows
            .iter()
            .filter(|cells| cells[4] != cells[6])
            .map(|cells| {
                let line = |cell: usize| cells[cell].parse().unwrap();
                let second = (cells[5] != "-").then(|| line(5));
                (line(1), cells[2].to_owned(), line(3), second)
            })
            .collect();
        // A table without differences, or of nothing else, would prove little.
        assert!(different.len() >= least_different, "{file}: {}", different.len());
        assert!(rows.len() - different.len() >= least_same, "{file}: {}", rows.len());
        let told = told(&tests().join(file));
        let missing: Vec<_> = different.difference(&told).collect();
        let needless: Vec<_> = told.difference(&different).collect();
        assert!(missing.is_empty() && needless.is_empty(), "{file}: {missing:#?} {needless:#?}");
    }
}

#[test]
fn values_are_not_shown() {
    let (_, diagnostics) = warnings(&tests().join("merge_readings/cases.yml"));
    let shown = format!("{diagnostics:?}");
    for value in ["from base", "from other", "from nearer", "first", "second"] {
        assert!(!shown.contains(value), "{value}: {shown}");
    }
}

#[test]
fn inventories_that_people_wrote_read_the_same() {
    let mut folders = vec![tests().join("../../../conf"), tests().join("inventories")];
    folders.extend(corpus::folder("the search for merge keys that read differently"));
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yml")
                && !path.ends_with("inventories/merge.yml")
            {
                files += 1;
                // Some of a folder's files are no inventories.
                let mut sources = SourceMap::default();
                let bytes = std::fs::read(&path).unwrap();
                let (_, diagnostics) = load(&mut sources, path.to_str().unwrap(), &bytes);
                let told = diagnostics.iter().find(|problem| problem.code == CODE);
                assert!(told.is_none(), "{}: {told:#?}", path.display());
            }
        }
    }
    assert!(files >= 7, "only {files} inventories");
}
