//! Ansible is the judge: whatever it prints for an inventory, this crate prints, byte for byte.
//!
//! Runs `ansible-inventory` from `KEDDAH_ANSIBLE_INVENTORY` or the `PATH`. Without it these tests
//! fail, unless `KEDDAH_SKIP_ORACLE=1` says that they may be skipped.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod oracle {
    pub mod ansible;
    pub mod generate;
}

mod corpus;

use keddah_core::{Diagnostic, NodeName, Severity, SourceMap};
use keddah_inventory::{Inventory, ansible, load};
use oracle::ansible::{Answer, LOOK_FIRST, Oracle};
use oracle::generate::{self, GeneratedInventory};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use std::path::{Path, PathBuf};

fn load_text(name: &str, bytes: &[u8]) -> (Inventory, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let (inventory, diagnostics) = load(&mut sources, name, bytes);
    (inventory.unwrap_or_default(), diagnostics)
}

/// The inventories of this crate's tests, the ready ones of `conf/`, and, when they are there,
/// those beside the checkout (or in `KEDDAH_CORPUS`).
fn inventory_files() -> Vec<PathBuf> {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = crate_directory.join("../..");
    let mut folders = vec![crate_directory.join("tests/inventories"), repository.join("conf")];
    folders.extend(corpus::folder("the comparison with Ansible"));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(files.len() >= 7, "the test inventories are missing: {files:?}");
    files
}

/// What we print for the arguments after the file; `None` where Ansible must refuse.
fn ours(inventory: &Inventory, action: &[&str]) -> Option<String> {
    match action {
        ["--list"] => Some(ansible::list_json(inventory)),
        ["--graph"] => ansible::graph(inventory, "all"),
        ["--graph", group] => ansible::graph(inventory, group),
        ["--host", host] => ansible::host_json(inventory, &NodeName::new(*host)),
        other => panic!("no such action: {other:?}"),
    }
}

