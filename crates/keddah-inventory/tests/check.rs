//! `keddah check` on one small file per diagnostic, and on real inventories.

mod corpus;

use keddah_core::{Diagnostic, Severity, SourceMap, Span};
use keddah_inventory::{CHECK_CODES, LOADING_CODES, check, load, secret_spans};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// All diagnostics of a file as plain text, with secrets masked as a renderer does it.
fn report(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("a readable file");
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    let (sources, diagnostics, secrets) = examine(&name, &bytes);
    let mut text = String::new();
    for diagnostic in &diagnostics {
        render(&mut text, &sources, diagnostic, &secrets);
    }
    if text.is_empty() { "nothing to report\n".into() } else { text }
}

fn examine(name: &str, bytes: &[u8]) -> (SourceMap, Vec<Diagnostic>, Vec<Span>) {
    let mut sources = SourceMap::default();
    let (inventory, mut diagnostics) = load(&mut sources, name, bytes);
    let mut secrets = Vec::new();
    if let Some(inventory) = inventory {
        diagnostics.extend(check(&sources, &inventory));
        secrets = secret_spans(&inventory);
    }
    (sources, diagnostics, secrets)
}

fn render(text: &mut String, sources: &SourceMap, diagnostic: &Diagnostic, secrets: &[Span]) {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let _ = writeln!(text, "{severity}[{}]: {}", diagnostic.code, diagnostic.message);
    let labels = diagnostic.primary.iter().map(|label| ("", label));
    for (mark, label) in labels.chain(diagnostic.related.iter().map(|label| ("also ", label))) {
        let file = sources.file(label.span.source);
        let (line, column) = file.line_column(label.span.start);
        let (_, end) = file.line_column(label.span.end);
        let note = if label.text.is_empty() { String::new() } else { format!(" ({})", label.text) };
        let _ =
            writeln!(text, "  {mark}{line}:{column}-{end}{note}: {}", masked(file, line, secrets));
    }
    for help in &diagnostic.help {
        let _ = writeln!(text, "  help: {help}");
    }
}

/// A source line with stars in place of secrets, at most 100 characters.
fn masked(file: &keddah_core::SourceFile, line: usize, secrets: &[Span]) -> String {
    let text = file.line(line);
    let start = text.as_ptr() as usize - file.text.as_ptr() as usize;
    let shown = text.char_indices().map(|(at, character)| {
        let secret = secrets.iter().any(|span| (span.start..span.end).contains(&(start + at)));
        if secret { '*' } else { character }
    });
    shown.collect::<String>().trim().chars().take(100).collect()
}

fn cases(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("a readable directory")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    paths.sort();
    paths
}

fn own_cases() -> Vec<PathBuf> {
    cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check"))
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn each_case_reports_what_its_snapshot_says() {
    for path in own_cases() {
        insta::with_settings!({
            prepend_module_to_snapshot => false,
            snapshot_path => "check",
            omit_expression => true,
        }, {
            insta::assert_snapshot!(stem(&path), report(&path));
        });
    }
}

#[test]
fn each_case_but_the_good_one_reports_something() {
    for path in own_cases() {
        let quiet = report(&path) == "nothing to report\n";
        assert_eq!(quiet, stem(&path) == "good", "{}", path.display());
    }
}

#[test]
fn every_error_says_what_to_do() {
    for path in own_cases() {
        let bytes = std::fs::read(&path).expect("a readable file");
        let (_, diagnostics, _) = examine("case.yml", &bytes);
        for one in diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            assert!(!one.help.is_empty(), "{}: {}: {}", path.display(), one.code, one.message);
        }
    }
}

#[test]
fn every_code_is_shown_by_a_case() {
    let mut shown = BTreeSet::new();
    for path in own_cases() {
        let bytes = std::fs::read(&path).expect("a readable file");
        let (_, diagnostics, _) = examine("case.yml", &bytes);
        shown.extend(diagnostics.into_iter().map(|diagnostic| diagnostic.code));
    }
    let known: BTreeSet<&str> = CHECK_CODES.iter().map(|(code, _)| *code).collect();
    // Filling placeholders in has codes of its own.
    shown.retain(|code| !code.starts_with("interpolation-"));
    assert_eq!(shown, known);
}

/// Loading has no list of cases: its codes are found in its sources.
#[test]
fn every_code_of_loading_is_explained() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for part in ["load.rs", "yaml", "ansible", "interpolate"] {
        found.extend(words_with_hyphens(&sources.join(part)));
    }
    // A parameter's name in a table, and a code that filling in shares with check.
    found.retain(|word| !matches!(word.as_str(), "pgsql-utility" | "unknown-placeholder"));
    let known: BTreeSet<String> =
        LOADING_CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(found, known);
}

/// Texts in quotes that look like a code: lower-case words joined by hyphens.
fn words_with_hyphens(path: &Path) -> BTreeSet<String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a readable folder");
        return entries
            .flat_map(|entry| words_with_hyphens(&entry.expect("an entry").path()))
            .collect();
    }
    let text = std::fs::read_to_string(path).expect("a readable source");
    text.split('"')
        .filter(|word| word.contains('-') && !word.starts_with('-') && !word.ends_with('-'))
        .filter(|word| {
            word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'8')
        })
        .map(str::to_owned)
        .collect()
}

/// Real inventories, where they are present at all.
fn corpus(test: &str) -> Vec<PathBuf> {
    corpus::folder(test).map(|folder| cases(&folder)).unwrap_or_default()
}

