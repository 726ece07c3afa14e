//! What a removal's trip does otherwise: what is taken away is told from all else that differs from the
//! inventory, which waits for an apply and does not stop it.

use crate::steps::{self, Planned, Read, Selection};
use crate::{Context, Error, counted};
use keddah_compile::{Compiled, Removing};
use keddah_core::{Diagnostic, NodeName};
use keddah_fleet::Fleet;
use keddah_inventory::Inventory;
use keddah_resource::{DesiredFleet, NodeFacts};
use std::collections::{BTreeMap, BTreeSet};

/// The nodes that are asked what they are; before a removal all members of etcd, too.
pub fn needed(
    inventory: &Inventory,
    selection: &Selection,
    removing: &Removing,
) -> BTreeSet<NodeName> {
    let mut needed = keddah_compile::needed(inventory, selection.nodes());
    if !removing.is_empty() {
        needed.extend(keddah_compile::etcd_members(inventory));
    }
    needed
}

/// Compiles what a removal changes, and, beside it, what else the inventory wants of the nodes that
/// stay. Where something else is refused, only what goes is compiled, and a note says so.
///
/// # Errors
/// When the removal itself is refused.
pub fn compile(
    context: &Context,
    read: &mut Read,
    inventory: &Inventory,
    facts: BTreeMap<NodeName, NodeFacts>,
    signer: &steps::Signer,
    removing: &Removing,
) -> Result<(Compiled, Option<DesiredFleet>), Error> {
    let attempt = |facts: &BTreeMap<NodeName, NodeFacts>, removing: &Removing| {
        steps::attempt(context, inventory, facts, signer, removing)
    };
    let elsewhere = match attempt(&facts, removing)? {
        Err(problems) => problems,
        Ok(mut with) => {
            let nothing = Removing::default();
            let well = keddah_compile::as_if_well(facts.clone(), removing);
            let stays = match attempt(&well, &nothing)? {
                Ok(stays) => Ok(stays),
                Err(problems) => {
                    let cured = keddah_compile::without_what_goes(well, inventory, removing);
                    attempt(&cured, &nothing)?.map_err(|_| problems)
                }
            };
            match stays {
                Err(problems) => problems,
                Ok(mut stays) => {
                    keddah_compile::own_changes(&mut with.fleet, &stays.fleet);
                    let going = removing.hosts();
                    stays.fleet.retain(|resource| {
                        with.fleet.get(&resource.id).is_none() && !going.contains(&resource.id.node)
                    });
                    return Ok((with, Some(stays.fleet)));
                }
            }
        }
    };
    let alone = Removing { alone: true, ..removing.clone() };
    let problems = match attempt(&facts, &alone)? {
        Ok(mut compiled) if !compiled.fleet.is_empty() => {
            compiled.notes.push(postponed(&elsewhere));
            return Ok((compiled, None));
        }
        Ok(_) => elsewhere,
        Err(own) => own,
    };
    Err(Error::refused(read, problems))
}

/// Why the nodes that stay are not told of the removal.
fn postponed(problems: &[Diagnostic]) -> String {
    let why: Vec<String> =
        problems.iter().map(|one| format!("{} ({})", one.message, one.code)).collect();
    format!(
        "only what goes is taken away; load balancers, names and settings of the nodes that stay follow \
         with the next `keddah apply`, once this is mended: {}",
        why.join("; ")
    )
}

/// How much else differs from the inventory on the nodes that stay.
///
/// # Errors
/// When what should be waits for itself, or nodes trust another authority than the one that is here.
pub async fn waiting(
    fleet: &Fleet,
    mut others: DesiredFleet,
    selection: &Selection,
    signer: &steps::Signer,
) -> Result<Option<String>, Error> {
    selection.restrict(&mut others);
    let observed = fleet.observe(&others).await;
    signer.guard(&observed)?;
    let count = keddah_plan::plan(&others, &observed)?.changes.len();
    Ok((count > 0).then(|| {
        let wait = if count == 1 { "waits" } else { "wait" };
        format!(
            "{} {wait} for `keddah apply`; this removal leaves what they concern as it is",
            counted(count, "other change")
        )
    }))
}

/// Judges a removal once more, right before it is carried out: since it was planned, a person may have
/// thought it over for an hour. Who leads, a pause, etcd's quorum, the only backups: whatever refuses
/// a plan refuses this, too.
///
/// # Errors
/// When it is refused now.
pub async fn still_allowed(
    context: &Context,
    read: &mut Read,
    inventory: &Inventory,
    planned: &mut Planned,
    removing: &Removing,
) -> Result<(), Error> {
    let facts = steps::observe_facts(context, inventory, &mut planned.fleet).await;
    let alone = Removing { alone: true, ..removing.clone() };
    steps::compile(context, read, inventory, &facts, &planned.signer, &alone).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::Severity;

    #[test]
    fn what_is_postponed_is_said_with_its_reason() {
        let problem = Diagnostic::new(Severity::Error, "lost-data", None, "pg-b: it is not there");
        let note = postponed(&[problem]);
        assert!(note.contains("pg-b: it is not there (lost-data)"), "{note}");
        assert!(note.contains("keddah apply"), "{note}");
    }
}
