//! Names, types and levels of parameters, and the placeholders in their values.

use super::{Report, error, warning, with_related};
use crate::registry::{self, Module, Parameter, ParameterType, Support};
use crate::{Data, Inventory, Key, Params, Scope, Value};
use indexmap::IndexMap;
use keddah_core::{Diagnostic, NodeName, Severity, Span};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    let referenced = referenced_names(inventory);
    let mut unmanaged: BTreeMap<&'static str, (Option<Span>, usize)> = BTreeMap::new();
    for layer in layers(inventory) {
        for (key, value) in layer.vars {
            if key.text.starts_with("ansible_") {
                continue;
            }
            match registry::find(&key.text) {
                Some(parameter) => {
                    if parameter.support == Support::Unmanaged {
                        count(&mut unmanaged, parameter.module.name(), key.span);
                    }
                    known(report, &layer, parameter, key, value);
                }
                None => match registry::foreign_family(&key.text) {
                    Some(module) => count(&mut unmanaged, module, key.span),
                    None if referenced.contains(&key.text) => {}
                    None => unknown(report, key),
                },
            }
        }
    }
    for (module, (span, number)) in unmanaged {
        let message = match number {
            1 => format!("module {module} is not managed by Keddah: this parameter is ignored"),
            _ => {
                format!("module {module} is not managed by Keddah: {number} parameters are ignored")
            }
        };
        report.add(warning("unmanaged-module", span, message));
    }
    levels(report);
}

/// One group's, one host's or one instance's own variables.
pub(super) struct Layer<'inventory> {
    pub(super) vars: &'inventory IndexMap<Key, Value>,
    /// The group that they are of; none for a host's and an instance's.
    group: Option<&'inventory str>,
    /// A host that sees them, to fill placeholders in with.
    host: Option<NodeName>,
    /// The port of the host's instance that they belong to.
    instance: Option<u16>,
}

impl Layer<'_> {
    /// A host on which this very value counts.
    fn seen_by(&self, inventory: &Inventory, key: &Key) -> Option<NodeName> {
        let Some(group) = self.group else { return self.host.clone() };
        let counts = |host: &NodeName| {
            inventory.resolve(host).get(&key.text).is_some_and(|it| it.origin.span == key.span)
        };
        let mut members = inventory.members(group).into_iter();
        members.find(|host| counts(&host.name)).map(|host| host.name.clone())
    }
}

pub(super) fn layers(inventory: &Inventory) -> impl Iterator<Item = Layer<'_>> {
    let groups = inventory.groups().map(|group| Layer {
        vars: &group.vars,
        group: Some(&group.name),
        host: inventory.members(&group.name).first().map(|host| host.name.clone()),
        instance: None,
    });
    let hosts = inventory.hosts().map(|host| Layer {
        vars: &host.vars,
        group: None,
        host: Some(host.name.clone()),
        instance: None,
    });
    groups.chain(hosts).flat_map(|layer| {
        let instances = instance_layers(&layer);
        std::iter::once(layer).chain(instances)
    })
}

/// The variables of the instances that a layer describes.
fn instance_layers<'inventory>(layer: &Layer<'inventory>) -> Vec<Layer<'inventory>> {
    let Some(several) = layer.vars.get("pg_instances").and_then(Value::as_map) else {
        return Vec::new();
    };
    let entries = several.iter();
    let entries = entries.filter_map(|(key, vars)| {
        Some(Layer {
            vars: vars.as_map()?,
            group: None,
            host: layer.host.clone(),
            instance: crate::instances::port(key),
        })
    });
    entries.collect()
}

fn count(
    unmanaged: &mut BTreeMap<&'static str, (Option<Span>, usize)>,
    module: &'static str,
    span: Option<Span>,
) {
    let entry = unmanaged.entry(module).or_insert((span, 0));
    entry.0 = match (entry.0, span) {
        (Some(first), Some(other)) => Some(first.min(other)),
        (first, other) => first.or(other),
    };
    entry.1 += 1;
}