#[test]
fn ready_inventories_have_no_errors() {
    let ready = cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf"));
    assert!(!ready.is_empty());
    for path in ready {
        let bytes = std::fs::read(&path).expect("a readable file");
        let (_, diagnostics, _) = examine("ready.yml", &bytes);
        let errors: Vec<_> =
            diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
fn real_inventories_have_no_errors_but_what_keddah_does_not_run() {
    for path in corpus("the check of real inventories") {
        let bytes = std::fs::read(&path).expect("a readable file");
        let (_, diagnostics, _) = examine("corpus.yml", &bytes);
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|diagnostic| diagnostic.message.as_str())
            .collect();
        let expected: &[&str] = match stem(&path).as_str() {
            "ha-citus" => &["Keddah runs clusters with `pg_mode: pgsql`, not `citus`"],
            _ => &[],
        };
        assert_eq!(errors, expected, "{}", path.display());
    }
}

#[test]
fn real_inventories_report_what_their_snapshots_say() {
    for path in corpus("the snapshots of real inventories") {
        let bytes = std::fs::read(&path).expect("a readable file");
        let (sources, diagnostics, _) = examine("corpus.yml", &bytes);
        let mut text = String::new();
        for diagnostic in &diagnostics {
            // The files are not ours, so their lines stay out of the snapshots.
            let place = diagnostic.primary.as_ref().map(|label| sources.location(label.span));
            let place = place.unwrap_or_default().replace("corpus.yml:", "");
            let message = &diagnostic.message;
            let _ =
                writeln!(text, "{place} {:?} {}: {message}", diagnostic.severity, diagnostic.code);
        }
        insta::with_settings!({
            prepend_module_to_snapshot => false,
            snapshot_path => "check/corpus",
            omit_expression => true,
        }, {
            insta::assert_snapshot!(stem(&path), text);
        });
    }
}

/// A secret in every place that may hold one, right or wrong.
const POISONED: &str = "all:
  vars:
    pg_admin_password: poison-1
    pg_admin_pasword: poison-2
    haproxy_admin_password: [poison-3]
    proxy_env: { http_proxy: 'http://me:poison-4@proxy:3128' }
    pgbackrest_repo: { s3: { s3_key: poison-5, s3_key_secret: poison-6, cipher_pass: poison-7 } }
    pgbackrest_method: nowhere
    nginx_users: { admin: poison-8 }
    my_secret_thing: poison-9
    pg_port: '${pg_admin_password}'
    pg_conf: [ '${pg_admin_password}' ]
    grafana_pgurl: postgres://me:poison-10@db/grafana
    apps: { pgadmin: { conf: { PGADMIN_DEFAULT_PASSWORD: poison-11 } } }
  children:
    etcd: { hosts: { 10.0.0.1: { etcd_seq: 1, etcd_root_password: { a: poison-12 } } } }
    pg-test:
      hosts: { 10.0.0.2: { pg_seq: 1, pg_role: primary } }
      vars:
        pg_cluster: pg-test
        pg_users:
          - { name: a, password: poison-13, pgbouncer: 7 }
          - { name: b, pasword: poison-14 }
          - { name: c, password: [poison-15], rolse: [x] }
          - { nam: d, password: poison-16 }
        redis_sentinel_monitor: [{ name: m, host: x, port: 1, password: poison-17 }]
        minio_users: [{ access_key: a, secret_key: poison-18, polici: x }]
        pgsodium_key: poison-19
        pg_exporter_url: postgres://a:poison-20@b/c
";

#[test]
fn no_secret_is_in_a_message_or_in_a_masked_line() {
    let (sources, diagnostics, secrets) = examine("poisoned.yml", POISONED.as_bytes());
    assert!(diagnostics.len() > 10, "{diagnostics:?}");
    for diagnostic in &diagnostics {
        let mut text = String::new();
        render(&mut text, &sources, diagnostic, &secrets);
        assert!(!text.contains("poison-"), "{text}");
        assert!(!format!("{diagnostic:?}").contains("poison-"), "{diagnostic:?}");
    }
    let (_, _, spans) = examine("poisoned.yml", POISONED.as_bytes());
    for number in 1..=20 {
        let word = format!("poison-{number}");
        let at = POISONED.match_indices(&word).map(|(at, _)| at).find(|at| {
            !POISONED[at + word.len()..].starts_with(|next: char| next.is_ascii_digit())
        });
        let at = at.expect("it is in the text");
        let covered = spans.iter().any(|span| span.start <= at && at + word.len() <= span.end);
        assert!(covered, "{word} is not masked");
    }
}

#[test]
fn damaged_inventories_never_make_it_panic() {
    // Each file with each line taken out, and with words exchanged for others.
    let words = ["~", "[]", "{}", "-1", "''", "{{ x }}", "${pg_cluster}", "!vault x", "yes"];
    for path in own_cases() {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let lines: Vec<&str> = text.lines().collect();
        for skipped in 0..lines.len() {
            let rest: Vec<&str> = lines
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != skipped)
                .map(|(_, l)| *l)
                .collect();
            examine("damaged.yml", rest.join("\n").as_bytes());
        }
        for (at, _) in text.match_indices(": ") {
            let end =
                text[at + 2..].find([',', ' ', '}', '\n']).map_or(text.len(), |end| at + 2 + end);
            let word = words[at % words.len()];
            let damaged = format!("{}: {word}{}", &text[..at], &text[end..]);
            examine("damaged.yml", damaged.as_bytes());
        }
    }
}

#[test]
fn no_python_environment_is_written_as_an_empty_text() {
    let text = b"all:\n  hosts: { 10.0.0.1: {} }\n  vars: { node_uv_env: '' }\n";
    let (_, diagnostics, _) = examine("uv.yml", text);
    let errors: Vec<_> = diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
