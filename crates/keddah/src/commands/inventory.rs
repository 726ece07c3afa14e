//! `keddah inventory`: an inventory as Ansible sees it, and where each value comes from.

use crate::cli::Context;
use crate::error::{CommandError, Error};
use crate::render::inventory as render;
use clap::{Args, Subcommand};
use keddah_controller::stations;
use keddah_core::NodeName;
use keddah_inventory::{Inventory, Params, ansible, model};
use std::process::ExitCode;

/// Show an inventory as ansible-inventory does, or a host's resolved parameters
///
/// --list, --host and --graph print what `ansible-inventory` prints for the same file, so that
/// Keddah can serve as a dynamic inventory. Like there, passwords are shown; `show` hides them.
#[derive(Debug, Args)]
pub struct InventoryArgs {
    /// All groups, hosts and variables as JSON
    #[arg(long, conflicts_with_all = ["host", "graph"])]
    list: bool,

    /// The variables of one host as JSON
    #[arg(long, value_name = "HOST", conflicts_with = "graph")]
    host: Option<String>,

    /// Groups and hosts as a tree
    #[arg(long, value_name = "GROUP", num_args = 0..=1, default_missing_value = "all")]
    graph: Option<String>,

    #[command(subcommand)]
    command: Option<InventoryCommand>,
}

#[derive(Debug, Subcommand)]
enum InventoryCommand {
    /// Show a host's or an instance's resolved parameters, and where each comes from
    Show {
        /// The host, as the inventory names it, or an instance such as pg-test-1
        host: String,
        /// Also those that nobody sets, with their defaults
        #[arg(long)]
        all: bool,
    },
}

/// Answers.
pub fn run(context: &Context, args: InventoryArgs) -> Result<ExitCode, Error> {
    let InventoryArgs { list, host, graph, command } = args;
    if !list && host.is_none() && graph.is_none() && command.is_none() {
        return Err(CommandError::user("what should be shown?")
            .hint("use --list, --host HOST, --graph, or show HOST")
            .into());
    }
    let read = stations::read(&context.trip(false))?;
    let Some(inventory) = &read.inventory else {
        return Err(Error::problems(read));
    };
    if let Some(InventoryCommand::Show { host, all }) = command {
        let params = match instance(inventory, &host) {
            Some(params) => params,
            None => Params::new(inventory, &known(inventory, &host)?),
        };
        if context.output.is_json() {
            context.output.data(&render::show_json(&read.sources, &params, all));
        } else {
            let (theme, line) = (&context.output.stdout, context.output.width);
            context.output.answer(&render::show(&read.sources, &params, all, line, theme));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = if list {
        ansible::list_json(inventory)
    } else if let Some(host) = host {
        let host = known(inventory, &host)?;
        ansible::host_json(inventory, &host).unwrap_or_default()
    } else {
        let group = graph.unwrap_or_default();
        ansible::graph(inventory, &group)
            .ok_or_else(|| CommandError::user(format!("there is no group `{group}`")))?
    };
    context.output.answer(&text);
    if !text.ends_with('\n') {
        context.output.answer("\n");
    }
    Ok(ExitCode::SUCCESS)
}

/// The parameters of an instance, unless a host has its name.
fn instance<'a>(inventory: &'a Inventory, name: &str) -> Option<Params<'a>> {
    if inventory.host(name).is_some() {
        return None;
    }
    model::pg_clusters(inventory).into_iter().find_map(|cluster| {
        let mut members = cluster.members.into_iter();
        Some(members.find(|member| member.instance(&cluster.name) == name)?.params)
    })
}

fn known(inventory: &Inventory, host: &str) -> Result<NodeName, CommandError> {
    if let Some(host) = inventory.host(host) {
        return Ok(host.name.clone());
    }
    let mut error = CommandError::user(format!("there is no host `{host}` in the inventory"));
    let names = inventory.hosts().map(|host| host.name.as_str());
    if let Some(near) = keddah_inventory::registry::nearest(host, names) {
        error = error.hint(format!("did you mean `{near}`?"));
    }
    Err(error)
}