fn unknown(report: &mut Report<'_>, key: &Key) {
    let told = |one: &Diagnostic| {
        one.code == "misplaced-name" && one.primary.as_ref().map(|label| label.span) == key.span
    };
    if key.span.is_some() && report.diagnostics.iter().any(told) {
        return;
    }
    let mut diagnostic =
        error("unknown-parameter", key.span, format!("there is no parameter `{}`", key.text));
    diagnostic = match registry::suggest(&key.text) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(
            "`keddah params PATTERN` finds parameters by name; variables that only other values \
             refer to are fine",
        ),
    };
    report.add(diagnostic);
}

fn known(
    report: &mut Report<'_>,
    layer: &Layer<'_>,
    parameter: &'static Parameter,
    key: &Key,
    value: &Value,
) {
    let name = parameter.name;
    if value.is_null() {
        report.add(
            warning(
                "empty-value",
                key.span,
                format!("`{}` is empty, so its default holds", key.text),
            )
            .help("write a value, or remove the line"),
        );
        return;
    }
    if key.text != name && name != "pg_services" && layer.vars.contains_key(name) {
        report.add(
            warning(
                "older-name",
                key.span,
                format!("`{}` is ignored: `{name}` is set, too", key.text),
            )
            .help(format!("`{}` is the older name of `{name}`; remove it", key.text)),
        );
    }
    let what = format!("`{}`", key.text);
    problems(report, &parameter.kind, value, &what, key.span, true);
    // The variables of instances are layers of their own.
    if name != "pg_instances" && crate::has_placeholders(value) {
        placeholders(report, layer, parameter, (key, value), &what);
    }
}

