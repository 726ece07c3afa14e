//! The ETCD module: the consensus store, one member a node, TLS for peers and clients.

pub(crate) mod access;
mod beyond;
mod birth;
pub(crate) mod learners;
mod strangers;
mod tool;

use crate::ca::{CertificateFor, ETCD_CA_PATH};
use crate::compiler::{Compiler, Node, Problem};
use crate::topology::EtcdMember;
pub use beyond::{asked_before_etcd, may_begin_etcd};
use birth::{Birth, Life};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::etcd_member::{EtcdConnection, STORE_QUOTA, TOOL};
use keddah_resource::kind::{certificate, etcd_member, file, packages, unit};
use keddah_resource::{
    Class, ETCD_BOOTSTRAP, EtcdMemberFacts, Kind, Module, OwnSettings, Resource, ResourceId, Spec,
};
use serde_json::json;
pub(crate) use strangers::{unknown, unknown_counts};

/// Where a member keeps its configuration and certificate.
const DIRECTORY: &str = "/etc/etcd";

/// Its unit, which is its package's.
const UNIT: &str = "etcd.service";

/// The variables that configure it.
const VARIABLES: &str = "/etc/default/etcd";

/// Open files of a member: a few thousand watchers at the most.
const OPEN_FILES: u64 = 65_536;

/// How a member is asked for its health from another one's node.
pub(crate) fn connection(endpoint: String) -> EtcdConnection {
    EtcdConnection {
        endpoint,
        ca_path: ETCD_CA_PATH.to_owned(),
        certificate_path: format!("{DIRECTORY}/server.crt"),
        key_path: format!("{DIRECTORY}/server.key"),
    }
}

/// How these members but some are asked.
pub(crate) fn others(but: &[&EtcdMember], members: &[EtcdMember]) -> Vec<EtcdConnection> {
    let others = members.iter().filter(|one| but.iter().all(|but| but.node != one.node));
    others.map(|one| connection(format!("https://{}:{}", one.address, one.port))).collect()
}

/// How a person tells the others by which address they reach a member.
pub(crate) fn update_by_hand(member: &EtcdMemberFacts, peer_url: &str) -> String {
    let id = strangers::hexadecimal(&member.id);
    format!(
        "where {peer_url} is right, tell the others, as root on a member's node: `{TOOL} member update {id} \
         --peer-urls={peer_url}`; otherwise put the host's address and `etcd_peer_port` back as they were"
    )
}

/// Who says whether a member can stop for good, which they know by its client URL.
pub(crate) fn staying(member: &EtcdMember, stays: &[EtcdMember]) -> unit::Quorum {
    unit::Quorum {
        own: connection(format!("https://{}:{}", member.address, member.port)),
        others: others(&[member], stays),
    }
}

/// The program of Debian's package.
const PROGRAM: &str = "/usr/bin/etcd";

/// How what Keddah writes for a member's unit is told from what others have given it (etcd's "Configuration
/// options": each option is a variable, too). Given a file of options, etcd reads no variable.
pub(crate) fn own_settings(member: &EtcdMember) -> OwnSettings {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let fixed = [("ETCD_NAME", &member.name), ("ETCD_DATA_DIR", &member.data_directory)];
    OwnSettings {
        unit: UNIT.to_owned(),
        prefix: "ETCD_".to_owned(),
        files: texts(&[VARIABLES, ETCD_BOOTSTRAP]),
        fixed: fixed.map(|(name, value)| (name.to_owned(), value.clone())).into(),
        never: texts(&["ETCD_CONFIG_FILE", "ETCD_FORCE_NEW_CLUSTER", "ETCD_WAL_DIR"]),
        at_birth: texts(&[
            "ETCD_INITIAL_CLUSTER",
            "ETCD_INITIAL_CLUSTER_STATE",
            "ETCD_INITIAL_CLUSTER_TOKEN",
        ]),
        program: PROGRAM.to_owned(),
    }
}

/// Who says whether a member can be spared.
fn quorum(member: &EtcdMember, members: &[EtcdMember]) -> unit::Quorum {
    unit::Quorum {
        own: connection(format!("https://127.0.0.1:{}", member.port)),
        others: others(&[member], members),
    }
}

