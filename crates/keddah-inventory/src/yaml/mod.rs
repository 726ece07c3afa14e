//! YAML 1.1 as PyYAML reads it: text in, one [`Value`] with spans out.

mod compose;
mod map;
mod parser;
mod readings;
mod scalar;
mod tag;

pub(crate) use compose::{Composed, compose};
