//! What holds for every fleet, on random dependency graphs.

#![allow(clippy::unwrap_used, reason = "a fleet that cannot be made fails its test")]

use keddah_core::NodeName;
use keddah_plan::{Outcome, plan};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{file, unit};
use keddah_resource::{
    Class, DesiredFleet, Kind, Module, Observed, Resource, ResourceId, TriggerAction,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Per resource: node, whether it is a unit, state, edges to earlier resources, triggers.
type Drawn = (u8, bool, u8, Vec<prop::sample::Index>, Option<prop::sample::Index>);

fn fleet(drawn: &[Drawn]) -> (DesiredFleet, BTreeMap<ResourceId, Outcome>) {
    let mut desired = DesiredFleet::default();
    let mut observed = BTreeMap::new();
    let mut ids: Vec<ResourceId> = Vec::new();
    for (at, (node, is_unit, state, after, triggered_by)) in drawn.iter().enumerate() {
        let node = NodeName::new(format!("n{node}"));
        let resource = if *is_unit {
            let spec = unit::Spec::running(format!("u{at}.service"));
            Resource::new(&node, Module::Node, spec)
        } else {
            let spec = file::Spec::text(format!("/{at}"), "x\n", Permissions::root(0o644));
            Resource::new(&node, Module::Node, spec)
        };
        let after = after.iter().filter(|_| at > 0).map(|index| ids[index.index(at)].clone());
        let resource = resource.after(after);
        let outcome = match (state, &resource.spec) {
            (0, keddah_resource::Spec::File(_)) => {
                Outcome::Observed(Observed::File(file::Observed { present: None }))
            }
            (0, _) => Outcome::Observed(Observed::Unit(unit::Observed {
                exists: false,
                enabled: false,
                running: false,
                owes: None,
                process: None,
            })),
            (1, _) => Outcome::NotYet { because: "later".into() },
            (_, spec) => Outcome::Observed(spec.settled()),
        };
        let id = desired.add(resource);
        observed.insert(id.clone(), outcome);
        if let (true, Some(source), true) = (*is_unit, triggered_by, at > 0) {
            let source = desired.get_mut(&ids[source.index(at)]).unwrap();
            let action = if at % 2 == 0 { TriggerAction::Reload } else { TriggerAction::Restart };
            *source = source.clone().triggers(&id, action, Class::InPlace);
        }
        ids.push(id);
    }
    (desired, observed)
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let edges = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let trigger = proptest::option::of(any::<prop::sample::Index>());
    prop::collection::vec((0_u8..4, any::<bool>(), 0_u8..4, edges, trigger), 1..40)
}

proptest! {
    #[test]
    fn order_waves_and_convergence(drawn in drawn()) {
        let (desired, mut observed) = fleet(&drawn);
        let made = plan(&desired, &observed).unwrap();

        // Every declared order between two changes, direct or through others, is a path of `after`.
        let predecessors = desired.predecessors();
        let mut before_all: BTreeMap<ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
        for id in desired.ordered().unwrap() {
            let mut all = BTreeSet::new();
            for before in &predecessors[&id] {
                all.insert(before.clone());
                all.extend(before_all[before].iter().cloned());
            }
            before_all.insert(id, all);
        }
        let changed: BTreeSet<_> = made.changes.iter().map(|change| change.id.clone()).collect();
        let mut planned_before: BTreeMap<ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
        let mut waves = BTreeMap::new();
        for change in &made.changes {
            let mut all = BTreeSet::new();
            for before in &change.after {
                prop_assert!(waves[before] < change.wave, "a wave comes before what it waits for");
                all.insert(before.clone());
                all.extend(planned_before[before].iter().cloned());
            }
            let wanted: BTreeSet<_> =
                before_all[&change.id].intersection(&changed).cloned().collect();
            prop_assert_eq!(&all, &wanted, "exactly the declared order, contracted");
            // Minimal: the wave is zero, or one more than that of something it waits for.
            let least = change.after.iter().map(|id| waves[id] + 1).max().unwrap_or(0);
            prop_assert_eq!(change.wave, least);
            planned_before.insert(change.id.clone(), all);
            waves.insert(change.id.clone(), change.wave);
        }

        // The same input gives the same digest.
        let again = plan(&desired, &observed).unwrap();
        prop_assert_eq!(made.digest(), again.digest());
        prop_assert_eq!(serde_json::from_str::<keddah_plan::Plan>(
            &serde_json::to_string(&made).unwrap()).unwrap(), made.clone());

        // A unit is planned when something that triggers it is, unless it starts anyway.
        for resource in desired.iter().filter(|resource| changed.contains(&resource.id)) {
            for trigger in &resource.triggers {
                prop_assert!(changed.contains(&trigger.target));
            }
        }

        // Carry out all of it, then plan again: nothing.
        for change in &made.changes {
            let settled = desired.get(&change.id).unwrap().spec.settled();
            observed.insert(change.id.clone(), Outcome::Observed(settled));
        }
        let after = plan(&desired, &observed).unwrap();
        prop_assert!(after.is_settled());
        prop_assert_eq!(after.resources, desired.len());
        prop_assert!(desired.iter().all(|resource| resource.id.kind != Kind::User));
    }
}
