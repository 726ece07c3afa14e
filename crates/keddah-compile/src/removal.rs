//! Taking instances away: what `keddah remove` stops and deletes, in which order.

use crate::ca::ETCD_CA_PATH;
use crate::compiler::{Compiler, Node, Problem, Removing, problem};
use crate::etcd::access::patroni_prefix;
use crate::pgsql::backup::{BACKUP_SECONDS, is_shared};
use crate::pgsql::layout::unit_file;
use crate::pgsql::place::Place;
use crate::removal_identity::{belongs, is_the_member_named};
use crate::topology::EtcdMember;
use keddah_core::{NodeName, Secret};
use keddah_inventory::model::{PgCluster, PgMember, RtoPlan, upstream_of};
use keddah_inventory::{Params, parameters};
use keddah_resource::kind::etcd_member::{self, EtcdConnection};
use keddah_resource::kind::{backup, directory, etcd_keys, file, stanza, unit};
use keddah_resource::{
    BackupFacts, DesiredFleet, ETCD_BOOTSTRAP, EtcdMemberFacts, Kind, MADE_MARK, Module, NodeFacts,
    PATRONI_FILES, PatroniFacts, Resource, ResourceId, Spec,
};
use std::collections::{BTreeMap, HashSet};

/// Files of an instance that would start it again, or that hold passwords.
fn files(place: &Place, cluster: &str) -> Vec<String> {
    let patroni = place.patroni_directory();
    let names = PATRONI_FILES.into_iter().chain([MADE_MARK]);
    let mut files: Vec<String> = names.map(|name| format!("{patroni}/{name}")).collect();
    files.extend([
        format!("{}/userlist.txt", place.pgbouncer_directory()),
        place.pgbackrest_secrets(),
        stanza::mark(cluster),
        place.crontab(),
    ]);
    if place.own_name().is_some() {
        files.push(place.pgbackrest_configuration());
        files.extend([place.patroni_unit(), place.pgbouncer_unit()].map(|unit| unit_file(&unit)));
    }
    files
}

/// Directories that go with an instance, unless its parameters keep them in their places.
fn doomed(cluster: &PgCluster<'_>, member: &PgMember<'_>) -> Vec<String> {
    let version_directories = |parent: String| -> Vec<String> {
        // The version that is installed is not known here: whichever stands there goes.
        crate::release::POSTGRESQL_VERSIONS
            .map(|version| format!("{parent}/{}-{version}", cluster.name))
            .collect()
    };
    let mut doomed = Vec::new();
    if member.params.get(parameters::PG_RM_DATA) {
        doomed.extend(version_directories(member.params.get(parameters::PG_FS_MAIN)));
    }
    if member.params.get(parameters::PG_RM_BACKUP) {
        doomed.extend(version_directories(member.params.get(parameters::PG_FS_BACKUP)));
    }
    doomed
}

/// The directories of a host in which a removal moves others aside, whatever the host is now.
pub(crate) fn kept_in(params: &Params<'_>) -> Vec<String> {
    let etcd = params.get(parameters::ETCD_DATA);
    let above_etcd = etcd.rsplit_once('/').map(|(above, _)| above.to_owned());
    let mut places = vec![params.get(parameters::PG_FS_MAIN), params.get(parameters::PG_FS_BACKUP)];
    places.extend(above_etcd);
    places.retain(|place| place.starts_with('/'));
    places.sort();
    places.dedup();
    places
}

/// Whether a member is taken away.
pub(crate) fn goes(removing: &Removing, cluster: &PgCluster<'_>, member: &PgMember<'_>) -> bool {
    removing.instance(&member.node, cluster.name.as_str())
}

/// Leaves in a fleet with a removal only what the removal itself changes: what is not in the fleet
/// without it, or is another there, and the services that must learn of that. Whatever else differs
/// from the inventory waits for an apply, and so does what a cluster is set to and holds.
pub fn own_changes(with: &mut DesiredFleet, without: &DesiredFleet) {
    let belongs = |resource: &Resource| {
        without.get(&resource.id).is_none_or(|same| is_another(&resource.spec, &same.spec))
            && !is_what_a_cluster_holds(resource.id.kind)
            && !makes_a_member_of_etcd(&resource.spec)
    };
    let own: HashSet<ResourceId> =
        with.iter().filter(|resource| belongs(resource)).map(|one| one.id.clone()).collect();
    let told: HashSet<ResourceId> = with
        .iter()
        .filter(|resource| own.contains(&resource.id))
        .flat_map(|resource| resource.triggers.iter().map(|trigger| trigger.target.clone()))
        .collect();
    with.retain(|resource| own.contains(&resource.id) || told.contains(&resource.id));
}

