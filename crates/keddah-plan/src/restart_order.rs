//! A leader that restarts with more of something than its replicas have: where a selection holds the
//! leader and not the replicas, no order of restarts is right.

use crate::health::Health;
use crate::{Outcome, Plan};
use keddah_resource::{
    Class, DesiredFleet, Kind, Observed, Resource, ResourceId, Spec, TriggerAction,
};
use std::collections::{BTreeMap, BTreeSet};

/// Clusters of which a limit shrinks that no replica may have less of than its primary: because the
/// configuration changes now, or because its primary still runs with more than an earlier change wrote
/// down. Their restarts go the other way round: a replica that restarted first would come back with the
/// primary's larger value.
pub(crate) fn shrinking<'a>(
    resources: &[&'a Resource],
    observed: &BTreeMap<ResourceId, Outcome>,
) -> BTreeSet<&'a str> {
    let mut limits: BTreeMap<&str, &BTreeMap<String, i64>> = BTreeMap::new();
    for resource in resources {
        if let (Some(cluster), Some(Outcome::Observed(Observed::Postmaster(server)))) =
            (resource.cluster.as_deref(), observed.get(&resource.id))
            && !server.limits.is_empty()
        {
            limits.insert(cluster, &server.limits);
        }
    }
    let shrinks = |resource: &&&'a Resource| match (&resource.spec, observed.get(&resource.id)) {
        (Spec::PatroniConfig(spec), Some(Outcome::Observed(Observed::PatroniConfig(present)))) => {
            let runs = resource.cluster.as_deref().and_then(|cluster| limits.get(cluster));
            spec.shrinks(present) || runs.is_some_and(|limits| spec.lowers(present, limits))
        }
        _ => false,
    };
    resources.iter().filter(shrinks).filter_map(|resource| resource.cluster.as_deref()).collect()
}

/// Refuses such restarts. A replica that has less of these than its primary stops replaying
/// ("Hot Standby", "Administrator's Overview" in PostgreSQL's manual).
pub(crate) fn guard(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
    plan: &mut Plan,
) {
    let mut refused: Vec<(ResourceId, String)> = Vec::new();
    for change in &plan.changes {
        let Some(Spec::PatroniConfig(spec)) = desired.get(&change.id).map(|one| &one.spec) else {
            continue;
        };
        let Some(Outcome::Observed(Observed::PatroniConfig(present))) = observed.get(&change.id)
        else {
            continue;
        };
        let grows = spec.grows(present);
        let mut waiting: Vec<&str> = change
            .owes
            .iter()
            .filter(|debt| debt.outside && debt.action == TriggerAction::Restart)
            .filter(|debt| debt.target.kind == Kind::Postmaster)
            .map(|debt| debt.target.name.as_str())
            .collect();
        waiting.sort_unstable();
        if grows.is_empty() || waiting.is_empty() {
            continue;
        }
        let why = format!(
            "{} of {} grows, and a replica must not have less of it than its primary: {} would have to \
             restart first and is outside of this selection; select the whole cluster (`-l {}`), or \
             let restarts wait (`--restart never`)",
            grows.join(", "),
            spec.cluster,
            waiting.join(", "),
            spec.cluster,
        );
        // The configuration is written through its leader, whose server stands on the same node.
        let leader = plan.changes.iter().find(|other| {
            other.id.kind == Kind::Postmaster
                && other.id.node == change.id.node
                && other.cluster == change.cluster
                && other.difference.class >= Class::Restart
        });
        refused.extend(leader.map(|leader| (leader.id.clone(), why)));
    }
    for (id, why) in refused {
        for change in plan.changes.iter_mut().filter(|change| change.id == id) {
            change.difference.impossible.get_or_insert(why.clone());
        }
    }
}

