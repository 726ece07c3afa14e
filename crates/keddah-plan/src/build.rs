//! From what should be and what is to the changes between them, and their order.
//!
//! One pass in dependency order: a resource's own difference, then what the changes before it
//! cause, then whether something before it could not be looked at. The order among changes is the
//! declared order with the unchanged resources taken out.

use crate::{Blocked, Certainty, Failure, Outcome, Plan, PlannedChange, Remembered, Unobserved};
use crate::{
    archiving, birth, debts, durability, restart_order, server_settings, sizing, undeclared,
    waiting, way_back,
};
use keddah_core::NodeName;
use keddah_resource::{
    Action, Class, Cycle, DesiredFleet, Difference, Observed, Resource, ResourceId, Spec,
    TriggerAction, UnknownDependency,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

/// Why there is no plan at all: a mistake in what was compiled, not in a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// Resources wait for each other.
    Cycle(Cycle),
    /// A resource waits for one that nobody declared.
    UnknownDependency(UnknownDependency),
    /// A trigger's target is of a kind that can neither reload nor restart.
    InvalidTrigger {
        /// The resource with the trigger.
        from: ResourceId,
        /// Its target.
        target: ResourceId,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Cycle(cycle) => cycle.fmt(formatter),
            PlanError::UnknownDependency(UnknownDependency { from, on }) => {
                write!(formatter, "{from} waits for {on}, which is not declared")
            }
            PlanError::InvalidTrigger { from, target } => {
                write!(formatter, "{from} asks {target} to reload, which it cannot")
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// What is decided about one resource.
enum Verdict {
    Settled,
    Change(Box<Judged>),
    Unobserved(Failure),
    Blocked,
}

struct Judged {
    difference: Difference,
    certainty: Certainty,
    cause: Option<TriggerAction>,
    caused_by: Vec<usize>,
}

/// A trigger that a planned change pulls.
#[derive(Clone, Copy)]
struct Pull {
    source: usize,
    action: TriggerAction,
    certain: bool,
}

/// Compares, propagates triggers, and orders.
///
/// A resource without an entry in `observed` counts as one that could not be looked at.
///
/// # Errors
/// When resources wait for each other or for something that was never declared.
pub fn plan(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Result<Plan, PlanError> {
    let desired = &*way_back::settings_first(desired, observed);
    if let Some(unknown) = desired.unknown_dependencies().into_iter().next() {
        return Err(PlanError::UnknownDependency(unknown));
    }
    let order = desired.ordered().map_err(PlanError::Cycle)?;
    let resources: Vec<&Resource> = desired.iter().collect();
    let index: HashMap<&ResourceId, usize> =
        resources.iter().enumerate().map(|(at, resource)| (&resource.id, at)).collect();
    let order: Vec<usize> = order.iter().map(|id| index[id]).collect();
    let predecessors = predecessors(&resources, &index);

    let mut pulls: Vec<Vec<Pull>> = vec![Vec::new(); resources.len()];
    let mut broken: Vec<Option<usize>> = vec![None; resources.len()];
    let mut verdicts: Vec<Verdict> = resources.iter().map(|_| Verdict::Settled).collect();
    for &at in &order {
        let resource = resources[at];
        broken[at] = predecessors[at].iter().find_map(|&before| broken[before]);
        let whole = resource.inside.as_ref().map(|id| index[id]);
        let anew = whole.filter(|&whole| is_made_anew(&verdicts[whole])).map(|whole| {
            let id = &resources[whole].id;
            Outcome::NotYet { because: format!("{} {} is made anew", id.kind, id.name) }
        });
        let outcome = anew.as_ref().or_else(|| observed.get(&resource.id));
        let mut verdict = judge(resource, outcome, &pulls[at], &resources);
        if let (Verdict::Change(judged), Spec::Postmaster(spec)) = (&mut verdict, &resource.spec)
            && let Some(Outcome::Observed(Observed::Postmaster(present))) = outcome
            && judged.certainty == Certainty::Known
            && judged.difference.class >= Class::Restart
            && judged.difference.fields.is_empty()
        {
            let changes = pulls[at].iter().filter(|pull| pull.action == TriggerAction::Restart);
            let changes = changes.filter_map(|pull| match &verdicts[pull.source] {
                Verdict::Change(source) => {
                    let id = &resources[pull.source].id;
                    Some(way_back::pulled(id, &source.difference, observed))
                }
                _ => None,
            });
            if way_back::needless(spec, present, changes) {
                judged.certainty = Certainty::NotYet { because: way_back::NEEDLESS.to_owned() };
            }
        }
        match &verdict {
            Verdict::Unobserved(_) => broken[at] = Some(at),
            Verdict::Change(_) if broken[at].is_some() => verdict = Verdict::Blocked,
            Verdict::Change(judged) => {
                let certain = judged.certainty == Certainty::Known;
                for trigger in &resource.triggers {
                    if certain && judged.difference.class < trigger.from_class {
                        continue;
                    }
                    let target = index[&trigger.target];
                    if !matches!(resources[target].spec, Spec::Unit(_) | Spec::Postmaster(_)) {
                        return Err(PlanError::InvalidTrigger {
                            from: resource.id.clone(),
                            target: trigger.target.clone(),
                        });
                    }
                    pulls[target].push(Pull { source: at, action: trigger.action, certain });
                }
            }
            Verdict::Settled | Verdict::Blocked => {}
        }
        verdicts[at] = verdict;
    }

    let shrinking = restart_order::shrinking(&resources, observed);
    let after = contract(&resources, &index, &order, &predecessors, &verdicts, &shrinking);
    let waves = waves(&resources, &order, &after, &verdicts)?;
    let mut plan = assemble(&resources, verdicts, &broken, &after, &waves);
    restart_order::guard(desired, observed, &mut plan);
    plan.locks = locks(desired, &plan);
    plan.notes = undeclared::notes(desired, observed);
    plan.notes.extend(birth::notes(desired, observed));
    let settings = server_settings::notes(desired, observed);
    plan.otherwise = settings.otherwise;
    plan.notes.extend(settings.notes);
    plan.notes.extend(durability::notes(desired, observed));
    plan.notes.extend(sizing::notes(desired, observed));
    plan.notes.extend(archiving::notes(desired, observed));
    plan.notes.extend(waiting::notes(desired, observed));
    plan.notes.extend(debts::notes(plan.changes.iter().flat_map(|change| &change.owes)));
    Ok(plan)
}

fn predecessors(resources: &[&Resource], index: &HashMap<&ResourceId, usize>) -> Vec<Vec<usize>> {
    let mut predecessors: Vec<Vec<usize>> = resources
        .iter()
        .map(|resource| resource.after.iter().map(|id| index[id]).collect())
        .collect();
    for (at, resource) in resources.iter().enumerate() {
        for trigger in &resource.triggers {
            predecessors[index[&trigger.target]].push(at);
        }
    }
    for list in &mut predecessors {
        list.sort_unstable();
        list.dedup();
    }
    predecessors
}

fn judge(
    resource: &Resource,
    outcome: Option<&Outcome>,
    pulls: &[Pull],
    resources: &[&Resource],
) -> Verdict {
    let certain = pulls.iter().filter(|pull| pull.certain).map(|pull| pull.action).max();
    let possible = pulls.iter().map(|pull| pull.action).max();
    let sources = |certain: bool| -> Vec<usize> {
        let mut sources: Vec<usize> =
            pulls.iter().filter(|pull| pull.certain || !certain).map(|pull| pull.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    };
    if matches!(resource.spec, Spec::PgCensus(_)) {
        // It is about what nobody declared: there is nothing to change, even if nobody could look.
        return Verdict::Settled;
    }
    let observed = match outcome {
        None => return Verdict::Unobserved(Failure::new("it was not looked at")),
        Some(Outcome::Failed(failure)) => return Verdict::Unobserved(failure.clone()),
        Some(Outcome::NotYet { .. }) if resource.drawn_in => return Verdict::Settled,
        Some(Outcome::NotYet { because }) => {
            return Verdict::Change(Box::new(Judged {
                difference: Difference::create(because),
                certainty: Certainty::NotYet { because: because.clone() },
                cause: None,
                caused_by: sources(false),
            }));
        }
        // One that does not run will start with whatever its files say then.
        Some(Outcome::Observed(Observed::Postmaster(postmaster))) if !postmaster.running => {
            return Verdict::Settled;
        }
        // A selection drew it in to reload or restart with another one, and for nothing else.
        Some(Outcome::Observed(observed)) if resource.drawn_in && !asked(observed, pulls) => {
            return Verdict::Settled;
        }
        Some(Outcome::Observed(observed)) => observed,
    };
    let own = resource.spec.diff(observed);
    let mut with_causes = match certain {
        Some(action) => resource.spec.diff(&owing(observed, action)),
        None => own.clone(),
    };
    let caused = with_causes.as_ref().map(|difference| difference.class)
        != own.as_ref().map(|difference| difference.class);
    if caused && let Some(difference) = &mut with_causes {
        let because = because(&sources(true), resources);
        difference.reason = match &own {
            Some(own) => format!("{}; {because}", own.reason),
            None => because,
        };
    }
    if let Some(worst) = possible
        && let Some(conditional) = conditional(&resource.spec, with_causes.as_ref(), worst)
    {
        let waits_for = names(&sources(false), resources);
        return Verdict::Change(Box::new(Judged {
            difference: conditional,
            certainty: Certainty::NotYet { because: format!("it depends on {waits_for}") },
            cause: Some(worst),
            caused_by: sources(false),
        }));
    }
    match with_causes {
        None => Verdict::Settled,
        Some(difference) => Verdict::Change(Box::new(Judged {
            difference,
            certainty: Certainty::Known,
            cause: certain.filter(|_| caused),
            caused_by: if caused { sources(true) } else { Vec::new() },
        })),
    }
}

/// Whether it runs, and a change of this plan or an earlier one asks it to reload or restart.
fn asked(observed: &Observed, pulls: &[Pull]) -> bool {
    let (running, owes) = match observed {
        Observed::Unit(unit) => (unit.running, unit.owes),
        Observed::Postmaster(postmaster) => (postmaster.running, postmaster.owes),
        _ => return false,
    };
    running && (owes.is_some() || !pulls.is_empty())
}

/// The same observation with a reload or restart noted, exactly as the node will note it.
fn owing(observed: &Observed, action: TriggerAction) -> Observed {
    let mut observed = observed.clone();
    match &mut observed {
        Observed::Unit(unit) => unit.owes = unit.owes.max(Some(action)),
        Observed::Postmaster(postmaster) => {
            postmaster.owes = postmaster.owes.max(Some(action));
            postmaster.owes_reload |= action == TriggerAction::Reload;
        }
        _ => {}
    }
    observed
}

/// What changes that cannot be compared yet may still ask of this target: the worst of it, unless
/// the target starts, stops, or does as much anyway.
fn conditional(
    spec: &Spec,
    known: Option<&Difference>,
    worst: TriggerAction,
) -> Option<Difference> {
    let reason = "an earlier change that cannot be compared yet may ask for it";
    let difference = match spec {
        Spec::Unit(unit) if unit.running => unit.triggered(worst, reason),
        Spec::Postmaster(postmaster) => postmaster.triggered(worst, reason),
        _ => return None,
    };
    match known {
        Some(known) if known.action != Action::Update || known.class >= difference.class => None,
        Some(known) => Some(difference.with(known.fields.clone())),
        None => Some(difference),
    }
}

fn names(sources: &[usize], resources: &[&Resource]) -> String {
    /// More names than this hide the rest of the line; the count says the rest.
    const NAMED: usize = 3;
    let name = |&at: &usize| format!("{} {}", resources[at].id.kind, resources[at].id.name);
    let distinct: BTreeSet<String> = sources.iter().map(name).collect();
    let rest = distinct.len().saturating_sub(NAMED);
    let mut text = distinct.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if rest > 0 {
        text.push_str(&format!(" and {rest} more"));
    }
    text
}

fn because(sources: &[usize], resources: &[&Resource]) -> String {
    let distinct: BTreeSet<_> =
        sources.iter().map(|&at| (resources[at].id.kind, &resources[at].id.name)).collect();
    let verb = if distinct.len() == 1 { "changes" } else { "change" };
    format!("because {} {verb}", names(sources, resources))
}

fn is_change(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Change(_))
}

/// Whether what is there goes and another one takes its place.
fn is_made_anew(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Change(judged)
        if judged.difference.action == Action::Update
            && judged.difference.impossible.is_none()
            && judged.difference.class >= Class::Replace)
}

fn restarts(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Change(judged)
        if matches!(judged.difference.class, Class::Restart | Class::OrderedRestart))
}

/// For each change, the nearest changes before it: the declared order without the unchanged.
fn contract(
    resources: &[&Resource],
    index: &HashMap<&ResourceId, usize>,
    order: &[usize],
    predecessors: &[Vec<usize>],
    verdicts: &[Verdict],
    shrinking: &BTreeSet<&str>,
) -> Vec<Rc<[usize]>> {
    let nothing: Rc<[usize]> = Rc::from([]);
    let mut nearest: Vec<Rc<[usize]>> = vec![nothing.clone(); resources.len()];
    for &at in order {
        let mut found: BTreeSet<usize> = BTreeSet::new();
        for &before in &predecessors[at] {
            if is_change(&verdicts[before]) {
                found.insert(before);
            } else {
                found.extend(nearest[before].iter());
            }
        }
        if !found.is_empty() {
            nearest[at] = found.into_iter().collect();
        }
    }
    for (at, resource) in resources.iter().enumerate() {
        if resource.restart_after.is_empty() || !restarts(&verdicts[at]) {
            continue;
        }
        let reversed = matches!(resource.spec, Spec::Postmaster(_))
            && resource.cluster.as_deref().is_some_and(|cluster| shrinking.contains(cluster));
        if reversed {
            let others = resource.restart_after.iter().map(|id| index[id]);
            for other in others.filter(|&other| restarts(&verdicts[other])) {
                let mut found: BTreeSet<usize> = nearest[other].iter().copied().collect();
                found.insert(at);
                nearest[other] = found.into_iter().collect();
            }
            continue;
        }
        let mut found: BTreeSet<usize> = nearest[at].iter().copied().collect();
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        let mut open: Vec<usize> = resource.restart_after.iter().map(|id| index[id]).collect();
        while let Some(before) = open.pop() {
            if !seen.insert(before) || before == at {
                continue;
            }
            if restarts(&verdicts[before]) {
                found.insert(before);
            } else {
                open.extend(resources[before].restart_after.iter().map(|id| index[id]));
            }
        }
        nearest[at] = found.into_iter().collect();
    }
    nearest
}

/// The length of the longest path of changes before each change.
fn waves(
    resources: &[&Resource],
    order: &[usize],
    after: &[Rc<[usize]>],
    verdicts: &[Verdict],
) -> Result<Vec<usize>, PlanError> {
    let changes: Vec<usize> =
        order.iter().copied().filter(|&at| is_change(&verdicts[at])).collect();
    let mut waiting: Vec<usize> = vec![0; resources.len()];
    let mut successors: Vec<Vec<usize>> = vec![Vec::new(); resources.len()];
    for &at in &changes {
        waiting[at] = after[at].len();
        for &before in after[at].iter() {
            successors[before].push(at);
        }
    }
    let mut waves = vec![0; resources.len()];
    let mut ready: Vec<usize> = changes.iter().copied().filter(|&at| waiting[at] == 0).collect();
    let mut done = 0;
    while let Some(at) = ready.pop() {
        done += 1;
        for &next in &successors[at] {
            waves[next] = waves[next].max(waves[at] + 1);
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.push(next);
            }
        }
    }
    if done == changes.len() {
        return Ok(waves);
    }
    // Only an order of restarts that contradicts the declared order gets here. Whatever still
    // waits has a predecessor that still waits, so walking back must meet itself.
    let mut path: Vec<usize> = Vec::new();
    let mut at = changes.into_iter().find(|&at| waiting[at] > 0).unwrap_or_default();
    while !path.contains(&at) {
        path.push(at);
        at = after[at].iter().copied().find(|&before| waiting[before] > 0).unwrap_or(at);
    }
    let from = path.iter().position(|&step| step == at).unwrap_or_default();
    let path = path[from..].iter().map(|&step| resources[step].id.clone()).collect();
    Err(PlanError::Cycle(Cycle { path }))
}

/// The nodes that change, those that write down what a change owes them, and those that share a
/// cluster with a change.
fn locks(desired: &DesiredFleet, plan: &Plan) -> BTreeSet<NodeName> {
    let mut locks: BTreeSet<NodeName> = plan.changed_nodes().into_iter().cloned().collect();
    let debts = plan.changes.iter().flat_map(|change| &change.owes);
    let beforehand = debts.filter(|debt| debt.remembered == Remembered::Beforehand);
    locks.extend(beforehand.map(|debt| debt.target.node.clone()));
    let changed: BTreeSet<&str> =
        plan.changes.iter().filter_map(|change| change.cluster.as_deref()).collect();
    if !changed.is_empty() {
        let clusters = desired.clusters();
        locks.extend(changed.iter().filter_map(|name| clusters.get(*name)).flatten().cloned());
    }
    locks
}

fn assemble(
    resources: &[&Resource],
    verdicts: Vec<Verdict>,
    broken: &[Option<usize>],
    after: &[Rc<[usize]>],
    waves: &[usize],
) -> Plan {
    let id = |&at: &usize| resources[at].id.clone();
    let nodes: BTreeSet<_> = resources.iter().map(|resource| &resource.id.node).collect();
    let compared =
        resources.iter().filter(|resource| !matches!(resource.spec, Spec::PgCensus(_))).count();
    let mut plan = Plan { resources: compared, nodes: nodes.len(), ..Plan::default() };
    let targets: HashMap<&ResourceId, debts::Target> = verdicts
        .iter()
        .enumerate()
        .filter_map(|(at, verdict)| match verdict {
            Verdict::Change(_) => Some((&resources[at].id, debts::Target::Changes)),
            Verdict::Blocked | Verdict::Unobserved(_) => {
                Some((&resources[at].id, debts::Target::LeftOut))
            }
            Verdict::Settled => None,
        })
        .collect();
    let target = |id: &ResourceId| targets.get(id).copied().unwrap_or(debts::Target::Rests);
    for (at, verdict) in verdicts.into_iter().enumerate() {
        let resource = resources[at];
        match verdict {
            Verdict::Settled => {}
            Verdict::Unobserved(failure) => {
                plan.unobserved.push(Unobserved { id: resource.id.clone(), failure });
            }
            Verdict::Blocked => plan.blocked.push(Blocked {
                id: resource.id.clone(),
                by: broken[at].as_ref().map(id).unwrap_or_else(|| resource.id.clone()),
            }),
            Verdict::Change(judged) => {
                let Judged { difference, certainty, cause, caused_by } = *judged;
                plan.changes.push(PlannedChange {
                    owes: debts::of(resource, &difference, &certainty, target),
                    moves_services: debts::moves_services(resource.id.kind),
                    id: resource.id.clone(),
                    module: resource.module,
                    cluster: resource.cluster.clone(),
                    difference,
                    certainty,
                    cause,
                    caused_by: caused_by.iter().map(id).collect(),
                    wave: waves[at],
                    after: after[at].iter().map(id).collect(),
                });
            }
        }
    }
    // Stable: within a wave, the declared order.
    plan.changes.sort_by_key(|change| change.wave);
    plan
}