fn problems(
    report: &mut Report<'_>,
    kind: &ParameterType,
    value: &Value,
    what: &str,
    fallback: Option<Span>,
    show: bool,
) {
    for problem in kind.check(value, what) {
        let span = problem.span.or(fallback);
        let message = if show { problem.sentence() } else { problem.message };
        let diagnostic = Diagnostic::new(problem.severity, problem.code, span, message);
        report.add(match problem.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }
}

fn placeholders(
    report: &mut Report<'_>,
    layer: &Layer<'_>,
    parameter: &'static Parameter,
    (key, value): (&Key, &Value),
    what: &str,
) {
    // Nobody sees the variables of a group without hosts, or a value that a lower level replaces
    // everywhere: what it would stand for is no host's.
    let Some(host) = layer.seen_by(report.inventory, key) else { return };
    let host = &host;
    // What a host with several instances sets is filled in for each; the first stands for all.
    let mut instances = Params::instances(report.inventory, host).into_iter();
    let params = match layer.instance {
        None => instances.next().unwrap_or_else(|| Params::new(report.inventory, host)),
        port => match instances.find(|one| one.instance() == port) {
            Some(params) => params,
            None => return,
        },
    };
    match params.expand(value) {
        Ok(expanded) => {
            // What was filled in may be a password: the message does not show it.
            problems(report, &parameter.kind, &expanded, what, value.span, false);
            let mut unknown = Vec::new();
            placeholder_names(&expanded, &mut |name, span| {
                if let Some(near) = registry::suggest(name) {
                    unknown.push((name.to_owned(), near, span));
                }
            });
            for (name, near, span) in unknown {
                let span = span.or(value.span);
                let message = format!("`${{{name}}}` stands for nothing and stays as it is");
                report.add(
                    warning("unknown-placeholder", span, message)
                        .help(format!("did you mean `${{{near}}}`?")),
                );
            }
        }
        // What cannot be computed matters only where Keddah would use it.
        Err(mut diagnostic) => {
            if parameter.support == Support::Unmanaged {
                diagnostic.severity = Severity::Warning;
            }
            report.add(*diagnostic);
        }
    }
}

/// Calls back for each `${name}` in a value.
fn placeholder_names(value: &Value, found: &mut impl FnMut(&str, Option<Span>)) {
    match &value.data {
        Data::String(text) => {
            for part in text.split("${").skip(1) {
                if let Some((name, _)) = part.split_once('}') {
                    found(name.trim(), value.span);
                }
            }
        }
        Data::List(items) => items.iter().for_each(|item| placeholder_names(item, found)),
        Data::Map(entries) => entries.values().for_each(|item| placeholder_names(item, found)),
        _ => {}
    }
}

/// Every word that stands in a placeholder or an expression: variables of that name are in use.
fn referenced_names(inventory: &Inventory) -> HashSet<String> {
    fn walk(value: &Value, names: &mut HashSet<String>) {
        match &value.data {
            Data::String(text) if registry::has_placeholder(text) => {
                let words = text.split(|character: char| {
                    !character.is_ascii_alphanumeric() && character != '_'
                });
                names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
            }
            Data::List(items) => items.iter().for_each(|item| walk(item, names)),
            Data::Map(entries) => entries.values().for_each(|item| walk(item, names)),
            _ => {}
        }
    }
    let mut names = HashSet::new();
    for layer in layers(inventory) {
        layer.vars.values().for_each(|value| walk(value, &mut names));
    }
    names
}

/// Numbers and names that only one host can have.
const OWN: &[&str] = &[
    "pg_seq",
    "etcd_seq",
    "infra_seq",
    "redis_node",
    "minio_seq",
    "nodename",
    "pg_instances",
    "redis_instances",
];

fn levels(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for name in OWN {
        // The hosts that get their value from the same group.
        let mut hosts: HashMap<String, (usize, Option<Span>)> = HashMap::new();
        for host in inventory.hosts() {
            let vars = inventory.resolve(&host.name);
            let Some(sourced) = vars.get(name) else { continue };
            let group = match &sourced.origin.from {
                Scope::All => "all",
                Scope::Group(group) => group,
                Scope::Host | Scope::Instance(_) => continue,
            };
            hosts.entry(group.to_owned()).or_insert((0, sourced.origin.span)).0 += 1;
        }
        let mut shared: Vec<_> = hosts.into_iter().filter(|(_, (number, _))| *number > 1).collect();
        shared.sort();
        for (group, (number, span)) in shared {
            report.add(
                error(
                    "wrong-level",
                    span,
                    format!(
                        "`{name}` belongs to one host, but group `{group}` gives it to {number}"
                    ),
                )
                .help(format!("set `{name}` at each host under `hosts`")),
            );
        }
    }
    let clusters: Vec<(String, Module, Vec<Params<'_>>)> = report
        .clusters
        .iter()
        .map(|cluster| {
            let members = cluster.members.iter().map(|member| member.params.clone()).collect();
            (cluster.name.to_string(), Module::Pgsql, members)
        })
        .chain(report.etcd.iter().map(|cluster| {
            let members = cluster.members.iter().map(|member| member.params.clone()).collect();
            (cluster.name.clone(), Module::Etcd, members)
        }))
        .collect();
    for (cluster, module, members) in clusters {
        uniform(report, &cluster, module, &members);
    }
}

/// Warns about parameters of a cluster that its members disagree on.
fn uniform(report: &mut Report<'_>, cluster: &str, module: Module, members: &[Params<'_>]) {
    let Some((first, others)) = members.split_first() else { return };
    let mut names: Vec<&'static str> = Vec::new();
    for params in members {
        let host = report.inventory.host(params.node().as_str());
        let own = match params.instance() {
            Some(_) => params.vars().instance_keys(),
            None => host.map(|host| host.vars.keys().collect()).unwrap_or_default(),
        };
        for key in own {
            if let Some(parameter) = registry::find(&key.text)
                && parameter.module == module
                && !parameter.levels.instance()
                && !names.contains(&parameter.name)
            {
                names.push(parameter.name);
            }
        }
    }
    for name in names {
        let value = first.value(name);
        let Some(other) = others.iter().find(|other| other.value(name) != value) else { continue };
        let span = other.span(name).or_else(|| first.span(name));
        let diagnostic = warning(
            "differs-in-cluster",
            span,
            format!("`{name}` is a setting of cluster `{cluster}`, but its members differ in it"),
        )
        .help(match other.instance() {
            None => "set it once, in the cluster's `vars`",
            Some(_) => "set it at one of its instances only: it holds for all of them",
        });
        let related = first.span(name).filter(|first| Some(*first) != span);
        report.add(with_related(diagnostic, related, "another member has this"));
    }
}
