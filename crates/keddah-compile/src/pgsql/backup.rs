//! Backups of a cluster with pgBackRest (point-in-time recovery document).

use super::layout::Files;
use super::{Cluster, Instance, place, repository};
use crate::compiler::{Compiler, Problem, problem};
use crate::node::cron_table;
use keddah_core::Secret;
use keddah_inventory::{Params, is_cron_assignment, parameters, to_json};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{backup, file, stanza};
use keddah_resource::{Kind, Module, Resource, ResourceId, Spec};
use serde_json::{Value, json};

/// A backup may take a day.
pub(crate) const BACKUP_SECONDS: u32 = 24 * 3600;

/// Whether an option of a repository holds a secret: those that end in such a word, whichever store they
/// are for (pgBackRest's configuration reference, "Repository Options"). Names of files and ids, such as
/// `sftp-private-key-file` and `s3-kms-key-id`, end in other words.
fn is_secret(option: &str) -> bool {
    const WORDS: [&str; 6] = ["key", "secret", "token", "pass", "passphrase", "password"];
    option.rsplit('-').next().is_some_and(|last| WORDS.contains(&last))
}

impl Compiler<'_> {
    /// The files of one node.
    pub(super) fn backup_files(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
        files: &Files,
    ) -> Result<(), Problem> {
        let node = &instance.node;
        let params = &instance.member.params;
        let superuser = cluster.superuser();
        let resource =
            |spec: Spec| Resource::new(&node.name, Module::Pgsql, spec).in_cluster(&cluster.name);
        let owned = |mode| Permissions::new(&superuser, &superuser, mode);
        let place = &instance.place;
        if params.get(parameters::PGBACKREST_ENABLED) {
            let Configuration { text, secrets: hidden } = self.configuration(cluster, instance)?;
            // Of a cluster that lives, the new place must know it before WAL goes there.
            let known = cluster.has_stanzas().then(|| cluster.stanza_of(instance));
            let mut above = Vec::new();
            for path in ["/etc/pgbackrest", "/etc/pgbackrest/conf.d"] {
                above.push(
                    self.fleet.add(
                        resource(directory::Spec::present(path, owned(0o750)).into())
                            .after([files.packages.clone()])
                            .after(above.last().cloned()),
                    ),
                );
            }
            if place.own_name().is_some() {
                let text = "# Written by Keddah: each cluster has a file of its own in conf.d.\n";
                let spec = file::Spec::text(place::PGBACKREST, text, owned(0o640));
                self.fleet.add(resource(spec.into()).after(above.clone()));
            }
            let spec = file::Spec::text(place.pgbackrest_configuration(), text, owned(0o640));
            self.fleet.add(resource(spec.into()).after(above.clone()).after(known.clone()));
            let secrets = place.pgbackrest_secrets();
            let spec = if hidden.is_empty() {
                file::Spec::absent(secrets)
            } else {
                file::Spec::secret(secrets, Secret::new(hidden), owned(0o600))
                    .listing(file::Entries::Settings)
            };
            self.fleet.add(resource(spec.into()).after(above).after(known));
            let script = self.render(
                "bin/pg-backup",
                json!({
                    "cluster": cluster.name,
                    "superuser": superuser,
                    "socket_directory": params.get(parameters::PG_LOCALHOST),
                    "port": params.get(parameters::PG_PORT),
                }),
            )?;
            let path = place.below("bin/pg-backup");
            // A break-in through SQL gets the server's account: it must not change what is run.
            let spec = file::Spec::text(path, script, Permissions::root(0o755));
            self.fleet.add(resource(spec.into()).after(files.directories.clone()));
        }
        // Lines of the superuser's own table, which has no account column.
        let lines: Vec<String> = params
            .get(parameters::PG_CRONTAB)
            .iter()
            .filter_map(|line| with_account(line, &superuser))
            .collect();
        let path = place.crontab();
        let spec = if lines.is_empty() {
            file::Spec::absent(path)
        } else {
            file::Spec::text(path, cron_table(&lines, &place.home()), Permissions::root(0o644))
        };
        let table = self.fleet.add(resource(spec.into()).after([node.packages.clone()]));
        if !lines.is_empty() {
            self.cron(node, Module::Pgsql, table);
        }
        Ok(())
    }

    /// The stanza, and the first full backup.
    ///
    /// A repository on the nodes' own disks is one for each node, so each needs its stanza before
    /// its instance becomes the primary: otherwise WAL would pile up from a failover to the next
    /// apply. A repository that all share has one stanza, which the leader makes.
    ///
    /// Of a cluster that exists, the stanza comes first, under the configuration that is to be: only then
    /// does the archiver get it. A new place that is out of reach, or another system's, stops the apply
    /// there, and WAL goes where it went.
    pub(super) fn cluster_backup(
        &mut self,
        cluster: &Cluster<'_>,
        settled: &[ResourceId],
    ) -> Result<(), Problem> {
        let params = &cluster.params;
        if !params.get(parameters::PGBACKREST_ENABLED) {
            return Ok(());
        }
        let account = cluster.superuser();
        let shared = is_shared(params);
        self.stanza_marks(cluster);
        for instance in &cluster.instances {
            let leads = instance.node.name == cluster.leader;
            if shared && !leads {
                continue;
            }
            let resource = |spec: Spec| {
                Resource::new(&instance.node.name, Module::Pgsql, spec).in_cluster(&cluster.name)
            };
            // A standby cluster's data is backed up where it is written.
            let online = leads && cluster.follows.is_none() && cluster.is_led();
            let Configuration { text, secrets } = self.configuration(cluster, instance)?;
            let configuration = Secret::new(format!("{text}\n{secrets}"));
            let spec = stanza::Spec {
                stanza: cluster.name.clone(),
                account: account.clone(),
                online: online && !cluster.exists,
                configuration: configuration.clone(),
                data_directory: instance.member.params.get(parameters::PG_DATA),
                ran_before: !shared && instance.ran_before(),
            };
            let made = vec![instance.id(Kind::PgInstance, &instance.name)];
            let files = [
                instance.id(Kind::File, &instance.place.pgbackrest_configuration()),
                instance.id(Kind::File, &instance.place.pgbackrest_secrets()),
            ];
            let stanza = resource(spec.into());
            let stanza = self.fleet.add(if cluster.exists {
                stanza.after(made)
            } else {
                stanza.after(if online { settled.to_vec() } else { made }).after(files.clone())
            });
            if online && params.get(parameters::PGBACKREST_INIT_BACKUP) {
                let spec = backup::Spec {
                    stanza: cluster.name.clone(),
                    account: account.clone(),
                    patience_seconds: BACKUP_SECONDS,
                    not_before: self.backup_due(cluster, instance),
                    moves: true,
                    keeps: keeps(params),
                    configuration,
                    repository: (!shared).then(|| local_repository(params)).flatten(),
                };
                // What leads WAL past the archive is reset before.
                let reset = spec.not_before.map(|_| instance.id(Kind::Postmaster, &instance.name));
                let backup = resource(spec.into()).after([stanza]).after(files).after(reset);
                self.fleet.add(backup.after(settled.iter().cloned()));
            }
        }
        Ok(())
    }

    /// What says on each node that the stanza has been made, and where.
    fn stanza_marks(&mut self, cluster: &Cluster<'_>) {
        let text = repository::mark(&repository::place(&cluster.params));
        for instance in &cluster.instances {
            let path = stanza::mark(&cluster.name);
            let spec: Spec = file::Spec::text(path, text.clone(), Permissions::root(0o644)).into();
            let directory = instance.id(Kind::Directory, "/etc/pgbackrest");
            self.fleet.add(
                Resource::new(&instance.node.name, Module::Pgsql, spec)
                    .in_cluster(&cluster.name)
                    .after([cluster.stanza_of(instance), directory]),
            );
        }
    }

    /// What pgBackRest reads on an instance's node.
    fn configuration(
        &self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
    ) -> Result<Configuration, Problem> {
        let Instance { node, place, .. } = instance;
        let params = &instance.member.params;
        let section = place.pgbackrest_section();
        let (plain, secret) = repository(instance)?;
        let text = self.render(
            "pgbackrest/pgbackrest.conf",
            json!({
                "cluster": cluster.name,
                "section": section,
                "data_directory": params.get(parameters::PG_DATA),
                "port": params.get(parameters::PG_PORT),
                "socket_directory": params.get(parameters::PG_LOCALHOST),
                "superuser": cluster.superuser(),
                "repository": plain,
                "log_directory": params.get(parameters::PGBACKREST_LOG_DIR),
                "processes": (u64::from(node.facts.cores) / 2 / instance.neighbours).clamp(1, 8),
            }),
        )?;
        let secrets = match secret.is_empty() {
            true => String::new(),
            false => format!("[{section}]\n{}\n", secret.join("\n")),
        };
        Ok(Configuration { text, secrets })
    }
}

