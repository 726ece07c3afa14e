//! Every documented value: that it has the effect which the registry promises, and that the programs
//! which read what comes of it take that.

pub mod bundles;
#[cfg(test)]
mod effects;
pub mod fleet;
pub mod samples;