/// Whether something is to be other than without the removal. Whom a unit that runs asks before it restarts
/// changes nothing of it.
fn is_another(spec: &Spec, without: &Spec) -> bool {
    match (spec, without) {
        (Spec::Unit(unit), Spec::Unit(same)) if unit.running && same.running => {
            unit::Spec { quorum: same.quorum.clone(), ..(**unit).clone() } != **same
        }
        _ => spec != without,
    }
}

/// Whether it lets a member join etcd: one that an earlier removal struck, and that the inventory still has,
/// say. Whom it finds in the list differs by who goes; to make it is an apply's.
fn makes_a_member_of_etcd(spec: &Spec) -> bool {
    match spec {
        Spec::EtcdMember(member) => member.present,
        Spec::File(file) => file.path == ETCD_BOOTSTRAP && file.present.is_some(),
        _ => false,
    }
}

/// Facts to compile the fleet without the removal: what is taken away because it is not as it should be
/// must not keep that from being compared.
pub fn as_if_well(
    mut facts: BTreeMap<NodeName, NodeFacts>,
    removing: &Removing,
) -> BTreeMap<NodeName, NodeFacts> {
    let lists: Vec<_> = facts
        .iter()
        .filter(|(node, _)| !removing.etcd.contains(*node))
        .filter_map(|(_, facts)| facts.etcd.clone())
        .collect();
    for node in &removing.etcd {
        let at = format!("//{node}:");
        let is_listed = |one: &EtcdMemberFacts| one.peer_urls.iter().any(|url| url.contains(&at));
        // One that was struck already would be taken for one that comes back with old data.
        let counts =
            lists.is_empty() || lists.iter().any(|etcd| etcd.members.iter().any(is_listed));
        if let Some(facts) = facts.get_mut(node) {
            facts.etcd = None;
            facts.etcd_has_data = counts;
            facts.etcd_life = None;
        }
    }
    facts
}

/// What is one for a whole cluster and lies in its database or in the DCS. No kind is left out, so
/// that a new one gets a thought.
fn is_what_a_cluster_holds(kind: Kind) -> bool {
    match kind {
        Kind::PatroniConfig
        | Kind::PgRole
        | Kind::PgDatabase
        | Kind::PgSchema
        | Kind::PgExtension
        | Kind::PgFunction
        | Kind::PgPrivileges
        | Kind::PgBaseline
        | Kind::PgCensus
        | Kind::PgGrants
        | Kind::EtcdAuth
        | Kind::EtcdLogin => true,
        Kind::Packages
        | Kind::User
        | Kind::Hostname
        | Kind::Block
        | Kind::Directory
        | Kind::File
        | Kind::Symlink
        | Kind::Sysctl
        | Kind::Certificate
        | Kind::TrustAnchor
        | Kind::Unit
        | Kind::EtcdMember
        | Kind::EtcdKeys
        | Kind::EtcdAccess
        | Kind::PgInstance
        | Kind::Postmaster
        | Kind::Stanza
        | Kind::Backup => false,
    }
}

