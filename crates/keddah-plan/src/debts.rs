//! What each change owes to others: which reload or restart follows it, and who remembers that when
//! everything stops half-way.
//!
//! A debt is decided here and carried out as it stands: on the change's own node it is written down
//! when the node knows how grave the change really is; on another node before the change is begun.
//! A selection leaves targets out, never their debts.

use crate::Certainty;
use keddah_resource::{Class, Difference, Kind, Resource, ResourceId, Trigger, TriggerAction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who remembers a debt until it is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remembered {
    /// The change's own node writes it down, right before it carries the change out.
    OnTheSpot,
    /// The target's node writes it down before the change is begun; where it cannot, nothing is begun.
    Beforehand,
    /// PostgreSQL itself: a parameter that waits for a restart is there for all to see
    /// (`pg_settings.pending_restart`), and a server that starts anew uses it.
    ByPostgresql,
}

/// A reload or restart that follows a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// Who must reload or restart.
    pub target: ResourceId,
    /// What it must do.
    pub action: TriggerAction,
    /// Only where the change turns out at least as grave as this.
    pub from_class: Class,
    /// Who remembers it.
    pub remembered: Remembered,
    /// The target stands outside of what was selected: it is paid by a later apply.
    #[serde(default)]
    pub outside: bool,
}

/// What is known of a trigger's target in this plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// It has a change of its own here.
    Changes,
    /// It, or something before it, could not be looked at: it may run.
    LeftOut,
    /// Nothing of it changes.
    Rests,
}

/// What a change owes: to targets of this plan, then to those that a selection has left out.
pub(crate) fn of(
    resource: &Resource,
    difference: &Difference,
    certainty: &Certainty,
    target: impl Fn(&ResourceId) -> Target,
) -> Vec<Debt> {
    let certain = *certainty == Certainty::Known;
    let pulled = |trigger: &Trigger| !certain || difference.class >= trigger.from_class;
    let inside = resource.triggers.iter().filter_map(|trigger| {
        let is_server = trigger.target.kind == Kind::Postmaster;
        let remembered = match target(&trigger.target) {
            // A server that runs and whose restart is asked for is a change. One that rests does not
            // run: it will start with the new files, and would be restarted for nothing.
            Target::Rests if is_server => return None,
            // How grave it is will be known on the spot, and may be more than was planned.
            _ if trigger.target.node == resource.id.node => Remembered::OnTheSpot,
            Target::Rests => return None,
            _ if !pulled(trigger) => return None,
            // A restart that may not be needed is not written down: PostgreSQL knows.
            Target::LeftOut if is_server => Remembered::ByPostgresql,
            Target::Changes if is_server && !certain => Remembered::ByPostgresql,
            Target::Changes | Target::LeftOut => Remembered::Beforehand,
        };
        Some(debt(trigger, remembered, false))
    });
    let outside = resource.outside.iter().filter(|trigger| pulled(trigger)).map(|trigger| {
        let restarts_server =
            trigger.target.kind == Kind::Postmaster && trigger.action == TriggerAction::Restart;
        let remembered = if trigger.target.node == resource.id.node {
            Remembered::OnTheSpot
        } else if restarts_server {
            Remembered::ByPostgresql
        } else {
            Remembered::Beforehand
        };
        debt(trigger, remembered, true)
    });
    inside.chain(outside).collect()
}

fn debt(trigger: &Trigger, remembered: Remembered, outside: bool) -> Debt {
    let Trigger { target, action, from_class } = trigger.clone();
    Debt { target, action, from_class, remembered, outside }
}

/// Whether clients may find a service elsewhere after such a change, or not yet again: who applies
/// then waits until health checks have found the servers.
pub(crate) fn moves_services(kind: Kind) -> bool {
    matches!(kind, Kind::Unit | Kind::PgInstance | Kind::Postmaster)
}

/// What is owed outside of the selection, named: one note for each action.
pub(crate) fn notes<'a>(debts: impl IntoIterator<Item = &'a Debt>) -> Vec<String> {
    let mut owed: BTreeMap<&ResourceId, TriggerAction> = BTreeMap::new();
    for debt in debts.into_iter().filter(|debt| debt.outside) {
        let action = owed.entry(&debt.target).or_insert(debt.action);
        *action = debt.action.max(*action);
    }
    let named = |wanted: TriggerAction| -> Vec<String> {
        let mut names: Vec<String> = owed
            .iter()
            .filter(|(_, action)| **action == wanted)
            .map(|(target, _)| format!("{} on {}", target.name, target.node))
            .collect();
        names.sort();
        names
    };
    [(TriggerAction::Restart, "a restart"), (TriggerAction::Reload, "a reload")]
        .into_iter()
        .map(|(action, words)| (words, named(action)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(words, names)| {
            format!(
                "outside of this selection, {words} is owed from then on, and shown by the next plan \
                 that holds them: {}",
                names.join(", ")
            )
        })
        .collect()
}
