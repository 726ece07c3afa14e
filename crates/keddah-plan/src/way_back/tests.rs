use crate::{Certainty, Outcome, Plan};
use keddah_core::NodeName;
use keddah_resource::kind::{patroni_config, pg_instance, postmaster};
use keddah_resource::{
    Class, DesiredFleet, Kind, Module, Observed, Resource, ResourceId, TriggerAction,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A leader on `a` and a replica on `b`, whose members are in these states, and the plan that corrects
/// `shared_buffers` from `900GB` to `1GB`; servers that serve run with `runs_with`. With `more`, the plan brings
/// another value that asks for a restart.
fn corrected(states: [&str; 2], runs_with: &str, more: bool) -> Plan {
    let api = json!({"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
        "username": "u", "password": "p"});
    let connection = json!({"socket_directory": "/run", "port": 5432, "superuser": "postgres"});
    let mut parameters = json!({"shared_buffers": "1GB"});
    if more {
        parameters["wal_buffers"] = json!("64MB");
    }
    let setting = |name: &str| json!({"name": name, "vartype": "integer", "unit": "8kB", "context": "postmaster"});
    let mut desired = DesiredFleet::default();
    let mut observed: BTreeMap<ResourceId, Outcome> = BTreeMap::new();
    let mut instances = Vec::new();
    let mut servers = Vec::new();
    for (node, name, state) in [("a", "pg-1", states[0]), ("b", "pg-2", states[1])] {
        let node = NodeName::new(node);
        let spec: pg_instance::Spec = from(json!({
            "instance": name, "data_directory": "/pg/data", "patience_seconds": 1, "paused": false,
            "origin": if instances.is_empty() { "bootstrap" } else { "clone" }, "api": api,
        }));
        let instance = Resource::new(&node, Module::Pgsql, spec)
            .in_cluster("pg")
            .after(instances.first().cloned());
        let id = desired.add(instance);
        let present =
            pg_instance::Observed { initialized: true, state: Some(state.to_owned()), role: None };
        observed.insert(id.clone(), Outcome::Observed(Observed::PgInstance(present)));
        instances.push(id);
        let spec: postmaster::Spec = from(json!({
            "instance": name, "patience_seconds": 1, "settled_seconds": 1, "restarts": true,
            "parameters": parameters, "api": api, "connection": connection,
        }));
        let id = desired.add(Resource::new(&node, Module::Pgsql, spec).in_cluster("pg"));
        let running = state == "running";
        let present: postmaster::Observed = from(json!({
            "running": running, "pending_restart": running, "owes": "restart",
            "waiting": [{"setting": setting("shared_buffers"), "runs_with": runs_with, "default": false}],
        }));
        observed.insert(id.clone(), Outcome::Observed(present.into()));
        servers.push(id);
    }
    let spec: patroni_config::Spec = from(json!({
        "cluster": "pg", "settings": {}, "parameters": parameters, "postgresql": {},
        "api": api, "connection": connection,
    }));
    let present: patroni_config::Observed = from(json!({
        "document": {"postgresql": {"parameters": {"shared_buffers": "900GB"}}},
        "known": {"shared_buffers": setting("shared_buffers"), "wal_buffers": setting("wal_buffers")},
    }));
    let mut config = Resource::new(&NodeName::new("a"), Module::Pgsql, spec)
        .in_cluster("pg")
        .after([instances[0].clone()]);
    for server in &servers {
        config = config.triggers(server, TriggerAction::Restart, Class::OrderedRestart);
    }
    let id = desired.add(config);
    observed.insert(id, Outcome::Observed(present.into()));
    crate::plan(&desired, &observed).expect("a plan")
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is one")
}

/// Whether each server that would restart surely does.
fn restarts(plan: &Plan) -> Vec<(&str, bool)> {
    let servers = plan.changes.iter().filter(|change| {
        change.id.kind == Kind::Postmaster && change.difference.class >= Class::Restart
    });
    servers.map(|change| (change.id.name.as_str(), change.certainty == Certainty::Known)).collect()
}

#[test]
fn who_never_took_the_bad_value_over_restarts_for_nothing() {
    // 131072 pages of 8 kB.
    assert_eq!(
        restarts(&corrected(["running", "start failed"], "131072", false)),
        [("pg-1", false)]
    );
    // Another value than the declared one is a reason, and so is what else changes.
    assert_eq!(restarts(&corrected(["running", "start failed"], "16384", false)), [("pg-1", true)]);
    assert_eq!(restarts(&corrected(["running", "start failed"], "131072", true)), [("pg-1", true)]);
}

#[test]
fn settings_come_before_servers_that_cannot_start_without_them() {
    let order = |states: [&str; 2]| -> Vec<(usize, Kind)> {
        let plan = corrected(states, "131072", false);
        let changes = plan.changes.iter().filter(|change| change.id.kind != Kind::Postmaster);
        changes.map(|change| (change.wave, change.id.kind)).collect()
    };
    let down = order(["start failed", "start failed"]);
    assert_eq!(down[0], (0, Kind::PatroniConfig), "{down:?}");
    assert_eq!(
        down.iter().filter(|(wave, kind)| *wave > 0 && *kind == Kind::PgInstance).count(),
        2
    );
    // A leader that serves takes them as ever; a member that is down waits for nobody.
    let one = order(["running", "start failed"]);
    assert_eq!(one, [(0, Kind::PgInstance), (0, Kind::PatroniConfig)]);
}
