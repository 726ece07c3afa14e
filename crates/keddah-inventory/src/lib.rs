//! From YAML bytes to a typed, resolved inventory with source spans: Ansible's merge rules, the parameter registry, and keddah check.
#![allow(clippy::result_large_err, reason = "a diagnostic is made once, for a person to read")]

pub mod ansible;
mod check;
mod crontab;
mod instances;
mod interpolate;
mod inventory;
mod load;
pub mod model;
mod params;
mod patroni_rules;
mod readable;
mod reference;
pub mod registry;
pub use registry::parameters;
mod schema;
pub mod selector;
mod settings;
mod value;
mod yaml;

pub use check::{
    CODES as CHECK_CODES, LOADING_CODES, check, is_public_login, is_public_password,
    plain_spans_in_text, secret_spans, secret_spans_in_text,
};
pub use crontab::is_assignment as is_cron_assignment;
pub use instances::home as instance_home;
pub use interpolate::{Interpolator, Unknown, has_placeholders, interpolate};
pub use inventory::{Group, Host, HostVars, Inventory, Origin, Scope, Sourced};
pub use load::load;
pub use params::{ParamOrigin, Params, milliseconds, seconds, size_bytes};
pub use readable::readable_yaml;
pub use reference::params_reference;
pub use schema::schema;
pub use settings::{Refusal, refusal, setting_text};
pub use value::{Data, Key, Value, to_json};
