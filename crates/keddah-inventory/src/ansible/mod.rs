//! Ansible's reading of an inventory: which groups and hosts a file declares, and what
//! `ansible-inventory` prints for it. Follows ansible-core 2.19 (plugins/inventory/yaml,
//! inventory/data, vars/manager).

mod build;
mod host_pattern;
mod listing;
mod python_json;
mod unexpected;

pub(crate) use build::build;
pub use listing::{graph, host_json, list_json};
pub(crate) use python_json::python_float;
pub(crate) use unexpected::meant as meant_section;
