//! Taking instances away: what `keddah remove` stops and deletes, in which order.

use crate::ca::ETCD_CA_PATH;
use crate::compiler::{Compiler, Node, Problem, problem};
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_resource::kind::etcd_member::{self, EtcdConnection};
use keddah_resource::kind::{directory, file, unit};
use keddah_resource::{Module, Resource, ResourceId, Spec};

/// Files of an instance that would start it again, or that hold passwords.
const FILES: &[&str] = &[
    "/etc/patroni/conf.d/05-bootstrap.yml",
    "/etc/patroni/conf.d/10-patroni.yml",
    "/etc/patroni/conf.d/20-listen.yml",
    "/etc/patroni/conf.d/90-secrets.yml",
    "/etc/pgbouncer/userlist.txt",
    "/etc/pgbackrest/conf.d/secrets.conf",
    "/etc/cron.d/keddah-pgsql",
];

impl<'a> Compiler<'a> {
    /// Everything that is taken away.
    pub(crate) fn removals(&mut self, nodes: &[Node<'a>]) -> Result<(), Problem> {
        let removing = &self.input.removing.pgsql;
        for cluster in &self.topology.clusters {
            for member in cluster.members.iter().filter(|one| removing.contains(&one.node)) {
                let Some(node) = nodes.iter().find(|node| node.name == member.node) else {
                    continue;
                };
                self.remove_instance(cluster, member, node)?;
            }
        }
        self.remove_etcd_members(nodes)
    }

    fn remove_instance(
        &mut self,
        cluster: &PgCluster<'_>,
        member: &PgMember<'_>,
        node: &Node<'_>,
    ) -> Result<(), Problem> {
        let name = member.instance(&cluster.name);
        let stays =
            cluster.members.iter().any(|one| !self.input.removing.pgsql.contains(&one.node));
        let leads = node.facts.patroni.as_ref().is_some_and(|patroni| {
            matches!(patroni.role.as_str(), "primary" | "master" | "standby_leader")
        });
        if leads && stays {
            return Err(problem(
                "removes-primary",
                member.seq_span,
                format!(
                    "{name} is the primary of {}; hand its part to another instance first: \
                     `patronictl -c /etc/patroni/conf.d switchover {}`",
                    cluster.name, cluster.name
                ),
            ));
        }
        let resource = |spec: Spec| {
            Resource::new(&node.name, Module::Pgsql, spec).in_cluster(cluster.name.as_str())
        };
        // Clients first: the pool turns them away before the server goes.
        let pool = self.fleet.add(resource(unit::Spec::stopped("pgbouncer.service").into()));
        let server = self.fleet.add(
            resource(
                unit::Spec { patience_seconds: 120, ..unit::Spec::stopped("patroni.service") }
                    .into(),
            )
            .after([pool]),
        );
        for path in FILES {
            self.fleet.add(resource(file::Spec::absent(*path).into()).after([server.clone()]));
        }
        let version_directories = |parent: String| -> Vec<String> {
            // The version that is installed is not known here: whichever stands there goes.
            crate::release::POSTGRESQL_VERSIONS
                .map(|version| format!("{parent}/{}-{version}", cluster.name))
                .collect()
        };
        let mut doomed = Vec::new();
        if member.params.bool("pg_rm_data") {
            doomed.extend(version_directories(member.params.str("pg_fs_main")));
        }
        if member.params.bool("pg_rm_backup") {
            doomed.extend(version_directories(member.params.str("pg_fs_backup")));
        }
        for path in doomed {
            self.fleet.add(resource(directory::Spec::absent(path).into()).after([server.clone()]));
        }
        Ok(())
    }

    fn remove_etcd_members(&mut self, nodes: &[Node<'a>]) -> Result<(), Problem> {
        let members = self.topology.etcd.clone();
        let (gone, stay): (Vec<_>, Vec<_>) =
            members.iter().partition(|member| self.input.removing.etcd.contains(&member.node));
        let needed = self.topology.clusters.iter().find(|cluster| {
            cluster.members.iter().any(|one| !self.input.removing.pgsql.contains(&one.node))
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
        let mut previous: Option<ResourceId> = None;
        for member in gone {
            let Some(node) = nodes.iter().find(|node| node.name == member.node) else { continue };
            let through = stay.iter().find(|other| {
                self.input.facts.get(&other.node).is_some_and(|facts| facts.etcd.is_some())
            });
            let struck = through.map(|through| {
                self.fleet.add(
                    Resource::new(
                        &through.node,
                        Module::Etcd,
                        etcd_member::Spec {
                            member: member.name.clone(),
                            peer_url: member.peer_url(),
                            present: false,
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
            let resource = |spec: Spec| {
                Resource::new(&node.name, Module::Etcd, spec).in_cluster(&member.cluster)
            };
            let unit =
                self.fleet.add(resource(unit::Spec::stopped("etcd.service").into()).after(struck));
            if node.params.bool("etcd_rm_data") {
                self.fleet.add(
                    resource(directory::Spec::absent(member.data_directory.clone()).into())
                        .after([unit.clone()]),
                );
            }
            previous = Some(unit);
        }
        Ok(())
    }
}
