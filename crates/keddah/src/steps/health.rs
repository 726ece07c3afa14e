//! Ask and judge: whether what a command is about is well.

use crate::cli::Context;
use crate::error::CommandError;
use crate::steps::Selection;
use keddah_compile::HealthQuestions;
use keddah_core::NodeName;
use keddah_fleet::Fleet;
use keddah_inventory::{Inventory, registry};
use keddah_plan::health::{Answer, Answers, FINDINGS, Health, judge};
use std::time::Duration;

/// What is asked of whom.
#[derive(Debug)]
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
        // The node's own waiting ends before ours.
        let node = u64::try_from(patience.mul_f64(0.75).as_millis()).unwrap_or(u64::MAX);
        let mut questions = keddah_compile::health(inventory, node)
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
