//! Where an inventory holds secrets, so that nobody prints those places.

use crate::registry::{self, ParameterType, Structure};
use crate::{Data, Inventory, Key, Value};
use indexmap::IndexMap;
use keddah_core::Span;

/// The places of all secret values, ascending: passwords by type, by the name of their key, or
/// within a URL. A misspelt password counts, too. Whoever prints a source line masks these.
pub fn secret_spans(inventory: &Inventory) -> Vec<Span> {
    let mut spans = Vec::new();
    let layers =
        inventory.groups().map(|group| &group.vars).chain(inventory.hosts().map(|host| &host.vars));
    for vars in layers {
        variables(vars, &mut spans);
    }
    spans.sort_unstable();
    spans.dedup();
    spans
}

/// The variables of a group, a host or an instance.
fn variables(vars: &IndexMap<Key, Value>, spans: &mut Vec<Span>) {
    for (key, value) in vars {
        let parameter =
            registry::find(&key.text).or_else(|| registry::find(registry::suggest(&key.text)?));
        let kind = parameter.map(|parameter| parameter.kind);
        let several = parameter.is_some_and(|parameter| parameter.name == "pg_instances");
        match value.as_map() {
            Some(instances) if several => {
                for vars in instances.values() {
                    match vars.as_map() {
                        Some(vars) => variables(vars, spans),
                        None => entry("", None, vars, spans),
                    }
                }
            }
            _ => entry(&key.text, kind.as_ref(), value, spans),
        }
    }
}

/// Walks a value under a key; `kind` is what the registry says about it.
fn entry(key: &str, kind: Option<&ParameterType>, value: &Value, spans: &mut Vec<Span>) {
    if kind.is_some_and(ParameterType::is_secret) || names_a_secret(key) {
        everything(value, spans);
        return;
    }
    match &value.data {
        Data::String(text) | Data::Unsafe(text) if has_credentials(text) => {
            spans.extend(value.span);
        }
        Data::Vault(_) => spans.extend(value.span),
        Data::List(items) => {
            let structure = match kind {
                Some(ParameterType::List(structure)) => Some(*structure),
                _ => None,
            };
            for item in items {
                match structure {
                    Some(structure) => fields(structure, item, spans),
                    None => entry("", None, item, spans),
                }
            }
        }
        Data::Map(entries) => {
            if let Some(ParameterType::One(structure)) = kind {
                fields(structure, value, spans);
                return;
            }
            // Users of the portal: name to password.
            let passwords = key == "nginx_users";
            for (key, item) in entries {
                let inner = passwords.then_some(&ParameterType::Password);
                entry(&key.text, inner, item, spans);
            }
        }
        _ => {}
    }
}

fn fields(structure: &'static Structure, value: &Value, spans: &mut Vec<Span>) {
    let Some(entries) = value.as_map() else {
        entry("", None, value, spans);
        return;
    };
    for (key, item) in entries {
        let field = structure.field(&key.text).or_else(|| {
            let names = structure.fields.iter().map(|field| field.name);
            structure.field(registry::nearest(&key.text, names)?)
        });
        entry(&key.text, field.map(|field| &field.kind), item, spans);
    }
}

fn everything(value: &Value, spans: &mut Vec<Span>) {
    match &value.data {
        Data::Null => {}
        Data::List(items) => items.iter().for_each(|item| everything(item, spans)),
        Data::Map(entries) => entries.values().for_each(|item| everything(item, spans)),
        _ => spans.extend(value.span),
    }
}

/// Whether a key's name says that its value is a secret. Switches such as
/// `pg_pwd_enc` and public keys are none.
pub(super) fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let named = [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "cipher_pass",
        "auth_pass",
        "private_key",
        "s3_key",
        "sodium_key",
        "api_key",
        "ansible_ssh_pass",
        "become_pass",
    ];
    named.iter().any(|part| key.contains(part))
}

/// Whether a text holds a URL with a password, `scheme://user:password@host`.
fn has_credentials(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', ' ']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}
