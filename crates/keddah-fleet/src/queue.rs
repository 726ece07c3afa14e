//! Which change begins next: one whose predecessors are done, and for which its machine has a place.
//!
//! Pure, so that what must never happen can be tried: that an apply stands still although something could
//! go on. A place is held by a change that runs and by nothing else, and what may have to wait for another
//! change that runs at the same time needs none ([`Work::Waiting`]). So whoever holds a place ends by
//! itself, and whatever is queued has its turn.

use crate::Places;
use keddah_core::NodeName;
use keddah_plan::PlannedChange;
use keddah_resource::{ResourceId, Work};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For what comes before it.
    Waiting,
    /// For a place.
    Ready,
    Running,
    Over,
}

/// What of a node could begin, if there were places.
#[derive(Debug, Default)]
struct Ready {
    light: VecDeque<usize>,
    heavy: VecDeque<usize>,
    waiting: VecDeque<usize>,
}

impl Ready {
    fn of(&mut self, work: Work) -> &mut VecDeque<usize> {
        match work {
            Work::Light => &mut self.light,
            Work::Heavy => &mut self.heavy,
            Work::Waiting => &mut self.waiting,
        }
    }

    fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty() && self.waiting.is_empty()
    }
}

/// The changes of a plan, by what keeps each from beginning.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    nodes: Vec<&'a NodeName>,
    work: Vec<Work>,
    index: HashMap<&'a ResourceId, usize>,
    /// How many changes each still comes after.
    open: Vec<usize>,
    successors: Vec<Vec<usize>>,
    states: Vec<State>,
    /// How many of them are ready.
    queued: usize,
    ready: BTreeMap<&'a NodeName, Ready>,
    /// What goes on where heavy work has ended, in the place that it has left.
    next: VecDeque<usize>,
    /// The node whose turn was last: nodes that share places take turns.
    turn: Option<&'a NodeName>,
    places: Places,
}

impl<'a> Queue<'a> {
    /// The changes, and the work that each of them is.
    pub fn new(changes: &'a [PlannedChange], work: Vec<Work>, places: Places) -> Self {
        let index: HashMap<&ResourceId, usize> =
            changes.iter().enumerate().map(|(at, change)| (&change.id, at)).collect();
        let mut successors = vec![Vec::new(); changes.len()];
        let mut open = vec![0; changes.len()];
        for (at, change) in changes.iter().enumerate() {
            for before in change.after.iter().filter_map(|id| index.get(id)) {
                successors[*before].push(at);
                open[at] += 1;
            }
        }
        let mut queue = Self {
            nodes: changes.iter().map(|change| &change.id.node).collect(),
            work,
            index,
            open,
            successors,
            states: vec![State::Waiting; changes.len()],
            queued: 0,
            ready: BTreeMap::new(),
            next: VecDeque::new(),
            turn: None,
            places,
        };
        for at in 0..changes.len() {
            if queue.open[at] == 0 {
                queue.line_up(at);
            }
        }
        queue
    }

    /// Where a change stands.
    pub fn index(&self, id: &ResourceId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// What comes after a change.
    pub fn successors(&self, at: usize) -> &[usize] {
        &self.successors[at]
    }

    /// How many changes wait for nothing but a place.
    pub fn queued(&self) -> usize {
        self.queued
    }

    fn line(&mut self, at: usize) -> &mut VecDeque<usize> {
        self.ready.entry(self.nodes[at]).or_default().of(self.work[at])
    }

    fn line_up(&mut self, at: usize) {
        self.states[at] = State::Ready;
        self.queued += 1;
        self.line(at).push_back(at);
    }

    /// The next change to begin, which has its place now; `None` until another one ends.
    pub fn begin(&mut self) -> Option<usize> {
        while let Some(at) = self.next.pop_front() {
            if self.states[at] != State::Ready {
                continue;
            }
            if self.places.take(self.nodes[at], self.work[at]) {
                return Some(self.run(at));
            }
            self.line(at).push_front(at);
        }
        let after = match self.turn {
            Some(node) => (Bound::Excluded(node), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let turns = self.ready.range::<&NodeName, _>(after).chain(&self.ready);
        let turns: Vec<&'a NodeName> = turns.map(|(&node, _)| node).collect();
        for node in turns {
            if let Some(at) = self.begin_on(node) {
                self.turn = Some(node);
                return Some(self.run(at));
            }
        }
        None
    }

    fn begin_on(&mut self, node: &'a NodeName) -> Option<usize> {
        let ready = self.ready.get_mut(node)?;
        for work in [Work::Waiting, Work::Heavy, Work::Light] {
            let line = ready.of(work);
            while line.front().is_some_and(|&at| self.states[at] != State::Ready) {
                line.pop_front();
            }
            if !line.is_empty() && self.places.take(node, work) {
                return line.pop_front();
            }
        }
        if ready.is_empty() {
            self.ready.remove(node);
        }
        None
    }

    fn run(&mut self, at: usize) -> usize {
        self.states[at] = State::Running;
        self.queued -= 1;
        at
    }

    /// A change that has its place is not begun after all.
    pub fn put_back(&mut self, at: usize) {
        self.end(at);
        self.states[at] = State::Waiting;
    }

    /// A change that ran is over, for good or ill.
    pub fn end(&mut self, at: usize) {
        debug_assert_eq!(self.states[at], State::Running, "it did not run");
        self.states[at] = State::Over;
        self.places.give_back(self.nodes[at], self.work[at]);
    }

    /// What comes after it may begin, as far as nothing else is before it. Heavy work that follows heavy
    /// work of the same node goes on in its place: what was begun, such as a server that its Patroni has
    /// started to make, is brought to an end before something else is begun beside it.
    pub fn release(&mut self, at: usize) {
        for then in self.successors[at].clone() {
            self.open[then] -= 1;
            if self.open[then] > 0 || self.states[then] != State::Waiting {
                continue;
            }
            let goes_on = self.work[at] == Work::Heavy && self.work[then] == Work::Heavy;
            if goes_on && self.nodes[at] == self.nodes[then] {
                self.states[then] = State::Ready;
                self.queued += 1;
                self.next.push_back(then);
            } else {
                self.line_up(then);
            }
        }
    }

    /// Takes a change out that was not begun, and everything that waits for it; answers what that was.
    pub fn skip(&mut self, at: usize) -> Vec<usize> {
        let mut skipped = Vec::new();
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            match self.states[at] {
                State::Waiting => {}
                State::Ready => self.queued -= 1,
                State::Running | State::Over => continue,
            }
            self.states[at] = State::Over;
            skipped.push(at);
            open.extend(&self.successors[at]);
        }
        skipped
    }

    /// The changes of a node.
    pub fn of_node(&self, node: &NodeName) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&at| self.nodes[at] == node).collect()
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
}
