//! Pure planning: what should be and what is become a [`Plan`] of classified changes in order.
//!
//! ```text
//!  DesiredFleet ─┐
//!                ├─► plan() ─► Plan ─► lint() ─► (show, approve, execute) ─► Event* ─► Report
//!  observations ─┘
//! ```
//!
//! Nothing here reads a clock, a file or a machine: the same input gives the same plan, byte for
//! byte, and [`Plan::digest`] says so.

mod archiving;
mod birth;
mod build;
mod debts;
mod doors;
mod durability;
mod event;
pub mod health;
mod lint;
mod plan;
mod privileges;
mod report;
mod restart_order;
mod restarts;
mod server_settings;
mod sizing;
mod stopped;
mod undeclared;
mod waiting;
mod way_back;

pub use build::{PlanError, plan};
pub use debts::{Debt, Remembered};
pub use doors::opened;
pub use event::{Event, Failure, SkipReason};
pub use lint::{Allowance, Finding, lint, short_name};
pub use plan::{Blocked, Certainty, Outcome, Plan, PlannedChange, Promise, Summary, Unobserved};
pub use privileges::{Deviation, PrivilegeModel};
pub use report::{Ending, Report, ReportedChange};
pub use restart_order::not_before_its_replicas;
pub use restarts::Restarts;
pub use stopped::{Start, starts};