impl<'a> Compiler<'a> {
    /// Everything that is taken away.
    pub(crate) fn removals(&mut self, nodes: &[Node<'a>]) -> Result<(), Problem> {
        let removing = self.input.removing;
        for cluster in &self.topology.clusters {
            for member in cluster.members.iter().filter(|one| goes(removing, cluster, one)) {
                let Some(node) = nodes.iter().find(|node| node.name == member.node) else {
                    self.forget_silent(cluster, member)?;
                    continue;
                };
                self.is_the_one_named(cluster, member, node)?;
                self.note_losses(cluster, member, node);
                self.remove_instance(cluster, member, node)?;
            }
            self.forget_in_etcd(cluster, nodes);
            self.remove_asides(cluster, nodes);
        }
        for node in nodes.iter().filter(|node| removing.removed.contains(&node.name)) {
            for path in &node.facts.removed {
                let gone = directory::Spec::absent(path.clone());
                self.fleet.add(Resource::new(&node.name, Module::Node, gone));
            }
        }
        self.remove_etcd_members(nodes)
    }

    /// A directory that goes: a parameter alone deletes nothing, that takes `--destroy`.
    fn leaves(&self, path: String) -> directory::Spec {
        if self.input.removing.deletes {
            directory::Spec::absent(path)
        } else {
            directory::Spec::moved_aside(path)
        }
    }

    fn remove_instance(
        &mut self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
        node: &Node<'_>,
    ) -> Result<(), Problem> {
        let name = member.instance(&cluster.name);
        let place = Place::of(cluster.name.as_str(), member);
        let stays = cluster.members.iter().any(|one| !goes(self.input.removing, cluster, one));
        let patroni = node.facts.patroni_of(cluster.name.as_str());
        let leads = patroni.is_some_and(PatroniFacts::leads);
        if patroni.is_some_and(|patroni| patroni.paused) {
            let message = format!(
                "{} is paused: without Patroni, PostgreSQL would run on while its data is deleted",
                cluster.name
            );
            return Err(Box::new(problem("cluster-paused", member.seq_span, message).help(
                format!(
                    "end the pause first: `patronictl -c {} resume {}`",
                    place.patroni_directory(),
                    cluster.name
                ),
            )));
        }
        self.nothing_aside(cluster, member, node)?;
        if leads && stays {
            return Err(problem(
                "removes-primary",
                member.seq_span,
                format!(
                    "{name} is the primary of {}; hand its part to another instance first: \
                     `patronictl -c {} switchover {}`",
                    cluster.name,
                    place.patroni_directory(),
                    cluster.name
                ),
            ));
        }
        if !stays {
            self.is_followed(cluster)?;
        } else {
            self.other_backups_stay(cluster, member, node)?;
        }
        let resource = |spec: Spec| {
            Resource::new(&node.name, Module::Pgsql, spec).in_cluster(cluster.name.as_str())
        };
        let backup = if stays { None } else { self.last_backup(cluster)? };
        // Clients first: the pool turns them away before the server goes.
        let belongs = Some(belongs(cluster, member, &place));
        let pool = unit::Spec::stopped(place.pgbouncer_unit());
        let pool = unit::Spec { belongs: belongs.clone(), ..pool };
        let pool = self.fleet.add(resource(pool.into()).after(backup));
        let server = unit::Spec::stopped(place.patroni_unit());
        let guard =
            unit::StopGuard { port: member.params.get(parameters::PATRONI_PORT), may_lead: !stays };
        let server = unit::Spec { patience_seconds: 120, guard: Some(guard), belongs, ..server };
        let server = self.fleet.add(resource(server.into()).after([pool]));
        for path in files(&place, cluster.name.as_str()) {
            self.fleet.add(resource(file::Spec::absent(path).into()).after([server.clone()]));
        }
        for path in doomed(cluster, member) {
            self.fleet.add(resource(self.leaves(path).into()).after([server.clone()]));
        }
        Ok(())
    }

    /// Refuses to delete the only backups of a cluster that stays: with a repository on each node's own
    /// disk, a member may have all of them, though it leads no more.
    fn other_backups_stay(
        &self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
        node: &Node<'_>,
    ) -> Result<(), Problem> {
        let removing = self.input.removing;
        if !removing.deletes
            || removing.without_backup
            || !member.params.get(parameters::PG_RM_BACKUP)
        {
            return Ok(());
        }
        let lists = |facts: &NodeFacts| -> Vec<BackupFacts> {
            let kept = facts.backups.iter();
            kept.filter(|kept| kept.stanza == cluster.name.as_str()).cloned().collect()
        };
        let own = lists(node.facts);
        let system = own.iter().find_map(|kept| kept.systems.last());
        // Of a list that cannot be read (it is encrypted), backups are presumed where they would be
        // deleted, and not where they would have to stand in for those.
        let presumed = |kept: &BackupFacts| kept.backups.max(u32::from(kept.systems.is_empty()));
        let count: u32 = own.iter().map(presumed).sum();
        let stands_in = |one: &PgMember<'_>| {
            let facts = self.input.facts.get(&one.node);
            facts.is_some_and(|facts| {
                let mut same =
                    lists(facts).into_iter().filter(|kept| kept.systems.last() == system);
                same.any(|kept| kept.backups > 0)
            })
        };
        let mut others = cluster.members.iter().filter(|one| !goes(removing, cluster, one));
        if count == 0 || (system.is_some() && others.any(stands_in)) {
            return Ok(());
        }
        let name = member.instance(&cluster.name);
        let message = format!(
            "{name} has the only backups of {} ({count} or more), and `--destroy` would delete them",
            cluster.name
        );
        Err(Box::new(problem("only-backups", member.seq_span, message).help(
            "leave out `--destroy` to have them moved aside; or take a backup on the primary first \
             (pg-backup full); or say that nobody wants them: `--no-backup`",
        )))
    }

