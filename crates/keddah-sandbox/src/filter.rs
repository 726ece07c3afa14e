//! What does not pass the bridge although the cables are whole: lost frames, and nodes cut off one another.
//!
//! Rules of nftables in the bridge's namespace, by the names of the cables: nothing in a node can see or undo them,
//! and they hold for whatever a node sends or is sent, virtual addresses and multicast included. They stay when a node
//! is switched off and on, and go with the bridge.

use crate::error::{Error, Result};
use crate::location::{Place, network_namespace_path};
use crate::process::{output_with_input, tool};
use crate::requirements::has_program;

/// Checks that the machine can filter.
///
/// # Errors
/// [`Error::Fault`]
pub(crate) fn check() -> Result<()> {
    if has_program("nft") {
        return Ok(());
    }
    Err(Error::Fault {
        message: "this fault needs the program nft: `apt-get install nftables`".into(),
    })
}

/// Loses that many of 100 frames of a node's cable, each way.
///
/// # Errors
/// What `nft` says.
pub(crate) fn lose(place: &Place, node: &str, percent: u32) -> Result<()> {
    replace(place, &lose_table(node), &lose_rules(node, percent))
}

/// Lets nothing pass between a node and some others.
///
/// # Errors
/// What `nft` says.
pub(crate) fn part(place: &Place, node: &str, others: &[String]) -> Result<()> {
    replace(place, &part_table(node), &part_rules(node, others))
}

/// Undoes [`lose`], also where it never was.
///
/// # Errors
/// What `nft` says.
pub(crate) fn stop_losing(place: &Place, node: &str) -> Result<()> {
    replace(place, &lose_table(node), "")
}

/// Undoes [`part`], also where it never was.
///
/// # Errors
/// What `nft` says.
pub(crate) fn join(place: &Place, node: &str) -> Result<()> {
    replace(place, &part_table(node), "")
}

fn lose_table(node: &str) -> String {
    format!("lose-{node}")
}

fn part_table(node: &str) -> String {
    format!("cut-from-{node}")
}

fn lose_rules(node: &str, percent: u32) -> String {
    let lost = format!("numgen random mod 100 < {percent} drop");
    format!(
        "chain sent {{ type filter hook prerouting priority 0; iifname \"{node}\" {lost}; }}\n\
         chain received {{ type filter hook postrouting priority 0; oifname \"{node}\" {lost}; }}\n"
    )
}

fn part_rules(node: &str, others: &[String]) -> String {
    let others: Vec<String> = others.iter().map(|other| format!("\"{other}\"")).collect();
    let others = others.join(", ");
    format!(
        "chain between {{ type filter hook forward priority 0;\n\
         iifname \"{node}\" oifname {{ {others} }} drop;\n\
         iifname {{ {others} }} oifname \"{node}\" drop;\n}}\n"
    )
}

/// Puts rules in place of a table's earlier ones, all at once; none takes the table away.
fn replace(place: &Place, table: &str, rules: &str) -> Result<()> {
    let network = network_namespace_path(&place.network_namespace());
    // One that was never made cannot be deleted: it is made first.
    let mut commands = format!("table bridge {table}\ndelete table bridge {table}\n");
    if !rules.is_empty() {
        commands.push_str(&format!("table bridge {table} {{\n{rules}}}\n"));
    }
    output_with_input(
        tool("nsenter").arg(format!("--net={}", network.display())).args(["nft", "-f", "-"]),
        &commands,
    )
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_both_ways() {
        let others = ["node-2".to_owned(), "node-3".to_owned()];
        assert_eq!(
            part_rules("node-1", &others),
            "chain between { type filter hook forward priority 0;\n\
             iifname \"node-1\" oifname { \"node-2\", \"node-3\" } drop;\n\
             iifname { \"node-2\", \"node-3\" } oifname \"node-1\" drop;\n}\n"
        );
        let lossy = lose_rules("node-1", 30);
        assert!(lossy.contains("iifname \"node-1\" numgen random mod 100 < 30 drop"), "{lossy}");
        assert!(lossy.contains("oifname \"node-1\" numgen random mod 100 < 30 drop"), "{lossy}");
    }
}
