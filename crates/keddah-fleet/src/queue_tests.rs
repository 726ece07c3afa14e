//! The queue of changes against plans made by chance: nothing stands still, nothing runs beyond its bounds,
//! and nothing runs before its turn.

use crate::Places;
use crate::queue::Queue;
use keddah_core::NodeName;
use keddah_plan::{Certainty, PlannedChange};
use keddah_resource::{Difference, Kind, Module, ResourceId, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

fn change(node: &str, name: usize, after: Vec<ResourceId>) -> PlannedChange {
    PlannedChange {
        id: ResourceId::new(&NodeName::new(node), Kind::File, format!("/{name}")),
        module: Module::Node,
        cluster: None,
        difference: Difference::create("it is not there"),
        certainty: Certainty::Known,
        cause: None,
        caused_by: Vec::new(),
        wave: 0,
        after,
        owes: Vec::new(),
        moves_services: false,
    }
}

/// Numbers that look like chance, and are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// A plan over some nodes, and what each change waits for while it runs, though it does not come after it.
struct Made {
    changes: Vec<PlannedChange>,
    work: Vec<Work>,
    awaits: Vec<Vec<usize>>,
}

fn made(chance: &mut Chance, nodes: usize) -> Made {
    let mut made = Made { changes: Vec::new(), work: Vec::new(), awaits: Vec::new() };
    for at in 0..40 {
        let node = format!("node-{}", chance.below(nodes));
        // What is earlier in the list never waits for what is later: there is a way through.
        let mut earlier = |most: usize| -> Vec<usize> {
            (0..chance.below(most + 1)).filter(|_| at > 0).map(|_| chance.below(at)).collect()
        };
        let after: BTreeSet<usize> = earlier(3).into_iter().collect();
        let awaits = earlier(4);
        let work = [Work::Light, Work::Heavy, Work::Heavy, Work::Waiting][chance.below(4)];
        let after = after.iter().map(|&one| made.changes[one].id.clone()).collect();
        made.changes.push(change(&node, at, after));
        made.awaits.push(if work == Work::Waiting { awaits } else { Vec::new() });
        made.work.push(work);
    }
    made
}

/// Runs a plan, in which whatever runs ends in an order by chance; answers whether it came to its end.
fn runs(made: &Made, work: Vec<Work>, nodes: usize, chance: &mut Chance) -> bool {
    let names: Vec<NodeName> =
        (0..nodes).map(|node| NodeName::new(format!("node-{node}"))).collect();
    // The first two share a machine of one processor.
    let machines = names.iter().enumerate().map(|(at, name)| (name, 1, at < 2));
    let places = Places::with(machines).with_forks(NonZeroU16::new(3).unwrap());
    let mut queue = Queue::new(&made.changes, work.clone(), places);
    let (mut running, mut over): (Vec<usize>, BTreeSet<usize>) = (Vec::new(), BTreeSet::new());
    while over.len() < made.changes.len() {
        while let Some(at) = queue.begin() {
            for before in &made.changes[at].after {
                let before = queue.index(before).unwrap();
                assert!(over.contains(&before), "{at} has begun before {before} had ended");
            }
            running.push(at);
        }
        let mut heavy: BTreeMap<String, usize> = BTreeMap::new();
        for &at in running.iter().filter(|&&at| work[at] == Work::Heavy) {
            let node = made.changes[at].id.node.as_str();
            let machine = if matches!(node, "node-0" | "node-1") { "shared" } else { node };
            *heavy.entry(machine.to_owned()).or_default() += 1;
        }
        assert!(heavy.values().all(|&count| count <= 2), "more than a machine bears: {heavy:?}");
        assert!(heavy.values().sum::<usize>() <= 3, "more than the fleet's: {heavy:?}");
        let can_end: Vec<usize> = (0..running.len())
            .filter(|&place| made.awaits[running[place]].iter().all(|one| over.contains(one)))
            .collect();
        if can_end.is_empty() {
            return false;
        }
        let at = running.swap_remove(can_end[chance.below(can_end.len())]);
        queue.end(at);
        queue.release(at);
        over.insert(at);
    }
    assert_eq!(queue.queued(), 0);
    true
}

#[test]
fn no_plan_stands_still() {
    let mut chance = Chance(0x5eed_0f5e_edf5_eed1);
    let mut would_have = 0;
    for round in 0..500 {
        let nodes = 1 + chance.below(5);
        let made = made(&mut chance, nodes);
        assert!(runs(&made, made.work.clone(), nodes, &mut chance), "round {round} stands still");
        // Did those that wait for others need a place, some would.
        let places = |&work: &Work| if work == Work::Waiting { Work::Heavy } else { work };
        let held = made.work.iter().map(places).collect();
        would_have += usize::from(!runs(&made, held, nodes, &mut chance));
    }
    assert!(would_have > 10, "this test proves nothing: {would_have}");
}

#[test]
fn what_was_begun_is_brought_to_its_end_first() {
    // Ten clusters on three nodes of one machine: a Patroni is started, which makes its server.
    let mut changes = Vec::new();
    for cluster in 0..10 {
        let node = format!("node-{}", cluster % 3);
        let start = change(&node, cluster * 10, Vec::new());
        changes.push(change(&node, cluster * 10 + 1, vec![start.id.clone()]));
        changes.push(start);
    }
    let names = ["node-0", "node-1", "node-2"].map(NodeName::new);
    let places = Places::with(names.iter().map(|name| (name, 2, true)));
    let mut queue = Queue::new(&changes, vec![Work::Heavy; changes.len()], places);
    let cluster =
        |at: usize| changes[at].id.name.trim_start_matches('/').parse::<usize>().unwrap() / 10;
    let (mut running, mut most) = (Vec::new(), 0);
    let mut unfinished: BTreeSet<usize> = BTreeSet::new();
    loop {
        while let Some(at) = queue.begin() {
            unfinished.insert(cluster(at));
            running.push(at);
        }
        most = most.max(unfinished.len());
        let Some(at) = (!running.is_empty()).then(|| running.remove(0)) else { break };
        queue.end(at);
        queue.release(at);
        if queue.successors(at).is_empty() {
            unfinished.remove(&cluster(at));
        }
    }
    assert_eq!(most, 2, "clusters that were begun beside each other");
    assert!(unfinished.is_empty());
}

#[test]
fn nodes_of_one_machine_take_turns() {
    let changes: Vec<PlannedChange> =
        (0..12).map(|at| change(&format!("node-{}", at / 4), at, Vec::new())).collect();
    let names = ["node-0", "node-1", "node-2"].map(NodeName::new);
    let places = Places::with(names.iter().map(|name| (name, 4, true)));
    let mut queue = Queue::new(&changes, vec![Work::Heavy; changes.len()], places);
    let begun: Vec<String> =
        std::iter::from_fn(|| queue.begin()).map(|at| changes[at].id.node.to_string()).collect();
    assert_eq!(begun, ["node-0", "node-1", "node-2", "node-0"]);
    assert_eq!(queue.queued(), 8);
    assert_eq!(queue.skip(11), [11]);
    assert_eq!(queue.queued(), 7, "what is skipped waits for nothing");
}
