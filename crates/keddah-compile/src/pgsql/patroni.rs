//! Patroni: its configuration on each node, the instances it makes, and the cluster's settings in
//! the DCS.

use super::layout::Files;
use super::standby::{self, DELAY, Upstream};
use super::{Cluster, Instance, aside, connection, pause, place};
use crate::compiler::{Compiler, Problem, problem};
use crate::doors::patroni_secrets;
use crate::etcd::access;
use crate::etcd::learners::serves_clients;
use keddah_core::Secret;
use keddah_inventory::model::{Dialect, RtoPlan};
use keddah_inventory::{Params, parameters};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{file, patroni_config, pg_instance, postmaster, unit};
use keddah_resource::{Class, Kind, MADE_MARK, Module, Resource, ResourceId, Spec, TriggerAction};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds for which an instance that is being made may stand still: a large clone takes hours, and each
/// of its bytes is progress. What no byte shows is a long checkpoint before it, or crash recovery.
const MAKE_SECONDS: u32 = 600;

/// What the mark says to whoever finds it.
const MADE: &str = "\
# Written by Keddah: the instance whose configuration lies here has been made. If its data is not there
# any more, it is lost or not mounted, and no empty cluster is made in its place. Should one be: delete this
# file on each member and the cluster in etcd (patronictl remove), and apply.
";

/// The lease of the leader before, and some rounds of Patroni's, in seconds.
fn promoted_within(rto: &RtoPlan) -> u32 {
    u32::try_from(rto.ttl + 3 * rto.loop_wait + 30).unwrap_or(u32::MAX)
}