/// Refuses the restart of a leader that comes back with more of such a limit while replicas outside of the
/// selection wait for the restart that takes it over: an earlier apply has written it down and left them
/// out, together with the leader.
pub fn not_before_its_replicas(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
    health: &Health,
    plan: &mut Plan,
) {
    let mut refused: Vec<(ResourceId, String)> = Vec::new();
    for change in plan.changes.iter().filter(|change| change.id.kind == Kind::Postmaster) {
        let (Some(cluster), true) = (&change.cluster, change.difference.class >= Class::Restart)
        else {
            continue;
        };
        let Some(Outcome::Observed(Observed::Postmaster(server))) = observed.get(&change.id) else {
            continue;
        };
        // It is the leader's node that the cluster's settings are planned on, and the leader that tells its
        // limits.
        let config = desired.iter().find_map(|one| match (&one.spec, observed.get(&one.id)) {
            (Spec::PatroniConfig(spec), Some(Outcome::Observed(Observed::PatroniConfig(is))))
                if one.cluster.as_ref() == Some(cluster) && one.id.node == change.id.node =>
            {
                Some((spec, is))
            }
            _ => None,
        });
        let Some((spec, present)) = config else { continue };
        let raises = spec.raises(present, &server.limits);
        let waiting: Vec<&str> = health
            .findings
            .iter()
            .filter(|one| one.name == "pending-restart" && one.cluster.as_ref() == Some(cluster))
            .map(|one| one.place.as_str())
            .filter(|name| *name != change.id.name && !restarts(plan, name))
            .collect();
        if raises.is_empty() || waiting.is_empty() {
            continue;
        }
        let why = format!(
            "{} comes back with more {} than it runs with, and a replica must not have less of it than its \
             primary: {} still waits for the restart that takes it over and is outside of this selection; \
             select the whole cluster (`-l {cluster}`), or let restarts wait (`--restart never`)",
            change.id.name,
            raises.join(", "),
            waiting.join(", "),
        );
        refused.push((change.id.clone(), why));
    }
    for (id, why) in refused {
        for change in plan.changes.iter_mut().filter(|change| change.id == id) {
            change.difference.impossible.get_or_insert(why.clone());
        }
    }
}

