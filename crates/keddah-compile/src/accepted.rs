//! `keddah_accept`: findings that somebody knows of and bears.

use keddah_core::Diagnostic;
use keddah_inventory::{Inventory, Params, parameters, registry};
use std::collections::BTreeSet;

/// Warns of names that no finding has: whoever misspells one bears nothing, and learns of it at night.
/// `known` are the names of all findings, which the judgement of health has.
pub fn check_accepted(inventory: &Inventory, known: &[&str]) -> Vec<Diagnostic> {
    let mut told = BTreeSet::new();
    let mut problems = Vec::new();
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let Some(span) = params.span(parameters::KEDDAH_ACCEPT) else { continue };
        for name in params.get(parameters::KEDDAH_ACCEPT) {
            if known.contains(&name.as_str()) || !told.insert((span, name.clone())) {
                continue;
            }
            let message = format!("`keddah_accept` names `{name}`, which is no finding");
            let near = registry::nearest(&name, known.iter().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "docs/findings.md lists them; `keddah status` shows the name of each in brackets"
                    .to_owned(),
            };
            problems.push(Diagnostic::warning("unknown-finding", span, message).help(help));
        }
    }
    problems
}
