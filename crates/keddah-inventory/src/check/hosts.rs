//! Hosts and groups that a slip takes out of the inventory without a word: what nobody declares,
//! nobody looks at, and "nothing to change" would be said of the rest.

use super::{Report, error, warning};
use crate::ansible::meant_section;
use crate::registry::{self, Support};
use crate::{Data, Key, Value};
use keddah_core::Span;
use std::net::IpAddr;

/// Variables that only a host has, and no template or anchor of parameters.
const NUMBERS: &[&str] = &["etcd_seq", "infra_seq", "minio_seq", "pg_seq"];

/// Deeper than any host stands in what was indented too far.
const DEEPEST: usize = 4;

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    if inventory.hosts().next().is_none() {
        let first = inventory.groups().find_map(|group| group.name_span);
        report.add(error("no-hosts", first, "the inventory has no host at all").help(
            "hosts stand under `hosts:` of a group, and groups under `children:` of `all`; `keddah \
                 inventory --graph` shows what was read",
        ));
        return;
    }
    empty_groups(report);
    for group in inventory.groups() {
        name(report, "group", &group.name, group.name_span);
        for (key, value) in &group.vars {
            variable(report, &format!("the `vars` of group `{}`", group.name), key, value);
        }
    }
    for host in inventory.hosts() {
        name(report, "host", host.name.as_str(), host.span);
        for (key, value) in &host.vars {
            variable(report, &format!("the variables of host `{}`", host.name), key, value);
        }
    }
}

/// Groups without any host, at the innermost ones.
fn empty_groups(report: &mut Report<'_>) {
    let inventory = report.inventory;
    let filled = || inventory.groups().filter(|group| !inventory.members(&group.name).is_empty());
    let empty = inventory.groups().filter(|group| {
        !matches!(group.name.as_str(), "all" | "ungrouped")
            && group.children.is_empty()
            && group.hosts.is_empty()
    });
    for group in empty {
        let near = registry::nearest(&group.name, filled().map(|one| one.name.as_str()))
            .filter(|_| group.vars.is_empty());
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "give it `hosts:`, or take it out".to_owned(),
        };
        let message = format!("group `{}` has no host", group.name);
        report.add(warning("empty-group", group.name_span, message).help(help));
    }
}

/// A name that stands in the wrong place: `vars:` among the hosts, a parameter among the groups.
fn name(report: &mut Report<'_>, what: &str, name: &str, span: Option<Span>) {
    let section = matches!(name, "hosts" | "children" | "vars");
    // `app` is a parameter of a part that is not managed, and the usual name of its group.
    let acts = |one: &registry::Parameter| one.support != Support::Unmanaged;
    if !section && !registry::find(name).is_some_and(acts) {
        return;
    }
    let message =
        format!("`{name}` stands where a {what} stands, and is taken for the name of one");
    let help = if section {
        format!("indent it as the `hosts:` or `vars:` of its group: `{name}:` is a part of a group")
    } else {
        "a parameter stands under the `vars:` of a group, or in the braces of one host".to_owned()
    };
    report.add(error("misplaced-name", span, message).help(help));
}

/// A host, or a whole part of a group, that was indented into somebody's variables.
fn variable(report: &mut Report<'_>, whose: &str, key: &Key, value: &Value) {
    let name = key.text.as_str();
    if registry::find(name).is_some() || registry::foreign_family(name).is_some() {
        return;
    }
    let message = if is_address(name) {
        format!("the host `{name}` stands among {whose}, so it is no host of the inventory")
    } else if holds_hosts(value, DEEPEST) {
        format!("`{name}` stands among {whose}, so the hosts below it are none of the inventory")
    } else if meant_section(name).is_some() && holds_parameters(value) {
        format!("`{name}` stands among {whose}, so the parameters below it do not count")
    } else {
        return;
    };
    report.add(error("misplaced-name", key.span, message).help(
        "indent it less: a host stands directly under `hosts:`, and `hosts:`, `children:` and `vars:` \
         directly under their group",
    ));
}

fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

fn holds_hosts(value: &Value, depth: usize) -> bool {
    let Data::Map(entries) = &value.data else { return false };
    depth > 0
        && entries.iter().any(|(key, value)| {
            let name = key.text.as_str();
            (is_address(name) && matches!(value.data, Data::Map(_) | Data::Null))
                || NUMBERS.contains(&name)
                || (registry::find(name).is_none() && holds_hosts(value, depth - 1))
        })
}

fn holds_parameters(value: &Value) -> bool {
    let Data::Map(entries) = &value.data else { return false };
    entries.keys().any(|key| registry::find(&key.text).is_some())
}
