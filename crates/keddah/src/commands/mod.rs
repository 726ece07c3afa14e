//! One file per command: its arguments, whose comments are its help, and what it does.

pub mod agent;
pub mod apply;
pub mod cert;
pub mod check;
pub mod compile;
pub mod completion;
pub mod inventory;
pub mod params;
pub mod pg;
pub mod plan;
pub mod remove;
pub mod sandbox;
pub mod sandbox_fault;
pub mod schema;
pub mod status;