impl Compiler<'_> {
    /// All members; returns their units, which whoever needs etcd waits for.
    pub(crate) fn etcd(&mut self, nodes: &[Node<'_>]) -> Result<Vec<ResourceId>, Problem> {
        let members = self.staying_members();
        let life = Life::of(&members, self.input.facts, self.has_postgres())?;
        let strangers = life.etcd().map(|etcd| unknown(etcd, &self.topology.etcd));
        let mut strangers = strangers.unwrap_or_default();
        strangers.retain(|one| !life.is_declared(one));
        self.notes.extend(strangers.iter().map(|one| strangers::note(one)));
        // Who stays a learner, and keeps others from joining.
        let mut learner = life.etcd().and_then(learners::listed).map(learners::name);
        let mut turns: Vec<&EtcdMember> = members.iter().collect();
        turns.sort_by_key(|member| learners::turn(member, life.etcd()));
        let mut units = Vec::new();
        // Members that a joining one will find when its turn comes.
        let mut present = life.present();
        let mut previous_join: Option<ResourceId> = None;
        let mut previous_restart: Option<ResourceId> = None;
        for member in turns {
            let Some(node) = nodes.iter().find(|node| node.name == member.node) else { continue };
            let birth = life.birth(member)?;
            self.notes.extend(life.made_anew(member, &birth));
            if matches!(birth, Birth::Joins { .. }) {
                let itself = life.is_learner(member);
                if let Some(learner) = learner.as_ref().filter(|_| !itself) {
                    return Err(learners::second(member, learner));
                }
                life.may_join(member, &strangers)?;
            }
            if let Birth::Elsewhere { through } = birth {
                previous_join = Some(self.told_again(member, through, previous_join.as_ref()));
            }
            let is_listed = present.iter().any(|one| one.node == member.node);
            if matches!(birth, Birth::Joins { .. } | Birth::Elsewhere { .. }) && !is_listed {
                present.push(member);
            }
            let initial: Vec<&EtcdMember> = match birth {
                Birth::Together => members.iter().collect(),
                Birth::Joins { .. } | Birth::Announced | Birth::Elsewhere { .. } | Birth::Done => {
                    present.clone()
                }
            };
            let mut initial: Vec<String> =
                initial.iter().map(|one| format!("{}={}", one.name, one.peer_url())).collect();
            if !matches!(birth, Birth::Together) {
                // etcd compares the whole list with its own; of the names it takes any.
                initial.extend(strangers.iter().zip(1..).filter_map(|(one, number)| {
                    Some(format!("unknown-{number}={}", one.peer_urls.first()?))
                }));
            }
            let unit = self.etcd_member(node, member, &birth, &initial, previous_join.as_ref())?;
            if let Some(resource) = self.fleet.get_mut(&unit) {
                if let Spec::Unit(unit) = &mut resource.spec {
                    unit.quorum = Some(quorum(member, &members));
                }
                resource.restart_after.extend(previous_restart.replace(unit.clone()));
            }
            if matches!(birth, Birth::Joins { .. } | Birth::Announced) {
                previous_join = Some(unit.clone());
            }
            if let Some(spec) = life.vote(member, &birth, &members) {
                let through = spec.0;
                let vote = Resource::new(&through.node, Module::Etcd, spec.1)
                    .in_cluster(&member.cluster)
                    .after([unit.clone()]);
                previous_join = Some(self.fleet.add(vote));
                learner = None;
            } else if member.learner && matches!(birth, Birth::Joins { .. } | Birth::Announced) {
                learner = Some(member.name.clone());
            } else if member.learner && life.votes(member) {
                self.notes.push(learners::votes_already(member));
            }
            units.push(unit);
        }
        self.etcd_root(nodes, &units);
        Ok(units)
    }

    /// The address by which the others know a member, put right. Whoever answers at the other one keeps it
    /// from being changed: then that is the member, and it lives there.
    fn told_again(
        &mut self,
        member: &EtcdMember,
        through: &EtcdMember,
        previous: Option<&ResourceId>,
    ) -> ResourceId {
        let spec = etcd_member::Spec {
            member: member.name.clone(),
            peer_url: member.peer_url(),
            present: true,
            replaces: None,
            stage: etcd_member::Stage::Listed,
            others: others(&[through, member], &self.staying_members()),
            connection: connection(format!("https://127.0.0.1:{}", through.port)),
        };
        let resource = Resource::new(&through.node, Module::Etcd, spec).in_cluster(&member.cluster);
        self.fleet.add(resource.after(previous.cloned()))
    }

    /// The declared members that do not go.
    fn staying_members(&self) -> Vec<EtcdMember> {
        let goes = |one: &EtcdMember| self.input.removing.etcd.contains(&one.node);
        self.topology.etcd.iter().filter(|one| !goes(one)).cloned().collect()
    }

    /// Whether a cluster of PostgreSQL has data, or a node of it cannot be asked.
    fn has_postgres(&self) -> bool {
        beyond::holds_data(self.topology, self.input.facts)
    }

    fn etcd_member(
        &mut self,
        node: &Node<'_>,
        member: &EtcdMember,
        birth: &Birth<'_>,
        initial: &[String],
        previous_join: Option<&ResourceId>,
    ) -> Result<ResourceId, Problem> {
        let cluster = member.cluster.as_str();
        let resource = |spec: keddah_resource::Spec| {
            Resource::new(&node.name, Module::Etcd, spec).in_cluster(cluster)
        };
        let unit_id = ResourceId::new(&node.name, Kind::Unit, "etcd.service");
        let packages = self.fleet.add(
            resource(
                packages::Spec {
                    set: "etcd".to_owned(),
                    names: node
                        .release
                        .etcd_packages()
                        .iter()
                        .map(|&name| name.to_owned())
                        .collect(),
                }
                .into(),
            )
            .after([node.packages.clone()]),
        );
        self.etcd_tool(node, member, &packages)?;
        let owner = || Permissions::new("etcd", "etcd", 0o700);
        let trust = ResourceId::new(&node.name, Kind::File, ETCD_CA_PATH);
        let directory = self.fleet.add(
            resource(directory::Spec::present(DIRECTORY, Permissions::root(0o755)).into())
                .after([packages.clone()]),
        );
        let data = self.ways(node, Module::Etcd, &node.parents_of(&member.data_directory));
        let data = self.fleet.add(
            resource(directory::Spec::present(member.data_directory.clone(), owner()).into())
                .after([packages.clone()])
                .after(data),
        );
        let certificate = certificate::Spec {
            // With one, the agents' own questions to the JSON gateway would be refused.
            common_name: String::new(),
            issuer: self.input.authorities.etcd.fingerprint.clone(),
            authority_path: ETCD_CA_PATH.to_owned(),
            ..self.certificate(
                node,
                CertificateFor {
                    directory: DIRECTORY,
                    common_name: &member.name,
                    dns_names: vec![cluster.to_owned()],
                    addresses: Vec::new(),
                    owner: "etcd",
                },
            )
        };
        // etcd reads renewed certificates by itself at the next handshake: no restart.
        let certificate =
            self.fleet.add(resource(certificate.into()).after([directory.clone(), trust.clone()]));
        // etcd reads the authority only when it starts.
        if let Some(trusted) = self.fleet.get_mut(&trust) {
            *trusted = trusted.clone().restarts(&unit_id);
        }
        let environment = self.render(
            "etcd/etcd.env",
            json!({
                "member": member.name,
                "data_directory": member.data_directory,
                "address": node.address,
                "port": member.port,
                "peer_port": member.peer_port,
                "election_timeout": member.election_timeout,
                "heartbeat_interval": member.heartbeat_interval,
                "store_quota": STORE_QUOTA,
            }),
        )?;
        let environment = self.fleet.add(
            resource(file::Spec::text(VARIABLES, environment, Permissions::root(0o644)).into())
                .after([packages.clone()])
                .restarts(&unit_id),
        );
        let mut before = vec![packages, directory.clone(), data, certificate, environment];
        before.extend(self.drop_in(
            node,
            Module::Etcd,
            "etcd.service",
            "systemd/etcd.conf",
            json!({ "open_files": OPEN_FILES.min(node.facts.open_files_limit) }),
            None,
        )?);
        if !matches!(birth, Birth::Done | Birth::Elsewhere { .. }) {
            let joins = !matches!(birth, Birth::Together);
            let text = self.render(
                "etcd/bootstrap.env",
                json!({
                    "members": initial,
                    "state": if joins { "existing" } else { "new" },
                    "token": cluster,
                }),
            )?;
            before.push(
                self.fleet.add(
                    resource(
                        file::Spec::text(ETCD_BOOTSTRAP, text, Permissions::root(0o644)).into(),
                    )
                    .after([directory]),
                ),
            );
        }
        if let Birth::Joins { through, replaces } = birth {
            let announcement = Resource::new(
                &through.node,
                Module::Etcd,
                etcd_member::Spec {
                    member: member.name.clone(),
                    peer_url: member.peer_url(),
                    present: true,
                    replaces: replaces.clone(),
                    stage: etcd_member::Stage::Listed,
                    others: others(&[through, member], &self.staying_members()),
                    connection: connection(format!("https://127.0.0.1:{}", through.port)),
                },
            )
            .in_cluster(cluster)
            .after(previous_join.cloned())
            // A member that is announced and does not start counts as lost: prepare it first.
            .after(before.clone());
            before.push(self.fleet.add(announcement));
        }
        let spec = unit::Spec {
            patience_seconds: 60,
            restart_class: Class::OrderedRestart,
            settings: Some(own_settings(member)),
            ..unit::Spec::running(UNIT)
        }
        // Given a file, etcd reads nothing of its environment.
        .started_without(&["--config-file"])
        .ready_when_open(&node.address, member.port);
        Ok(self.fleet.add(resource(spec.into()).after(before)))
    }
}
