//! One JSON file per case under `tests/cases`: resources with their state, and the plan's lines.

#![allow(clippy::unwrap_used, reason = "a case that cannot be read fails its test")]

use keddah_core::NodeName;
use keddah_plan::{Certainty, Failure, Outcome, Plan, PlanError};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{file, pg_role, pg_settings, postmaster, unit};
use keddah_resource::{
    Class, DesiredFleet, Kind, Module, Observed, Resource, ResourceId, Spec, Trigger, TriggerAction,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    resources: Vec<Declared>,
    expected: Vec<String>,
    /// What changes owe, where the case is about that.
    #[serde(default)]
    owes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    /// `node kind name`.
    id: String,
    /// `settled`, `absent`, `other`, `stopped`, `owes-reload`, `owes-restart`, `not-yet`,
    /// `failed`, `unseen`.
    state: String,
    #[serde(default)]
    wanted: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    restart_after: Vec<String>,
    /// `reload TARGET` or `restart TARGET`, with `from restart` when only that counts.
    #[serde(default)]
    triggers: Vec<(TriggerAction, Class, String)>,
    #[serde(default)]
    drawn_in: bool,
    /// Whether a selection has left it out.
    #[serde(default)]
    left_out: bool,
}

fn id(text: &str) -> ResourceId {
    let mut words = text.splitn(3, ' ');
    let node = NodeName::new(words.next().unwrap());
    let kind = serde_json::from_value(words.next().unwrap().into()).unwrap();
    ResourceId::new(&node, kind, words.next().unwrap())
}

fn spec(id: &ResourceId, wanted: Option<&str>) -> Spec {
    match (id.kind, wanted) {
        (Kind::File, None) => {
            file::Spec::text(&id.name, "wanted\n", Permissions::root(0o644)).into()
        }
        (Kind::Unit, None) => {
            unit::Spec { restart_class: Class::OrderedRestart, ..unit::Spec::running(&id.name) }
                .into()
        }
        (Kind::Unit, Some("stopped")) => unit::Spec::stopped(&id.name).into(),
        (Kind::Postmaster, None) => serde_json::from_value::<postmaster::Spec>(serde_json::json!({
            "instance": id.name, "patience_seconds": 30, "settled_seconds": 1, "restarts": true,
            "parameters": {"work_mem": "8MB"},
            "api": {"unit": "patroni.service", "address": "127.0.0.1", "port": 8008, "ca_path": null,
                    "username": "u", "password": "p"},
            "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
        }))
        .unwrap()
        .into(),
        (Kind::PgRole, Some("absent")) => {
            serde_json::from_value::<pg_role::Spec>(serde_json::json!({
                "connection": {"socket_directory": "/run", "port": 5432, "superuser": "postgres"},
                "role": id.name.rsplit('/').next(), "present": null,
            }))
            .unwrap()
            .into()
        }
        other => panic!("the cases know no {other:?}"),
    }
}

fn outcome(spec: &Spec, state: &str) -> Option<Outcome> {
    let observed = match (spec, state) {
        (_, "unseen") => return None,
        (_, "not-yet") => return Some(Outcome::NotYet { because: "it does not run yet".into() }),
        (_, "failed") => return Some(Outcome::Failed(Failure::new("permission denied"))),
        (spec, "settled") => spec.settled(),
        (Spec::File(_), "absent") => Observed::File(file::Observed { present: None }),
        (Spec::File(_), "other") => Observed::File(file::Observed {
            present: Some(file::ObservedFile {
                digest: file::digest(b"other\n"),
                text: Some("other\n".into()),
                entries: Default::default(),
                permissions: Permissions::root(0o644),
                sample: false,
            }),
        }),
        (Spec::Unit(wanted), state) => {
            let Observed::Unit(mut unit) = Spec::Unit(wanted.clone()).settled() else { panic!() };
            match state {
                "stopped" => (unit.running, unit.enabled) = (false, false),
                "running" => (unit.running, unit.enabled) = (true, true),
                "owes-reload" => unit.owes = Some(TriggerAction::Reload),
                "owes-restart" => unit.owes = Some(TriggerAction::Restart),
                other => panic!("the cases know no unit that is {other}"),
            }
            Observed::Unit(unit)
        }
        (Spec::Postmaster(_), "stopped") => Observed::Postmaster(postmaster::Observed {
            running: false,
            ..postmaster::Observed::default()
        }),
        (Spec::Postmaster(_), state) => {
            let mut postmaster = postmaster::Observed { running: true, ..Default::default() };
            let setting = |name: &str, altered: bool, place: &str| pg_settings::Setting {
                name: name.to_owned(),
                value: "64MB".to_owned(),
                place: place.to_owned(),
                altered,
                needs_restart: false,
            };
            postmaster.settings = match state {
                "altered" => vec![setting("work_mem", true, "/data/postgresql.auto.conf:3")],
                "altered-by-others" => vec![setting("jit", true, "/data/postgresql.auto.conf:3")],
                "other-place" => vec![setting("work_mem", false, "/data/more.conf:1")],
                "decided-by-patroni" | "waits-for-its-restart" => {
                    postmaster.pending_restart = state == "waits-for-its-restart";
                    let decided = setting("work_mem", false, "Patroni's own judgement");
                    vec![pg_settings::Setting { needs_restart: true, ..decided }]
                }
                other => panic!("the cases know no postmaster that is {other}"),
            };
            Observed::Postmaster(postmaster)
        }
        (Spec::PgRole(_), "present") => serde_json::from_value(serde_json::json!({"pg-role": {
            "present": {"login": true, "superuser": false, "createdb": false, "createrole": false,
                "inherit": true, "replication": false, "bypassrls": false, "connection_limit": -1,
                "valid_until": null, "verifier_digest": null, "member_of": {}, "parameters": {},
                "comment": null}}}))
        .unwrap(),
        other => panic!("the cases know no {other:?}"),
    };
    Some(Outcome::Observed(observed))
}

