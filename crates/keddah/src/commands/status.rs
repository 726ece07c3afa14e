//! `keddah status`: whether the fleet is well. Changes nothing, and always answers.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::status::{self as render, View};
use crate::steps::{self, Selection, SelectionArgs};
use clap::Args;
use keddah_compile::HealthQuestions;
use keddah_core::{NodeName, Severity};
use keddah_fleet::Limits;
use keddah_inventory::{Inventory, registry};
use keddah_plan::health::{Answer, Answers, FINDINGS, Health, judge};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// Show how clusters and nodes do, and what is not well
///
/// Asks every node, its servers and services at the same time, and answers within a few seconds with
/// whatever is known by then: what could not be asked is a finding, too. What each finding means and
/// what to do about it is in docs/findings.md. Exit code 0 when all is well, 2 when it is not.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only these hosts, groups or clusters
    #[arg(short = 'l', long, value_delimiter = ',', value_name = "HOST|GROUP|CLUSTER")]
    limit: Vec<String>,

    /// Ask again and again, and show what changed, until interrupted
    #[arg(short = 'w', long)]
    watch: bool,

    /// Seconds after which what has not answered counts as unknown
    #[arg(long, value_name = "SECONDS", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=300))]
    timeout: u16,
}

/// Between two rounds of `--watch`.
const ROUND: Duration = Duration::from_secs(2);

/// Asks, judges and shows.
pub async fn run(context: &Context, args: StatusArgs) -> Result<ExitCode, CommandError> {
    let StatusArgs { limit, watch, timeout } = args;
    let mut read = steps::read(context)?;
    let broken = read.diagnostics.iter().any(|one| one.severity == Severity::Error);
    let Some(inventory) = read.inventory.take() else { return Err(steps::refuse(context, &read)) };
    if broken {
        // Whoever looks for what is wrong at night is not helped by a refusal for a mistake elsewhere.
        context.output.warning("the inventory has errors; `keddah check` shows them");
    }
    let selection =
        Selection::of(&SelectionArgs { limit, ..SelectionArgs::default() }, &inventory)?;
    let patience = Patience::of(timeout);
    let questions = questions(context, &inventory, &selection, patience)?;
    loop {
        let begun = tokio::time::Instant::now();
        let health = look(context, &inventory, &questions, patience).await?;
        let view = View {
            health: &health,
            nodes: selection.nodes().len(),
            now: context.environment.now(),
        };
        if watch && !context.output.is_json() {
            render::again(&context.output);
        }
        render::show(&context.output, &view);
        if !watch {
            return Ok(if health.is_well() { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        tokio::time::sleep_until(begun + ROUND).await;
    }
}

/// How the time is shared among those who are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// To reach a node.
    opening: Duration,
    /// For the answer of its agent.
    answer: Duration,
    /// For the answers that the agent waits for.
    node: Duration,
}

impl Patience {
    fn of(seconds: u16) -> Self {
        let whole = Duration::from_secs(u64::from(seconds));
        Self { opening: whole.mul_f64(0.55), answer: whole.mul_f64(0.4), node: whole.mul_f64(0.3) }
    }
}

/// What is asked of whom; without what the selection leaves out.
fn questions(
    context: &Context,
    inventory: &Inventory,
    selection: &Selection,
    patience: Patience,
) -> Result<HealthQuestions, CommandError> {
    let milliseconds = u64::try_from(patience.node.as_millis()).unwrap_or(u64::MAX);
    let mut questions = keddah_compile::health(inventory, milliseconds)
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
            selected.contains(&member.node) && selection.wants_cluster(&cluster.name, &member.node)
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
    Ok(questions)
}

async fn look(
    context: &Context,
    inventory: &Inventory,
    questions: &HealthQuestions,
    patience: Patience,
) -> Result<Health, CommandError> {
    let nodes: BTreeSet<NodeName> = questions.probes.keys().cloned().collect();
    let limits = Limits {
        opening: patience.opening,
        answer: patience.answer,
        pulse: patience.answer,
        ..Limits::default()
    };
    let fleet = steps::connect_within(context, inventory, &nodes, limits).await?;
    let asked = context.environment.milliseconds();
    let answers: Answers = fleet
        .health(&questions.probes, patience.answer)
        .await
        .into_iter()
        .map(|(node, (health, took))| {
            let took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
            (node, Answer { health, asked, answered: asked.saturating_add(took) })
        })
        .collect();
    Ok(judge(&questions.expected, &answers))
}
