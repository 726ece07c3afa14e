//! Ask and judge: whether what a command is about is well.

use crate::steps::{PublicPasswords, Read, Selection};
use crate::{CommandError, Context};
use keddah_compile::{HealthQuestions, Removing};
use keddah_core::NodeName;
use keddah_fleet::{FirstQuestions, Fleet, Told, nodes_part};
use keddah_inventory::{Inventory, registry};
use keddah_plan::Plan;
use keddah_plan::health::{Answer, Answers, Finding, Health, in_the_way, judge};
use keddah_resource::health::PublicPasswordsDeclared;
use keddah_resource::{Action, Class, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is asked of whom.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    questions: HealthQuestions,
    patience: Duration,
}

impl HealthCheck {
    /// Questions about what is selected, and to the nodes that its clusters need; `patience` is how long
    /// each node is waited for.
    ///
    /// # Errors
    /// When the inventory is of no fleet that could be judged.
    pub fn of(
        context: &Context,
        read: &Read,
        inventory: &Inventory,
        selection: &Selection,
        patience: Duration,
    ) -> Result<Self, CommandError> {
        let mut questions = keddah_compile::health(inventory, on_the_node(patience))
            .map_err(|problem| CommandError::user(problem.message))?;
        let selected = selection.nodes();
        let needed = keddah_compile::needed(inventory, selected);
        questions.probes.retain(|node, _| needed.contains(node));
        let expected = &mut questions.expected;
        expected.clusters.retain(|cluster| {
            cluster.members.iter().any(|member| {
                selected.contains(&member.node)
                    && selection.wants_cluster(&cluster.name, &member.node)
            })
        });
        if !expected.etcd.iter().any(|member| selected.contains(&member.node)) {
            expected.etcd.clear();
        }
        expected.shared_addresses.retain(|shared| match &shared.cluster {
            Some(name) => expected.clusters.iter().any(|cluster| cluster.name == *name),
            None => shared.nodes.iter().any(|node| selected.contains(node)),
        });
        expected.nodes.clone_from(selected);
        let public = read.diagnostics.iter().find(|problem| problem.code == "public-password");
        if let Some(problem) = public {
            expected.public_passwords = Some(PublicPasswordsDeclared {
                message: problem.message.clone(),
                allowed: PublicPasswords::of(context, false)?.are_allowed(),
            });
        }
        Ok(Self { questions, patience })
    }

    /// The same, waiting so long for each node.
    pub fn waiting(mut self, patience: Duration) -> Self {
        self.patience = patience;
        for probe in self.questions.probes.values_mut() {
            probe.patience = on_the_node(patience);
        }
        self
    }

    /// The same for what stays when something has gone; nodes that it was on are not judged for
    /// themselves.
    pub fn without(&self, removing: &Removing) -> Self {
        let mut check = self.clone();
        let expected = &mut check.questions.expected;
        for cluster in &mut expected.clusters {
            let name = cluster.name.clone();
            let (going, staying): (Vec<_>, Vec<_>) = std::mem::take(&mut cluster.members)
                .into_iter()
                .partition(|member| removing.instance(&member.node, &name));
            cluster.members = staying;
            cluster.leaving.extend(going.into_iter().map(|member| member.instance));
        }
        expected.clusters.retain(|cluster| !cluster.members.is_empty());
        expected.etcd.retain(|member| !removing.etcd.contains(&member.node));
        let emptied: Vec<&NodeName> =
            removing.pgsql.values().flatten().chain(&removing.etcd).collect();
        expected.nodes.retain(|node| !emptied.contains(&node));
        for shared in &mut expected.shared_addresses {
            shared.nodes.retain(|node| !emptied.contains(&node));
        }
        expected.shared_addresses.retain(|shared| !shared.nodes.is_empty());
        check
    }