fn plan(case: &Case) -> Result<Plan, PlanError> {
    let mut desired = DesiredFleet::default();
    let mut observed = BTreeMap::new();
    for declared in &case.resources {
        let id_ = id(&declared.id);
        let spec = spec(&id_, declared.wanted.as_deref());
        if let Some(outcome) = outcome(&spec, &declared.state) {
            observed.insert(id_.clone(), outcome);
        }
        let mut resource = Resource::new(&id_.node, Module::Node, spec);
        resource.drawn_in = declared.drawn_in;
        resource.after = declared.after.iter().map(|text| id(text)).collect();
        resource.restart_after = declared.restart_after.iter().map(|text| id(text)).collect();
        for (action, from_class, target) in &declared.triggers {
            let (action, from_class) = (*action, *from_class);
            resource.triggers.push(Trigger { target: id(target), action, from_class });
        }
        assert_eq!(desired.add(resource), id_);
    }
    let left_out = |resource: &Resource| {
        case.resources.iter().any(|one| one.left_out && id(&one.id) == resource.id)
    };
    desired.retain(|resource| !left_out(resource));
    keddah_plan::plan(&desired, &observed)
}

/// The debts of a plan, in its order of changes.
fn owed(plan: &Plan) -> Vec<String> {
    let debts = plan.changes.iter().flat_map(|change| {
        change.owes.iter().map(move |debt| {
            let word = |value| serde_json::from_value::<String>(value).unwrap();
            let action = word(serde_json::to_value(debt.action).unwrap());
            let remembered = word(serde_json::to_value(debt.remembered).unwrap());
            let outside = if debt.outside { " (outside)" } else { "" };
            format!("{} owes {}: {action}, {remembered}{outside}", change.id, debt.target)
        })
    });
    debts.collect()
}

fn lines(plan: Result<Plan, PlanError>) -> Vec<String> {
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return vec![format!("error: {error}")],
    };
    let mut lines = Vec::new();
    for change in &plan.changes {
        let difference = &change.difference;
        let action = serde_json::to_value(difference.action).unwrap();
        let mut line = format!(
            "{} {} {} ({}): {}",
            change.wave,
            action.as_str().unwrap(),
            change.id,
            difference.class,
            difference.reason
        );
        if let Certainty::NotYet { because } = &change.certainty {
            line.push_str(&format!(" [not yet: {because}]"));
        }
        if !change.after.is_empty() {
            let after: Vec<String> = change.after.iter().map(ToString::to_string).collect();
            line.push_str(&format!(" [after {}]", after.join(", ")));
        }
        lines.push(line);
    }
    for unobserved in &plan.unobserved {
        lines.push(format!("unobserved {}: {}", unobserved.id, unobserved.failure));
    }
    for blocked in &plan.blocked {
        lines.push(format!("blocked {} by {}", blocked.id, blocked.by));
    }
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    for finding in keddah_plan::lint(&plan, &keddah_plan::Allowance::default()) {
        lines.push(format!("{}: {}: {}", finding.code, finding.message, finding.help));
    }
    lines
}

#[test]
fn every_case_gives_its_plan() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir("tests/cases").unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let case: Case = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let made = plan(&case);
        if let Some(owes) = &case.owes {
            let actual = owed(made.as_ref().unwrap());
            if actual != *owes {
                let actual = serde_json::to_string_pretty(&actual).unwrap();
                wrong.push(format!("{} ({}) owes:\n{actual}", path.display(), case.about));
            }
        }
        let actual = lines(made);
        count += 1;
        if actual != case.expected {
            let actual = serde_json::to_string_pretty(&actual).unwrap();
            wrong.push(format!("{} ({}):\n{actual}", path.display(), case.about));
        }
    }
    assert!(count >= 10, "only {count} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
