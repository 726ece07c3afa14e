//! The `keddah` command.
fn main() {}
