//! How many resources an inventory becomes.

use crate::render::Output;
use crate::render::counted;
use keddah_compile::Compiled;
use keddah_resource::Module;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

#[derive(Serialize)]
struct View<'a> {
    nodes: usize,
    resources: BTreeMap<Module, usize>,
    notes: &'a [String],
}

/// Prints the answer.
pub fn show(output: &Output, compiled: &Compiled, nodes: usize) {
    let mut resources = BTreeMap::new();
    for resource in compiled.fleet.iter() {
        *resources.entry(resource.module).or_default() += 1;
    }
    let view = View { nodes, resources, notes: &compiled.notes };
    if output.is_json() {
        output.data(&view);
    } else {
        output.answer(&text(&view));
    }
}

fn text(view: &View<'_>) -> String {
    let total: usize = view.resources.values().sum();
    let (total, nodes) = (counted(total, "resource"), counted(view.nodes, "node"));
    let mut text = format!("It compiles: {total} on {nodes}, were they fresh machines.\n");
    for (module, count) in &view.resources {
        let _ = writeln!(text, "  {:<6} {count:>8}", module.to_string());
    }
    for note in view.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
