//! Archiving that begins again: what was written meanwhile is in no archive. That a primary does not get its
//! WAL into the archive now is a finding (`health`).

use crate::Outcome;
use keddah_resource::kind::patroni_config;
use keddah_resource::{DesiredFleet, Observed, Resource, ResourceId, Spec};
use std::collections::BTreeMap;

/// One note for each of them.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    desired.iter().filter_map(|resource| resumed(resource, desired, observed)).collect()
}

/// Archiving that begins again: what was written meanwhile is in no archive, and the backups that are there
/// do not lead on to what comes.
fn resumed(
    resource: &Resource,
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Option<String> {
    const OFF: &str = "off";
    let Spec::PatroniConfig(spec) = &resource.spec else { return None };
    let Outcome::Observed(Observed::PatroniConfig(stored)) = observed.get(&resource.id)? else {
        return None;
    };
    let was = stored.parameters().get("archive_mode").map(patroni_config::display)?;
    let will = spec.parameters.get("archive_mode")?;
    if was != OFF || will == OFF {
        return None;
    }
    // Where there is no backup at all, the plan takes one.
    let mut backups = desired.iter().filter(|one| one.cluster == resource.cluster);
    let first = backups.any(|one| match observed.get(&one.id) {
        Some(Outcome::Observed(Observed::Backup(present))) => present.full_backups == 0,
        _ => false,
    });
    (!first).then(|| {
        format!(
            "{} archives its WAL again: what was written without that is in no archive, and no backup from \
             before leads on to what comes. A backup is due after the apply (`pg-backup`, on its primary)",
            spec.cluster
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::Module;
    use keddah_resource::kind::backup;
    use serde_json::json;

    #[test]
    fn a_backup_is_due_where_wal_was_not_archived_for_a_while() {
        let settings = |mode: &str| -> patroni_config::Spec {
            serde_json::from_value(json!({
                "cluster": "pg-test", "settings": {}, "parameters": {"archive_mode": mode}, "postgresql": {},
                "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
                        "username": "u", "password": "p"},
                "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
            }))
            .expect("a spec")
        };
        let told = |was: &str, will: &str, full_backups: u32| {
            let mut desired = DesiredFleet::default();
            let node = NodeName::new("a");
            let spec = settings(will);
            let id = desired.add(Resource::new(&node, Module::Pgsql, spec).in_cluster("pg-test"));
            let spec: backup::Spec = serde_json::from_value(json!({
                "stanza": "pg-test", "account": "postgres", "patience_seconds": 1, "not_before": null,
            }))
            .expect("a spec");
            let kept = desired.add(Resource::new(&node, Module::Pgsql, spec).in_cluster("pg-test"));
            let document = json!({"postgresql": {"parameters": {"archive_mode": was}}});
            let stored: patroni_config::Observed =
                serde_json::from_value(json!({"document": document, "known": null}))
                    .expect("an observation");
            let present = backup::Observed { full_backups, newest: 7 };
            let observed = BTreeMap::from([
                (id, Outcome::Observed(stored.into())),
                (kept, Outcome::Observed(present.into())),
            ]);
            notes(&desired, &observed)
        };
        assert!(told("off", "on", 2)[0].starts_with("pg-test archives its WAL again"));
        assert!(told("off", "on", 0).is_empty(), "the plan takes the first one");
        assert!(told("on", "on", 2).is_empty() && told("on", "off", 2).is_empty());
    }
}
