//! A node's time zone, its shells' aliases, the proxy that its packages come through, and the directory
//! below which it keeps data.

use crate::compiler::{Compiler, Node, Problem, problem};
use crate::node::CRON;
use keddah_core::Secret;
use keddah_inventory::{ParamOrigin, Params, Value, parameters, to_json};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{file, symlink};
use keddah_resource::{Kind, Module, Resource, ResourceId, SystemProbe};
use std::fmt::Write;

/// Where the system finds its time (localtime(5)).
const LOCALTIME: &str = "/etc/localtime";
const ZONES: &str = "/usr/share/zoneinfo";

const ALIASES: &str = "/etc/profile.d/keddah-aliases.sh";
const PROXY: &str = "/etc/apt/apt.conf.d/90keddah-proxy";

/// What a node is asked.
pub(crate) fn probe(params: &Params<'_>) -> SystemProbe {
    SystemProbe {
        modules: params.get(parameters::NODE_KERNEL_MODULES),
        timezone: params.opt(parameters::NODE_TIMEZONE).filter(|zone| is_zone(zone)),
    }
}

/// The package that has the zones.
pub(super) fn zone_package(params: &Params<'_>) -> Option<String> {
    params.opt(parameters::NODE_TIMEZONE).map(|_| "tzdata".to_owned())
}

/// A text, or a number as it is written.
fn scalar_text(value: &Value) -> Option<String> {
    match to_json(value) {
        serde_json::Value::String(text) => Some(text),
        number @ serde_json::Value::Number(_) => Some(number.to_string()),
        _ => None,
    }
}

/// A name below the directory of zones, and nothing that leads out of it.
fn is_zone(text: &str) -> bool {
    let part = |part: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_+-".contains(letter);
        part.starts_with(|letter: char| letter.is_ascii_alphabetic()) && part.chars().all(plain)
    };
    text.split('/').all(part)
}

impl Compiler<'_> {
    /// `node_timezone`. What runs reads the zone when it starts; cron alone is restarted, for it decides
    /// by it when jobs begin, and jobs that run go on without it.
    pub(super) fn timezone(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let Some(zone) = node.params.opt(parameters::NODE_TIMEZONE) else { return Ok(()) };
        let span = node.params.span(parameters::NODE_TIMEZONE);
        let path = format!("{ZONES}/{zone}");
        if !is_zone(&zone) || node.facts.system.has_timezone == Some(false) {
            let message = format!("{} knows no time zone `{zone}`", node.name);
            return Err(Box::new(problem("unknown-timezone", span, message).help(
                "a name such as Europe/Berlin or UTC, as `timedatectl list-timezones` lists them; older \
                 names such as US/Eastern are in the package tzdata-legacy (`node_packages`)",
            )));
        }
        let cron = ResourceId::new(&node.name, Kind::Unit, CRON);
        let resource = |spec: keddah_resource::Spec| {
            Resource::new(&node.name, Module::Node, spec).after([node.packages.clone()])
        };
        // Before tzdata was there, nobody could say whether it has the zone.
        let text = file::Spec::text("/etc/timezone", format!("{zone}\n"), Permissions::root(0o644))
            .checked_by(&["ls", "--", &path]);
        let text = self.fleet.add(resource(text.into()));
        let link = symlink::Spec { path: LOCALTIME.to_owned(), target: path, to_data: false };
        let link = self.fleet.add(resource(link.into()).after([text]).restarts(&cron));
        self.cron(node, Module::Node, link);
        Ok(())
    }

    /// `node_aliases`, for every login shell.
    pub(super) fn aliases(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
        let aliases = node.params.get(parameters::NODE_ALIASES);
        for (name, command) in &aliases {
            let span = name.span.or_else(|| node.params.span(parameters::NODE_ALIASES));
            let plain =
                |letter: char| letter.is_ascii_alphanumeric() || "_.+:@%,-".contains(letter);
            let named = !name.text.is_empty() && name.text.chars().all(plain);
            let Some(command) =
                scalar_text(command).filter(|_| named && !name.text.starts_with('-'))
            else {
                let message = format!("`{}` in `node_aliases` cannot be an alias", name.text);
                return Err(Box::new(problem("bad-alias", span, message).help(
                    "a name of letters, digits and `_ . + : @ % , -`, and its command as one text",
                )));
            };
            let _ = writeln!(text, "alias {}='{}'", name.text, command.replace('\'', "'\\''"));
        }
        let spec = if aliases.is_empty() {
            file::Spec::absent(ALIASES)
        } else {
            file::Spec::text(ALIASES, text, Permissions::root(0o644))
                .checked_by(&["sh", "-n", "{}"])
        };
        self.fleet.add(Resource::new(&node.name, Module::Node, spec));
        Ok(())
    }

    /// The proxies of `proxy_env`, which the node's package manager uses (apt-transport-http(1)).
    pub(super) fn proxy(&mut self, node: &Node<'_>) -> Result<ResourceId, Problem> {
        let declared = node.params.get(parameters::PROXY_ENV);
        let span = node.params.span(parameters::PROXY_ENV);
        let value = |wanted: &str| {
            let entry = declared.iter().find(|(name, _)| name.text.eq_ignore_ascii_case(wanted));
            let text = entry.and_then(|(_, value)| scalar_text(value)).unwrap_or_default();
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let all = value("all_proxy");
        let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
        let mut any = false;
        for scheme in ["http", "https"] {
            let Some(proxy) = value(&format!("{scheme}_proxy")).or_else(|| all.clone()) else {
                continue;
            };
            let known = ["http://", "https://", "socks5h://"].iter();
            let plain = |letter: char| letter.is_ascii_graphic() && !"\"\\;{}".contains(letter);
            if !known.into_iter().any(|start| proxy.starts_with(start)) || !proxy.chars().all(plain)
            {
                let message = format!("`{scheme}_proxy` of `proxy_env` is no address of a proxy");
                return Err(Box::new(
                    problem("bad-proxy", span, message)
                        .help("such as http://10.0.0.1:3128, with http, https or socks5h"),
                ));
            }
            any = true;
            let _ = writeln!(text, "Acquire::{scheme}::Proxy \"{proxy}\";");
            for host in value("no_proxy").iter().flat_map(|list| list.split(',')) {
                let host = host.trim();
                let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-".contains(letter);
                // Networks and patterns are no hosts; apt knows hosts only.
                if !host.is_empty() && !host.starts_with('.') && host.chars().all(plain) {
                    let _ = writeln!(text, "Acquire::{scheme}::Proxy::{host} \"DIRECT\";");
                }
            }
        }
        let spec = match (any, text.contains('@')) {
            (false, _) => file::Spec::absent(PROXY),
            // A login; apt then works for root alone, who installs.
            (true, true) => file::Spec::secret(PROXY, Secret::new(text), Permissions::root(0o600)),
            (true, false) => file::Spec::text(PROXY, text, Permissions::root(0o644)),
        };
        Ok(self.fleet.add(Resource::new(&node.name, Module::Node, spec)))
    }

    /// `node_data` where the inventory names it, and nobody has made it his own.
    pub(crate) fn data_directories(&mut self, nodes: &[Node<'_>]) {
        for node in nodes {
            let ParamOrigin::File(_) = node.params.origin(parameters::NODE_DATA) else { continue };
            let path = node.params.get(parameters::NODE_DATA);
            if path.len() < 2
                || self.fleet.get(&ResourceId::new(&node.name, Kind::Directory, &path)).is_some()
            {
                continue;
            }
            let mut paths = node.parents_of(&path);
            paths.push(path);
            self.ways(node, Module::Node, &paths);
        }
    }
}
