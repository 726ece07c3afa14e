//! Walks the composed file the way Ansible's `yaml` inventory plugin does.

use super::{host_pattern, unexpected};
use crate::inventory::{Group, Host, Inventory};
use crate::value::{Data, Key, Value};
use indexmap::IndexMap;
use keddah_core::{Diagnostic, NodeName, Severity, Span};
use std::collections::{HashMap, HashSet};

/// More hosts than this is a typing error in some range.
const MAX_HOSTS: usize = 200_000;

/// Builds the inventory; what cannot be understood is reported and left out. `odd_keys` are the
/// places of keys that are not text.
pub(crate) fn build(root: &Value, odd_keys: HashSet<Span>) -> (Inventory, Vec<Diagnostic>) {
    let mut builder = Builder { odd_keys, ..Builder::default() };
    builder.add_group("all", None);
    builder.add_group("ungrouped", None);
    builder.add_child("all", "ungrouped", None);
    builder.root(root);
    builder.reconcile();
    (Inventory::new(builder.groups, builder.hosts), builder.diagnostics)
}

#[derive(Default)]
struct Builder {
    groups: IndexMap<String, Group>,
    hosts: IndexMap<String, Host>,
    odd_keys: HashSet<Span>,
    diagnostics: Vec<Diagnostic>,
}

