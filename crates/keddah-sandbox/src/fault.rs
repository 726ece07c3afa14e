//! Faults that a node has for a while, and their end.
//!
//! The process that will end a fault is started first, then the fault is written down, then put into force: a
//! command that is killed half-way leaves nothing that does not end. That process lives in the sandbox's
//! control groups, so that taking the sandbox down ends it, too.
//!
//! What hangs on a node's processes and mounts (freeze, starve, slow-disk) ends when the node is switched
//! off; what hangs on its cable or lies on its disk (cut, slow-link, full-disk), or is done at the bridge (lose,
//! cut --from), is there after its next boot.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bridge;
use crate::clock;
use crate::control_group::Groups;
use crate::disk::Disk;
use crate::effect;
use crate::error::{Error, FileContext, Result};
use crate::location::{Locations, Place};
use crate::lock::Lock;
use crate::node;
use crate::sandbox::Sandbox;
use crate::state::{NodeState, State};

/// What can be wrong with a node. A node has at most one fault of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// A disk reads and writes that many bytes in a second.
    SlowDisk {
        /// Where the disk is mounted.
        path: String,
        /// The limit, for reading and for writing.
        bytes_per_second: u64,
    },
    /// A disk is filled.
    FullDisk {
        /// Where the disk is mounted.
        path: String,
        /// How many bytes are left.
        leave: u64,
    },
    /// All of the node's processes together have that share of one core.
    Starve {
        /// Of 100.
        percent: u32,
    },
    /// No process of the node runs; its kernel, which is the machine's, still answers a ping.
    Freeze,
    /// The node's cable is cut.
    Cut,
    /// The node's cable carries that many bytes in a second, each way.
    SlowLink {
        /// The limit.
        bytes_per_second: u64,
    },
    /// The node's cable loses frames, each way.
    Lose {
        /// Of 100.
        percent: u32,
    },
    /// Nothing passes between the node and those others; both reach the rest.
    CutFrom {
        /// The others' names.
        nodes: Vec<String>,
    },
}

impl Fault {
    /// The kind's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SlowDisk { .. } => "slow-disk",
            Self::FullDisk { .. } => "full-disk",
            Self::Starve { .. } => "starve",
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::SlowLink { .. } => "slow-link",
            Self::Lose { .. } => "lose",
            Self::CutFrom { .. } => "cut-from",
        }
    }

    /// True if it ends when the node is switched off.
    fn ends_with_power(&self) -> bool {
        matches!(self, Self::SlowDisk { .. } | Self::Starve { .. } | Self::Freeze)
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::Fault { message: message.into() });
        match self {
            Self::Starve { percent } if !(1..=99).contains(percent) => {
                wrong("a starved node has 1 to 99 percent of a core")
            }
            Self::Lose { percent } if !(1..=99).contains(percent) => {
                wrong("a lossy cable loses 1 to 99 percent (all of them: cut)")
            }
            Self::SlowDisk { bytes_per_second, .. } | Self::SlowLink { bytes_per_second }
                if !(1 << 10..=1 << 30).contains(bytes_per_second) =>
            {
                wrong("what is slow has a rate of 1K to 1G bytes per second")
            }
            _ => Ok(()),
        }
    }
}

/// A fault that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveFault {
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
    /// When it ends by itself, in seconds since 1970; none if somebody has to end it.
    pub ends: Option<u64>,
    /// What tells it from an earlier one of its kind.
    pub(crate) mark: String,
    /// The device that is slowed down.
    pub(crate) device: Option<String>,
}

/// What a fault needs to be ended by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultEnd {
    /// After how many seconds.
    pub seconds: u64,
    /// The command that ends it: a program that ends in [`Sandbox::end_fault_later`]. Node, mark and
    /// seconds are added as its last three arguments.
    pub ender: Vec<OsString>,
}

