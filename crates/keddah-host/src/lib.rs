//! The effects on one machine: observe and apply every resource kind.
