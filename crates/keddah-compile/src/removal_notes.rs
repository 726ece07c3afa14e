//! What a removal says before it is approved: every loss by its name, what stays on a host that does
//! not answer, and which members etcd has struck already.

use crate::compiler::{Compiler, Node, Problem, Removing, problem};
use crate::pgsql::place::Place;
use crate::removal::goes;
use crate::topology::EtcdMember;
use keddah_core::NodeName;
use keddah_inventory::model::{self, PgCluster, PgMember};
use keddah_inventory::registry::Handle;
use keddah_inventory::{Inventory, Params, parameters};
use keddah_resource::{
    EtcdFacts, EtcdMemberFacts, HeldSlot, HoldingsFacts, HoldingsProbe, NodeFacts, PatroniFacts,
    Probe,
};
use std::collections::{BTreeMap, BTreeSet};

/// The members of etcd, who are asked before anything is taken away: a Patroni that is configured anew
/// must not be pointed back at a member that an earlier removal has struck.
pub fn etcd_members(inventory: &Inventory) -> BTreeSet<NodeName> {
    let clusters = model::etcd_clusters(inventory).into_iter();
    clusters.flat_map(|cluster| cluster.members).map(|member| member.node).collect()
}

/// Has the members of clusters that lose one asked what they hold: sizes, slots, WAL not archived.
pub fn ask_what_goes(
    probes: &mut BTreeMap<NodeName, Probe>,
    inventory: &Inventory,
    removing: &Removing,
) {
    let clusters = model::pg_clusters(inventory).into_iter();
    for cluster in clusters.filter(|one| removing.pgsql.contains_key(one.name.as_str())) {
        for member in &cluster.members {
            if let Some(probe) = probes.get_mut(&member.node) {
                probe.holdings.push(HoldingsProbe {
                    cluster: cluster.name.to_string(),
                    connection: crate::pgsql::connection(&member.params),
                });
            }
        }
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut left = bytes;
    while left >= 10_240 && unit + 1 < UNITS.len() {
        left /= 1_024;
        unit += 1;
    }
    format!("{left} {}", UNITS[unit])
}

/// Facts in which the instances that go have never been: where the inventory is refused with them and
/// not without them, the removal is the cure.
pub fn without_what_goes(
    mut facts: BTreeMap<NodeName, NodeFacts>,
    inventory: &Inventory,
    removing: &Removing,
) -> BTreeMap<NodeName, NodeFacts> {
    for (cluster, nodes) in &removing.pgsql {
        for node in nodes {
            let Some(facts) = facts.get_mut(node) else { continue };
            let configured: BTreeSet<String> = facts
                .instances
                .iter()
                .filter(|one| one.scope == *cluster)
                .map(|one| one.configuration.clone())
                .collect();
            facts.instances.retain(|one| one.scope != *cluster);
            facts.patroni.retain(|one| one.scope != *cluster);
            facts.patroni_directories.retain(|one| !configured.contains(one));
            facts.backups.retain(|one| one.stanza != *cluster);
            let mut roots: Vec<String> = Params::instances(inventory, node)
                .iter()
                .filter(|one| one.opt(parameters::PG_CLUSTER).as_ref() == Some(cluster))
                .map(|one| one.get(parameters::PG_FS_MAIN))
                .collect();
            roots.dedup();
            facts.data.retain(|data| !roots.iter().any(|root| lies_in(&data.path, root, cluster)));
        }
    }
    facts
}

/// Whether a path lies in the directory of a cluster's data or backups, `<root>/<cluster>-<version>`.
fn lies_in(path: &str, root: &str, cluster: &str) -> bool {
    let rest = path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/'));
    let rest = rest.and_then(|rest| rest.strip_prefix(cluster));
    let version = rest.and_then(|rest| rest.strip_prefix('-')?.split('/').next());
    version.is_some_and(|version| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Days since 1970-01-01 as a date (proleptic Gregorian; Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`).
fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

impl Compiler<'_> {
    /// Whether Patroni is not to know a member of etcd any more: it goes, or, while something is taken
    /// away, an earlier removal has struck it, which the members that answer say.
    pub(crate) fn is_struck(&self, member: &EtcdMember) -> bool {
        let removing = self.input.removing;
        if removing.is_empty() {
            return false;
        }
        // What a member says that goes, or has gone, counts for nothing.
        let others = self.topology.etcd.iter().filter(|one| !removing.etcd.contains(&one.node));
        let mut lists = others
            .filter(|one| one.node != member.node)
            .filter_map(|one| self.input.facts.get(&one.node)?.etcd.as_ref())
            .peekable();
        removing.etcd.contains(&member.node)
            || (lists.peek().is_some()
                && lists.all(|etcd| {
                    !etcd.members.iter().any(|one| one.peer_urls.contains(&member.peer_url()))
                }))
    }

    /// Names what goes with an instance.
    pub(crate) fn note_losses(
        &mut self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
        node: &Node<'_>,
    ) {
        let removing = self.input.removing;
        let name = member.instance(&cluster.name);
        let deletes = removing.deletes;
        let fate = |parameter: Handle<bool>| match (member.params.get(parameter), deletes) {
            (false, _) => format!("stays in its place ({parameter}: false)"),
            (true, true) => "is deleted".to_owned(),
            (true, false) => "is moved aside".to_owned(),
        };
        let main = member.params.get(parameters::PG_FS_MAIN);
        let data = node.facts.data.iter();
        for data in data.filter(|data| lies_in(&data.path, &main, cluster.name.as_str())) {
            let note = format!("{name}: its data, {}, {}", data.path, fate(parameters::PG_RM_DATA));
            self.notes.push(note);
        }
        let place = member.params.get(parameters::PG_FS_BACKUP);
        let local = node.facts.backups.iter().filter(|kept| {
            kept.stanza == cluster.name.as_str() && kept.place.starts_with(&format!("{place}/"))
        });
        for kept in local {
            let newest = kept.newest.map_or_else(String::new, |at| {
                format!(", the newest of {}", date(at.div_euclid(86_400)))
            });
            let count = match (kept.backups, kept.systems.is_empty()) {
                (_, true) => "backups that cannot be counted".to_owned(),
                (1, false) => "1 backup".to_owned(),
                (many, false) => format!("{many} backups"),
            };
            let fate = fate(parameters::PG_RM_BACKUP);
            self.notes.push(format!("{name}: {count} in {}{newest}: this {fate}", kept.place));
        }
        self.note_holdings(cluster, member);
        let left = cluster.members.iter().filter(|one| !goes(removing, cluster, one)).count();
        self.notes.push(match left {
            0 => format!("{name} goes with the whole cluster: {} is no more", cluster.name),
            1 => format!("{} is left with one member, which has no standby", cluster.name),
            many => format!("{} is left with {many} members", cluster.name),
        });
    }

    /// Names what an instance holds and no member that stays has: databases of a cluster that goes as a
    /// whole, replication slots, and WAL that is in no archive.
    fn note_holdings(&mut self, cluster: &PgCluster<'_>, member: &PgMember<'_>) {
        let of = |member: &PgMember<'_>| -> Option<&HoldingsFacts> {
            let held = self.input.facts.get(&member.node)?.holdings.iter();
            held.clone().find(|held| held.cluster == cluster.name.as_str())
        };
        let Some(held) = of(member) else { return };
        let name = member.instance(&cluster.name);
        if !held.unread.is_empty() {
            let note = format!("{name} does not say what it holds: {}", held.unread);
            self.notes.push(note);
            return;
        }
        let staying: Vec<&PgMember<'_>> =
            cluster.members.iter().filter(|one| !goes(self.input.removing, cluster, one)).collect();
        let mut notes = Vec::new();
        if staying.is_empty() && !held.databases.is_empty() {
            let each: Vec<String> = held
                .databases
                .iter()
                .map(|one| format!("{} ({})", one.name, size(one.bytes)))
                .collect();
            notes.push(format!("databases that go with {}: {}", cluster.name, each.join(", ")));
        }
        // A member's own slots on the others are Patroni's, and made anew.
        let own: Vec<String> = cluster
            .members
            .iter()
            .map(|one| one.instance(&cluster.name).to_lowercase().replace(['-', '.'], "_"))
            .collect();
        let elsewhere = |slot: &HeldSlot| {
            let others = staying.iter().filter_map(|one| of(one));
            others.flat_map(|held| &held.slots).any(|one| one.name == slot.name)
        };
        let lost: Vec<String> = held
            .slots
            .iter()
            .filter(|slot| !own.contains(&slot.name) && !elsewhere(slot))
            .map(|slot| {
                let state = if slot.active { "active" } else { "inactive" };
                format!("{} ({}, {state})", slot.name, slot.form)
            })
            .collect();
        if !lost.is_empty() {
            notes.push(format!("replication slots that only {name} has go: {}", lost.join(", ")));
        }
        if held.unarchived > 0 {
            notes
                .push(format!("{name} has WAL that is not archived: {} segments", held.unarchived));
        }
        self.notes.extend(notes);
    }

    /// An instance on a host that does not answer is forgotten by the others, unless it may be their
    /// primary: that it does not answer us does not mean that it does not serve.
    pub(crate) fn forget_silent(
        &mut self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
    ) -> Result<(), Problem> {
        let removing = self.input.removing;
        let name = member.instance(&cluster.name);
        let mut staying =
            cluster.members.iter().filter(|one| !goes(removing, cluster, one)).peekable();
        let stays = staying.peek().is_some();
        let mut says = staying
            .filter_map(|one| self.input.facts.get(&one.node)?.patroni_of(cluster.name.as_str()));
        if stays && !says.any(PatroniFacts::leads) {
            let message = format!(
                "{} does not answer, and no member of {} that stays is known to lead: {name} may be \
                 the primary",
                member.node, cluster.name
            );
            return Err(Box::new(problem("removes-primary", member.seq_span, message).help(
                "make the members that stay elect a primary first (patronictl list shows it), then remove",
            )));
        }
        let place = Place::of(cluster.name.as_str(), member);
        let main = member.params.get(parameters::PG_FS_MAIN);
        self.notes.push(format!(
            "{} does not answer: nothing is stopped or deleted on it, the others forget {name}. Its data \
             ({main}), backups and passwords stay on its disks, and {} would start it again: keep it off \
             the network, or erase it, before it comes back",
            member.node,
            place.patroni_unit()
        ));
        if stays {
            // Patroni's `slot_name_from_member_name`, and its `member_slots_ttl`.
            let slot = name.to_lowercase().replace(['-', '.'], "_");
            self.notes.push(format!(
                "{name}: Patroni's key of it in etcd has run out or does so within its `ttl`; the slot \
                 {slot} keeps WAL on the members that stay until Patroni drops it: at once (Patroni 3), \
                 after member_slots_ttl, 30 minutes unless set (Patroni 4)"
            ));
        }
        Ok(())
    }

    /// How many members may fail of those that a removal leaves, where their number is even: none more than
    /// with one fewer ("Failure tolerance" in etcd's FAQ).
    pub(crate) fn note_what_etcd_bears(&mut self, gone: &[&EtcdMember], etcd: &EtcdFacts) {
        let leaving = |one: &EtcdMemberFacts| {
            gone.iter().any(|gone| one.peer_urls.contains(&gone.peer_url()))
        };
        let left = etcd.members.iter().filter(|one| !one.learner && !leaving(one)).count();
        if left == 0 || left % 2 != 0 {
            return;
        }
        let bears = match left / 2 - 1 {
            0 => "none of them may fail".to_owned(),
            1 => "one of them may fail".to_owned(),
            more => format!("{more} of them may fail"),
        };
        self.notes.push(format!(
            "etcd is left with {left} members: {bears}, for an even number bears no more failures than one \
             fewer; give another host an `etcd_seq` and apply"
        ));
    }

    /// A member of etcd on a host that does not answer.
    pub(crate) fn note_silent_etcd(&mut self, member: &EtcdMember) {
        self.notes.push(format!(
            "{} does not answer: its etcd is struck from the members' list; its data stays in {}",
            member.node, member.data_directory
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_000), "2024-10-04");
    }

    #[test]
    fn a_clusters_directory_is_not_that_of_a_longer_name() {
        assert!(lies_in("/data/postgres/pg-test-17/data", "/data/postgres", "pg-test"));
        assert!(!lies_in("/data/postgres/pg-test-a-17/data", "/data/postgres", "pg-test"));
        assert!(!lies_in("/data/postgres/pg-test-17.removed", "/data/postgres", "pg-test"));
    }
}
