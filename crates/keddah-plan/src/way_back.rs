//! The way back from a value with which no server starts: the cluster's settings are corrected before anybody
//! waits for a server that cannot start without that, and servers that never took the value over restart for
//! nothing.

use crate::Outcome;
use keddah_resource::kind::{patroni_config, pg_instance, postmaster};
use keddah_resource::{DesiredFleet, Difference, Observed, Resource, ResourceId, Spec};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Why a restart that is planned will most likely not be needed.
pub(crate) const NEEDLESS: &str = "it runs with what is declared already, and restarts only if it waits for something else by then";

/// The fleet in an order in which the settings of a cluster that has been made come before its members, where
/// its leader's Patroni answers and its server does not serve. Patroni's interface takes settings without one
/// (`PATCH /config`), and starts PostgreSQL with them.
pub(crate) fn settings_first<'a>(
    desired: &'a DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Cow<'a, DesiredFleet> {
    let wrong: Vec<&Resource> = desired
        .iter()
        .filter(|resource| {
            let (Spec::PatroniConfig(spec), Some(present)) =
                (&resource.spec, stored(&resource.id, observed))
            else {
                return false;
            };
            spec.diff(present).is_some()
                && resource.after.iter().any(|id| waits(desired.get(id), observed))
        })
        .collect();
    let mut arranged = Cow::Borrowed(desired);
    for config in wrong {
        let mut before = Vec::new();
        for id in &config.after {
            match desired.get(id) {
                Some(Resource { spec: Spec::PgInstance(_), after, .. }) => before.extend(
                    after.iter().filter(|id| id.kind != keddah_resource::Kind::PgInstance).cloned(),
                ),
                _ => before.push(id.clone()),
            }
        }
        for resource in arranged.to_mut().iter_mut() {
            if resource.id == config.id {
                resource.after.clone_from(&before);
            } else if matches!(resource.spec, Spec::PgInstance(_))
                && resource.cluster == config.cluster
            {
                resource.after.push(config.id.clone());
            }
        }
    }
    arranged
}

/// Whether a member has data, and a Patroni that answers and serves nothing.
fn waits(resource: Option<&Resource>, observed: &BTreeMap<ResourceId, Outcome>) -> bool {
    let Some(Resource { id, spec: Spec::PgInstance(_), .. }) = resource else { return false };
    let Some(Outcome::Observed(Observed::PgInstance(present))) = observed.get(id) else {
        return false;
    };
    let state = present.state.as_deref();
    present.initialized && state.is_some_and(|state| !pg_instance::Spec::serves(state))
}

fn stored<'a>(
    id: &ResourceId,
    observed: &'a BTreeMap<ResourceId, Outcome>,
) -> Option<&'a patroni_config::Observed> {
    match observed.get(id) {
        Some(Outcome::Observed(Observed::PatroniConfig(present))) => Some(present),
        _ => None,
    }
}

/// Whether a server would restart for nothing: it runs with what is declared of all that it waits for, and these
/// changes of its cluster's settings bring nothing else that asks for a restart.
pub(crate) fn needless<'a>(
    spec: &postmaster::Spec,
    present: &postmaster::Observed,
    mut changes: impl Iterator<Item = (&'a Difference, Option<&'a patroni_config::Observed>)>,
) -> bool {
    let waits_for =
        |name: &str| present.waiting.iter().any(|one| one.setting.name.eq_ignore_ascii_case(name));
    spec.runs_as_declared(present)
        && changes.all(|(difference, stored)| {
            let Some(known) = stored.and_then(|stored| stored.known.as_ref()) else { return false };
            difference.fields.iter().all(|change| {
                let name = change.field();
                let setting = known.get(&name.to_ascii_lowercase());
                setting.is_none_or(|one| one.context != "postmaster") || waits_for(name)
            })
        })
}

/// What [`needless`] is asked with for one that pulls: its difference, and what was observed of it.
pub(crate) fn pulled<'a>(
    id: &ResourceId,
    difference: &'a Difference,
    observed: &'a BTreeMap<ResourceId, Outcome>,
) -> (&'a Difference, Option<&'a patroni_config::Observed>) {
    (difference, stored(id, observed))
}

#[cfg(test)]
mod tests;
