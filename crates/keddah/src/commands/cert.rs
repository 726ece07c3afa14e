//! `keddah cert`: certificates for people and programs that connect to the databases.

use crate::cli::Context;
use crate::error::CommandError;
use clap::{Args, Subcommand};
use keddah_compile::CA_PATH;
use keddah_controller::stations::{self, write_private};
use keddah_fleet::pki::Authority;
use keddah_inventory::model::PgUser;
use keddah_inventory::registry::Handle;
use keddah_inventory::{Inventory, Params, parameters};
use keddah_resource::Material;
use keddah_resource::kind::certificate;
use keddah_resource::kind::directory::Permissions;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

/// Make certificates with the fleet's CA
#[derive(Debug, Args)]
pub struct CertArgs {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    Issue(IssueArgs),
}

/// Make a client certificate for a database user
///
/// Writes files/pki/client/NAME.crt and NAME.key beside the inventory. With it, and with
/// `auth: cert` in a HBA rule, the user logs in without a password. It cannot be revoked before it
/// expires: see docs/operations.md.
#[derive(Debug, Args)]
struct IssueArgs {
    /// The common name: the database user's name
    #[arg(long, value_name = "NAME")]
    cn: String,

    /// Days it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,

    /// Issue it even for a role by which the fleet itself works
    #[arg(long)]
    allow_system_user: bool,

    /// Replace an existing certificate of this name
    #[arg(long)]
    force: bool,
}

/// Runs the subcommand.
pub fn run(context: &Context, args: CertArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        CertCommand::Issue(args) => issue(context, &args),
    }
}

fn issue(context: &Context, args: &IssueArgs) -> Result<ExitCode, CommandError> {
    let IssueArgs { cn, days, allow_system_user, force } = args;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
    if cn.is_empty() || cn.starts_with('.') || !cn.bytes().all(plain) {
        return Err(CommandError::user(format!("`{cn}` cannot be the name of a file"))
            .hint("use letters, digits, and the characters _ - . @"));
    }
    let trip = context.trip(false);
    let inventory = stations::read(&trip)?.inventory;
    if !allow_system_user {
        refuse_system_user(inventory.as_ref(), cn)?;
    }
    let base = stations::base_directory(&trip)?;
    let authority = Authority::load(&base.join(stations::CA_DIRECTORY))?.ok_or_else(|| {
        CommandError::user(format!(
            "there is no CA in {}",
            base.join(stations::CA_DIRECTORY).display()
        ))
        .hint("the first `keddah apply` makes it, or put your own ca.crt and ca.key there")
    })?;
    let directory = base.join("files/pki/client");
    let (certificate_path, key_path) =
        (directory.join(format!("{cn}.crt")), directory.join(format!("{cn}.key")));
    let spec = certificate::Spec {
        certificate_path: certificate_path.display().to_string(),
        key_path: key_path.display().to_string(),
        common_name: cn.clone(),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        issuer: authority.fingerprint().to_owned(),
        authority_path: CA_PATH.to_owned(),
        validity_days: *days,
        renew_days: 0,
        permissions: Permissions::new(&context.environment.user, &context.environment.group, 0o600),
    };
    if !force && (certificate_path.exists() || key_path.exists()) {
        return Err(CommandError::user(format!("{} is there already", certificate_path.display()))
            .hint("--force replaces it; the old one stays valid until it expires"));
    }
    let Material::Certificate { certificate, key } =
        authority.issue(&spec, trip.environment.now())?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|error| cannot_write(&directory, &error))?;
    write_private(&key_path, key.reveal())?;
    write_private(&certificate_path, &certificate)?;
    if inventory.as_ref().is_some_and(|inventory| !declares(inventory, cn)) {
        context.output.warning(&format!(
            "no cluster of the inventory declares a user `{cn}`: until one has such a role, nobody can \
             log in with this certificate"
        ));
    }
    if context.output.is_json() {
        context.output.data(&serde_json::json!({
            "certificate": certificate_path, "key": key_path, "common_name": cn, "days": days,
        }));
    } else {
        context.output.answer(&format!("{}\n{}\n", certificate_path.display(), key_path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses the names by which the fleet itself works: such a certificate is a key to everything, it
/// cannot be called back, and no person needs it.
fn refuse_system_user(inventory: Option<&Inventory>, name: &str) -> Result<(), CommandError> {
    const SYSTEM: [(Handle<String>, &str); 3] = [
        (parameters::PG_DBSU, "the superuser: whoever has its certificate can do everything"),
        (
            parameters::PG_REPLICATION_USERNAME,
            "who replicates: its certificate copies every database",
        ),
        (
            parameters::PG_MONITOR_USERNAME,
            "who monitors: its certificate reads what every session does",
        ),
    ];
    let hosts = inventory.into_iter().flat_map(|inventory| {
        inventory.hosts().flat_map(move |host| Params::instances(inventory, &host.name))
    });
    let named = |params: Params<'_>| {
        SYSTEM.into_iter().find(|(parameter, _)| params.get(*parameter) == name)
    };
    let Some((parameter, why)) = hosts.into_iter().find_map(named) else { return Ok(()) };
    Err(CommandError::user(format!("`{name}` is `{parameter}`, {why}"))
        .hint("issue it for the database user that a person or program logs in as")
        .hint("--allow-system-user issues it all the same; it cannot be revoked"))
}

/// Whether some cluster has a role of that name: a user of `pg_users`, a default one, or one of those
/// that the fleet itself works by.
fn declares(inventory: &Inventory, name: &str) -> bool {
    const SYSTEM: [Handle<String>; 4] = [
        parameters::PG_DBSU,
        parameters::PG_ADMIN_USERNAME,
        parameters::PG_REPLICATION_USERNAME,
        parameters::PG_MONITOR_USERNAME,
    ];
    inventory.hosts().flat_map(|host| Params::instances(inventory, &host.name)).any(|params| {
        PgUser::all(&params).iter().any(|user| user.name == name)
            || SYSTEM.iter().any(|parameter| params.get(*parameter) == name)
    })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::system(format!("cannot write {}", path.display())).caused_by(error)
}
