//! The place of a cluster's backups is a part of what it is: what another place leaves behind is told,
//! and so is what the repository cannot bring back although its list says so.

use super::backup::text_option;
use super::birth::moment;
use super::{Cluster, Instance};
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::{Params, parameters};
use keddah_resource::{PLACE_OPTIONS, Place, RepositoryFacts, with_defaults};
use std::collections::BTreeMap;

/// Where the chosen repository is.
pub(crate) fn place(params: &Params<'_>) -> Place {
    let written = |option: &&str| {
        let value = text_option(params, &option.replace('-', "_"));
        (!value.is_empty()).then(|| ((*option).to_owned(), value))
    };
    with_defaults(PLACE_OPTIONS.iter().filter_map(written).collect())
}

/// A place as a person calls it.
fn name(place: &Place) -> String {
    let of = |option: &str| place.get(option).map_or("", String::as_str);
    let path = of("path");
    let (kind, container, server) = match of("type") {
        "s3" => ("S3 bucket", of("s3-bucket"), of("s3-endpoint")),
        "azure" => ("Azure container", of("azure-container"), of("azure-account")),
        "gcs" => ("GCS bucket", of("gcs-bucket"), of("gcs-endpoint")),
        "sftp" => return format!("{path} on {} (SFTP)", of("sftp-host")),
        _ if of("host").is_empty() => return path.to_owned(),
        _ => return format!("{path} on {}", of("host")),
    };
    match server {
        "" => format!("{path} in {kind} {container}"),
        server => format!("{path} in {kind} {container} at {server}"),
    }
}

/// What the mark of a stanza says that was made in a place.
pub(super) fn mark(place: &Place) -> String {
    let mut text = "# Written by Keddah: the stanza was made in this repository. Where that is gone, none is made in its \
                    place unasked.\n"
        .to_owned();
    for (option, value) in place {
        text.push_str(&format!("{option}={value}\n"));
    }
    text
}

/// `2 backups, the last of 2026-11-27 10:20 UTC`.
pub(super) fn counted(backups: u32, newest: Option<i64>) -> String {
    let count = match backups {
        0 => return "no backup".to_owned(),
        1 => "1 backup".to_owned(),
        many => format!("{many} backups"),
    };
    match newest {
        Some(newest) => format!("{count}, the last of {}", moment(newest)),
        None => count,
    }
}

/// What an instance's node says of its cluster's repository.
pub(super) fn facts<'f>(cluster: &str, instance: &'f Instance<'_>) -> Option<&'f RepositoryFacts> {
    instance.node.facts.repositories.iter().find(|facts| facts.stanza == cluster)
}

