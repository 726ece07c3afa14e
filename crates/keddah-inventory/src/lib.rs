//! From YAML bytes to a typed, resolved inventory with source spans: Ansible's merge rules, the parameter registry, and keddah check.

mod value;

pub use value::{Data, Key, Value};
