//! Replicas that run and do not receive what is written: no change of a plan mends that, and "Nothing to
//! change" must not hide it.

use crate::Outcome;
use keddah_resource::{DesiredFleet, Observed, ResourceId, Spec};
use std::collections::BTreeMap;

/// One note for each of them.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    let named = |resource: &keddah_resource::Resource| {
        let Spec::PgInstance(spec) = &resource.spec else { return None };
        let Some(Outcome::Observed(Observed::PgInstance(present))) = observed.get(&resource.id)
        else {
            return None;
        };
        (present.streams == Some(false)).then(|| {
            format!(
                "{} on {} runs and does not stream: what is written now is not on it, and it may be shown \
                 to readers; its log and `journalctl -u {}` on the node say why",
                spec.instance, resource.id.node, spec.api.unit
            )
        })
    };
    desired.iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::kind::pg_instance;
    use keddah_resource::{Module, Resource};
    use serde_json::json;

    #[test]
    fn one_that_does_not_stream_is_named() {
        let mut desired = DesiredFleet::default();
        let spec: pg_instance::Spec = serde_json::from_value(json!({
            "instance": "pg-test-2", "data_directory": "/pg/data", "origin": "clone", "patience_seconds": 1,
            "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
                    "username": "u", "password": "p"},
        }))
        .expect("a spec");
        let id = desired.add(Resource::new(&NodeName::new("a"), Module::Pgsql, spec));
        let with = |streams| {
            let present = pg_instance::Observed {
                initialized: true,
                state: Some("running".to_owned()),
                role: Some("replica".to_owned()),
                streams,
            };
            notes(&desired, &BTreeMap::from([(id.clone(), Outcome::Observed(present.into()))]))
        };
        assert!(with(Some(false))[0].starts_with("pg-test-2 on a runs and does not stream"));
        assert!(with(Some(true)).is_empty() && with(None).is_empty());
    }
}
