//! Inventories that are not ours and lie beside the checkout, where they lie there at all.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder with the inventories: `KEDDAH_CORPUS`, or `../shared/corpus` beside the checkout. Where
/// there is none, says so past the test's captured output; the tests go on with the repository's own.
///
/// # Panics
/// When `KEDDAH_CORPUS` names no folder. With `skip`, nothing is looked for.
pub fn folder(test: &str) -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "where the corpus lies is the test run's choice")]
    let chosen = std::env::var_os("KEDDAH_CORPUS").map(PathBuf::from);
    match chosen {
        Some(word) if word == Path::new("skip") => None,
        Some(folder) => {
            assert!(folder.is_dir(), "KEDDAH_CORPUS is no folder: {}", folder.display());
            Some(folder)
        }
        None => {
            let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
            if beside.is_dir() {
                return Some(beside);
            }
            let _ = writeln!(
                std::io::stderr(),
                "skipped: {test} without the corpus, which is not at {}; KEDDAH_CORPUS=FOLDER names \
                 another place",
                beside.display()
            );
            None
        }
    }
}
