//! The first half of the trip, from a checked inventory to a plan: what `plan`, `apply` and `remove`
//! do in the same way before they part.

use crate::steps::{self, HealthCheck, Read, Selection, Signer};
use crate::{Context, Error, counted};
use keddah_compile::{Compiled, Removing};
use keddah_core::NodeName;
use keddah_fleet::{FirstAnswers, FirstQuestions, Fleet, Holder, Limits, Places};
use keddah_inventory::Inventory;
use keddah_plan::Plan;
use keddah_plan::health::{Finding, Health, beside};
use keddah_resource::{DesiredFleet, Door, StoppedCluster};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A plan, and what it takes to carry it out.
pub struct Planned {
    /// What would change.
    pub plan: Plan,
    /// What should be.
    pub desired: DesiredFleet,
    /// The conversations with the nodes.
    pub fleet: Fleet,
    /// How much may run at once.
    pub places: Places,
    /// Who signs certificates.
    pub signer: Signer,
    /// Logins by public passwords that are not known to be there.
    pub doors: Vec<Door>,
    /// Clusters of which nobody runs.
    pub stopped: Vec<StoppedCluster>,
    /// How the planned part of the fleet does.
    pub health: Health,
    check: HealthCheck,
}

impl Planned {
    /// How it does now. What the changes themselves have brought about, such as a standby that does not
    /// stream yet, gets some time to end by itself.
    pub async fn health_now(&self, context: &Context) -> Health {
        let deadline = tokio::time::Instant::now() + SETTLING;
        let before = beside(&self.plan, &self.health);
        let mut check = self.check.clone();
        loop {
            let health = check.judge(context, &self.fleet).await;
            let is_new = |finding: &&Finding| {
                let same = |one: &Finding| (one.name, &one.place) == (finding.name, &finding.place);
                finding.counts() && !before.iter().any(|one| same(one))
            };
            let settled = !health.findings.iter().any(|finding| is_new(&finding));
            if settled || tokio::time::Instant::now() >= deadline {
                return health;
            }
            tokio::time::sleep(STEP).await;
            check = check.waiting(UNHURRIED);
        }
    }

    /// How all of it does at this moment, whatever may still end by itself.
    pub async fn health_at_once(&self, context: &Context) -> Health {
        self.check.judge(context, &self.fleet).await
    }

    /// How what stays does, now that something is gone.
    pub async fn health_without(&self, context: &Context, removing: &Removing) -> Health {
        self.check.without(removing).judge(context, &self.fleet).await
    }
}

/// How long what an apply has brought about may take to end: a standby that was just cloned streams once
/// it has replayed what the archive has.
const SETTLING: Duration = Duration::from_secs(20);

/// How long a further look waits for each node: one with many instances, right after all of them were made,
/// has much to do. Nothing is waited for that answers.
const UNHURRIED: Duration = Duration::from_secs(10);

/// Between two looks.
const STEP: Duration = Duration::from_millis(300);

/// connect → observe facts and health → compile → observe → plan. What is silent is waited for as long as
/// `patience`, and is a finding. Where something is in `removing`, the plan is
/// that of taking it away, and of nothing else.
///
/// # Errors
/// When the inventory cannot be for these nodes, when not one of them answers, or when they trust an
/// authority that is not here.
pub async fn plan(
    context: &Context,
    read: &mut Read,
    inventory: &Inventory,
    selection: &Selection,
    removing: &Removing,
    patience: Duration,
) -> Result<Planned, Error> {
    let signer = Signer::load(context, inventory)?;
    let needed = steps::removal::needed(inventory, selection, removing);
    let mut probes = keddah_compile::probes(inventory);
    keddah_compile::ask_what_goes(&mut probes, inventory, removing);
    let mut questions = FirstQuestions { facts: probes, ..FirstQuestions::default() };
    // How nodes do is asked beside what they are: neither needs the other's answers.
    let check = HealthCheck::of(context, read, inventory, selection, patience);
    if let Ok(check) = &check {
        questions = check.ask_with(questions);
    }
    let limits = Limits::looking(patience);
    let (fleet, FirstAnswers { facts, health }, begun) =
        steps::connect(context, inventory, &needed, limits, questions).await?;
    steps::some_answer(&fleet, selection.nodes())?;
    let places = Places::of(&facts);
    let etcd_answers = facts.iter().filter(|(_, about)| about.etcd.is_some());
    let etcd_answers: BTreeSet<NodeName> = etcd_answers.map(|(node, _)| node.clone()).collect();
    let (Compiled { fleet: mut desired, mut notes, doors, stopped }, others) = if removing
        .is_empty()
    {
        let compiled = steps::compile(context, read, inventory, &facts, &signer, removing)?;
        steps::nobody_waits_for_etcd(
            context, read, inventory, selection, &needed, &facts, patience,
        )
        .await?;
        (compiled, None)
    } else {
        let compiled = steps::removal::compile(context, read, inventory, facts, &signer, removing)?;
        signer.guard_removal()?;
        compiled
    };
    selection.restrict(&mut desired);
    if removing.is_empty() {
        selection.not_nothing(&desired)?;
    }
    if let Some(others) = others {
        notes.extend(steps::removal::waiting(&fleet, others, selection, &signer).await?);
    }
    // What compiling says of such an inventory says more.
    let check = check?;
    let health = check.judge_told(begun, health);
    let (observed, holders) =
        tokio::join!(fleet.observe(&desired), fleet.holders(selection.nodes()));
    signer.guard(&observed)?;
    steps::etcd_keeps_its_port(&desired, &observed, &etcd_answers)?;
    let mut plan = keddah_plan::plan(&desired, &observed)?;
    if removing.is_empty() {
        steps::nobody_is_logged_out(inventory, selection, &desired, &observed, &plan)?;
    }
    keddah_plan::not_before_its_replicas(&desired, &observed, &health, &mut plan);
    plan.notes.extend(notes);
    plan.notes.extend(keddah_plan::starts(&plan, &stopped).iter().map(keddah_plan::Start::note));
    plan.notes.extend(at_work(&holders));
    steps::complete(&mut plan, &desired, &fleet, selection.nodes());
    // A host that is gone for ever is forgotten by the others all the same; notes say what stays.
    let leaving = removing.leaving();
    plan.unreachable.retain(|node, _| !leaving.contains(node));
    Ok(Planned { plan, desired, fleet, places, signer, doors, stopped, health, check })
}

/// Who changes nodes while we look at them: one note for each.
fn at_work(holders: &BTreeMap<NodeName, Holder>) -> Vec<String> {
    let mut by_holder: BTreeMap<String, Vec<&NodeName>> = BTreeMap::new();
    for (node, holder) in holders {
        by_holder.entry(holder.to_string()).or_default().push(node);
    }
    let note = |(holder, nodes): (String, Vec<&NodeName>)| {
        let place = match nodes.as_slice() {
            [one] => one.to_string(),
            many => counted(many.len(), "node"),
        };
        format!("{holder} is changing {place} right now; what is shown may not last")
    };
    by_holder.into_iter().map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_changes_nodes_is_named_once() {
        let holder = Holder {
            user: "root".into(),
            host: "admin".into(),
            pid: 7,
            since: "2026-01-01T00:00:00Z".into(),
            command: "keddah apply".into(),
            finishing: false,
        };
        let holders = ["a", "b"].map(|node| (NodeName::new(node), holder.clone()));
        assert_eq!(
            at_work(&BTreeMap::from(holders)),
            ["root@admin (`keddah apply`, process 7, since 2026-01-01T00:00:00Z) is changing \
                 2 nodes right now; what is shown may not last"]
        );
    }
}
