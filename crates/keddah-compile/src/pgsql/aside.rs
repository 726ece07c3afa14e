//! A former primary whose rewind fails: the node moves its data aside by itself, and a plan names what
//! it has kept, and a member that stays stopped, although nothing is to be changed.

use super::{Cluster, Instance};
use crate::compiler::{Compiler, Node, Problem, problem};
use crate::release::Release;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::parameters;
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{file, symlink};
use keddah_resource::{AsideFacts, Module, REMOVED, Resource, ResourceId, Spec};
use serde_json::json;

/// What Patroni calls as `pg_rewind` (`postgresql.bin_name`; Patroni 3.0 does not know that, and is
/// led to it by [`programs`]).
pub(super) const SCRIPT: &str = "/usr/local/lib/keddah-rewind";

/// States in which a member does not come up by itself (`PostgresqlState` in Patroni's
/// `postgresql/misc.py`).
const DOWN: [&str; 6] =
    ["stopped", "start failed", "crashed", "stop failed", "restart failed", "initdb failed"];

/// PostgreSQL's programs that Patroni 3.0 calls besides pg_rewind (`pgcommand` in its sources); each
/// finds its own neighbours through the link.
const PROGRAMS: [&str; 6] =
    ["pg_basebackup", "pg_controldata", "pg_ctl", "pg_isready", "pg_waldump", "postgres"];

/// Where Patroni finds PostgreSQL's programs. Debian 12's cannot be told of a single other program, so
/// it gets a directory of links, which it reads with its next start.
pub(super) fn programs(release: Release, version: u32) -> String {
    match release {
        Release::Bookworm => format!("/usr/local/lib/keddah-postgresql-{version}"),
        Release::Trixie => format!("/usr/lib/postgresql/{version}/bin"),
    }
}

