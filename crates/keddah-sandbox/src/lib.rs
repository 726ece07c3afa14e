//! Real systemd nodes on one machine, by systemd-nspawn, in a network with no way out.
//!
//! A [`Sandbox`] is a set of Debian systems that boot systemd and sshd over one cached image. Each
//! has a network namespace of its own, joined to a bridge in the sandbox's namespace; no route leads
//! to the machine's network. A sandbox outlives the process that made it: what must be remembered
//! stands in its state directory, and what runs is found by its control groups.
//!
//! The library needs root. It prints nothing and reads no environment; progress goes to a callback.

mod bridge;
mod clock;
mod control_group;
mod disk;
mod dismantle;
mod effect;
mod error;
mod fault;
mod filter;
mod image;
mod location;
mod lock;
mod node;
mod process;
mod requirements;
mod sandbox;
mod secure_shell;
mod serve;
mod state;

pub use disk::{Disk, DiskRequest, FileSystem, parse_size};
pub use error::{Error, Result};
pub use fault::{ActiveFault, Fault, FaultEnd};
pub use image::{Image, ImageKind, Progress, Suite, ensure_image};
pub use location::{BRIDGE_ADDRESS, DEFAULT_NAME, Locations, name_option};
pub use requirements::check_requirements;
pub use sandbox::{Removed, Sandbox, UpOptions};
pub use serve::serve_repository;
pub use state::{NodeCondition, NodeStatus, Status, StopMode};
