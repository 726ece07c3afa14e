//! How many changes may run at once: on each machine by its processors, in the whole fleet by a number.
//!
//! Pure: who asks is told whether there is a place. A place is held by a change that runs, and by nobody
//! else: what is queued holds none, and its time limits have not begun.

use keddah_core::NodeName;
use keddah_resource::{NodeFacts, Work};
use std::collections::BTreeMap;
use std::num::NonZeroU16;

/// Heavy work that runs at once in the whole fleet, unless a user says otherwise: as much as one mirror of
/// packages, or one store of backups, serves at a time.
pub const FORKS: NonZeroU16 = NonZeroU16::new(32).unwrap();

/// Heavy changes for each processor: each waits for disks and for others for about half of its time.
const HEAVY_PER_CORE: usize = 2;

/// The same where several nodes share a machine: what one starts, the others' servers wait for, too.
const HEAVY_PER_SHARED_CORE: usize = 1;

/// Light changes of one machine: enough to overlap waiting, few enough that a small machine still serves
/// while it is changed.
const LIGHT: usize = 8;

/// The same for each processor of a machine that several nodes share: what one node's clients would hardly
/// notice, ten nodes' would.
const LIGHT_PER_SHARED_CORE: usize = 2;

/// The places of one machine, and how many are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    heavy: usize,
    light: usize,
    heavy_taken: usize,
    light_taken: usize,
}

impl Room {
    fn new(cores: usize, shared: bool) -> Self {
        let cores = cores.max(1);
        let (heavy, light) = if shared {
            (HEAVY_PER_SHARED_CORE * cores, LIGHT_PER_SHARED_CORE * cores)
        } else {
            (HEAVY_PER_CORE * cores, LIGHT)
        };
        Self { heavy, light, heavy_taken: 0, light_taken: 0 }
    }
}

/// Who may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// By the node that a machine is, or, where several share one, the first of them.
    rooms: BTreeMap<NodeName, Room>,
    /// The others of a shared machine, and its first.
    shared: BTreeMap<NodeName, NodeName>,
    forks: usize,
    heavy_taken: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self::with(std::iter::empty())
    }
}

impl Places {
    /// The places of these nodes. Nodes of a sandbox are containers of one machine, and share its
    /// processors, which each of them counts as its own.
    pub fn of<'a>(facts: impl IntoIterator<Item = (&'a NodeName, &'a NodeFacts)>) -> Self {
        Self::with(facts.into_iter().map(|(node, facts)| (node, facts.cores, facts.sandbox)))
    }

    /// The places of nodes with so many processors, and whether they are a sandbox's.
    pub(crate) fn with<'a>(nodes: impl IntoIterator<Item = (&'a NodeName, u32, bool)>) -> Self {
        let mut places = Self {
            rooms: BTreeMap::new(),
            shared: BTreeMap::new(),
            forks: usize::from(FORKS.get()),
            heavy_taken: 0,
        };
        let mut first: Option<(NodeName, usize)> = None;
        for (node, cores, sandbox) in nodes {
            let cores = usize::try_from(cores).unwrap_or(1);
            if !sandbox {
                places.rooms.insert(node.clone(), Room::new(cores, false));
                continue;
            }
            let (owner, most) = first.get_or_insert_with(|| (node.clone(), cores));
            *most = cores.max(*most);
            places.rooms.insert(owner.clone(), Room::new(*most, true));
            places.shared.insert(node.clone(), owner.clone());
        }
        places
    }

    /// The same with so much heavy work at once in the whole fleet.
    #[must_use]
    pub fn with_forks(mut self, forks: NonZeroU16) -> Self {
        self.forks = usize::from(forks.get());
        self
    }

    fn room(&mut self, node: &NodeName) -> &mut Room {
        let machine = self.shared.get(node).unwrap_or(node);
        // One that did not say what it is counts as a small one.
        self.rooms.entry(machine.clone()).or_insert_with(|| Room::new(1, false))
    }

    /// Takes a place on a node's machine; `false` where there is none.
    pub fn take(&mut self, node: &NodeName, work: Work) -> bool {
        match work {
            Work::Waiting => true,
            Work::Light => {
                let room = self.room(node);
                let free = room.light_taken < room.light;
                room.light_taken += usize::from(free);
                free
            }
            Work::Heavy => {
                let within = self.heavy_taken < self.forks;
                let room = self.room(node);
                let free = within && room.heavy_taken < room.heavy;
                room.heavy_taken += usize::from(free);
                self.heavy_taken += usize::from(free);
                free
            }
        }
    }

    /// Gives back a place that was taken.
    pub fn give_back(&mut self, node: &NodeName, work: Work) {
        let room = self.room(node);
        match work {
            Work::Waiting => {}
            Work::Light => room.light_taken -= 1,
            Work::Heavy => {
                room.heavy_taken -= 1;
                self.heavy_taken -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(nodes: &[(&str, u32, bool)]) -> Places {
        let nodes: Vec<(NodeName, u32, bool)> = nodes
            .iter()
            .map(|&(name, cores, sandbox)| (NodeName::new(name), cores, sandbox))
            .collect();
        Places::with(nodes.iter().map(|(node, cores, sandbox)| (node, *cores, *sandbox)))
    }

    fn taken(places: &mut Places, node: &str, work: Work) -> usize {
        let node = NodeName::new(node);
        (0..1000).take_while(|_| places.take(&node, work)).count()
    }

    #[test]
    fn machines_have_places_by_their_processors_and_a_fleet_by_its_forks() {
        let mut all = places(&[("a", 1, false), ("b", 8, false)]);
        assert_eq!(taken(&mut all, "a", Work::Heavy), 2);
        assert_eq!(taken(&mut all, "b", Work::Heavy), 16);
        assert_eq!(taken(&mut all, "unknown", Work::Heavy), 2);
        assert_eq!(taken(&mut all, "a", Work::Light), 8, "what is light has places of its own");
        all.give_back(&NodeName::new("b"), Work::Heavy);
        assert_eq!(taken(&mut all, "b", Work::Heavy), 1);

        let three = NonZeroU16::new(3).expect("it is not zero");
        let mut few = places(&[("a", 1, false), ("b", 8, false)]).with_forks(three);
        assert_eq!(taken(&mut few, "a", Work::Heavy), 2);
        assert_eq!(taken(&mut few, "b", Work::Heavy), 1);
        few.give_back(&NodeName::new("a"), Work::Heavy);
        assert_eq!(taken(&mut few, "b", Work::Heavy), 1);
    }

    #[test]
    fn nodes_of_a_sandbox_share_the_processors_of_their_machine() {
        let mut all = places(&[("a", 2, true), ("b", 2, true), ("c", 2, true)]);
        assert_eq!(taken(&mut all, "b", Work::Heavy), 2);
        assert_eq!(taken(&mut all, "a", Work::Heavy) + taken(&mut all, "c", Work::Heavy), 0);
        assert_eq!(taken(&mut all, "c", Work::Light), 4);
        assert_eq!(taken(&mut all, "a", Work::Light), 0);
        all.give_back(&NodeName::new("b"), Work::Heavy);
        assert_eq!(taken(&mut all, "a", Work::Heavy), 1);
    }

    #[test]
    fn who_waits_for_others_always_has_a_place() {
        let mut all = places(&[("a", 1, true)]).with_forks(NonZeroU16::MIN);
        assert_eq!(taken(&mut all, "a", Work::Heavy), 1);
        assert_eq!(taken(&mut all, "a", Work::Waiting), 1000);
    }
}
