//! Taking instances away: what `keddah remove` stops and deletes, in which order.

use crate::ca::ETCD_CA_PATH;
use crate::compiler::{Compiler, Node, Problem, problem};
use crate::pgsql::backup::{BACKUP_SECONDS, is_shared};
use keddah_inventory::model::{PgCluster, PgMember};
use keddah_resource::kind::etcd_member::{self, EtcdConnection};
use keddah_resource::kind::{backup, directory, file, unit};
use keddah_resource::{Module, NodeFacts, Resource, ResourceId, Spec};

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
        if !stays {
            self.is_followed(cluster)?;
        }
        let resource = |spec: Spec| {
            Resource::new(&node.name, Module::Pgsql, spec).in_cluster(cluster.name.as_str())
        };
        let backup = if stays { None } else { self.last_backup(cluster)? };
        // Clients first: the pool turns them away before the server goes.
        let pool =
            self.fleet.add(resource(unit::Spec::stopped("pgbouncer.service").into()).after(backup));
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

    /// A backup of today from a cluster that goes as a whole, unless the user does without one.
    fn last_backup(&mut self, cluster: &PgCluster<'_>) -> Result<Option<ResourceId>, Problem> {
        let member = &cluster.members[0];
        let params = &member.params;
        // What a standby cluster holds is backed up where it is written.
        let copy = cluster.upstream().is_some();
        if copy || self.input.removing.without_backup || !params.bool("pgbackrest_enabled") {
            return Ok(None);
        }
        let name = &cluster.name;
        let refuse = |message: String| {
            let problem = problem("no-last-backup", member.seq_span, message);
            Box::new(
                problem.help("`--no-backup` removes the cluster all the same, without a way back"),
            )
        };
        let patroni =
            |node| self.input.facts.get(node).and_then(|facts: &NodeFacts| facts.patroni.as_ref());
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
        if params.bool("pg_rm_backup") && !is_shared(params) {
            return Err(refuse(format!(
                "{name} would go with all its backups, which lie on its own nodes: set \
                 `pg_rm_backup: false` to keep them, or keep backups elsewhere \
                 (pgbackrest_method)"
            )));
        }
        let spec = backup::Spec {
            stanza: name.as_str().to_owned(),
            account: params.str("pg_dbsu"),
            patience_seconds: BACKUP_SECONDS,
            not_before: Some(self.input.today * 86_400),
        };
        let resource = Resource::new(&leader.node, Module::Pgsql, Spec::from(spec));
        Ok(Some(self.fleet.add(resource.in_cluster(name.as_str()))))
    }

    /// A cluster that others follow stays until they no longer do.
    fn is_followed(&self, cluster: &PgCluster<'_>) -> Result<(), Problem> {
        let follower = self.topology.clusters.iter().find(|other| {
            let here = |node: &str| cluster.members.iter().any(|one| one.node.as_str() == node);
            let stays =
                other.members.iter().any(|one| !self.input.removing.pgsql.contains(&one.node));
            other.name != cluster.name && stays && other.upstream().is_some_and(here)
        });
        let Some(follower) = follower else { return Ok(()) };
        let span = follower.primary().and_then(|member| member.params.span("pg_upstream"));
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
