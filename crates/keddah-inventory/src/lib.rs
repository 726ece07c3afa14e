//! From YAML bytes to a typed, resolved inventory with source spans: Ansible's merge rules, the parameter registry, and keddah check.

pub mod registry;
pub mod ansible;
mod inventory;
mod load;
mod value;
mod yaml;

pub use inventory::{Group, Host, HostVars, Inventory, Origin, Scope, Sourced};
pub use load::load;
pub use value::{Data, Key, Value, to_json};