impl Builder {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn error(
        &mut self,
        code: &'static str,
        span: Option<Span>,
        message: impl Into<String>,
        help: &str,
    ) {
        let diagnostic = Diagnostic::new(Severity::Error, code, span, message);
        self.report(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    fn warning(
        &mut self,
        code: &'static str,
        span: Option<Span>,
        message: impl Into<String>,
        help: &str,
    ) {
        let diagnostic = Diagnostic::new(Severity::Warning, code, span, message);
        self.report(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    fn root(&mut self, root: &Value) {
        if !root.is_truthy() {
            return self.error(
                "inventory-empty",
                root.span,
                "the inventory is empty",
                "start with `all:`, and groups with their hosts under `children:`",
            );
        }
        let Data::Map(entries) = &root.data else {
            return self.error(
                "inventory-not-mapping",
                root.span,
                format!("an inventory is a mapping of groups, but this is {}", root.describe()),
                "start with `all:`, and groups with their hosts under `children:`",
            );
        };
        if let Some((_, key, value)) = entries.get_full("plugin")
            && value.is_truthy()
        {
            return self.error(
                "inventory-plugin",
                key.span,
                "this file configures an Ansible inventory plugin and lists no hosts itself",
                "run the plugin with `ansible-inventory --list --yaml` and use its output",
            );
        }
        for (key, value) in entries {
            self.group(key, value, None);
        }
    }

    /// Reads a group's definition; the name of the group when there is one now.
    fn group<'key>(
        &mut self,
        key: &'key Key,
        value: &Value,
        parent: Option<&str>,
    ) -> Option<&'key str> {
        let name = key.text.as_str();
        let sections = match &value.data {
            Data::Map(sections) => Some(sections),
            Data::Null => None,
            _ => {
                let known = self.groups.contains_key(name);
                let what = value.describe();
                let help =
                    "a group has `hosts:`, `children:` and `vars:`; parameters go under `vars:`";
                match parent {
                    // Ansible gives up when a child is no group at all.
                    Some(parent) if !known => self.error(
                        "group-not-mapping",
                        key.span,
                        format!("`{name}` below `{parent}` is no group: its definition is {what}"),
                        help,
                    ),
                    _ => self.warning(
                        "group-not-mapping",
                        key.span,
                        format!("this definition of `{name}` is {what}, so it is skipped"),
                        help,
                    ),
                }
                return known.then_some(name);
            }
        };
        if self.is_misread(key, "group") {
            return None;
        }
        if name.is_empty() {
            self.error(
                "group-name",
                key.span,
                "a group needs a name",
                "write its name before the colon, or remove the line",
            );
            return None;
        }
        self.add_group(name, key.span);
        for (section, content) in sections.into_iter().flatten() {
            self.section(name, section, content);
        }
        Some(name)
    }

    fn section(&mut self, group: &str, section: &Key, content: &Value) {
        let known = matches!(section.text.as_str(), "vars" | "children" | "hosts");
        let single;
        let entries = match &content.data {
            Data::Map(entries) => entries,
            Data::Null if known => return,
            // One name alone is short for a mapping with that key.
            Data::String(text) | Data::Unsafe(text) if known => {
                let key = Key { text: text.clone(), span: content.span };
                single = IndexMap::from([(key, Value { data: Data::Null, span: content.span })]);
                &single
            }
            _ if known => {
                let help = match (&content.data, section.text.as_str()) {
                    (Data::List(_), "vars") => "write `name: value` lines without dashes",
                    (Data::List(_), _) => "write each name as a key, `name:`, without a dash",
                    _ => "write one `name:` per line below it",
                };
                return self.error(
                    "group-section-not-mapping",
                    content.span.or(section.span),
                    format!(
                        "`{}` of group `{group}` must be a mapping, but this is {}",
                        section.text,
                        content.describe()
                    ),
                    help,
                );
            }
            _ => return self.report(unexpected::judge(group, section, content)),
        };
        match section.text.as_str() {
            "vars" => {
                for (key, value) in entries {
                    self.set_variable(group, key, value);
                }
            }
            "children" => {
                for (key, value) in entries {
                    if let Some(child) = self.group(key, value, Some(group)) {
                        self.add_child(group, child, key.span);
                    }
                }
            }
            "hosts" => {
                for (key, value) in entries {
                    self.host(group, key, value);
                }
            }
            _ => self.report(unexpected::judge(group, section, content)),
        }
    }

    /// Reports a name that YAML reads as a number, a boolean or null.
    fn is_misread(&mut self, key: &Key, what: &str) -> bool {
        let misread = key.span.is_some_and(|span| self.odd_keys.contains(&span));
        if misread {
            self.error(
                "name-not-text",
                key.span,
                format!("the name of this {what} is read as `{}`, which is not text", key.text),
                "put the name in quotes",
            );
        }
        misread
    }

    fn host(&mut self, group: &str, key: &Key, value: &Value) {
        if self.is_misread(key, "host") {
            return;
        }
        let pattern = match host_pattern::expand(&key.text) {
            Ok(pattern) => pattern,
            Err(reason) => {
                return self.error(
                    "host-range",
                    key.span,
                    format!("the host `{}` cannot be expanded: {reason}", key.text),
                    "ranges look like node[01:10] or node[a:c]",
                );
            }
        };
        let nothing = IndexMap::new();
        let vars = match &value.data {
            Data::Map(vars) => vars,
            _ if !value.is_truthy() => &nothing,
            _ => {
                return self.error(
                    "host-not-mapping",
                    value.span.or(key.span),
                    format!(
                        "the variables of host `{}` must be a mapping, but this is {}",
                        key.text,
                        value.describe()
                    ),
                    "write `{ name: value }` or one `name: value` per line",
                );
            }
        };
        if pattern.names.is_empty() {
            self.warning(
                "host-range",
                key.span,
                format!("the range `{}` stands for no host at all", key.text),
                "a range goes from the lower to the higher number",
            );
        }
        for name in pattern.names {
            if name.is_empty() {
                self.error(
                    "host-name",
                    key.span,
                    "a host needs a name",
                    "write its address before the colon, or remove the line",
                );
                continue;
            }
            if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&name) {
                return self.error(
                    "host-range",
                    key.span,
                    format!("the inventory has more than {MAX_HOSTS} hosts"),
                    "look for a range with a digit too many",
                );
            }
            self.add_host(&name, group, pattern.port, key.span);
            for (var, value) in vars {
                self.set_variable(&name, var, value);
            }
        }
    }

    fn add_group(&mut self, name: &str, span: Option<Span>) {
        if let Some(group) = self.groups.get_mut(name) {
            group.name_span = group.name_span.or(span);
            return;
        }
        self.groups.insert(
            name.to_owned(),
            Group {
                name: name.to_owned(),
                name_span: span,
                depth: 0,
                priority: 1,
                children: Vec::new(),
                parents: Vec::new(),
                hosts: Vec::new(),
                vars: IndexMap::new(),
            },
        );
    }

    fn add_host(&mut self, name: &str, group: &str, port: Option<i64>, span: Option<Span>) {
        let host = self.hosts.entry(name.to_owned()).or_insert_with(|| {
            let mut vars = IndexMap::new();
            // Only the first mention of a host sets its port.
            if let Some(port) = port {
                let key = Key { text: "ansible_port".to_owned(), span };
                vars.insert(key, Value { data: Data::Int(port), span });
            }
            Host {
                name: NodeName::new(name),
                span,
                vars,
                groups: Vec::new(),
                mentions: HashMap::new(),
            }
        });
        if let Some(span) = span {
            host.mentions.entry(group.to_owned()).or_insert(span);
        }
        if !host.groups.iter().any(|known| known == group)
            && let Some(group) = self.groups.get_mut(group)
        {
            host.groups.push(group.name.clone());
            group.hosts.push(host.name.clone());
        }
    }

    /// Sets a variable of the group or else the host of that name, as Ansible does.
    fn set_variable(&mut self, entity: &str, key: &Key, value: &Value) {
        if let Some(group) = self.groups.get_mut(entity) {
            if key.text == "ansible_group_priority" {
                match priority(value) {
                    Some(priority) => group.priority = priority,
                    None => self.error(
                        "group-priority",
                        value.span.or(key.span),
                        "`ansible_group_priority` must be an integer",
                        "of groups as deep as each other, the one with the higher number wins",
                    ),
                }
                return;
            }
            replace(&mut group.vars, key, value);
        } else if let Some(host) = self.hosts.get_mut(entity) {
            replace(&mut host.vars, key, value);
        }
    }

    /// Hangs a group below another, unless that closes a circle.
    fn add_child(&mut self, parent: &str, child: &str, span: Option<Span>) {
        let known = |group: &Group| group.parents.iter().any(|name| name == parent);
        if self.groups.get(child).is_some_and(known) {
            return;
        }
        if parent == child || self.is_ancestor(child, parent) {
            return self.error(
                "group-cycle",
                span,
                format!("group `{child}` contains group `{parent}` and is contained in it"),
                "remove one of the two `children` entries",
            );
        }
        let Some(depth) = self.groups.get(parent).map(|group| group.depth + 1) else {
            return;
        };
        if let Some(group) = self.groups.get_mut(parent) {
            group.children.push(child.to_owned());
        }
        if let Some(group) = self.groups.get_mut(child) {
            group.parents.push(parent.to_owned());
        }
        self.deepen(child, depth);
    }

    /// Raises a group to at least this depth, and the groups below it accordingly.
    fn deepen(&mut self, name: &str, depth: usize) {
        let mut level = vec![name.to_owned()];
        let mut depth = depth;
        while !level.is_empty() {
            let mut below = Vec::new();
            let mut seen = HashSet::new();
            for name in level {
                if let Some(group) = self.groups.get_mut(&name)
                    && group.depth < depth
                {
                    group.depth = depth;
                    below.extend(
                        group.children.iter().filter(|c| seen.insert((*c).clone())).cloned(),
                    );
                }
            }
            level = below;
            depth += 1;
        }
    }

    fn is_ancestor(&self, candidate: &str, of: &str) -> bool {
        let mut pending = vec![of];
        let mut seen = HashSet::new();
        while let Some(name) = pending.pop() {
            if name == candidate {
                return true;
            }
            if seen.insert(name)
                && let Some(group) = self.groups.get(name)
            {
                pending.extend(group.parents.iter().map(String::as_str));
            }
        }
        false
    }

    /// Ansible's final touches: every group hangs below `all`, and `ungrouped` holds exactly the
    /// hosts that stand in no other group.
    fn reconcile(&mut self) {
        let orphans: Vec<(String, Option<Span>)> = self
            .groups
            .values()
            .filter(|group| group.name != "all" && group.parents.is_empty())
            .map(|group| (group.name.clone(), group.name_span))
            .collect();
        for (name, span) in orphans {
            self.add_child("all", &name, span);
        }
        // A parent of `ungrouped` other than `all` counts as another group of its hosts.
        let nested = self
            .groups
            .get("ungrouped")
            .is_some_and(|group| group.parents.iter().any(|name| name != "all"));
        let mut leaving = HashSet::new();
        let mut joining = Vec::new();
        for host in self.hosts.values_mut() {
            let grouped = host.groups.iter().any(|name| name != "all" && name != "ungrouped");
            let ungrouped = host.groups.iter().any(|name| name == "ungrouped");
            if ungrouped && (grouped || nested) {
                host.groups.retain(|name| name != "ungrouped");
                leaving.insert(host.name.clone());
            } else if !ungrouped && !grouped {
                host.groups.push("ungrouped".to_owned());
                joining.push(host.name.clone());
            }
        }
        if let Some(ungrouped) = self.groups.get_mut("ungrouped") {
            ungrouped.hosts.retain(|name| !leaving.contains(name));
            ungrouped.hosts.extend(joining);
        }
        // Ansible forgets a host that only stood in a nested `ungrouped`.
        let forgotten: Vec<_> = self
            .hosts
            .values()
            .filter(|host| host.groups.is_empty())
            .map(|host| (host.name.to_string(), host.span))
            .collect();
        self.hosts.retain(|_, host| !host.groups.is_empty());
        for (name, span) in forgotten {
            self.warning(
                "host-forgotten",
                span,
                format!("host `{name}` ends up in no group, so Ansible does not see it"),
                "`ungrouped` belongs below `all` only; put the host into a group of another name",
            );
        }
        let conflicts: Vec<_> = self
            .hosts
            .values()
            .filter(|host| self.groups.contains_key(host.name.as_str()))
            .map(|host| (host.name.to_string(), host.span))
            .collect();
        for (name, span) in conflicts {
            self.warning(
                "host-named-as-group",
                span,
                format!("`{name}` is both a group and a host"),
                "variables of the host may end up at the group; rename one of them",
            );
        }
    }
}

fn replace(vars: &mut IndexMap<Key, Value>, key: &Key, value: &Value) {
    vars.shift_remove(key.text.as_str());
    vars.insert(key.clone(), value.clone());
}

/// Python's `int(value)`.
fn priority(value: &Value) -> Option<i64> {
    match &value.data {
        Data::Int(number) => Some(*number),
        Data::Bool(flag) => Some(i64::from(*flag)),
        #[allow(clippy::cast_possible_truncation)]
        Data::Float(number) if number.is_finite() => Some(number.trunc() as i64),
        Data::String(text) | Data::Unsafe(text) => text.trim().parse().ok(),
        _ => None,
    }
}