/// Another version of a judge may judge differently: look at this test first when others fail.
#[test]
fn the_judge_is_the_pinned_one_and_its_pip_starts() {
    let Some(oracle) = Oracle::find() else { return };
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/ansible-oracle.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let pinned: Vec<(&str, &str)> =
        lock.lines().filter_map(|line| line.trim_end_matches(" \\").split_once("==")).collect();
    assert!(pinned.iter().any(|(name, _)| *name == "PyYAML"), "{pinned:?}");
    let installed = oracle.versions(&pinned.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let expected: Vec<String> =
        pinned.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    assert_eq!(
        installed, expected,
        "run scripts/ansible-oracle again; `make compare-packages` tells what Debian changed"
    );
    oracle.start_pip();
}

#[test]
fn every_inventory_file_prints_as_ansible_prints_it() {
    let Some(oracle) = Oracle::find() else { return };
    let mut questions = Vec::new();
    let mut answers = Vec::new();
    for path in inventory_files() {
        let file = path.to_str().unwrap().to_owned();
        let (inventory, diagnostics) = load_text(&file, &std::fs::read(&path).unwrap());
        let errors: Vec<_> =
            diagnostics.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{file}: {errors:#?}");
        let host = inventory.hosts().last().map(|host| host.name.to_string()).unwrap();
        let group = inventory.groups().last().map(|group| group.name.clone()).unwrap();
        let actions: [&[&str]; 5] = [
            &["--list"],
            &["--graph"],
            &["--graph", &group],
            &["--graph", "no_such_group"],
            &["--host", &host],
        ];
        // The listing holds all that a host prints; the rest is checked on our own files.
        let ours_to_check = if path.starts_with(env!("CARGO_MANIFEST_DIR")) { 5 } else { 2 };
        for action in &actions[..ours_to_check] {
            let question: Vec<String> = [&["-i", file.as_str()][..], action]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect();
            answers.push(ours(&inventory, action));
            questions.push(question);
        }
    }
    let expected = oracle.ask(&questions);
    for ((question, answer), expected) in questions.iter().zip(answers).zip(expected) {
        match answer {
            Some(text) => {
                assert_eq!(expected.status, 0, "{LOOK_FIRST}\n{question:?}: {}", expected.stderr);
                let difference = difference(&text, &expected);
                assert!(
                    difference.is_none(),
                    "{LOOK_FIRST}\n{question:?}: {}",
                    difference.unwrap()
                );
            }
            None => {
                assert_ne!(expected.status, 0, "{LOOK_FIRST}\n{question:?}: {}", expected.stdout)
            }
        }
    }
}

/// The first lines in which our text is not Ansible's.
fn difference(ours: &str, expected: &Answer) -> Option<String> {
    let theirs = expected.stdout.strip_suffix('\n').unwrap_or(&expected.stdout);
    if ours == theirs {
        return None;
    }
    let line = ours.lines().zip(theirs.lines()).take_while(|(left, right)| left == right).count();
    let excerpt = |text: &str| {
        text.lines().skip(line.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n")
    };
    Some(format!(
        "differs at line {}\n--- ours\n{}\n--- Ansible's\n{}\n{}",
        line + 1,
        excerpt(ours),
        excerpt(theirs),
        expected.stderr,
    ))
}

/// Why our answer to a generated inventory is not Ansible's, if so.
fn disagreement(text: &str, expected: &Answer) -> Option<String> {
    let (inventory, diagnostics) = load_text("generated.yml", text.as_bytes());
    let error = diagnostics.iter().find(|problem| problem.severity == Severity::Error);
    match (error, expected.refused()) {
        (Some(_), true) => None,
        (Some(error), false) => Some(format!("only we refuse it: {error:?}")),
        (None, true) => Some(format!("only Ansible refuses it: {}", expected.stderr)),
        (None, false) => difference(&ansible::list_json(&inventory), expected),
    }
}

#[test]
fn random_group_trees_resolve_as_ansible_resolves_them() {
    let Some(oracle) = Oracle::find() else { return };
    let folder = tempfile_folder("generated");
    let path = folder.join("generated.yml");
    let ask = |texts: &[String]| -> Vec<Answer> {
        let questions: Vec<Vec<String>> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let path = path.with_file_name(format!("generated{index}.yml"));
                std::fs::write(&path, text).unwrap();
                vec!["-i".to_owned(), path.to_str().unwrap().to_owned(), "--list".to_owned()]
            })
            .collect();
        oracle.ask(&questions)
    };

    // `PROPTEST_CASES` asks for more; the seed is fixed, so that a run can be repeated.
    let cases = match Config::default().cases {
        256 => 60,
        cases => cases as usize,
    };
    let mut runner = TestRunner::deterministic();
    let mut accepted = 0;
    let mut done = 0;
    while done < cases {
        let count = (cases - done).min(80);
        let trees: Vec<_> =
            (0..count).map(|_| generate::inventory().new_tree(&mut runner).unwrap()).collect();
        let texts: Vec<String> = trees.iter().map(|tree| tree.current().to_yaml()).collect();
        let answers = ask(&texts);
        accepted += answers.iter().filter(|answer| !answer.refused()).count();
        for ((tree, text), answer) in trees.into_iter().zip(texts).zip(answers) {
            if let Some(reason) = disagreement(&text, &answer) {
                let (smallest, reason) = shrink(tree, text, reason, &ask);
                panic!("{LOOK_FIRST}\n{reason}\n--- inventory\n{smallest}");
            }
        }
        done += count;
    }
    let _ = std::fs::remove_dir_all(&folder);
    // A generator of which Ansible accepts little would prove little.
    assert!(accepted * 3 >= cases, "Ansible accepts only {accepted} of {cases} inventories");
}

/// Looks for a smaller inventory on which we still disagree.
fn shrink(
    mut tree: impl ValueTree<Value = GeneratedInventory>,
    mut smallest: String,
    mut reason: String,
    ask: &dyn Fn(&[String]) -> Vec<Answer>,
) -> (String, String) {
    let mut try_current = |tree: &dyn ValueTree<Value = GeneratedInventory>| {
        let text = tree.current().to_yaml();
        let answer = ask(std::slice::from_ref(&text)).remove(0);
        let found = disagreement(&text, &answer);
        let still = found.is_some();
        if let Some(found) = found {
            (smallest, reason) = (text, found);
        }
        still
    };
    // Each step asks Ansible again; most of the way is gone after so many.
    for _ in 0..60 {
        if !tree.simplify() {
            break;
        }
        while !try_current(&tree) && tree.complicate() {}
    }
    (smallest, reason)
}

fn tempfile_folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
