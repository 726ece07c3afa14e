//! Ask and judge: whether what a command is about is well.

use crate::cli::Context;
use crate::error::CommandError;
use crate::steps::Selection;
use keddah_compile::{HealthQuestions, Removing};
use keddah_core::NodeName;
use keddah_fleet::Fleet;
use keddah_inventory::{Inventory, registry};
use keddah_plan::Plan;
use keddah_plan::health::{Answer, Answers, FINDINGS, Finding, Health, in_the_way, judge};
use keddah_resource::Class;
use std::collections::BTreeSet;
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
        inventory: &Inventory,
        selection: &Selection,
        patience: Duration,
    ) -> Result<Self, CommandError> {
        let mut questions = keddah_compile::health(inventory, on_the_node(patience))
            .map_err(|problem| CommandError::user(problem.message))?;
        for accepted in &questions.expected.accepted {
            let name = accepted.finding.as_str();
            if !FINDINGS.iter().any(|(known, ..)| *known == name) {
                let near = registry::nearest(name, FINDINGS.iter().map(|(known, ..)| *known));
                let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                context.output.warning(&format!(
                    "`keddah_accept` of {} names the finding `{name}`, which does not exist{near}",
                    accepted.node
                ));
            }
        }
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
            cluster.members.retain(|member| !removing.instance(&member.node, &name));
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
        let asked = context.environment.milliseconds();
        let answered = fleet.health(&self.questions.probes, self.patience).await;
        let answers: Answers = answered
            .into_iter()
            .map(|(node, (health, took))| {
                let took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
                (node, Answer { health, asked, answered: asked.saturating_add(took) })
            })
            .collect();
        judge(&self.questions.expected, &answers)
    }
}

/// The milliseconds that a node itself waits for its services: its own waiting ends before ours.
fn on_the_node(patience: Duration) -> u64 {
    u64::try_from(patience.mul_f64(0.75).as_millis()).unwrap_or(u64::MAX)
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
    let mut found = in_the_way(plan, health);
    found.retain(|one| !despite.contains(&one.cluster));
    let Some(first) = found.first() else { return Ok(()) };
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
    Err(error
        .hint("mend that first: `keddah status` has a remedy for each")
        .hint(format!("or go on in spite of it: {command} --despite {names}")))
}

fn verb(class: Class) -> &'static str {
    match class {
        Class::Stop | Class::Destroy => "take away",
        Class::Replace => "make anew",
        _ => "restart",
    }
}