/// pgBackRest's configuration: what everybody may see, and the passwords, which stand apart.
struct Configuration {
    text: String,
    secrets: String,
}

impl Cluster<'_> {
    /// Whether it exists and keeps backups: then its stanzas are made before their configuration is there.
    fn has_stanzas(&self) -> bool {
        self.exists && self.params.get(parameters::PGBACKREST_ENABLED)
    }

    /// The stanza of the repository that an instance archives to.
    fn stanza_of(&self, instance: &Instance<'_>) -> ResourceId {
        let maker = if is_shared(&self.params) { self.leader() } else { instance };
        maker.id(Kind::Stanza, &self.name)
    }
}

/// An option of the chosen repository, however its name is written.
fn option(params: &Params<'_>, name: &str) -> Option<Value> {
    let chosen = params.get(parameters::PGBACKREST_METHOD);
    let options = params.get(parameters::PGBACKREST_REPO).get(chosen.as_str()).map(to_json)?;
    let dashed = name.replace('_', "-");
    let names =
        [name.to_owned(), dashed.clone(), format!("repo1_{name}"), format!("repo1-{dashed}")];
    names.iter().find_map(|name| options.get(name)).cloned()
}

pub(super) fn text_option(params: &Params<'_>, name: &str) -> String {
    let value = option(params, name);
    value.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// How many full backups the chosen repository keeps, where it counts them: `repo-retention-full` with
/// its default type `count` (pgBackRest's configuration reference).
fn keeps(params: &Params<'_>) -> Option<u32> {
    if !matches!(text_option(params, "retention_full_type").as_str(), "" | "count") {
        return None;
    }
    match option(params, "retention_full")? {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether all instances of a cluster use one repository, rather than a directory of their own node.
pub(crate) fn is_shared(params: &Params<'_>) -> bool {
    !matches!(text_option(params, "type").as_str(), "" | "posix")
        || !text_option(params, "host").is_empty()
}

/// The directory of a repository on the node itself.
pub(crate) fn local_repository(params: &Params<'_>) -> Option<String> {
    option(params, "path")?.as_str().map(str::to_owned)
}

/// A line of a user's crontab with the account in the sixth field; `None` for blank lines. What sets a
/// variable names no account.
fn with_account(line: &str, account: &str) -> Option<String> {
    let line = line.trim();
    if is_cron_assignment(line) {
        return Some(line.to_owned());
    }
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    let mut schedule = Vec::new();
    for _ in 0..fields {
        let (field, tail) = rest.split_once(char::is_whitespace)?;
        schedule.push(field);
        rest = tail.trim_start();
    }
    Some(format!("{} {account} {rest}", schedule.join(" ")))
}

/// The chosen repository as lines of pgBackRest's configuration: open ones and secret ones.
fn repository(instance: &Instance<'_>) -> Result<(Vec<String>, Vec<String>), Problem> {
    let params = &instance.member.params;
    let method = params.get(parameters::PGBACKREST_METHOD);
    let repositories = params.get(parameters::PGBACKREST_REPO);
    let Some(entries) = repositories.get(method.as_str()).map(to_json) else {
        let names: Vec<&str> = repositories.keys().map(|key| key.text.as_str()).collect();
        return Err(problem(
            "unknown-repository",
            params.span(parameters::PGBACKREST_METHOD),
            format!("pgbackrest_repo has no repository `{method}`; it has {}", names.join(", ")),
        ));
    };
    let (mut plain, mut secret) = (Vec::new(), Vec::new());
    for (name, value) in entries.as_object().into_iter().flatten() {
        let option = name.replace('_', "-");
        let option = option.strip_prefix("repo1-").unwrap_or(&option).to_owned();
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "y".to_owned(),
            Value::Bool(false) => "n".to_owned(),
            Value::Null => continue,
            other => other.to_string(),
        };
        let line = format!("repo1-{option}={text}");
        if is_secret(&option) {
            secret.push(line);
        } else {
            plain.push(line);
        }
    }
    plain.sort();
    Ok((plain, secret))
}

#[cfg(test)]
mod tests {
    use super::{is_secret, with_account};

    #[test]
    fn lines_of_a_crontab_get_their_account() {
        let given = |line| with_account(line, "postgres");
        let job = given("00 01 * * * /pg/bin/pg-backup full");
        assert_eq!(job.as_deref(), Some("00 01 * * * postgres /pg/bin/pg-backup full"));
        assert_eq!(given("@daily true").as_deref(), Some("@daily postgres true"));
        assert_eq!(given("MAILTO=dba").as_deref(), Some("MAILTO=dba"), "it is not lost");
        assert_eq!(given("TZ = UTC").as_deref(), Some("TZ = UTC"));
        assert_eq!(given("# a comment"), None);
    }

    #[test]
    fn secrets_of_repositories_are_told_by_their_names() {
        for secret in [
            "azure-key",
            "cipher-pass",
            "gcs-key",
            "s3-key",
            "s3-key-secret",
            "s3-sse-customer-key",
            "s3-token",
            "sftp-private-key-passphrase",
        ] {
            assert!(is_secret(secret), "{secret} would be shown");
        }
        for open in [
            "cipher-type",
            "path",
            "s3-bucket",
            "s3-key-type",
            "s3-kms-key-id",
            "sftp-private-key-file",
            "sftp-public-key-file",
            "storage-verify-tls",
        ] {
            assert!(!is_secret(open), "{open} is no secret");
        }
    }
}
