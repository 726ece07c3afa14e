//! The reference page in the repository against the registry.

use keddah_inventory::{params_reference, registry};
use std::path::Path;

#[test]
fn the_page_in_the_repository_is_the_one_the_registry_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parameters.md");
    let page = params_reference();
    if updating() {
        std::fs::write(&path, &page).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == page,
        "docs/parameters.md is out of date: UPDATE_DOCS=1 cargo test -p keddah-inventory --test reference"
    );
}

#[expect(clippy::disallowed_methods, reason = "a developer's switch, read by a test")]
fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn the_page_has_a_row_for_each_parameter() {
    let page = params_reference();
    for parameter in registry::all().chain(registry::extra()) {
        assert!(page.contains(&format!("| `{}`", parameter.name)), "{}", parameter.name);
    }
}