impl Sandbox {
    /// Puts a fault into force.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], [`Error::NotRunning`], [`Error::Fault`] if the node has such a fault already
    /// or cannot have it, or what a program says; then nothing of it stays.
    pub fn fault(&mut self, node: &str, mut fault: Fault, end: Option<&FaultEnd>) -> Result<()> {
        fault.check()?;
        let name = self.state.node(node)?.name.clone();
        if let Fault::CutFrom { nodes } = &mut fault {
            *nodes = self.others(&name, nodes)?;
        }
        let _lock = Lock::acquire(&self.place.lock_file())?;
        self.read_again()?;
        let groups = self.groups()?;
        let found = self.state.node(&name)?;
        let running = groups.member(&name).container_init().is_some();
        if !running && (fault.ends_with_power() || matches!(fault, Fault::FullDisk { .. })) {
            return Err(Error::NotRunning { node: name });
        }
        let cut = matches!(fault, Fault::Cut) && found.cut;
        if cut || found.faults.iter().any(|other| other.fault.name() == fault.name()) {
            return Err(Error::Fault {
                message: format!("{name} has {} already: end it first", fault.name()),
            });
        }
        let device = effect::device(&self.place, found, &fault)?;
        let random = Path::new("/proc/sys/kernel/random/uuid");
        let mark = fs::read_to_string(random).on("read", random)?.trim().to_owned();
        let kind = fault.name();
        let active = ActiveFault {
            fault,
            ends: end.map(|end| clock::unix_seconds() + end.seconds),
            mark: mark.clone(),
            device,
        };
        // Before anything is written down: what ends a fault that never came about finds nothing to do, and
        // waits for this lock if it is early.
        if let Some(end) = end {
            start_ender(&self.place, &groups, &name, kind, &mark, end)?;
        }
        self.change(&name, |node| {
            node.cut |= matches!(active.fault, Fault::Cut);
            node.faults.push(active.clone());
        })?;
        let begun = effect::begin(&self.place, &groups, self.state.node(&name)?, &active);
        if begun.is_err() {
            // The first error is the one that matters.
            let _ = self.end_where(&groups, &name, |fault| fault.mark == mark);
        }
        begun
    }

    /// The names of nodes that a node is to be cut off.
    fn others(&self, name: &str, nodes: &[String]) -> Result<Vec<String>> {
        let mut names = nodes
            .iter()
            .map(|other| self.state.node(other).map(|found| found.name.clone()))
            .collect::<Result<Vec<_>>>()?;
        names.sort();
        names.dedup();
        if names.is_empty() || names.iter().any(|other| other == name) {
            return Err(Error::Fault {
                message: format!("{name} can be cut off other nodes only: name them"),
            });
        }
        Ok(names)
    }

    /// The file systems of a node's own.
    ///
    /// # Errors
    /// [`Error::UnknownNode`]
    pub fn disks(&self, node: &str) -> Result<&[Disk]> {
        Ok(&self.state.node(node)?.disks)
    }

    /// Ends the node's fault of that kind; none is fine.
    ///
    /// # Errors
    /// [`Error::UnknownNode`], or something of it cannot be undone: then it stays in force.
    pub fn end_fault(&mut self, node: &str, kind: &str) -> Result<()> {
        self.end_some(node, |fault| fault.fault.name() == kind)
    }

    /// Ends all of the node's faults, and mends its cable.
    ///
    /// # Errors
    /// As [`Self::end_fault`].
    pub fn heal(&mut self, node: &str) -> Result<()> {
        self.end_some(node, |_| true)?;
        self.switch_cable(node, false)
    }

    /// Waits, then ends one certain fault, if it is still in force: what [`FaultEnd::ender`] does.
    ///
    /// # Errors
    /// As [`Self::end_fault`].
    pub fn end_fault_later(
        locations: &Locations,
        name: &str,
        node: &str,
        mark: &str,
        seconds: u64,
    ) -> Result<()> {
        std::thread::sleep(Duration::from_secs(seconds));
        Self::open(locations, name)?.end_some(node, |fault| fault.mark == mark)
    }

