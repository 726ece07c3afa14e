//! What must not be there when a cluster is born, or started after a restore.

use super::backup::{is_shared, local_repository};
use super::identity::is_at;
use super::{Cluster, repository};
use crate::compiler::{Compiler, Node, Problem, problem};
use keddah_core::NodeName;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::parameters;
use keddah_resource::{DataFacts, MADE_MARK};
use std::collections::HashMap;

impl<'a> Compiler<'a> {
    /// Refuses to make a cluster while a member cannot be asked: it may hold the data that nobody
    /// else has, and would be another system's, or be thrown away, once it is back.
    pub(super) fn all_were_asked(
        &self,
        model: &PgCluster<'a>,
        nodes: &HashMap<&NodeName, &Node<'a>>,
    ) -> Result<(), Problem> {
        let stays = |member: &&PgMember<'a>| {
            !self.input.removing.instance(&member.node, model.name.as_str())
        };
        let silent: Vec<&PgMember<'a>> = model
            .members
            .iter()
            .filter(stays)
            .filter(|member| !nodes.contains_key(&member.node))
            .collect();
        let Some(first) = silent.first() else { return Ok(()) };
        let names: Vec<&str> = silent.iter().map(|member| member.node.as_str()).collect();
        let names = names.join(", ");
        let message = format!(
            "no member of {} that answers holds data, and {names} cannot be asked: whether the cluster \
             exists cannot be said, so it is not made",
            model.name
        );
        Err(Box::new(problem("member-unasked", first.seq_span, message).help(format!(
            "bring {names} up; or, where nothing of {} can be there, take it out of the inventory for \
             this apply, and add it afterwards",
            model.name
        ))))
    }

    /// Says which members of a cluster that lives have lost their data, and are cloned again.
    pub(super) fn lost_members(&mut self, cluster: &Cluster<'_>) {
        for instance in cluster.instances.iter().filter(|_| cluster.exists) {
            let directory = instance.place.patroni_directory();
            let lost = instance.node.facts.instances.iter().any(|one| {
                directory.ends_with(&format!("/{}", one.configuration))
                    && one.made
                    && one.data.is_none()
            });
            if lost {
                self.notes.push(format!(
                    "{} on {} has been made, and its data is not there any more: it is cloned again; if a \
                     disk is not mounted there, mount it first",
                    instance.name, instance.node.name
                ));
            }
        }
    }

    /// Refuses to make a cluster a second time: it has been made, and no member has its data.
    pub(super) fn not_twice(cluster: &Cluster<'_>) -> Result<(), Problem> {
        if cluster.exists || cluster.follows.is_some() {
            return Ok(());
        }
        let mut lost = Vec::new();
        for instance in &cluster.instances {
            let directory = instance.place.patroni_directory();
            let configured = instance.node.facts.instances.iter();
            let mut configured = configured
                .filter(|one| directory.ends_with(&format!("/{}", one.configuration)))
                .filter(|one| one.made && one.data.is_none());
            if let Some(one) = configured.next() {
                let place =
                    format!("{} in {} on {}", one.name, one.data_directory, instance.node.name);
                lost.push((instance, place));
            }
        }
        let Some((first, _)) = lost.first() else { return Ok(()) };
        let places: Vec<&str> = lost.iter().map(|(_, place)| place.as_str()).collect();
        let name = &cluster.name;
        let message = format!(
            "{name} would be made anew and empty, though what has been made here has lost its data: {}",
            places.join(", ")
        );
        let configuration = first.place.patroni_directory();
        let mark = format!("{configuration}/{MADE_MARK}");
        Err(Box::new(problem("lost-data", first.member.seq_span, message).help(format!(
            "if a disk is not mounted, mount it and plan again; if the data is gone for good and \
             {name} shall begin anew and empty, delete what Patroni kept of it in etcd (`sudo \
             patronictl -c {configuration} remove {name}`, with every Patroni of it stopped) and {mark} on \
             each of these nodes, then apply"
        ))))
    }

    /// Refuses to make a cluster by initdb while backups of an earlier one of its name are kept:
    /// they may be all that is left of lost data, and the new system could archive nothing beside
    /// them (pgBackRest takes one system for a stanza).
    ///
    /// A cluster that shall keep no backups is born over none either. Where the inventory chooses a
    /// place of its own for backups, beside what is found, that is the choice of a new beginning.
    pub(super) fn not_over_backups(&mut self, cluster: &Cluster<'_>) -> Result<(), Problem> {
        let params = &cluster.params;
        if cluster.exists || cluster.follows.is_some() {
            return Ok(());
        }
        let mut found = Vec::new();
        let mut elsewhere = params.get(parameters::PGBACKREST_ENABLED);
        let (mut unmounted, mut restorable) = (false, false);
        for instance in &cluster.instances {
            let usual = instance.place.below("backup");
            let chosen = is_shared(params) || local_repository(params) != Some(usual);
            let configured = instance.node.facts.instances.iter();
            unmounted |= configured
                .filter(|one| is_at(instance, one))
                .any(|one| one.made && one.data.is_none());
            let kept = instance.node.facts.backups.iter();
            for kept in kept.filter(|kept| kept.stanza == cluster.name) {
                let facts = repository::facts(&cluster.name, instance);
                let apart = facts.is_some_and(|facts| facts.apart.contains(&kept.place));
                elsewhere &= chosen && apart;
                restorable |= kept.backups > 0 || kept.systems.is_empty();
                let systems = match kept.systems.as_slice() {
                    [] => "whose list cannot be read (encrypted, or damaged)".to_owned(),
                    systems => format!(
                        "{} of system {}",
                        match kept.backups {
                            0 => "WAL, and no backup whose files are there".to_owned(),
                            1 => "1 backup".to_owned(),
                            many => format!("{many} backups"),
                        },
                        systems.join(" and ")
                    ),
                };
                let newest = kept.newest.map(|time| format!(", the last of {}", moment(time)));
                let newest = newest.unwrap_or_default();
                found.push(format!("{} on {}: {systems}{newest}", kept.place, instance.node.name));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let name = &cluster.name;
        if elsewhere {
            self.notes.push(format!(
                "{name} is made anew and empty, with its backups in a place of its own; those of an earlier \
                 system of that name stay where they are: {}",
                found.join("; ")
            ));
            return Ok(());
        }
        let message = format!(
            "no member of {name} holds its data, so it would be made anew and empty, and there are \
             backups of an earlier system of that name: {}",
            found.join("; ")
        );
        let leader = cluster.leader();
        let span = params.span(parameters::PG_CLUSTER).or(leader.member.seq_span);
        let (account, data) = (cluster.superuser(), params.get(parameters::PG_DATA));
        let recover = recovery(&account, &data, cluster.version);
        let mount = if unmounted {
            "what was made here has lost its data: if a disk is not mounted, mount it and plan again; "
        } else {
            ""
        };
        let anew = if params.get(parameters::PGBACKREST_ENABLED) {
            "give `pgbackrest_repo` another path, or move the directories away"
        } else {
            "move the directories away"
        };
        let back = if restorable {
            format!(
                "to have the data back: on a node with the backups, with pgBackRest installed and Patroni \
                 stopped on all members, `sudo -u {account} pgbackrest --stanza={name} --pg1-path={data} \
                 restore`, then {recover}, then apply (with `--despite {name}`, for the others have lost \
                 theirs); "
            )
        } else {
            "nothing can be restored from what is there; ".to_owned()
        };
        let help = format!("{mount}{back}to begin anew: {anew}");
        Err(Box::new(problem("earlier-backups", span, message).help(help)))
    }
}

/// Refuses a cluster that nobody runs and whose data is a restored backup: it is PostgreSQL that
/// fetches the archived WAL, by `restore_command`, and Patroni takes that out of the configuration
/// when it starts the server. The server would wait for WAL for ever, and nobody lead.
pub(super) fn not_before_recovery<'a>(
    model: &PgCluster<'_>,
    found: &[(&PgMember<'a>, &Node<'a>, &DataFacts)],
    runs: bool,
) -> Result<(), Problem> {
    let Some((member, node, data)) = found.iter().find(|(_, _, data)| data.restored && !runs)
    else {
        return Ok(());
    };
    let params = &member.params;
    let message = format!(
        "the data of {} on {} is a restored backup whose recovery has not ended \
         ({}/recovery.signal), and Patroni would not let it end",
        member.instance(&model.name),
        node.name,
        data.path
    );
    let version = data.version.unwrap_or_default();
    let recover = recovery(&params.get(parameters::PG_DBSU), &data.path, version);
    Err(Box::new(problem("unfinished-recovery", member.seq_span, message).help(format!(
        "with Patroni stopped on all members, on {}: {recover}, then apply. Where that says `recovery \
         ended before configured recovery target was reached`, the repository that was restored from ends \
         earlier: restore from another one, or to an earlier moment. To give the restore up: `mv {1} \
         {1}.given-up` there, then apply: whoever has the most WAL leads, and this member is copied from it",
        node.name, data.path
    ))))
}

/// How a restored backup becomes a server's data: all WAL of the archive is replayed, and nobody can
/// connect meanwhile. Without a hot standby, which a single process cannot be.
fn recovery(account: &str, data: &str, version: u32) -> String {
    format!(
        "`sudo -u {account} /usr/lib/postgresql/{version}/bin/postgres --single -D {data} -c \
         hot_standby=off postgres </dev/null`, which replays the archived WAL and ends"
    )
}

/// A time as `2026-11-27 10:20 UTC`.
pub(super) fn moment(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let day = super::roles::date(days);
    format!("{day} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}
