//! A machine in memory, for tests of everything above this crate.