    /// Of a cluster that goes as a whole, nothing stays in etcd: Patroni would wait for the leader of
    /// one that it finds there. The first of its nodes sees to it, once every Patroni has stopped and
    /// before the certificate goes that etcd lets in.
    fn forget_in_etcd(&mut self, cluster: &PgCluster<'_>, nodes: &[Node<'_>]) {
        let removing = self.input.removing;
        if cluster.members.iter().any(|one| !goes(removing, cluster, one)) {
            return;
        }
        let place_on = |member: &PgMember<'_>| {
            nodes.iter().find(|node| node.name == member.node).map(|node| node.name.clone())
        };
        let here = cluster.members.iter().find_map(|one| Some((one, place_on(one)?)));
        let Some((member, node)) = here else { return };
        let place = Place::of(cluster.name.as_str(), member);
        let certificates = place.certificates();
        let mut servers = self.etcd_servers(&certificates, &member.params);
        servers.connections.retain(|one| {
            let gone = |node: &NodeName| one.endpoint.contains(&format!("//{node}:"));
            !removing.etcd.iter().any(gone)
        });
        if servers.connections.is_empty() {
            return;
        }
        let prefix = patroni_prefix(&member.params, cluster.name.as_str());
        let stopped: Vec<ResourceId> = cluster
            .members
            .iter()
            .filter_map(|one| {
                Some(ResourceId::new(&place_on(one)?, Kind::Unit, place.patroni_unit()))
            })
            .collect();
        // Of a host that does not answer, nothing is stopped.
        let stops = |one: &PgMember<'_>| {
            let address = nodes.iter().find(|node| node.name == one.node)?.address.clone();
            Some(etcd_keys::Living { name: one.instance(&cluster.name), address })
        };
        let going = cluster.members.iter().filter_map(stops).collect();
        let lease = RtoPlan::of(&member.params).ttl;
        let lease_seconds = u32::try_from(lease).unwrap_or(u32::MAX / 4);
        let spec = etcd_keys::Spec { prefix, going, lease_seconds, servers };
        let resource = Resource::new(&node, Module::Pgsql, Spec::from(spec));
        let keys = self.fleet.add(resource.in_cluster(cluster.name.as_str()).after(stopped));
        let keys = self.no_etcd_access(cluster, &member.params, &node, &place, keys);
        for path in doomed(cluster, member) {
            let directory = ResourceId::new(&node, Kind::Directory, path);
            if let Some(directory) = self.fleet.get_mut(&directory) {
                directory.after.push(keys.clone());
            }
        }
    }

    /// A backup of today from a cluster that goes as a whole, unless the user does without one.
    fn last_backup(&mut self, cluster: &PgCluster<'_>) -> Result<Option<ResourceId>, Problem> {
        let member = &cluster.members[0];
        let params = &member.params;
        // What a standby cluster holds is backed up where it is written.
        let copy = cluster.upstream().is_some();
        if copy || self.input.removing.without_backup || !params.get(parameters::PGBACKREST_ENABLED)
        {
            return Ok(None);
        }
        let name = &cluster.name;
        let refuse = |message: String| {
            let problem = problem("no-last-backup", member.seq_span, message);
            Box::new(
                problem.help("`--no-backup` removes the cluster all the same, without a way back"),
            )
        };
        let patroni = |node| {
            let facts: Option<&NodeFacts> = self.input.facts.get(node);
            facts.and_then(|facts| facts.patroni_of(name.as_str()))
        };
        let Some(leader) = cluster.members.iter().find(|member| {
            patroni(&member.node).is_some_and(|patroni| {
                matches!(patroni.role.as_str(), "primary" | "master") && patroni.state == "running"
            })
        }) else {
            // Nothing is there to be backed up when no node of it ever ran PostgreSQL.
            let ran = cluster.members.iter().any(|member| patroni(&member.node).is_some());
            return if ran {
                Err(refuse(format!("{name} has no primary now, so no last backup can be taken")))
            } else {
                Ok(None)
            };
        };
        if self.input.removing.deletes && params.get(parameters::PG_RM_BACKUP) && !is_shared(params)
        {
            return Err(refuse(format!(
                "{name} would go with all its backups, which lie on its own nodes: leave out \
                 `--destroy` to have them moved aside, set `pg_rm_backup: false` to keep them in \
                 their place, or keep backups elsewhere (pgbackrest_method)"
            )));
        }
        let spec = backup::Spec {
            stanza: name.as_str().to_owned(),
            account: params.get(parameters::PG_DBSU),
            patience_seconds: BACKUP_SECONDS,
            not_before: Some(self.input.today * 86_400),
            moves: false,
            keeps: None,
            configuration: Secret::default(),
            repository: None,
        };
        let resource = Resource::new(&leader.node, Module::Pgsql, Spec::from(spec));
        Ok(Some(self.fleet.add(resource.in_cluster(name.as_str()))))
    }

    /// A cluster that others follow stays until they no longer do.
    fn is_followed(&self, cluster: &PgCluster<'_>) -> Result<(), Problem> {
        let follower = self.topology.clusters.iter().find(|other| {
            let follows = |other: &PgCluster<'a>| {
                let primary = other.primary()?;
                upstream_of(&self.topology.clusters, &other.name, primary)
            };
            let follows =
                |other| follows(other).is_some_and(|(followed, _)| followed.name == cluster.name);
            let stays = other.members.iter().any(|one| !goes(self.input.removing, other, one));
            other.name != cluster.name && stays && follows(other)
        });
        let Some(follower) = follower else { return Ok(()) };
        let span =
            follower.primary().and_then(|member| member.params.span(parameters::PG_UPSTREAM));
        Err(problem(
            "removes-upstream",
            span,
            format!(
                "{} follows {}: take its pg_upstream away and apply, which promotes it, or remove \
                 it first",
                follower.name, cluster.name
            ),
        ))
    }

    fn remove_etcd_members(&mut self, nodes: &[Node<'a>]) -> Result<(), Problem> {
        let members = self.topology.etcd.clone();
        let (gone, stay): (Vec<_>, Vec<_>) =
            members.iter().partition(|member| self.input.removing.etcd.contains(&member.node));
        let needed = self.topology.clusters.iter().find(|cluster| {
            cluster.members.iter().any(|one| !goes(self.input.removing, cluster, one))
        });
        if let (false, true, Some(cluster)) = (gone.is_empty(), stay.is_empty(), needed) {
            return Err(problem(
                "removes-etcd",
                cluster.members[0].seq_span,
                format!(
                    "that would be the last etcd member, and {} cannot live without etcd; remove \
                     the clusters first, or add a member elsewhere",
                    cluster.name
                ),
            ));
        }
        let stays: Vec<EtcdMember> = stay.iter().map(|&one| one.clone()).collect();
        let says = |one: &EtcdMember| self.input.facts.get(&one.node)?.etcd.as_ref();
        let others = stays.iter().find_map(says);
        for member in &gone {
            if let Some(etcd) = says(member) {
                is_the_member_named(member, etcd, others)?;
            }
        }
        let serving = (!gone.is_empty()).then(|| striking(&stays, &gone, self.input.facts));
        let through = serving.transpose()?.flatten();
        if let Some(etcd) = through.and_then(says) {
            self.note_what_etcd_bears(&gone, etcd);
        }
        let mut previous: Option<ResourceId> = None;
        for member in gone {
            let struck = through.map(|through| {
                self.fleet.add(
                    Resource::new(
                        &through.node,
                        Module::Etcd,
                        etcd_member::Spec {
                            member: member.name.clone(),
                            peer_url: member.peer_url(),
                            present: false,
                            replaces: None,
                            stage: etcd_member::Stage::Listed,
                            others: crate::etcd::others(&[through, member], &stays),
                            connection: EtcdConnection {
                                endpoint: format!("https://127.0.0.1:{}", through.port),
                                ca_path: ETCD_CA_PATH.to_owned(),
                                certificate_path: "/etc/etcd/server.crt".to_owned(),
                                key_path: "/etc/etcd/server.key".to_owned(),
                            },
                        },
                    )
                    .in_cluster(&member.cluster)
                    .after(previous.clone()),
                )
            });
            // A host that is gone for ever is struck all the same.
            let Some(node) = nodes.iter().find(|node| node.name == member.node) else {
                self.note_silent_etcd(member);
                previous = struck.or(previous);
                continue;
            };
            let resource = |spec: Spec| {
                Resource::new(&node.name, Module::Etcd, spec).in_cluster(&member.cluster)
            };
            let mut stopped = unit::Spec::stopped("etcd.service");
            stopped.quorum = struck.is_some().then(|| crate::etcd::staying(member, &stays));
            let unit = self.fleet.add(resource(stopped.into()).after(struck));
            self.no_etcd_tool(&node.name, &member.cluster, &unit);
            if node.params.get(parameters::ETCD_RM_DATA) {
                self.fleet.add(
                    resource(self.leaves(member.data_directory.clone()).into())
                        .after([unit.clone()]),
                );
            }
            previous = Some(unit);
        }
        Ok(())
    }
}

