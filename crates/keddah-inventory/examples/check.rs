//! Prints the diagnostics of inventories as one line each.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let mut sources = keddah_core::SourceMap::default();
        let (inventory, mut diagnostics) = keddah_inventory::load(&mut sources, &path, &bytes);
        if let Some(inventory) = &inventory {
            diagnostics.extend(keddah_inventory::check(&sources, inventory));
        }
        for diagnostic in diagnostics {
            let place = diagnostic.primary.map(|label| sources.location(label.span));
            let place = place.unwrap_or_else(|| path.clone());
            writeln!(
                out,
                "{place}: {:?} {}: {}",
                diagnostic.severity, diagnostic.code, diagnostic.message
            )?;
        }
    }
    Ok(())
}