impl Compiler<'_> {
    /// Says where a cluster's backups stay that gets another repository, and what cannot be restored.
    ///
    /// # Errors
    /// `repository-cipher`: pgBackRest takes a cipher when it makes a stanza, and never another.
    pub(super) fn repository(&mut self, cluster: &Cluster<'_>) -> Result<(), Problem> {
        let params = &cluster.params;
        if !cluster.exists || !params.get(parameters::PGBACKREST_ENABLED) {
            return Ok(());
        }
        let wanted = place(params);
        for instance in &cluster.instances {
            let Some(facts) = facts(&cluster.name, instance) else { continue };
            let cipher = |place: &Place| place.get("cipher-type").cloned().unwrap_or_default();
            let (is, will) = (cipher(&facts.configured), cipher(&wanted));
            if !facts.moves && !facts.configured.is_empty() && is != will {
                let message = format!(
                    "the repository of {} was made with cipher_type {is}, and the inventory now says \
                     {will}: pgBackRest could neither read what is there nor archive anything",
                    cluster.name
                );
                let span = params
                    .span(parameters::PGBACKREST_REPO)
                    .or(params.span(parameters::PGBACKREST_METHOD));
                return Err(Box::new(problem("repository-cipher", span, message).help(format!(
                    "leave it at {is}; or give the new cipher another path: the backups that are there \
                     stay there"
                ))));
            }
        }
        self.moving_backups(cluster, &wanted);
        self.missing_backups(cluster);
        self.lost_wal(cluster);
        Ok(())
    }

    /// When the newest backup must have ended at the earliest where the place changes: what is there
    /// already, from an earlier time, does not lead on to the WAL that comes.
    pub(super) fn backup_due(&self, cluster: &Cluster<'_>, instance: &Instance<'_>) -> Option<i64> {
        let facts = facts(&cluster.name, instance)
            .filter(|facts| facts.moves || leads_past_until_a_reload(facts).is_some())?;
        // What a repository elsewhere holds is not known yet: one of today is taken for a new one.
        Some(facts.latest.map_or(self.input.today * 86_400, |latest| latest + 1))
    }

    fn moving_backups(&mut self, cluster: &Cluster<'_>, wanted: &Place) {
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for instance in &cluster.instances {
            let Some(facts) = facts(&cluster.name, instance).filter(|facts| facts.moves) else {
                continue;
            };
            let what = counted(facts.backups, facts.newest);
            let nodes = left.entry(name(&facts.configured)).or_default();
            nodes.push(format!("{what} on {}", instance.node.name));
        }
        if left.is_empty() {
            return;
        }
        let places: Vec<String> =
            left.iter().map(|(place, nodes)| format!("{place} ({})", nodes.join("; "))).collect();
        let first = if cluster.follows.is_some() {
            "a full backup is due once it takes writes"
        } else if cluster.params.get(parameters::PGBACKREST_INIT_BACKUP) {
            "then a full backup is taken"
        } else {
            "a full backup is due then (`pg-backup full`)"
        };
        self.notes.push(format!(
            "{}: its backups go to {} from now on. What is in {} stays there: it is not shown, not expired \
             and not added to any more, and is restored by naming that place (`pgbackrest --repo1-path=… \
             restore`). The new place gets its stanza first, so that WAL is archived all the time, and \
             {first}; moments between the change and the end of that backup can be restored from neither",
            cluster.name,
            name(wanted),
            places.join(", "),
        ));
    }

    /// Of members that do not lead; the leader's are a finding (`keddah_plan::health`).
    fn missing_backups(&mut self, cluster: &Cluster<'_>) {
        let leads = |instance: &Instance<'_>| {
            instance.node.facts.patroni_of(&cluster.name).is_some_and(|one| one.leads())
        };
        for instance in cluster.instances.iter().filter(|instance| !leads(instance)) {
            let Some(facts) = facts(&cluster.name, instance) else { continue };
            if facts.missing.is_empty() || facts.moves {
                continue;
            }
            self.notes.push(format!(
                "{}: the list of its backups on {} names some whose files are gone, wholly or in what they \
                 are based on: {}. Nothing can be restored from them; the next backup strikes them from the \
                 list",
                cluster.name,
                instance.node.name,
                facts.missing.join(", ")
            ));
        }
    }

    /// WAL that is in no archive: where a segment is missing, and where somebody leads it past the archive.
    fn lost_wal(&mut self, cluster: &Cluster<'_>) {
        let leader = cluster.leader();
        if cluster.follows.is_some() {
            return;
        }
        let Some(facts) = facts(&cluster.name, leader).filter(|facts| !facts.moves) else { return };
        let (name, node) = (&leader.name, &leader.node.name);
        let due = if cluster.params.get(parameters::PGBACKREST_INIT_BACKUP) {
            "a full backup is taken"
        } else {
            "a full backup is due (`pg-backup full`, on its node)"
        };
        if let Some((before, after)) = &facts.gap {
            self.notes.push(format!(
                "{}: WAL is missing in the archive on {node} between {before} and {after}: a restore of the \
                 newest backup, and of every earlier one, ends there. For what comes after, {due}",
                cluster.name
            ));
        }
        if let Some(line) = &facts.led_past {
            let when = match leads_past_until_a_reload(facts) {
                Some(_) => format!("when that is reset, {due}"),
                None => "a full backup is due once that is reset and the server has restarted \
                         (`pg-backup full`, on its node)"
                    .to_owned(),
            };
            self.notes.push(format!(
                "{name} leads its WAL past the archive (ALTER SYSTEM: {line}): what is written meanwhile is in \
                 no archive, and no backup leads on beyond it; {when}"
            ));
        }
    }
}

/// A setting that leads WAL past the archive and whose reset counts with a reload: a backup can be taken in
/// the same apply. `archive_mode` waits for a restart.
pub(super) fn leads_past_until_a_reload(facts: &RepositoryFacts) -> Option<&str> {
    facts.led_past.as_deref().filter(|line| !line.starts_with("archive_mode"))
}
