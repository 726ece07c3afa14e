//! Whether what a removal would take away is what was named. An inventory may be wrong about who lives
//! where; then the host that it gives for a name is another instance's, which would go instead.

use crate::compiler::{Compiler, Node, Problem, problem};
use crate::pgsql::place::Place;
use crate::topology::EtcdMember;
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_inventory::parameters;
use keddah_resource::kind::unit::Belongs;
use keddah_resource::{EtcdFacts, EtcdMemberFacts, PatroniFacts};

/// Whose a member's place on its node must be when something is taken out of it.
pub(crate) fn belongs(cluster: &PgCluster<'_>, member: &PgMember<'_>, place: &Place) -> Belongs {
    Belongs {
        configuration: place.patroni_directory(),
        scope: cluster.name.to_string(),
        name: member.instance(&cluster.name),
    }
}

impl Compiler<'_> {
    /// Refuses where a node's configuration, or a Patroni that runs there, says that it is somebody else's.
    /// A configuration whose data is not there counts as well: the disk may only be away.
    pub(crate) fn is_the_one_named(
        &self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
        node: &Node<'_>,
    ) -> Result<(), Problem> {
        let name = member.instance(&cluster.name);
        let place = Place::of(cluster.name.as_str(), member);
        let directory = place.patroni_directory();
        let here = directory.rsplit('/').next();
        let configured =
            node.facts.instances.iter().find(|one| Some(one.configuration.as_str()) == here);
        let configured = configured.filter(|one| !one.scope.is_empty());
        // A node with one instance has one Patroni; of several, each says whose it is by its place.
        let alone = !member.is_one_of_several();
        let another = |one: &&PatroniFacts| {
            one.scope != cluster.name.as_str() || !one.name.is_empty() && one.name != name
        };
        let runs = node.facts.patroni.iter().filter(|_| alone).find(another);
        let namespace = member.params.get(parameters::PG_NAMESPACE);
        let is = match (configured, runs) {
            (Some(one), _) if one.scope != cluster.name.as_str() => {
                format!("{} of the cluster {} ({directory})", one.name, one.scope)
            }
            (Some(one), _) if !one.name.is_empty() && one.name != name => {
                format!("{} ({directory})", one.name)
            }
            (_, Some(one)) if one.scope == cluster.name.as_str() => {
                format!("{}, as its Patroni says that runs there", one.name)
            }
            (_, Some(one)) => format!("a member of {}, whose Patroni runs there", one.scope),
            (Some(one), _) if !one.namespace.is_empty() && one.namespace != namespace => {
                let message = format!(
                    "the keys of {} are below {} in etcd, and the inventory says {namespace}: keys of \
                     another cluster would go",
                    cluster.name, one.namespace
                );
                let span = member.params.span(parameters::PG_NAMESPACE).or(member.seq_span);
                return Err(Box::new(
                    problem("removes-another", span, message)
                        .help(format!("set `pg_namespace: {}` for this cluster", one.namespace)),
                ));
            }
            _ => return Ok(()),
        };
        let message = format!(
            "{name} is to go, and what the inventory puts in its place, {}, is {is}: that one would go \
             instead",
            node.name
        );
        Err(Box::new(problem("removes-another", member.seq_span, message).help(
            "make the inventory say who lives where (host, pg_seq, pg_cluster; `patronictl list` and \
             `keddah plan` show it), then remove",
        )))
    }
}

/// What a node's own etcd says that it is.
pub(crate) fn own(etcd: &EtcdFacts) -> Option<&EtcdMemberFacts> {
    etcd.members.iter().find(|one| !etcd.member.is_empty() && one.id == etcd.member)
}

/// Refuses to take away a member of etcd that is another than the inventory has there, or that the others
/// know by another address: it would be stopped without being struck from their list.
pub(crate) fn is_the_member_named(
    member: &EtcdMember,
    etcd: &EtcdFacts,
    others: Option<&EtcdFacts>,
) -> Result<(), Problem> {
    let elsewhere = others.is_some_and(|others| others.cluster != etcd.cluster);
    if elsewhere && etcd.members.len() > 1 {
        let message = format!(
            "etcd on {} is a member of another cluster (id {}, of {}) than the one that the inventory has: \
             that one would lose it",
            member.node,
            etcd.cluster,
            etcd.members.len()
        );
        return Err(Box::new(problem("removes-another", member.span, message).help(
            "look at both (as root, there and on another member: keddah-etcdctl member list); make the \
             inventory say who lives where, then remove",
        )));
    }
    let Some(is) = own(etcd) else { return Ok(()) };
    if !elsewhere && !is.peer_urls.contains(&member.peer_url()) {
        let message = format!(
            "the others know etcd on {} by {}, and the inventory has it at {}: it would be stopped, and \
             count as a member for ever",
            member.node,
            is.peer_urls.join(", "),
            member.peer_url()
        );
        let help = crate::etcd::update_by_hand(is, &member.peer_url());
        return Err(Box::new(problem("removes-another", member.span, message).help(help)));
    }
    if !is.name.is_empty() && is.name != member.name {
        let message = format!(
            "etcd on {} is {}, and the inventory calls it {}",
            member.node, is.name, member.name
        );
        return Err(Box::new(problem("removes-another", member.span, message).help(
            "give it back its etcd_seq, then remove: as root there, `keddah-etcdctl member list` shows who \
             is who",
        )));
    }
    Ok(())
}