/// Through whom members are struck from etcd's list: nobody where all of it goes, or where nobody
/// else ever was a member.
///
/// # Errors
/// `etcd-unasked` where members stay and none of them answers: one that is stopped without being
/// struck counts for ever. `etcd-quorum` where those that answer would be too few without it.
fn striking<'a>(
    stay: &'a [EtcdMember],
    gone: &[&EtcdMember],
    facts: &BTreeMap<NodeName, NodeFacts>,
) -> Result<Option<&'a EtcdMember>, Problem> {
    let first = gone[0];
    let answers = |one: &EtcdMember| facts.get(&one.node).and_then(|facts| facts.etcd.as_ref());
    let Some((through, etcd)) = stay.iter().find_map(|one| Some((one, answers(one)?))) else {
        // Of one that never was made there is nothing to be struck.
        let asked = |one: &EtcdMember| facts.contains_key(&one.node);
        let made = |one: &EtcdMember| {
            facts.get(&one.node).is_some_and(|facts| facts.etcd.is_some() || facts.etcd_has_data)
        };
        if stay.is_empty() || (stay.iter().all(asked) && !stay.iter().any(made)) {
            return Ok(None);
        }
        let message = format!(
            "none of the etcd members that stay answers, so {} cannot be struck from their list: it would \
             count as a member for ever",
            first.node
        );
        let help = "make the members that stay answer first (systemctl status etcd)";
        return Err(Box::new(problem("etcd-unasked", first.span, message).help(help)));
    };
    let leaving = |one: &keddah_resource::EtcdMemberFacts| {
        gone.iter().any(|gone| one.peer_urls.contains(&gone.peer_url()))
    };
    let left = etcd.members.iter().filter(|one| !one.learner && !leaving(one)).count();
    let quorum = left / 2 + 1;
    let served = stay.iter().filter(|one| answers(one).is_some()).count();
    if served < quorum {
        let message = format!(
            "without {} etcd has {left} members, of which {quorum} must answer, and {served} do: it would \
             stand still, and every PostgreSQL become read-only",
            gone.iter().map(|one| one.node.as_str()).collect::<Vec<_>>().join(", ")
        );
        let help = "make the members that stay answer first (systemctl status etcd); where those that are \
                    lost are gone for ever, docs/operations.md, \"etcd without a quorum\", says the way";
        let declared: Vec<EtcdMember> = stay.iter().chain(gone.iter().copied()).cloned().collect();
        let strangers = crate::etcd::unknown(etcd, &declared);
        let problem = problem("etcd-quorum", first.span, message).help(help);
        return Err(Box::new(match strangers.is_empty() {
            true => problem,
            false => problem.help(crate::etcd::unknown_counts(&strangers)),
        }));
    }
    Ok(Some(through))
}
