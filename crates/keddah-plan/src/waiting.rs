//! Restarts that wait because nothing may restart (`--restart never`): a plan that does none of them
//! still names them, for "as declared" is not what these servers are.

use crate::Outcome;
use keddah_resource::{DesiredFleet, Observed, ResourceId, Spec, TriggerAction};
use std::collections::BTreeMap;

/// One note for all of them.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    let waits = |resource: &keddah_resource::Resource| {
        let Spec::Postmaster(spec) = &resource.spec else { return None };
        let Some(Outcome::Observed(Observed::Postmaster(present))) = observed.get(&resource.id)
        else {
            return None;
        };
        let owes = present.pending_restart || present.owes == Some(TriggerAction::Restart);
        (!spec.restarts && present.running && owes).then(|| spec.instance.clone())
    };
    let waiting: Vec<String> = desired.iter().filter_map(waits).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "wait for a restart (`--restart never`), and do not use all that is declared: {}",
        waiting.join(", ")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::kind::postmaster;
    use keddah_resource::{Module, Resource};
    use serde_json::json;

    #[test]
    fn what_waits_is_named_where_nothing_may_restart() {
        let told = |restarts, pending_restart| {
            let spec: postmaster::Spec = serde_json::from_value(json!({
                "instance": "pg-1", "patience_seconds": 30, "settled_seconds": 1, "restarts": restarts,
                "parameters": {},
                "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
                        "username": "u", "password": "p"},
                "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
            }))
            .expect("a spec");
            let mut desired = DesiredFleet::default();
            let id = desired.add(Resource::new(&NodeName::new("a"), Module::Pgsql, spec));
            let present =
                postmaster::Observed { running: true, pending_restart, ..Default::default() };
            notes(&desired, &BTreeMap::from([(id, Outcome::Observed(present.into()))]))
        };
        assert!(told(false, true)[0].ends_with("declared: pg-1"));
        assert!(told(false, false).is_empty(), "nothing waits");
        assert!(told(true, true).is_empty(), "it is a change of the plan");
    }
}