impl Compiler<'_> {
    /// One instance: files, unit, and the instance itself.
    pub(super) fn instance(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
        files: &Files,
        etcd: &[ResourceId],
    ) -> Result<(), Problem> {
        let node = &instance.node;
        let superuser = cluster.superuser();
        let postmaster = instance.postmaster();
        let patroni = instance.patroni();
        let place = &instance.place;
        let path = place.patroni_directory();
        let owned = || Permissions::new(&superuser, &superuser, 0o600);
        let resource =
            |spec: Spec| Resource::new(&node.name, Module::Pgsql, spec).in_cluster(&cluster.name);

        let directory = self.fleet.add(
            resource(
                directory::Spec::present(
                    path.clone(),
                    Permissions::new(&superuser, &superuser, 0o700),
                )
                .into(),
            )
            .after([files.packages.clone()]),
        );
        let mut before = files.directories.clone();
        before.extend([
            files.certificate.clone(),
            files.etcd_certificate.clone(),
            files.packages.clone(),
        ]);
        let rewind = self.rewind_program(cluster, instance)?;
        self.name_what_failed(cluster, instance);
        self.name_what_was_removed(cluster, instance);
        let settings = self.patroni_settings(cluster, instance);
        let text = yaml("how Patroni runs this instance", &settings)?;
        before.push(
            self.fleet.add(
                resource(file::Spec::text(format!("{path}/10-patroni.yml"), text, owned()).into())
                    .after([directory.clone()])
                    .after(rewind)
                    .reloads(&patroni),
            ),
        );
        // Apart, because PostgreSQL restarts when these change.
        let text = yaml("where PostgreSQL listens", &listen(instance))?;
        before.push(
            self.fleet.add(
                resource(file::Spec::text(format!("{path}/20-listen.yml"), text, owned()).into())
                    .after([directory.clone()])
                    .reloads(&patroni)
                    .restarts(&postmaster),
            ),
        );
        let text = yaml("passwords", &secrets(cluster, &instance.member.params))?;
        let secrets = self.fleet.add(
            resource(
                file::Spec::secret(patroni_secrets(place), Secret::new(text), owned())
                    .listing(file::Entries::Settings)
                    .into(),
            )
            .after([directory.clone()])
            .reloads(&patroni),
        );
        let password = instance.member.params.get(parameters::PATRONI_PASSWORD);
        self.door_by_file("`patroni_password`", &password, &secrets);
        before.push(secrets);
        let first = !cluster.exists && node.name == cluster.leader;
        if first {
            let text = yaml("how the cluster is made; not read again", &self.bootstrap(cluster)?)?;
            before.push(
                self.fleet.add(
                    resource(
                        file::Spec::text(format!("{path}/05-bootstrap.yml"), text, owned()).into(),
                    )
                    .after([directory]),
                ),
            );
        }
        let rules = self.hba(cluster, instance, Dialect::PostgreSql, &place.hba_file(), owned())?;
        before.push(
            self.fleet
                .add(resource(rules.into()).after(files.directories.clone()).reloads(&postmaster)),
        );
        let context = json!({
            "cluster": cluster.name,
            "superuser": superuser,
            "configuration": path,
            "open_files": node.facts.open_files_limit.min(1_048_576),
        });
        before.extend(if place.own_name().is_some() {
            self.own_unit(instance, &patroni, "systemd/patroni.service", context, files)?
        } else {
            self.drop_in(
                node,
                Module::Pgsql,
                place::PATRONI_UNIT,
                "systemd/patroni.conf",
                context,
                None,
            )?
        });
        before.extend(etcd.iter().cloned());
        let leader = cluster.leader();
        if let Some(node) = cluster.follows.as_ref().and_then(|upstream| upstream.leader.as_ref())
            && let Some(other) = cluster.follows.as_ref().map(|upstream| upstream.cluster.as_str())
            && let Some((other, member)) = self.topology.instance_of(other, node)
            && self.input.facts.contains_key(node)
            && !self.input.removing.instance(node, other.name.as_str())
        {
            let name = member.instance(&other.name);
            before.push(ResourceId::new(node, Kind::PgInstance, name));
        }
        let rolls = cluster.rolls(instance);
        if node.name != cluster.leader && !rolls {
            // A replica that starts before its cluster exists would race the primary for it.
            before.push(leader.id(Kind::PgInstance, &leader.name));
        }
        let port = instance.member.params.get(parameters::PATRONI_PORT);
        let unit = unit::Spec {
            // Patroni takes PostgreSQL down with it.
            restart_class: Class::OrderedRestart,
            ..unit::Spec::running(place.patroni_unit())
        }
        .started_with(&[&path])
        .ready_when_speaking(
            &node.address,
            port,
            instance.member.params.get(parameters::PATRONI_SSL_ENABLED),
        );
        let mut unit = resource(unit.into()).after(before);
        if rolls {
            unit.restart_after = earlier(cluster, instance)
                .filter(|other| cluster.rolls(other))
                .map(Instance::patroni)
                .collect();
        }
        let unit = self.fleet.add(unit);
        let made = self.fleet.add(
            resource(
                pg_instance::Spec {
                    instance: instance.name.clone(),
                    data_directory: instance.member.params.get(parameters::PG_DATA),
                    origin: match (first, &cluster.follows) {
                        (true, None) => pg_instance::Origin::Bootstrap,
                        (true, Some(_)) => pg_instance::Origin::Copy,
                        (false, _) => pg_instance::Origin::Clone,
                    },
                    api: instance.api(),
                    patience_seconds: MAKE_SECONDS,
                    promoted_within: promoted_within(&RtoPlan::of(&cluster.params)),
                    starts_first: cluster.nobody_serves() && node.name == cluster.leader,
                    paused: pause::is_paused(cluster),
                }
                .into(),
            )
            .after([unit]),
        );
        let mut postmaster = resource(
            postmaster::Spec {
                instance: instance.name.clone(),
                api: instance.api(),
                connection: connection(&instance.member.params),
                patience_seconds: 120,
                settled_seconds: u32::try_from(2 * RtoPlan::of(&cluster.params).loop_wait + 5)
                    .unwrap_or(u32::MAX),
                restarts: true,
                at_once: false,
                parameters: cluster.parameters.clone(),
            }
            .into(),
        )
        .after([made.clone()]);
        let mark = format!("{path}/{MADE_MARK}");
        let mark = file::Spec::text(mark, MADE, Permissions::root(0o644));
        self.fleet.add(resource(mark.into()).after([made]));
        // Replicas first, one by one: they must not have less of anything than the primary, and one
        // of them should always serve.
        postmaster.restart_after = earlier(cluster, instance)
            .flat_map(|other| [other.postmaster(), other.id(Kind::PgInstance, &other.name)])
            .collect();
        self.fleet.add(postmaster);
        Ok(())
    }

    fn patroni_settings(&self, cluster: &Cluster<'_>, instance: &Instance<'_>) -> Value {
        let params = &instance.member.params;
        let address = &instance.node.address;
        let certificates = instance.place.certificates();
        let port = params.get(parameters::PATRONI_PORT);
        let mut restapi = json!({
            "listen": format!("0.0.0.0:{port}"),
            "connect_address": format!("{address}:{port}"),
            "allowlist": self.who_may_write(cluster, params),
        });
        let mut ctl = Value::Null;
        if params.get(parameters::PATRONI_SSL_ENABLED) {
            restapi["certfile"] = format!("{certificates}/server.crt").into();
            restapi["keyfile"] = format!("{certificates}/server.key").into();
            restapi["cafile"] = crate::ca::CA_PATH.into();
            ctl = json!({
                "cacert": crate::ca::CA_PATH,
                "certfile": format!("{certificates}/server.crt"),
                "keyfile": format!("{certificates}/server.key"),
            });
        }
        let hosts: Vec<String> = self
            .topology
            .etcd
            .iter()
            .filter(|member| !self.is_struck(member))
            .filter(|member| serves_clients(member, &self.topology.etcd, self.input.facts))
            .map(|member| format!("{}:{}", member.address, member.port))
            .collect();
        // A copy that cannot be rewound may be the only one of commits that a former primary took
        // after its lock had gone: Patroni must not delete it by itself (patroni/patroni #2302).
        let remove_diverged = false;
        let mut parameters = json!({
            "unix_socket_directories": params.get(parameters::PG_LOCALHOST),
            "hba_file": instance.place.hba_file(),
        });
        let (tags, own) = standby::part(cluster, instance);
        for (name, value) in own {
            parameters[name] = value;
        }
        let mut settings = json!({
            "scope": cluster.name,
            "namespace": params.get(parameters::PG_NAMESPACE),
            "name": instance.name,
            "log": { "dir": params.get(parameters::PATRONI_LOG_DIR), "level": "INFO", "file_num": 4, "file_size": 10_485_760 },
            "restapi": restapi,
            "etcd3": {
                "hosts": hosts,
                "protocol": "https",
                "cacert": crate::ca::ETCD_CA_PATH,
                "cert": format!("{certificates}/etcd.crt"),
                "key": format!("{certificates}/etcd.key"),
            },
            "postgresql": {
                "data_dir": params.get(parameters::PG_DATA),
                "bin_dir": aside::programs(instance.node.release, cluster.version),
                "bin_name": { "pg_rewind": aside::SCRIPT },
                "pgpass": instance.place.below("tmp/patroni.pgpass"),
                "use_unix_socket": true,
                "use_unix_socket_repl": true,
                "remove_data_directory_on_rewind_failure": remove_diverged,
                "remove_data_directory_on_diverged_timelines": remove_diverged,
                "create_replica_methods": ["basebackup"],
                "basebackup": [{ "checkpoint": "fast" }],
                "parameters": parameters,
            },
            "tags": tags,
            "watchdog": { "mode": params.get(parameters::PATRONI_WATCHDOG_MODE) },
        });
        if !ctl.is_null() {
            settings["ctl"] = ctl;
        }
        settings
    }

    /// The addresses from which Patroni's REST API takes writes, with the password: the cluster's
    /// members, which ask each other in failsafe mode, administration nodes, and the node itself.
    /// Health checks and everything else that only reads are answered to everybody.
    fn who_may_write(&self, cluster: &Cluster<'_>, params: &Params<'_>) -> BTreeSet<String> {
        let mut allowed =
            BTreeSet::from(["127.0.0.1".to_owned(), params.get(parameters::ADMIN_IP)]);
        allowed.extend(self.members(cluster).map(|member| member.node.to_string()));
        allowed.extend(self.topology.infra.iter().cloned());
        allowed.retain(|address| !address.is_empty());
        allowed
    }

    /// Patroni's own settings that are one for the whole cluster.
    fn dynamic_settings(cluster: &Cluster<'_>) -> Result<BTreeMap<String, Value>, Problem> {
        let params = &cluster.params;
        let plan = RtoPlan::of(params);
        let mut settings = BTreeMap::from([
            ("ttl".to_owned(), json!(plan.ttl)),
            ("loop_wait".to_owned(), json!(plan.loop_wait)),
            ("retry_timeout".to_owned(), json!(plan.retry_timeout)),
            ("primary_start_timeout".to_owned(), json!(plan.primary_start_timeout)),
            ("maximum_lag_on_failover".to_owned(), json!(params.get(parameters::PG_RPO))),
            // With etcd gone, a primary that reaches all members goes on.
            ("failsafe_mode".to_owned(), json!(true)),
        ]);
        for (name, value) in standby::synchronous(cluster)? {
            settings.insert(name.to_owned(), value);
        }
        if params.get(parameters::PATRONI_MODE) == "pause" {
            settings.insert(pause::SETTING.to_owned(), json!(true));
        }
        let follows = cluster.follows.as_ref().map(Upstream::section);
        settings.insert("standby_cluster".to_owned(), follows.unwrap_or(Value::Null));
        Ok(settings)
    }

    fn bootstrap(&self, cluster: &Cluster<'_>) -> Result<Value, Problem> {
        let params = &cluster.params;
        let mut settings: Map<String, Value> = Self::dynamic_settings(cluster)?
            .into_iter()
            // In a pause, replicas would never be made: it begins when they are.
            .filter(|(name, value)| !value.is_null() && name != pause::SETTING)
            .collect();
        // A server that has WAL to replay asks for more only when it has replayed that: with the delay
        // from the first start on, a copy would receive nothing for as long. It is set once it runs.
        if let Some(Value::Object(followed)) = settings.get_mut("standby_cluster") {
            followed.remove(DELAY);
        }
        settings.insert(
            "postgresql".to_owned(),
            json!({
                "use_pg_rewind": true,
                "use_slots": true,
                "parameters": cluster.parameters,
            }),
        );
        let mut initdb = vec![
            json!({ "encoding": params.get(parameters::PG_ENCODING) }),
            json!({ "locale": params.get(parameters::PG_LOCALE) }),
            json!({ "lc-collate": params.get(parameters::PG_LC_COLLATE) }),
            json!({ "lc-ctype": params.get(parameters::PG_LC_CTYPE) }),
        ];
        if params.get(parameters::PG_CHECKSUM) {
            initdb.push(json!("data-checksums"));
        }
        Ok(json!({ "bootstrap": { "dcs": settings, "initdb": initdb } }))
    }

    /// The cluster's settings in the DCS; returns what objects inside the cluster wait for.
    pub(super) fn patroni_config(
        &mut self,
        cluster: &Cluster<'_>,
        postmasters: &[ResourceId],
    ) -> Result<Vec<ResourceId>, Problem> {
        let leader = cluster.leader();
        let spec = patroni_config::Spec {
            cluster: cluster.name.clone(),
            settings: Self::dynamic_settings(cluster)?,
            parameters: cluster.parameters.clone(),
            sized: cluster.sized.clone(),
            away: cluster.away.clone(),
            postgresql: BTreeMap::from([
                ("use_pg_rewind".to_owned(), json!(true)),
                ("use_slots".to_owned(), json!(true)),
            ]),
            api: leader.api(),
            connection: cluster.connection(),
        };
        let mut resource = Resource::new(&leader.node.name, Module::Pgsql, spec)
            .in_cluster(&cluster.name)
            .after([leader.id(Kind::PgInstance, &leader.name)]);
        if cluster.params.get(parameters::PATRONI_MODE) == "pause" {
            let members = &cluster.instances;
            resource =
                resource.after(members.iter().map(|one| one.id(Kind::PgInstance, &one.name)));
        }
        for postmaster in postmasters {
            resource = resource.triggers(postmaster, TriggerAction::Restart, Class::OrderedRestart);
        }
        self.fleet.add(resource);
        Ok(vec![leader.postmaster()])
    }
}

