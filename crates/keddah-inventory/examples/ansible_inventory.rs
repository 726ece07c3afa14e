//! Prints an inventory as `ansible-inventory` does, for comparing by hand:
//! `cargo run -p keddah-inventory --example ansible_inventory -- FILE --list|--graph|--host NAME`.
#![allow(clippy::disallowed_macros, reason = "an example is a program and may print")]

use keddah_core::{NodeName, SourceMap};
use keddah_inventory::{ansible, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, action, rest @ ..] = arguments.as_slice() else {
        return Err("usage: FILE --list|--graph|--host NAME".into());
    };
    let mut sources = SourceMap::default();
    let (inventory, diagnostics) = load(&mut sources, file, &std::fs::read(file)?);
    for diagnostic in &diagnostics {
        let place = diagnostic.primary.as_ref().map(|label| sources.location(label.span));
        eprintln!("{} {}: {}", place.unwrap_or_default(), diagnostic.code, diagnostic.message);
    }
    let inventory = inventory.ok_or("no inventory")?;
    let answer = match (action.as_str(), rest) {
        ("--list", []) => Some(ansible::list_json(&inventory)),
        ("--graph", []) => ansible::graph(&inventory, "all"),
        ("--graph", [group]) => ansible::graph(&inventory, group),
        ("--host", [host]) => ansible::host_json(&inventory, &NodeName::new(host.as_str())),
        _ => None,
    };
    println!("{}", answer.ok_or("no such group or host")?);
    Ok(())
}
