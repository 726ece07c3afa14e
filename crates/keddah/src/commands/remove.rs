//! `keddah remove`: take instances, members or whole clusters away, safeguarded.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render;
use crate::steps::{self, Approval, Selection, SelectionArgs};
use clap::Args;
use keddah_compile::Removing;
use keddah_core::NodeName;
use keddah_inventory::{Inventory, Params};
use keddah_plan::Allowance;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Take a host or a cluster out of service, with its data
///
/// Refuses while pg_safeguard or etcd_safeguard is on for any of the hosts, and wants the name
/// typed again. A cluster that goes as a whole is backed up once more before it does, or
/// `--no-backup` says that nobody will want it back. Remove it from the inventory afterwards, or
/// the next apply makes it anew.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// A host, or a group such as a cluster
    #[arg(value_name = "HOST|CLUSTER")]
    name: String,

    /// The same name once more, where there is no terminal to type it on
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,

    /// Remove a whole cluster without a last backup, and with the backups on its own nodes
    #[arg(long)]
    no_backup: bool,

    /// Show every field, new files in full, and every change as it is done
    #[arg(short = 'v', long, visible_alias = "verbose")]
    full: bool,
}

/// The trip of the data, with some of the nodes on their way out.
pub async fn run(context: &Context, args: RemoveArgs) -> Result<ExitCode, CommandError> {
    let RemoveArgs { name, confirm, no_backup, full } = args;
    let (mut read, inventory) = steps::checked(context)?;
    let limit = SelectionArgs { limit: vec![name.clone()], modules: Vec::new(), restart: None };
    let selected = Selection::of(&limit, &inventory)?.nodes().clone();
    if let Some(confirm) = confirm.as_ref().filter(|confirm| **confirm != name) {
        return Err(CommandError::user(format!(
            "`{confirm}` is not the name of what is removed, which is `{name}`"
        )));
    }
    let removing = Removing { without_backup: no_backup, ..removing(&inventory, &name, selected) };
    let hosts = removing.hosts();
    safeguards(&inventory, &hosts)?;
    let affected = affected(&inventory, &hosts);

    let selection = Selection::nodes_only(affected);
    let planned = steps::plan(context, &mut read, &inventory, &selection, &removing).await?;
    let plan = &planned.plan;

    render::plan::announce(&context.output, plan, full);
    if plan.changes.is_empty() {
        return Ok(render::report::nothing(&context.output, plan));
    }
    let confirmed = confirm.is_some_and(|confirm| confirm == name);
    let allowance = Allowance { names: BTreeSet::new(), everything: true };
    let typed = (!confirmed).then(|| name.clone());
    let approval = Approval { yes: confirmed, allowance, typed, command: String::new() };
    steps::approve(context, plan, &planned.desired, approval)?;
    let report = steps::carry_out(context, &planned, "keddah remove", full).await?;
    Ok(render::report::show(&context.output, plan, &report))
}

/// A cluster's name takes away what makes its hosts that cluster; any other name takes all.
fn removing(inventory: &Inventory, name: &str, selected: BTreeSet<NodeName>) -> Removing {
    let named = |parameter: &str| {
        selected.iter().any(|node| {
            let params = Params::new(inventory, node);
            params.set(parameter).is_some() && params.str(parameter) == name
        })
    };
    if named("pg_cluster") {
        Removing { pgsql: selected, ..Removing::default() }
    } else if named("etcd_cluster") {
        Removing { etcd: selected, ..Removing::default() }
    } else {
        Removing { pgsql: selected.clone(), etcd: selected, ..Removing::default() }
    }
}

fn safeguards(inventory: &Inventory, removing: &BTreeSet<NodeName>) -> Result<(), CommandError> {
    for node in removing {
        let params = Params::new(inventory, node);
        for (identity, safeguard) in
            [("pg_cluster", "pg_safeguard"), ("etcd_seq", "etcd_safeguard")]
        {
            if params.set(identity).is_some() && params.bool(safeguard) {
                return Err(CommandError::user(format!("{node} is safeguarded by {safeguard}"))
                    .hint(format!("set `{safeguard}: false` for it in the inventory first")));
            }
        }
    }
    Ok(())
}

/// The nodes themselves, those that share a cluster with them, and those that tell their names.
fn affected(inventory: &Inventory, removing: &BTreeSet<NodeName>) -> BTreeSet<NodeName> {
    let clusters = |node: &NodeName| -> BTreeSet<String> {
        let params = Params::new(inventory, node);
        let postgres = params.opt_str("pg_cluster");
        let etcd =
            params.opt_int("etcd_seq").map(|_| format!("etcd {}", params.str("etcd_cluster")));
        postgres.into_iter().chain(etcd).collect()
    };
    let touched: BTreeSet<String> = removing.iter().flat_map(clusters).collect();
    inventory
        .hosts()
        .map(|host| &host.name)
        .filter(|node| {
            let tells_names = || Params::new(inventory, node).opt_int("infra_seq").is_some();
            removing.contains(*node) || !clusters(node).is_disjoint(&touched) || tells_names()
        })
        .cloned()
        .collect()
}
