//! Hosts with `pg_instances`: what can be an instance there, and what cannot stand beside it.

use super::identity::postgres;
use super::{Report, error, with_related};
use crate::model::PgCluster;
use crate::registry::{self, Module};
use crate::{Key, Params, Value, instances, parameters};
use indexmap::IndexMap;
use keddah_core::{Diagnostic, Span};
use std::collections::HashMap;

/// The code of whatever cannot be an instance.
const CODE: &str = "bad-instance";

/// Parameters of the PGSQL module that all instances of a host have in common.
const OF_THE_HOST: &[&str] = &[
    "pg_instances",
    "pg_dbsu",
    "pg_dbsu_uid",
    "pg_dbsu_sudo",
    "pg_dbsu_home",
    "pg_dbsu_ssh_exchange",
];

/// Directories that two instances cannot have in common: data, and log files of the same names.
const DIRECTORIES: &[&str] = &["pg_data", "pg_log_dir", "patroni_log_dir", "pgbouncer_log_dir"];

/// How an instance is written.
const SHAPE: &str = "write each instance under its port: pg_instances: { 5432: { pg_cluster: pg-a, \
                     pg_seq: 1, pg_role: primary } }";

/// One host's instances; `host` are the parameters of the host itself.
pub(super) fn check(report: &mut Report<'_>, host: &Params<'_>) {
    let Some(several) = host.set(parameters::PG_INSTANCES) else { return };
    let node = host.node();
    for name in ["pg_seq", "pg_role"] {
        if host.set(name).is_some() {
            let message = format!(
                "host `{node}` has `pg_instances`, so it has no instance for this `{name}`"
            );
            report.add(
                error(CODE, host.span(name), message)
                    .help("move it into the mapping of the instance it belongs to"),
            );
        }
    }
    // What is no mapping at all has the wrong type, which is told elsewhere.
    let Some(entries) = several.value.as_map() else { return };
    if entries.is_empty() {
        let message = format!("`pg_instances` of host `{node}` names no instance");
        report.add(error(CODE, several.origin.span, message).help(SHAPE));
    }
    let mut places: HashMap<u16, Option<Span>> = HashMap::new();
    for (key, vars) in entries {
        let Some(port) = instances::port(key) else {
            let message = format!("`{}` is no port, so it cannot name an instance", key.text);
            report.add(error(CODE, key.span, message).help(SHAPE));
            continue;
        };
        let Some(vars) = vars.as_map() else {
            let message = format!("instance {port} of host `{node}` has no variables");
            report.add(error(CODE, key.span, message).help(SHAPE));
            continue;
        };
        places.insert(port, key.span);
        own_variables(report, port, vars);
    }
    let mut homes: HashMap<String, (u16, Option<Span>)> = HashMap::new();
    let mut directories: HashMap<(&str, String), u16> = HashMap::new();
    for params in Params::instances(report.inventory, node) {
        let port = params.instance().unwrap_or_default();
        let place = places.get(&port).copied().flatten();
        postgres(report, &params, place);
        derived_ports(report, &params, port, place);
        let Some(cluster) = params.opt(parameters::PG_CLUSTER) else { continue };
        for name in DIRECTORIES {
            let Some(other) = directories.insert((name, params.named::<String>(name)), port) else {
                continue;
            };
            // Of two members of one cluster everything is the same; that is told below.
            if homes.contains_key(&cluster) {
                continue;
            }
            report.add(
                error(
                    CODE,
                    params.span(name).or(place),
                    format!("instances {other} and {port} of host `{node}` have the same `{name}`"),
                )
                .help(
                    "`/pg` in it is each instance's own directory; otherwise `${pg_cluster}` makes \
                     it one",
                ),
            );
        }
        if let Some((other, first)) = homes.get(&cluster) {
            report.add(with_related(
                error(
                    CODE,
                    params.span(parameters::PG_CLUSTER).or(place),
                    format!(
                        "instances {other} and {port} of host `{node}` are both members of cluster \
                         `{cluster}`"
                    ),
                )
                .help("a second copy on the same machine is lost with the first: use another host"),
                *first,
                "the first member",
            ));
        } else {
            homes.insert(cluster, (port, params.span(parameters::PG_CLUSTER).or(place)));
        }
    }
}

/// What an instance's mapping must not hold.
fn own_variables(report: &mut Report<'_>, port: u16, vars: &IndexMap<Key, Value>) {
    for (key, value) in vars {
        let Some(parameter) = registry::find(&key.text) else { continue };
        let name = parameter.name;
        if parameter.module != Module::Pgsql || OF_THE_HOST.contains(&name) {
            let message = format!("`{}` belongs to a host, not to one of its instances", key.text);
            report.add(error(CODE, key.span, message).help("set it at the host itself"));
        } else if name == "pg_port" && registry::as_integer(value) != Some(port.into()) {
            let message = format!("instance {port} cannot listen on another port");
            report.add(
                error(CODE, value.span.or(key.span), message)
                    .help("the key is the instance's `pg_port`: change that, and leave this out"),
            );
        }
    }
}

/// Ports that would be none, for an instance far from the usual port.
fn derived_ports(report: &mut Report<'_>, params: &Params<'_>, port: u16, place: Option<Span>) {
    for name in instances::PORTS {
        let value = registry::as_integer(&params.value(name));
        let written = params.set(name).is_some_and(|given| given.value.span.is_some());
        if !written && value.is_some_and(|value| !(1..=65_535).contains(&value)) {
            let message = format!("`{name}` of instance {port} would be {}", value.unwrap_or(0));
            report.add(error(CODE, place, message).help(format!(
                "it is as far from its usual value as {port} from 5432; set `{name}` in the \
                 instance's mapping"
            )));
        }
    }
}

/// A cluster's members are all of one sort: what its members have in common stands in their group
/// for the ones, and in their mappings for the others.
pub(super) fn mixed(cluster: &PgCluster<'_>) -> Option<Diagnostic> {
    let one = cluster.members.iter().find(|member| member.is_one_of_several())?;
    let alone = cluster.members.iter().find(|member| !member.is_one_of_several())?;
    let diagnostic = error(
        CODE,
        one.params.span(parameters::PG_CLUSTER),
        format!(
            "cluster `{}` has a member in `pg_instances` of host `{}`, and host `{}` is a member as \
             a whole",
            cluster.name, one.node, alone.node
        ),
    )
    .help(
        "write all members under `pg_instances`, also where one has its host for itself: \
         pg_instances: { 5432: { … } }",
    );
    Some(with_related(diagnostic, alone.seq_span, "the other member"))
}
