//! The cluster's dynamic configuration, which Patroni keeps in the DCS.
//!
//! What a changed PostgreSQL parameter costs is read from the running server
//! (`pg_settings.context`), not guessed.

use super::postmaster::PatroniApi;
use crate::difference::Fields;
use crate::{Action, Class, Difference};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The cluster's name.
    pub cluster: String,
    /// Patroni's own settings by name, such as `ttl`; `null` removes one. Settings that are not
    /// named here are left alone.
    pub settings: BTreeMap<String, Value>,
    /// All PostgreSQL parameters; one that is not named here is removed.
    pub parameters: BTreeMap<String, String>,
    /// `postgresql.use_pg_rewind`, `use_slots` and the like.
    pub postgresql: BTreeMap<String, Value>,
    /// Through whom to change it: the Patroni of the node this resource stands on.
    pub api: PatroniApi,
    /// The server of the same node, which knows what a changed parameter costs.
    pub connection: super::PgConnection,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The whole document, as `GET /config` gives it.
    pub document: Map<String, Value>,
    /// `pg_settings.context` by parameter, as far as the server could be asked.
    pub contexts: BTreeMap<String, String>,
}

impl Spec {
    /// The cluster's name.
    pub fn name(&self) -> String {
        self.cluster.clone()
    }

    /// The document that makes it so by `PATCH /config`, with `null` for what must go.
    pub fn patch(&self, observed: &Observed) -> Value {
        let mut parameters: Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        for name in observed.parameters().keys() {
            if !self.parameters.contains_key(name) {
                parameters.insert(name.clone(), Value::Null);
            }
        }
        let mut postgresql: Map<String, Value> = self.postgresql.clone().into_iter().collect();
        postgresql.insert("parameters".to_owned(), Value::Object(parameters));
        let mut document: Map<String, Value> = self.settings.clone().into_iter().collect();
        document.insert("postgresql".to_owned(), Value::Object(postgresql));
        Value::Object(document)
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        for (name, wanted) in &self.settings {
            let before = observed.document.get(name).filter(|value| !value.is_null());
            let after = Some(wanted).filter(|value| !value.is_null());
            if before.map(canonical) != after.map(canonical) {
                fields.optional(name, before.map(display), after.map(display));
            }
        }
        let section = observed.document.get("postgresql");
        for (name, wanted) in &self.postgresql {
            let before = section.and_then(|section| section.get(name));
            if before.map(canonical) != Some(canonical(wanted)) {
                let field = format!("postgresql.{name}");
                fields.optional(&field, before.map(display), Some(display(wanted)));
            }
        }
        let mut class = Class::Reload;
        let mut changed = |name: &str, before: Option<String>, after: Option<String>| {
            if before == after {
                return;
            }
            if observed.contexts.get(name).is_some_and(|context| context == "postmaster") {
                class = Class::OrderedRestart;
            }
            fields.optional(name, before, after);
        };
        let present = observed.parameters();
        for (name, wanted) in &self.parameters {
            changed(name, present.get(name).map(display), Some(wanted.clone()));
        }
        for (name, before) in &present {
            if !self.parameters.contains_key(name) {
                changed(name, Some(display(before)), None);
            }
        }
        if fields.0.is_empty() {
            return None;
        }
        let mut difference =
            Difference::new(Action::Update, class, "the cluster's settings differ");
        difference.fields = fields.0;
        Some(difference)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        let mut observed = Observed { document: Map::new(), contexts: BTreeMap::new() };
        if let Value::Object(document) = self.patch(&observed) {
            observed.document =
                document.into_iter().filter(|(_, value)| !value.is_null()).collect();
        }
        observed
    }
}

impl Observed {
    /// The PostgreSQL parameters of the document.
    pub fn parameters(&self) -> BTreeMap<String, Value> {
        self.document
            .get("postgresql")
            .and_then(|section| section.get("parameters"))
            .and_then(Value::as_object)
            .map(|map| {
                map.iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect()
            })
            .unwrap_or_default()
    }
}

/// Patroni compares parameters as text: `5` and `"5"` are one value, and so are `true` and `on`.
fn canonical(value: &Value) -> String {
    display(value)
}

fn display(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => other.to_string(),
    }
}
