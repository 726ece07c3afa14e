//! Whatever the bytes: the loader answers with an inventory or with errors, and never panics.
#![no_main]

use keddah_core::{Severity, SourceMap};
use keddah_inventory::{Interpolator, Unknown, ansible, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut sources = SourceMap::default();
    let (inventory, diagnostics) = load(&mut sources, "fuzz.yml", bytes);
    for diagnostic in &diagnostics {
        for label in diagnostic.primary.iter().chain(&diagnostic.related) {
            let text = &sources.file(label.span.source).text;
            assert!(text.get(label.span.start..label.span.end).is_some(), "{diagnostic:?}");
        }
    }
    let Some(inventory) = inventory else {
        assert!(diagnostics.iter().any(|problem| problem.severity == Severity::Error));
        return;
    };
    let lookup = |_: &str| None;
    let mut interpolator = Interpolator::new(&lookup, Unknown::Keep);
    // A range can stand for many hosts; the first ones tell everything.
    for host in inventory.hosts().take(100) {
        for (_, sourced) in inventory.resolve(&host.name).iter() {
            let _ = interpolator.expand(&sourced.value);
        }
    }
    if inventory.hosts().count() <= 1000 {
        let _ = ansible::list_json(&inventory);
    }
});