    /// The nodes that are asked.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.questions.probes.keys()
    }

    /// Asks those of them that can be reached, and judges.
    pub async fn judge(&self, context: &Context, fleet: &Fleet) -> Health {
        let begun = context.environment.milliseconds();
        let told = fleet.health(&self.questions.probes, self.patience).await;
        self.judge_told(begun, told)
    }

    /// The questions, to be put together with others.
    pub fn ask_with(&self, questions: FirstQuestions) -> FirstQuestions {
        let health = self.questions.probes.clone();
        FirstQuestions { health, patience: self.patience, ..questions }
    }

    /// Judges what was answered to them, by the clock of this machine when it was begun to ask.
    pub fn judge_told(&self, begun: i64, told: BTreeMap<NodeName, Told>) -> Health {
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let answers: Answers = told
            .into_iter()
            .map(|(node, Told { health, after, took })| {
                let asked = begun.saturating_add(milliseconds(after));
                let answered = asked.saturating_add(milliseconds(took));
                (node, Answer { health, asked, answered })
            })
            .collect();
        judge(&self.questions.expected, &answers)
    }
}

/// The milliseconds that a node itself waits for its services: its own waiting ends before ours.
fn on_the_node(patience: Duration) -> u64 {
    u64::try_from(nodes_part(patience).as_millis()).unwrap_or(u64::MAX)
}

/// Refuses to restart or remove members of a cluster that is not well, unless it was named.
///
/// # Errors
/// With what is not well and how to go on in spite of it.
pub fn not_into_the_sick(
    plan: &Plan,
    health: &Health,
    despite: &[String],
    command: &str,
) -> Result<(), CommandError> {
    match refusal(plan, health, despite, command) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Refuses names of `--despite` that no cluster has: whoever misspells one has said nothing.
///
/// # Errors
/// Then.
pub fn known_clusters(inventory: &Inventory, despite: &[String]) -> Result<(), CommandError> {
    let clusters = keddah_compile::cluster_names(inventory);
    let Some(unknown) = despite.iter().find(|name| !clusters.contains(*name)) else {
        return Ok(());
    };
    let error = CommandError::user(format!("`--despite {unknown}`: there is no such cluster"));
    Err(match registry::nearest(unknown, clusters.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

/// The refusal of [`not_into_the_sick`], for who wants to know it beforehand.
pub fn refusal(
    plan: &Plan,
    health: &Health,
    despite: &[String],
    command: &str,
) -> Option<CommandError> {
    let mut found = in_the_way(plan, health);
    found.retain(|one| !despite.contains(&one.cluster));
    let first = found.first()?;
    let clusters: BTreeSet<&str> = found.iter().map(|one| one.cluster.as_str()).collect();
    let names = clusters.iter().copied().collect::<Vec<_>>().join(",");
    let mut error = CommandError::user(format!(
        "{} is not well, and this would {} {}",
        first.cluster,
        verb(first.change.difference.class),
        first.change.id
    ));
    for one in &found {
        let Finding { place, message, .. } = one.finding;
        error.causes.push(format!("{place}: {message}"));
    }
    // What this very plan would start is started apart from what it would restart.
    let starts: BTreeSet<&str> = plan
        .changes
        .iter()
        .filter(|change| {
            change.difference.action == Action::Create
                && change.id.kind == Kind::Unit
                && found.iter().any(|one| about(health, &one.finding.place, &change.id.node))
        })
        .map(|change| change.id.node.as_str())
        .collect();
    let first = if starts.is_empty() {
        "mend that first: `keddah status` has a remedy for each".to_owned()
    } else {
        let nodes = starts.into_iter().collect::<Vec<_>>().join(",");
        format!("mend that first: what does not run there is started by `keddah apply -l {nodes}`")
    };
    let restarts = found.iter().any(|one| {
        matches!(one.change.difference.class, Class::Restart | Class::OrderedRestart)
            && one.change.difference.action == Action::Update
    });
    let error = error.hint(first);
    let error = if restarts && command == "keddah apply" {
        error.hint("`--restart never` writes what is declared, and restarts nobody who runs")
    } else {
        error
    };
    Some(error.hint(format!("or go on in spite of it: {command} --despite {names}")))
}

/// Whether an instance is on a node.
fn about(health: &Health, instance: &str, node: &NodeName) -> bool {
    let mut members = health.clusters.iter().flat_map(|cluster| &cluster.members);
    members.any(|member| member.instance == instance && member.node == *node)
}

fn verb(class: Class) -> &'static str {
    match class {
        Class::Stop | Class::Destroy => "take away",
        Class::Replace => "make anew",
        _ => "restart",
    }
}
