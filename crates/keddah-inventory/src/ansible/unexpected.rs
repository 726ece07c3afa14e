//! What stands directly in a group and is neither `hosts`, `children` nor `vars`.
//!
//! Ansible warns and skips it ("Skipping unexpected key ... in group"). Skipped, a misspelt `hosts:`
//! takes every host of its group out of the inventory, and whatever runs there is declared no more.

use crate::registry;
use crate::value::{Data, Key, Value};
use keddah_core::{Diagnostic, Severity};

/// The keys that mean something, with words that people write for them.
const SECTIONS: &[(&str, &[&str])] = &[
    ("hosts", &["host", "hostnames", "node", "nodes", "server", "servers", "machines", "members"]),
    ("children", &["child", "childs", "childrens", "group", "groups", "subgroups", "clusters"]),
    ("vars", &["var", "variable", "variables", "params", "parameters", "settings"]),
];

/// The section that a key was meant to be.
pub(crate) fn meant(key: &str) -> Option<&'static str> {
    let key = key.to_lowercase();
    let by_word =
        SECTIONS.iter().find(|(name, words)| *name == key || words.contains(&key.as_str()));
    match by_word {
        Some((name, _)) => Some(name),
        None => registry::nearest(&key, SECTIONS.iter().map(|(name, _)| *name)),
    }
}

/// Whether a group's name says that it is no group, but a place for anchors.
fn is_shelf(group: &str) -> bool {
    group.starts_with("x-") || group.starts_with('.') || group.starts_with('_')
}

/// Tells what would be dropped: an error where hosts, groups or parameters would go unseen.
pub(super) fn judge(group: &str, section: &Key, content: &Value) -> Diagnostic {
    let name = section.text.as_str();
    let grave = matches!(content.data, Data::Map(_) | Data::List(_));
    let message = format!("`{name}` means nothing directly in group `{group}`");
    let tell = |severity, message: String| {
        Diagnostic::new(severity, "group-unexpected-key", section.span, message)
    };
    if is_shelf(group) {
        return tell(Severity::Warning, format!("{message}, so it is skipped"))
            .help("only `hosts`, `children` and `vars` stand here; parameters go under `vars:`");
    }
    if let Some(near) = meant(name) {
        return tell(Severity::Error, format!("{message}, so all that it holds would be dropped"))
            .help(format!("did you mean `{near}`?"));
    }
    if registry::find(name).is_some() {
        return tell(Severity::Error, format!("the parameter {message}, so it would not count"))
            .help(format!("parameters of a group stand under its `vars:`: move `{name}` there"));
    }
    if grave {
        return tell(Severity::Error, format!("{message}, so all that it holds would be dropped"))
            .help(
                "only `hosts`, `children` and `vars` stand here: a group goes under `children:`, a host \
                 under `hosts:`, a parameter under `vars:`",
            );
    }
    tell(Severity::Warning, format!("{message}, so it is skipped"))
        .help("only `hosts`, `children` and `vars` stand here; parameters go under `vars:`")
}