/// The instances that restart before this one: replicas, one after another, and the leader last.
fn earlier<'c, 'a>(
    cluster: &'c Cluster<'a>,
    instance: &'c Instance<'a>,
) -> impl Iterator<Item = &'c Instance<'a>> {
    let leads = instance.node.name == cluster.leader;
    cluster
        .instances
        .iter()
        .filter(|other| other.name != instance.name && other.node.name != cluster.leader)
        .filter(move |other| leads || other.member.seq < instance.member.seq)
}

fn listen(instance: &Instance<'_>) -> Value {
    let params = &instance.member.params;
    let port = params.get(parameters::PG_PORT);
    json!({
        "postgresql": {
            "listen": format!("{}:{port}", params.get(parameters::PG_LISTEN)),
            "connect_address": format!("{}:{port}", instance.node.address),
        }
    })
}

fn secrets(cluster: &Cluster<'_>, params: &Params<'_>) -> Value {
    let superuser = cluster.superuser();
    let replication = json!({
        "username": params.get(parameters::PG_REPLICATION_USERNAME),
        "password": params.get(parameters::PG_REPLICATION_PASSWORD).reveal(),
    });
    let mut authentication = json!({
        "superuser": { "username": superuser },
        "replication": replication,
        // pg_rewind as the replication user needs no superuser over the network.
        "rewind": replication,
    });
    let password = params.get(parameters::PG_DBSU_PASSWORD);
    if !password.is_empty() {
        authentication["superuser"]["password"] = password.reveal().into();
    }
    json!({
        "restapi": {
            "authentication": {
                "username": params.get(parameters::PATRONI_USERNAME),
                "password": params.get(parameters::PATRONI_PASSWORD).reveal(),
            }
        },
        // As long as etcd asks for no login, Patroni does without.
        "etcd3": {
            "username": cluster.name,
            "password": access::password(&cluster.params, &cluster.name).reveal(),
        },
        "postgresql": { "authentication": authentication },
    })
}

/// A document for Patroni, whose reader is PyYAML.
fn yaml(what: &str, document: &Value) -> Result<String, Problem> {
    let body = serde_saphyr::to_string(document)
        .map_err(|error| problem("internal", None, format!("cannot write YAML: {error}")))?;
    Ok(format!("# {what}. Written by Keddah; edit the inventory instead.\n{body}"))
}
