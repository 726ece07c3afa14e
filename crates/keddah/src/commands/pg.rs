//! `keddah pg`: what runs inside of a PostgreSQL cluster, as it is now.

use crate::cli::Context;
use crate::error::{CommandError, Error};
use crate::render::privileges as render;
use clap::{Args, Subcommand};
use keddah_compile::Removing;
use keddah_controller::stations::{self, Selection};
use keddah_controller::{Planned, Restart};
use keddah_inventory::registry::nearest;
use keddah_inventory::{Inventory, model};
use keddah_plan::{Outcome, PlannedChange, PrivilegeModel};
use keddah_resource::kind::{pg_grants, pg_privileges};
use keddah_resource::{DesiredFleet, Kind, Module, Observed, Resource, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

/// How long a server is waited for: who asks for every object of a large database has time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Look into PostgreSQL clusters
#[derive(Debug, Args)]
pub struct PgArgs {
    #[command(subcommand)]
    command: PgCommand,
}

#[derive(Debug, Subcommand)]
enum PgCommand {
    Privileges(PrivilegesArgs),
}

/// Show who can do what in a cluster, and what differs from the privilege model
///
/// Asks the server itself, role by role and kind by kind of object. Changes nothing. Exit code 0 when
/// nothing differs from the model, 2 when something does, 1 when something is wrong.
#[derive(Debug, Args)]
struct PrivilegesArgs {
    /// The cluster
    #[arg(value_name = "CLUSTER")]
    cluster: String,

    /// Only these databases
    #[arg(short = 'd', long, value_delimiter = ',', value_name = "DATABASE")]
    database: Vec<String>,
}

/// Runs the subcommand.
pub async fn run(context: &Context, args: PgArgs) -> Result<ExitCode, Error> {
    match args.command {
        PgCommand::Privileges(args) => privileges(context, args).await,
    }
}

async fn privileges(context: &Context, args: PrivilegesArgs) -> Result<ExitCode, Error> {
    let PrivilegesArgs { cluster, database: only } = args;
    let trip = context.trip(false);
    let (mut read, inventory) = stations::checked(&trip)?;
    let selection = members(&inventory, &cluster)?;
    let nothing = Removing::default();
    let Planned { plan, desired, fleet, .. } =
        stations::plan(&trip, &mut read, &inventory, &selection, &nothing, PATIENCE).await?;

    let ours = |resource: &&Resource| resource.cluster.as_deref() == Some(cluster.as_str());
    let mut models: BTreeMap<&str, (&Resource, &pg_privileges::Spec)> = BTreeMap::new();
    let mut databases = BTreeMap::new();
    let mut roles = BTreeSet::new();
    for resource in desired.iter().filter(ours) {
        match &resource.spec {
            // What is made from `template1` is looked at itself.
            Spec::PgPrivileges(spec) if spec.database != "template1" => {
                models.insert(&spec.database, (resource, spec));
            }
            Spec::PgDatabase(spec) => {
                databases.insert(spec.database.as_str(), spec.present.as_ref());
            }
            Spec::PgRole(spec) if spec.present.is_some() => {
                roles.insert(spec.role.clone());
            }
            _ => {}
        }
    }
    if let Some(unknown) = only.iter().find(|name| !models.contains_key(name.as_str())) {
        let near = nearest(unknown, models.keys().copied());
        let error = CommandError::user(format!("`{unknown}` is no declared database of {cluster}"));
        return Err(near
            .map(|near| format!("did you mean `{near}`?"))
            .into_iter()
            .fold(error, CommandError::hint)
            .into());
    }
    models.retain(|name, _| only.is_empty() || only.iter().any(|one| one == name));
    let Some((_, (_, first))) = models.first_key_value() else {
        return Err(CommandError::user(format!("{cluster} declares no privileges"))
            .hint("`pg_provision: false` leaves what is inside of a cluster alone")
            .into());
    };
    let default_roles = first.complete_for.clone();
    roles.insert("public".to_owned());
    let (questions, ids) = questions(&models, &roles);
    let mut outcomes = fleet.observe(&questions).await;

    let mut answers = Vec::new();
    for (name, (_, spec)) in &models {
        let objects = match outcomes.remove(&ids[name]) {
            Some(Outcome::Observed(Observed::PgGrants(grants))) => grants.objects,
            Some(Outcome::Failed(failure)) => {
                let message = format!("the privileges in {name} cannot be looked at");
                return Err(CommandError::system(message).caused_by(&failure).into());
            }
            Some(Outcome::NotYet { because }) => {
                let message = format!("{name} cannot be looked at: {because}");
                return Err(CommandError::user(message).into());
            }
            _ => return Err(CommandError::internal(format!("nobody looked at {name}")).into()),
        };
        let database = databases.get(name).copied().flatten();
        let model = PrivilegeModel { privileges: spec, database };
        let deviations = model.deviations(&objects);
        answers.push(render::DatabasePrivileges {
            database: (*name).to_owned(),
            objects,
            deviations,
        });
    }
    let drift: Vec<&PlannedChange> = plan
        .changes
        .iter()
        .filter(|change| change.cluster.as_deref() == Some(cluster.as_str()) && concerns(change))
        .collect();
    let model = PrivilegeModel { privileges: first, database: None };
    let creators = model.creators().into_iter().map(str::to_owned).collect();
    let report = render::Privileges {
        cluster: cluster.clone(),
        creators,
        default_roles,
        roles,
        databases: answers,
        drift,
    };
    render::show(&context.output, &report);
    Ok(if report.matches() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The nodes of a cluster.
fn members(inventory: &Inventory, cluster: &str) -> Result<Selection, CommandError> {
    let clusters = model::pg_clusters(inventory);
    let Some(found) = clusters.iter().find(|one| one.name.as_str() == cluster) else {
        let near = nearest(cluster, clusters.iter().map(|one| one.name.as_str()));
        let error =
            CommandError::user(format!("the inventory has no PostgreSQL cluster `{cluster}`"));
        let near = near.map(|near| format!("did you mean `{near}`?"));
        return Err(near.into_iter().fold(error, CommandError::hint));
    };
    Ok(Selection::nodes_only(
        found.members.iter().map(|member| member.node.clone()).collect(),
        Restart::Never,
    ))
}

/// One question for each database, to the node that leads.
fn questions<'a>(
    models: &BTreeMap<&'a str, (&Resource, &pg_privileges::Spec)>,
    roles: &BTreeSet<String>,
) -> (DesiredFleet, BTreeMap<&'a str, ResourceId>) {
    let mut questions = DesiredFleet::default();
    let mut ids = BTreeMap::new();
    for (name, (resource, spec)) in models {
        let question = pg_grants::Spec {
            connection: spec.connection.clone(),
            database: (*name).to_owned(),
            roles: roles.clone(),
        };
        let question = Resource::new(&resource.id.node, Module::Pgsql, question);
        ids.insert(*name, questions.add(question));
    }
    (questions, ids)
}

/// Whether a change of a plan is about privileges.
fn concerns(change: &PlannedChange) -> bool {
    const OF_A_ROLE: &[&str] = &[
        "login",
        "superuser",
        "createdb",
        "createrole",
        "inherit",
        "replication",
        "bypassrls",
        "member of",
    ];
    match change.id.kind {
        Kind::PgPrivileges | Kind::PgSchema => true,
        Kind::PgDatabase => {
            change.difference.fields.iter().any(|field| {
                ["owner", "public may connect", "may connect"].contains(&field.field())
            })
        }
        Kind::PgRole => {
            change.difference.fields.iter().any(|field| OF_A_ROLE.contains(&field.field()))
        }
        _ => false,
    }
}
