//! `keddah remove`: take instances, members or whole clusters away, safeguarded.

use crate::cli::Context;
use crate::error::Error;
use crate::options::{Forks, PatienceArgs, RestartArg};
use crate::render::{self, report::Afterwards};
use clap::Args;
use keddah_controller::{Planned, RemovalRequest, Removed};
use std::process::ExitCode;

/// Take a host or a cluster out of service
///
/// Data and backups that go with it (pg_rm_data, pg_rm_backup, etcd_rm_data) are moved aside: the
/// directory gets `.removed` behind its name. `--destroy` deletes them, and so does `--aside` later.
/// Refuses while pg_safeguard or etcd_safeguard is on for any of the hosts, and wants the name
/// typed again. Nothing else is changed: what differs from the inventory besides waits for an apply.
/// A cluster that goes as a whole is backed up once more before it does, or
/// `--no-backup` says that nobody will want it back. Remove it from the inventory afterwards, or
/// the next apply makes it anew.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// A host, a group, a cluster, or one instance such as pg-test-3
    #[arg(value_name = "HOST|CLUSTER|INSTANCE")]
    name: String,

    #[command(flatten)]
    patience: PatienceArgs,

    /// The same name once more, where there is no terminal to type it on
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,

    /// Remove a whole cluster without a last backup, and with the backups on its own nodes
    #[arg(long)]
    no_backup: bool,

    /// Delete the data and the backups that go, which are moved aside otherwise; the same name again
    #[arg(long, value_name = "NAME", conflicts_with = "aside")]
    destroy: Option<String>,

    /// Take away no instance, only what was moved aside: after a failed rewind, and, with a host's
    /// name, by earlier removals
    #[arg(long, conflicts_with = "no_backup")]
    aside: bool,

    /// Remove members of these clusters although they are not well
    #[arg(long, value_delimiter = ',', value_name = "CLUSTER")]
    despite: Vec<String>,

    /// How PostgreSQL may restart on members that stay, should the removal need that
    #[arg(long, value_name = "HOW", default_value = "never")]
    restart: RestartArg,

    #[command(flatten)]
    forks: Forks,

    /// Show every field, new files in full, and every change as it is done
    #[arg(short = 'v', long, visible_alias = "verbose")]
    full: bool,
}

/// plan → show → remove by that very plan → report
pub async fn run(context: &Context, args: RemoveArgs) -> Result<ExitCode, Error> {
    let RemoveArgs {
        name,
        patience,
        confirm,
        no_backup,
        destroy,
        aside,
        despite,
        restart,
        forks,
        full,
    } = args;
    let trip = context.trip(full);
    let request = RemovalRequest {
        name: name.clone(),
        patience: patience.patience(),
        confirm,
        no_backup,
        destroy,
        aside,
        despite,
        restart: restart.into(),
        forks: forks.count,
    };
    let mut removal = keddah_controller::plan_removal(&trip, request).await?;
    let Planned { plan, health, .. } = &removal.planned;
    render::plan::announce(&context.output, plan, health, full);
    let removed = keddah_controller::remove(&trip, &mut removal).await?;
    let Planned { plan, .. } = &removal.planned;
    Ok(match removed {
        Removed::Nothing { health, left } => {
            render::report::nothing(&context.output, plan, &health, &left)
        }
        Removed::Done { report, health, left } => {
            let again = match aside {
                true => format!("`keddah remove {name} --aside` again"),
                false => format!("`keddah remove {name}` again, in the same words"),
            };
            let afterwards = Afterwards { again, lines: left };
            render::report::show(&context.output, plan, &report, &health, &afterwards)
        }
    })
}
