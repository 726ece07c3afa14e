//! Parameters that follow the sizes of a cluster's nodes, while one of them does not answer: they stay as
//! they are, and the plan says why.

use crate::Outcome;
use keddah_resource::{DesiredFleet, Observed, ResourceId, Spec};
use std::collections::BTreeMap;

/// One note for each cluster of which something stays for that reason.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    let mut notes = Vec::new();
    for resource in desired.iter() {
        let Spec::PatroniConfig(spec) = &resource.spec else { continue };
        let Some(Outcome::Observed(Observed::PatroniConfig(present))) = observed.get(&resource.id)
        else {
            continue;
        };
        let held: Vec<String> = spec
            .held(present)
            .into_iter()
            .map(|(name, before, after)| {
                let or_default =
                    |value: Option<String>| value.unwrap_or_else(|| "the default".to_owned());
                format!("{name} {}, not {}", or_default(before), or_default(after))
            })
            .collect();
        if !held.is_empty() {
            notes.push(format!(
                "{} of {} does not answer, and how large it is decides what all members can start with: \
                 until it does, these stay as they are: {}",
                spec.away.join(", "),
                spec.cluster,
                held.join("; ")
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::kind::patroni_config;
    use keddah_resource::{Module, Resource};
    use serde_json::json;

    #[test]
    fn what_stays_is_named_with_the_reason() {
        let told = |sized: &[&str], away: &[&str]| {
            let spec: patroni_config::Spec = serde_json::from_value(json!({
                "cluster": "pg-test", "settings": {}, "postgresql": {}, "sized": sized, "away": away,
                "parameters": {"shared_buffers": "8GB", "work_mem": "8MB"},
                "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008,
                        "ca_path": null, "username": "u", "password": "p"},
                "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
            }))
            .expect("a spec");
            let parameters = json!({"shared_buffers": "1GB", "work_mem": "4MB"});
            let present: patroni_config::Observed = serde_json::from_value(
                json!({"document": {"postgresql": {"parameters": parameters}}, "known": null}),
            )
            .expect("an observation");
            let mut desired = DesiredFleet::default();
            let id = desired.add(Resource::new(&NodeName::new("a"), Module::Pgsql, spec));
            notes(&desired, &BTreeMap::from([(id, Outcome::Observed(present.into()))]))
        };
        assert_eq!(
            told(&["shared_buffers"], &["pg-test-3 on c"]),
            [
                "pg-test-3 on c of pg-test does not answer, and how large it is decides what all members \
              can start with: until it does, these stay as they are: shared_buffers 1GB, not 8GB"
            ]
        );
        assert!(told(&[], &[]).is_empty());
    }
}
