//! Directories that would be taken from everybody else on a machine.

use super::{Report, error};
use crate::{Params, parameters};

/// Parameters whose directory becomes an account's own, closed to others.
const OWNED: &[&str] = &[
    "pg_log_dir",
    "patroni_log_dir",
    "pgbouncer_log_dir",
    "pgbackrest_log_dir",
    "pg_data",
    "pg_dbsu_home",
    "etcd_data",
];

/// Parameters below whose directory such ones are made.
const PARENTS: &[&str] = &["pg_fs_main", "pg_fs_backup"];

/// Those with logs.
const LOGS: &[&str] = &["pg_log_dir", "patroni_log_dir", "pgbouncer_log_dir", "pgbackrest_log_dir"];

/// Directories that programs of all accounts use (Filesystem Hierarchy Standard 3.0). What lies in one of
/// these may well be a service's.
const SHARED: &[&str] = &[
    "/",
    "/data",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/run",
    "/srv",
    "/tmp",
    "/var",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/local",
    "/var/lock",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// Directories in which nothing is for a service's data or logs.
const SYSTEMS: &[&str] =
    &["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/sbin", "/sys", "/usr"];

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for cluster in report.clusters.clone() {
        for member in &cluster.members {
            let names = OWNED.iter().chain(PARENTS).filter(|name| !name.starts_with("etcd_"));
            each(report, &member.params, names.copied());
            holders(report, &member.params);
        }
    }
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        if params.set(parameters::ETCD_SEQ).is_some() {
            each(report, &params, ["etcd_data"]);
        }
    }
}

fn each<'a>(
    report: &mut Report<'_>,
    params: &Params<'_>,
    names: impl IntoIterator<Item = &'a str>,
) {
    for name in names {
        let path = params.named::<String>(name);
        // Of one that is no absolute path, its type tells.
        if !path.starts_with('/') {
            continue;
        }
        let path = plain(&path);
        let message = if OWNED.contains(&name) && SHARED.contains(&path.as_str()) {
            format!("`{name}: {path}` is a directory that other programs use, too")
        } else if let Some(system) = SYSTEMS.iter().find(|system| is_within(&path, system)) {
            format!("`{name}: {path}` lies in {system}, which is the system's own")
        } else {
            continue;
        };
        report.add(
            error("shared-directory", params.span(name), message)
                .help(
                    "it would belong to one account and be closed to all others; name one for it alone, in /data, \
                     /srv or /var/log, say",
                ),
        );
    }
}

/// Directories of logs that hold data: they are closed to those who need a way to it.
fn holders(report: &mut Report<'_>, params: &Params<'_>) {
    for log in LOGS {
        let path = plain(&params.named::<String>(log));
        for name in ["pg_data", "pg_fs_main", "pg_fs_backup", "etcd_data", "node_data"] {
            let other = plain(&params.named::<String>(name));
            if is_within(&other, &path) && !SHARED.contains(&path.as_str()) {
                let message = format!("`{log}: {path}` is, or holds, `{name}: {other}`");
                report.add(error("shared-directory", params.span(log), message).help(
                    "a directory for logs is closed to all accounts but one: name one for it alone",
                ));
            }
        }
    }
}

/// A path without repeated slashes, `.` and one at its end.
fn plain(path: &str) -> String {
    let names: Vec<&str> =
        path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    format!("/{}", names.join("/"))
}

/// Whether a path is this directory, or lies in it.
fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