impl Compiler<'_> {
    /// The program, one for all instances of the node, and what leads Patroni to it.
    pub(super) fn rewind_program(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
    ) -> Result<Vec<ResourceId>, Problem> {
        let node = &instance.node;
        let text = self.render("bin/pg-rewind", json!({}))?;
        let spec = file::Spec::text(SCRIPT, text, Permissions::root(0o755));
        let mut made = vec![self.fleet.add(Resource::new(&node.name, Module::Pgsql, spec))];
        if node.release == Release::Bookworm {
            let directory = programs(node.release, cluster.version);
            let spec = directory::Spec::present(directory.clone(), Permissions::root(0o755));
            let parent = self.fleet.add(Resource::new(&node.name, Module::Pgsql, spec));
            let real = format!("/usr/lib/postgresql/{}/bin", cluster.version);
            let links = PROGRAMS.map(|name| (name, format!("{real}/{name}")));
            for (name, target) in links.into_iter().chain([("pg_rewind", SCRIPT.to_owned())]) {
                let path = format!("{directory}/{name}");
                let spec = symlink::Spec { path, target, to_data: false };
                let link = Resource::new(&node.name, Module::Pgsql, spec);
                made.push(self.fleet.add(link.after([parent.clone()])));
            }
        }
        Ok(made)
    }

    /// Says what a person must know of an instance that has failed to come back.
    pub(super) fn name_what_failed(&mut self, cluster: &Cluster<'_>, instance: &Instance<'_>) {
        let (name, node) = (&instance.name, &instance.node.name);
        let facts = instance.node.facts;
        let mine = |aside: &&AsideFacts| aside.cluster == cluster.name && aside.instance == *name;
        let aside = facts.asides.iter().find(mine);
        let state = facts.patroni_of(&cluster.name).map(|patroni| patroni.state.as_str());
        let leads = |other: &Instance<'_>| {
            let says = other.node.facts.patroni_of(&cluster.name);
            other.name != *name && says.is_some_and(keddah_resource::PatroniFacts::leads)
        };
        if let Some(state) = state.filter(|state| DOWN.contains(state))
            && cluster.instances.iter().any(leads)
        {
            let why = match aside.and_then(|aside| aside.stopped.as_deref()) {
                Some(why) => format!("its rewind has failed, and {why}"),
                None => "its log and `journalctl -u patroni` on the node say why".to_owned(),
            };
            self.notes.push(format!(
                "critical: {name} on {node} does not run, and {} has one member less \
                 (Patroni: {state}): {why}",
                cluster.name
            ));
        }
        let Some(copy) = aside.and_then(|aside| aside.copy.as_ref()) else { return };
        let about = aside.filter(|aside| !aside.moved.is_empty()).map_or_else(
            || "of which nothing is known".to_owned(),
            |AsideFacts { moved, fork, bytes, .. }| {
                let bytes =
                    bytes.map_or_else(|| "an unknown number of".to_owned(), |it| it.to_string());
                format!("moved {moved}, with {bytes} bytes of WAL past the fork at {fork}")
            },
        );
        self.notes.push(format!(
            "{name} on {node} keeps the data of a former primary whose rewind has failed in {copy}, \
             {about}: commits there may be nowhere else; `keddah remove {name} --aside` takes it away"
        ));
    }

    /// Says of an instance that is made that an earlier one was removed from there: its line may only have
    /// been left in the inventory.
    pub(super) fn name_what_was_removed(&mut self, cluster: &Cluster<'_>, instance: &Instance<'_>) {
        let (name, node) = (&instance.name, &instance.node.name);
        let facts = instance.node.facts;
        let is_there = facts.instances.iter().any(|one| super::identity::is_at(instance, one));
        if is_there || !self.input.removing.is_empty() {
            return;
        }
        let beginning =
            format!("{}/{}-", instance.member.params.get(parameters::PG_FS_MAIN), cluster.name);
        let removed = facts.removed.iter().find(|path| {
            let version = path.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix(REMOVED));
            version.is_some_and(|one| one.bytes().all(|byte| byte.is_ascii_digit()))
        });
        if let Some(removed) = removed {
            self.notes.push(format!(
                "{name} is declared, and `keddah remove` has taken {} away from {node} before (its data: \
                 {removed}): it is made anew. Where that is not wanted, take it out of the inventory",
                cluster.name
            ));
        }
    }

    /// Refuses to take away an instance together with a copy that may hold what is nowhere else.
    pub(crate) fn nothing_aside(
        &self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
        node: &Node<'_>,
    ) -> Result<(), Problem> {
        let name = member.instance(&cluster.name);
        let Some(copy) = copy_of(node, cluster, &name) else { return Ok(()) };
        // Moved aside, the directory still has it.
        if !self.input.removing.deletes || !member.params.get(parameters::PG_RM_DATA) {
            return Ok(());
        }
        let message = format!(
            "{name} would go together with {copy}, the data of a former primary whose rewind has \
             failed: commits there may be nowhere else"
        );
        Err(Box::new(problem("aside-kept", member.seq_span, message).help(format!(
            "copy what is wanted of it, then take it away by itself: `keddah remove {name} --aside`"
        ))))
    }

    /// The copies that are to go, and nothing beside them.
    pub(crate) fn remove_asides(&mut self, cluster: &PgCluster<'_>, nodes: &[Node<'_>]) {
        let Some(hosts) = self.input.removing.asides.get(cluster.name.as_str()) else { return };
        for member in cluster.members.iter().filter(|one| hosts.contains(&one.node)) {
            let Some(node) = nodes.iter().find(|node| node.name == member.node) else { continue };
            let Some(copy) = copy_of(node, cluster, &member.instance(&cluster.name)) else {
                continue;
            };
            let resource = |spec: Spec| {
                Resource::new(&node.name, Module::Pgsql, spec).in_cluster(cluster.name.as_str())
            };
            let gone = self.fleet.add(resource(directory::Spec::absent(copy).into()));
            let about = file::Spec::absent(format!("{copy}.txt"));
            self.fleet.add(resource(about.into()).after([gone]));
        }
    }
}

/// The copy that a node has moved aside of an instance.
fn copy_of<'n>(node: &'n Node<'_>, cluster: &PgCluster<'_>, instance: &str) -> Option<&'n str> {
    let mine =
        |aside: &&AsideFacts| aside.cluster == cluster.name.as_str() && aside.instance == instance;
    node.facts.asides.iter().find(mine)?.copy.as_deref()
}
