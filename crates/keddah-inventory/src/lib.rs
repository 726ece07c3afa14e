//! From YAML bytes to a typed, resolved inventory with source spans: Ansible's merge rules, the parameter registry, and keddah check.

pub mod registry;
mod value;

pub use value::{Data, Key, Value};
