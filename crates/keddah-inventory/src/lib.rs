//! From YAML bytes to a typed, resolved inventory with source spans: Ansible's merge rules, the parameter registry, and keddah check.

mod reference;
pub mod registry;
mod schema;
pub mod ansible;
mod interpolate;
mod inventory;
mod load;
mod value;
mod yaml;

pub use interpolate::{Interpolator, Unknown, has_placeholders, interpolate};
pub use inventory::{Group, Host, HostVars, Inventory, Origin, Scope, Sourced};
pub use load::load;
pub use value::{Data, Key, Value, to_json};
pub use reference::params_reference;
pub use schema::schema;