/// Whether a plan restarts the server of an instance.
fn restarts(plan: &Plan, instance: &str) -> bool {
    plan.changes.iter().any(|change| {
        change.id.kind == Kind::Postmaster
            && change.id.name == instance
            && change.difference.class >= Class::Restart
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Finding, Severity};
    use keddah_core::{NodeName, Setting};
    use keddah_resource::Module;
    use keddah_resource::kind::{patroni_config, postmaster};
    use serde_json::json;

    /// A leader on `a` and a replica on `b`, of which `nodes` are selected; what is refused.
    fn refused(before: &str, nodes: &[&str]) -> Vec<String> {
        let plan = planned(before, nodes, None);
        let impossible = plan.changes.iter().filter_map(|change| {
            let why = change.difference.impossible.as_deref()?;
            Some(format!("{}: {why}", change.id.name))
        });
        impossible.collect()
    }

    /// The plan for `max_connections: 200`, with what the configuration says before, and what the leader runs
    /// with where both servers wait for a restart.
    fn planned(before: &str, nodes: &[&str], runs: Option<i64>) -> Plan {
        planned_beside(before, nodes, runs, &[])
    }

    /// The same beside members that wait for a restart, whether they are selected or not.
    fn planned_beside(before: &str, nodes: &[&str], runs: Option<i64>, waits: &[&str]) -> Plan {
        let api = json!({"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
            "username": "u", "password": "p"});
        let connection = json!({"socket_directory": "/run", "port": 5432, "superuser": "postgres"});
        let mut desired = DesiredFleet::default();
        let mut observed = BTreeMap::new();
        let mut servers = Vec::new();
        for (node, name) in [("b", "pg-2"), ("a", "pg-1")] {
            let spec: postmaster::Spec = serde_json::from_value(json!({
                "instance": name, "patience_seconds": 1, "settled_seconds": 1, "restarts": true,
                "parameters": {}, "api": api, "connection": connection,
            }))
            .expect("a spec");
            let mut server =
                Resource::new(&NodeName::new(node), Module::Pgsql, spec).in_cluster("pg");
            server.restart_after.clone_from(&servers);
            let id = desired.add(server);
            let limits = runs.filter(|_| node == "a");
            let runs = postmaster::Observed {
                running: true,
                pending_restart: runs.is_some(),
                limits: limits
                    .map(|value| ("max_connections".to_owned(), value))
                    .into_iter()
                    .collect(),
                ..Default::default()
            };
            observed.insert(id.clone(), Outcome::Observed(runs.into()));
            servers.push(id);
        }
        let spec: patroni_config::Spec = serde_json::from_value(json!({
            "cluster": "pg", "settings": {}, "parameters": {"max_connections": "200"},
            "postgresql": {}, "api": api, "connection": connection,
        }))
        .expect("a spec");
        let setting: Setting = serde_json::from_value(json!({
            "name": "max_connections", "vartype": "integer", "context": "postmaster",
        }))
        .expect("a setting");
        let present = patroni_config::Observed {
            document: json!({"postgresql": {"parameters": {"max_connections": before}}})
                .as_object()
                .expect("a document")
                .clone(),
            known: Some(BTreeMap::from([("max_connections".to_owned(), setting)])),
        };
        let mut config = Resource::new(&NodeName::new("a"), Module::Pgsql, spec).in_cluster("pg");
        for server in &servers {
            config = config.triggers(server, TriggerAction::Restart, Class::OrderedRestart);
        }
        let id = desired.add(config);
        observed.insert(id, Outcome::Observed(present.into()));
        desired.retain(|resource| nodes.contains(&resource.id.node.as_str()));
        let mut plan = crate::plan(&desired, &observed).expect("a plan");
        let mut health = Health::default();
        for name in waits {
            health.findings.push(Finding {
                severity: Severity::Warning,
                name: "pending-restart",
                place: (*name).to_owned(),
                cluster: Some("pg".to_owned()),
                message: String::new(),
                remedy: String::new(),
                since: None,
                accepted: false,
                nodes: Vec::new(),
                member: None,
            });
        }
        not_before_its_replicas(&desired, &observed, &health, &mut plan);
        plan
    }

    #[test]
    fn a_leader_that_was_left_out_before_does_not_restart_before_its_replicas() {
        let refused = |nodes: &[&str], runs, waits: &[&str]| {
            let plan = planned_beside("200", nodes, Some(runs), waits);
            assert!(plan.changes.iter().any(|change| change.id.name == "pg-1"), "it restarts");
            let impossible =
                plan.changes.iter().filter_map(|one| one.difference.impossible.clone());
            impossible.collect::<Vec<_>>()
        };
        let found = refused(&["a"], 100, &["pg-1", "pg-2"]);
        assert_eq!(
            found,
            [
                "pg-1 comes back with more max_connections than it runs with, and a replica must not have less of \
              it than its primary: pg-2 still waits for the restart that takes it over and is outside of this \
              selection; select the whole cluster (`-l pg`), or let restarts wait (`--restart never`)"
            ]
        );
        assert!(refused(&["a", "b"], 100, &["pg-1", "pg-2"]).is_empty(), "in their order");
        assert!(refused(&["a"], 100, &["pg-1"]).is_empty(), "the replica has restarted");
        assert!(refused(&["a"], 200, &["pg-1", "pg-2"]).is_empty(), "it waits for something else");
        assert!(
            refused(&["a"], 300, &["pg-1", "pg-2"]).is_empty(),
            "where it shrinks it goes first"
        );
    }

    #[test]
    fn the_order_of_restarts_follows_what_the_leader_runs_with() {
        let order = |runs| {
            let plan = planned("200", &["a", "b"], Some(runs));
            plan.changes.iter().map(|change| change.id.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(order(300), ["pg-1", "pg-2"], "an apply that was to lower it ended before");
        assert_eq!(order(100), ["pg-2", "pg-1"]);
        assert_eq!(order(200), ["pg-2", "pg-1"], "something else waits");
    }

    #[test]
    fn a_leader_does_not_outgrow_replicas_that_a_selection_leaves_out() {
        assert_eq!(
            refused("100", &["a"]),
            ["pg-1: max_connections of pg grows, and a replica must not have less of it than its \
              primary: pg-2 would have to restart first and is outside of this selection; select \
              the whole cluster (`-l pg`), or let restarts wait (`--restart never`)"]
        );
        assert!(refused("100", &["a", "b"]).is_empty(), "they restart in their order");
        assert!(refused("300", &["a"]).is_empty(), "the leader goes first where it shrinks");
    }
}
