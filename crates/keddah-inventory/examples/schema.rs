//! Writes the inventory's JSON Schema to standard output, for tools that validate it.

use std::io::Write;

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{:#}", keddah_inventory::schema())
}