    fn end_some(&mut self, node: &str, which: impl Fn(&ActiveFault) -> bool) -> Result<()> {
        let name = self.state.node(node)?.name.clone();
        let _lock = Lock::acquire(&self.place.lock_file())?;
        self.read_again()?;
        let groups = self.groups()?;
        self.end_where(&groups, &name, which)
    }

    /// Ends faults of a node; the caller holds the lock.
    fn end_where(
        &mut self,
        groups: &Groups,
        name: &str,
        which: impl Fn(&ActiveFault) -> bool,
    ) -> Result<()> {
        let ending: Vec<ActiveFault> =
            self.state.node(name)?.faults.iter().filter(|fault| which(fault)).cloned().collect();
        for active in ending {
            effect::end(&self.place, groups, self.state.node(name)?, &active)?;
            self.change(name, |node| {
                node.cut &= !matches!(active.fault, Fault::Cut);
                node.faults.retain(|fault| fault.mark != active.mark);
            })?;
            if matches!(active.fault, Fault::Cut) && groups.member(name).populated()? {
                bridge::switch_cable(&self.place, name, true)?;
            }
        }
        Ok(())
    }

    /// Ends what ends with a node's power; the caller holds the lock, and the node is off.
    pub(crate) fn end_with_power(&mut self, groups: &Groups, name: &str) -> Result<()> {
        self.end_where(groups, name, |fault| fault.fault.ends_with_power())
    }

    /// True if no process of the node runs.
    pub(crate) fn frozen(&self, name: &str) -> Result<bool> {
        Ok(self.state.node(name)?.faults.iter().any(|fault| fault.fault == Fault::Freeze))
    }

    /// Another process may have changed something since this one read the state.
    pub(crate) fn read_again(&mut self) -> Result<()> {
        if let Some(state) = State::read(&self.place)? {
            self.state = state;
        }
        Ok(())
    }

    fn change(&mut self, name: &str, change: impl Fn(&mut NodeState)) -> Result<()> {
        self.state.nodes.iter_mut().filter(|node| node.name == name).for_each(change);
        self.state.write(&self.place)
    }
}

/// Starts the process that ends the fault, whatever becomes of this one.
fn start_ender(
    place: &Place,
    groups: &Groups,
    node: &str,
    kind: &str,
    mark: &str,
    end: &FaultEnd,
) -> Result<()> {
    let member = format!("end-{kind}-{node}");
    let group = groups.member(&member);
    // That of an earlier fault, which was ended before its time.
    group.kill()?;
    group.create_fresh()?;
    let mut words: Vec<String> =
        end.ender.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    words.extend([node.to_owned(), mark.to_owned(), end.seconds.to_string()]);
    node::launch(&group, &place.log(&member), &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_measures_are_refused() {
        assert!(Fault::Starve { percent: 0 }.check().is_err());
        assert!(Fault::Starve { percent: 100 }.check().is_err());
        assert!(Fault::Starve { percent: 5 }.check().is_ok());
        assert!(Fault::Lose { percent: 0 }.check().is_err());
        assert!(Fault::Lose { percent: 100 }.check().is_err());
        assert!(Fault::Lose { percent: 99 }.check().is_ok());
        assert!(Fault::SlowLink { bytes_per_second: 10 }.check().is_err());
        assert!(Fault::SlowLink { bytes_per_second: 1 << 20 }.check().is_ok());
    }

    #[test]
    fn a_fault_survives_writing_and_reading() {
        let active = ActiveFault {
            fault: Fault::FullDisk { path: "/data".into(), leave: 7 },
            ends: Some(9),
            mark: "mark".into(),
            device: None,
        };
        let text = serde_json::to_string(&active).unwrap();
        assert!(text.contains(r#""fault":"full-disk""#), "{text}");
        assert_eq!(serde_json::from_str::<ActiveFault>(&text).unwrap(), active);
    }
}
