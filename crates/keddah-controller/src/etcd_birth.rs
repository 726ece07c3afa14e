//! Before an empty etcd is made, every host is asked, selected or not: a Patroni that waits for etcd
//! anywhere takes the lead in it at once.

use crate::steps::{Read, Selection, connect_within};
use crate::{Context, Error};
use keddah_core::NodeName;
use keddah_fleet::{FirstQuestions, Limits};
use keddah_inventory::Inventory;
use keddah_resource::{Module, NodeFacts};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Asks the hosts that were not `asked`, where an empty etcd would be made, and judges by what all of them
/// say. What they say is used for nothing else: they are no part of the plan.
///
/// # Errors
/// When the etcd must not be made.
pub async fn nobody_waits_for_etcd(
    context: &Context,
    read: &mut Read,
    inventory: &Inventory,
    selection: &Selection,
    asked: &BTreeSet<NodeName>,
    facts: &BTreeMap<NodeName, NodeFacts>,
    patience: Duration,
) -> Result<(), Error> {
    if !selection.wants_module(Module::Etcd) {
        return Ok(());
    }
    let nodes = selection.nodes();
    // Of such an inventory, compiling says what is wrong.
    let unasked = keddah_compile::asked_before_etcd(inventory, nodes, asked, facts);
    let Ok(unasked) = unasked else { return Ok(()) };
    let mut all = facts.clone();
    if !unasked.is_empty() {
        let questions = FirstQuestions {
            facts: keddah_compile::probes(inventory),
            patience,
            ..FirstQuestions::default()
        };
        let limits = Limits::looking(patience);
        let (answers, _) = connect_within(context, inventory, &unasked, limits, questions).await?;
        all.extend(answers.facts);
    }
    let starts =
        if selection.wants_module(Module::Pgsql) { nodes.clone() } else { BTreeSet::new() };
    keddah_compile::may_begin_etcd(inventory, nodes, &starts, &all)
        .map_err(|problems| Error::refused(read, problems))
}
