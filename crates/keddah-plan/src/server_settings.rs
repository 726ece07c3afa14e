//! Settings that a server has from elsewhere than its cluster's configuration: what no change of
//! the plan mends is at least named, so that "Nothing to change" does not hide it.

use crate::Outcome;
use keddah_resource::kind::{patroni_config, pg_settings::Setting, postmaster};
use keddah_resource::{DesiredFleet, Observed, ResourceId, Spec};
use std::collections::BTreeMap;

/// What there is to say of servers' settings.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// One note for each instance and sort, in the declared order.
    pub notes: Vec<String>,
    /// How many instances use another value than a declared one.
    pub otherwise: usize,
}

/// Compares what servers use with what is declared.
pub(crate) fn notes(desired: &DesiredFleet, observed: &BTreeMap<ResourceId, Outcome>) -> Told {
    let mut told = Told::default();
    for resource in desired.iter() {
        let Spec::Postmaster(spec) = &resource.spec else { continue };
        let Some(Outcome::Observed(Observed::Postmaster(present))) = observed.get(&resource.id)
        else {
            continue;
        };
        if present.settings.is_empty() {
            continue;
        }
        let stored = resource.cluster.as_deref().and_then(|name| stored(name, desired, observed));
        told.notes.extend(undeclared(spec, present));
        let otherwise = elsewhere(spec, present, stored);
        told.otherwise += usize::from(otherwise.is_some());
        told.notes.extend(otherwise);
    }
    told
}

/// The configuration of a cluster as the DCS has it.
fn stored<'a>(
    cluster: &str,
    desired: &DesiredFleet,
    observed: &'a BTreeMap<ResourceId, Outcome>,
) -> Option<&'a patroni_config::Observed> {
    let resource = desired.iter().find(|resource| {
        matches!(resource.spec, Spec::PatroniConfig(_))
            && resource.cluster.as_deref() == Some(cluster)
    })?;
    match observed.get(&resource.id) {
        Some(Outcome::Observed(Observed::PatroniConfig(stored))) => Some(stored),
        _ => None,
    }
}

fn undeclared(spec: &postmaster::Spec, present: &postmaster::Observed) -> Option<String> {
    let names: Vec<&str> = present
        .settings
        .iter()
        .filter(|setting| setting.altered && !spec.declares(setting))
        .map(|setting| setting.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} has settings of ALTER SYSTEM that nobody declared, which are left alone: {}",
            spec.instance,
            names.join(", ")
        )
    })
}

/// Declared parameters whose value the server takes from another place. One that the DCS does not
/// have yet is a change of this plan, and what waits for a restart is told as that.
fn elsewhere(
    spec: &postmaster::Spec,
    present: &postmaster::Observed,
    stored: Option<&patroni_config::Observed>,
) -> Option<String> {
    let stored = stored.map(patroni_config::Observed::parameters);
    let told = |setting: &Setting| {
        let (name, wanted) =
            spec.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(&setting.name))?;
        let comes = stored.as_ref().is_some_and(|stored| {
            stored.get(name).is_none_or(|value| patroni_config::display(value) != *wanted)
        });
        (!comes).then(|| {
            format!("{name} is {} by {}, declared is {wanted}", setting.value, setting.place)
        })
    };
    let counts =
        |setting: &&Setting| !(setting.altered || setting.needs_restart && present.pending_restart);
    let found: Vec<String> = present.settings.iter().filter(counts).filter_map(told).collect();
    (!found.is_empty())
        .then(|| format!("{} does not use what is declared: {}", spec.instance, found.join("; ")))
}
