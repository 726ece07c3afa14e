//! The cluster's dynamic configuration, which Patroni keeps in the DCS.
//!
//! What a changed PostgreSQL parameter costs is read from the running server
//! (`pg_settings.context`), not guessed.

use super::postmaster::PatroniApi;
use crate::difference::Fields;
use crate::{Action, Class, Difference};
use keddah_core::Setting;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

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
    /// The parameters that follow the sizes of the nodes, while members of the cluster do not answer and
    /// one of them may be smaller than all that do: these stay as they are in the DCS, for the member
    /// might not start with more.
    #[serde(default)]
    pub sized: BTreeSet<String>,
    /// Those members, each with its node.
    #[serde(default)]
    pub away: Vec<String>,
    /// `postgresql.use_pg_rewind`, `use_slots` and the like.
    pub postgresql: BTreeMap<String, Value>,
    /// Through whom to change it: the Patroni of the node this resource stands on.
    pub api: PatroniApi,
    /// The server of the same node, which knows what a changed parameter costs.
    pub connection: super::PgConnection,
}

/// Patroni's section of what a standby cluster follows.
const STANDBY: &str = "standby_cluster";

const PROMOTES: &str = "this standby cluster stops following and takes writes of its own from now \
    on; what it followed goes on as it is, and neither learns what is written to the other";

const DEMOTES: &str = "this cluster takes no more writes and follows another one; what was written \
    here and not there is lost";

/// What becomes of a cluster's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It goes on leading, or following.
    Kept,
    /// A standby cluster becomes one that takes writes.
    Promoted,
    /// A cluster that takes writes becomes a standby cluster.
    Demoted,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The whole document, as `GET /config` gives it.
    pub document: Map<String, Value>,
    /// What the server says of the parameters that differ, by name in small letters; `None` when it
    /// could not be asked. A parameter that is missing here is unknown to the server.
    pub known: Option<BTreeMap<String, Setting>>,
}

/// Parameters of which a replica must not have less than its primary ("Hot Standby",
/// "Administrator's Overview" in PostgreSQL's manual): they grow on replicas first, and shrink on
/// the primary first.
pub const STANDBY_SENSITIVE: &[&str] = &[
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
];

impl Spec {
    /// The cluster's name.
    pub fn name(&self) -> String {
        self.cluster.clone()
    }

    /// The parameters that count now: what is declared, but for what follows the size of a node that
    /// does not answer, which stays as it is.
    fn effective(&self, present: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
        let mut parameters = self.parameters.clone();
        for name in &self.sized {
            match present.get(name) {
                Some(value) => parameters.insert(name.clone(), display(value)),
                None => parameters.remove(name),
            };
        }
        parameters
    }

    /// What would change if every member answered: name, value now (none where it is not set), and the
    /// one that follows the sizes of those that answer.
    pub fn held(&self, observed: &Observed) -> Vec<(String, Option<String>, Option<String>)> {
        let present = observed.parameters();
        let held = |name: &String| {
            let before = present.get(name).map(display);
            let after = self.parameters.get(name).cloned();
            (before != after).then(|| (name.clone(), before, after))
        };
        self.sized.iter().filter_map(held).collect()
    }

    /// The document that makes it so by `PATCH /config`, with `null` for what must go.
    pub fn patch(&self, observed: &Observed) -> Value {
        let present = observed.parameters();
        let mut parameters: Map<String, Value> = self
            .effective(&present)
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        for name in present.into_keys() {
            parameters.entry(name).or_insert(Value::Null);
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
        let mut unknown = Vec::new();
        let mut refused = Vec::new();
        let mut changed = |name: &str, before: Option<String>, after: Option<String>| {
            if before == after {
                return;
            }
            let lower = name.to_ascii_lowercase();
            match observed.known.as_ref().map(|known| known.get(&lower)) {
                Some(Some(setting)) => {
                    if setting.context == "postmaster" {
                        class = Class::OrderedRestart;
                    }
                    if let Some(why) = after.as_deref().and_then(|value| setting.refuses(value)) {
                        refused.push(format!("{name}: {why}"));
                    }
                }
                // A name with a dot is an extension's, which may be loaded only later.
                Some(None) if after.is_some() && !name.contains('.') => {
                    unknown.push(name.to_owned());
                }
                _ => {}
            }
            fields.optional(name, before, after);
        };
        let present = observed.parameters();
        let effective = self.effective(&present);
        for (name, wanted) in &effective {
            changed(name, present.get(name).map(display), Some(wanted.clone()));
        }
        for (name, before) in &present {
            if !effective.contains_key(name) {
                changed(name, Some(display(before)), None);
            }
        }
        if fields.0.is_empty() {
            return None;
        }
        let (class, reason) = match self.part(observed) {
            Part::Kept => (class, "the cluster's settings differ".to_owned()),
            Part::Promoted => (class, format!("PROMOTION: {PROMOTES}")),
            Part::Demoted => (Class::Destroy, format!("DEMOTION: {DEMOTES}")),
        };
        let mut difference = Difference::new(Action::Update, class, reason);
        difference.fields = fields.0;
        if !unknown.is_empty() {
            difference = difference.impossible(format!(
                "PostgreSQL knows no parameter named {}; correct it in pg_parameters, or in the \
                 template that pg_conf names",
                unknown.join(", ")
            ));
        }
        if !refused.is_empty() {
            difference = difference.impossible(format!(
                "PostgreSQL does not take these values: {}; correct them in pg_parameters, or in \
                 the template that pg_conf names",
                refused.join("; ")
            ));
        }
        Some(difference)
    }

    /// What becomes of the cluster's part: whether it leads or follows another one.
    pub fn part(&self, observed: &Observed) -> Part {
        let set = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
        match (set(observed.document.get(STANDBY)), set(self.settings.get(STANDBY))) {
            (true, false) if self.settings.contains_key(STANDBY) => Part::Promoted,
            (false, true) => Part::Demoted,
            _ => Part::Kept,
        }
    }

    /// Whether the change lowers a parameter of which a replica must not have less than its
    /// primary: then the primary restarts first.
    pub fn shrinks(&self, observed: &Observed) -> bool {
        let present = observed.parameters();
        let effective = self.effective(&present);
        STANDBY_SENSITIVE.iter().any(|&name| {
            let before = present.get(name).and_then(|value| display(value).parse::<i64>().ok());
            let after = effective.get(name).and_then(|value| value.parse::<i64>().ok());
            matches!((before, after), (Some(before), Some(after)) if after < before)
        })
    }

    /// Whether a primary that runs with these limits would come back with less of one: also where the
    /// document says so already and the restart is still to come.
    pub fn lowers(&self, observed: &Observed, limits: &BTreeMap<String, i64>) -> bool {
        let effective = self.effective(&observed.parameters());
        limits.iter().any(|(name, &runs)| {
            effective
                .get(name)
                .and_then(|value| value.parse::<i64>().ok())
                .is_some_and(|after| after < runs)
        })
    }

    /// The limits of which a primary would come back with more than it runs with.
    pub fn raises<'l>(
        &self,
        observed: &Observed,
        limits: &'l BTreeMap<String, i64>,
    ) -> Vec<&'l str> {
        let effective = self.effective(&observed.parameters());
        let raises = |(name, runs): &(&'l String, &i64)| {
            effective
                .get(*name)
                .and_then(|value| value.parse::<i64>().ok())
                .is_some_and(|after| after > **runs)
        };
        limits.iter().filter(raises).map(|(name, _)| name.as_str()).collect()
    }

    /// The parameters that the change raises and of which a replica must not have less than its
    /// primary: replicas must restart first.
    pub fn grows(&self, observed: &Observed) -> Vec<&'static str> {
        let present = observed.parameters();
        let effective = self.effective(&present);
        let grows = |name: &&str| {
            let before = present.get(*name).and_then(|value| display(value).parse::<i64>().ok());
            let after = effective.get(*name).and_then(|value| value.parse::<i64>().ok());
            matches!((before, after), (Some(before), Some(after)) if after > before)
        };
        STANDBY_SENSITIVE.iter().copied().filter(grows).collect()
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        let mut observed = Observed { document: Map::new(), known: None };
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

/// A parameter as Patroni compares it.
pub fn display(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::Secret;
    use serde_json::json;

    fn spec(parameters: &[(&str, &str)]) -> Spec {
        let api = PatroniApi {
            unit: "patroni.service".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: 8008,
            ca_path: None,
            username: "postgres".to_owned(),
            password: Secret::new("pw"),
        };
        let connection = crate::kind::PgConnection {
            socket_directory: "/run".to_owned(),
            port: 5432,
            superuser: "postgres".to_owned(),
        };
        let parameters =
            parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Spec {
            cluster: "pg-test".to_owned(),
            settings: BTreeMap::new(),
            parameters,
            sized: BTreeSet::new(),
            away: Vec::new(),
            postgresql: BTreeMap::new(),
            api,
            connection,
        }
    }

    fn observed(parameters: &Value, contexts: &[(&str, &str)]) -> Observed {
        let document = json!({ "postgresql": { "parameters": parameters } });
        let known = contexts.iter().map(|&(name, context)| {
            let vartype = if name == "timezone" { "string" } else { "integer" };
            let line = format!("{name}\t{vartype}\tkB\t1\t1000000\t\t{context}");
            (name.to_owned(), Setting::parse(&line).expect("seven columns"))
        });
        Observed {
            document: document.as_object().expect("an object").clone(),
            known: Some(known.collect()),
        }
    }

    #[test]
    fn the_server_says_what_a_parameter_costs() {
        let wanted = spec(&[("work_mem", "8MB"), ("max_connections", "200"), ("TimeZone", "UTC")]);
        let present = json!({ "work_mem": "4MB", "max_connections": 200, "TimeZone": "UTC" });
        let reload = wanted.diff(&observed(&present, &[("work_mem", "user")])).expect("it differs");
        assert_eq!((reload.class, reload.impossible), (Class::Reload, None));
        let present = json!({ "work_mem": "8MB", "max_connections": 100 });
        let contexts = [("max_connections", "postmaster"), ("timezone", "user")];
        let restart = wanted.diff(&observed(&present, &contexts)).expect("it differs");
        assert_eq!((restart.class, restart.impossible), (Class::OrderedRestart, None));
    }

    #[test]
    fn a_parameter_that_the_server_does_not_know_is_refused() {
        let wanted = spec(&[("wrok_mem", "8MB"), ("some.extension", "1")]);
        let difference = wanted.diff(&observed(&json!({}), &[])).expect("it differs");
        let why = difference.impossible.expect("it is refused");
        assert!(why.contains("wrok_mem") && !why.contains("some.extension"), "{why}");
        let unasked = Observed { known: None, ..observed(&json!({}), &[]) };
        assert_eq!(wanted.diff(&unasked).expect("it differs").impossible, None);
        let gone = spec(&[]).diff(&observed(&json!({ "wrok_mem": "8MB" }), &[]));
        assert_eq!(gone.expect("it differs").impossible, None, "it may be taken away");
    }

    #[test]
    fn what_follows_the_size_of_a_member_that_is_away_stays() {
        let mut wanted = spec(&[
            ("shared_buffers", "8GB"),
            ("max_connections", "500"),
            ("max_wal_size", "8GB"),
            ("work_mem", "8MB"),
        ]);
        let present = json!({ "shared_buffers": "1GB", "max_connections": 100, "work_mem": "4MB" });
        let present = observed(&present, &[("shared_buffers", "postmaster")]);
        let shown = |spec: &Spec| -> Vec<String> {
            let difference = spec.diff(&present).expect("it differs");
            difference.fields.iter().map(|one| one.field().to_owned()).collect()
        };
        assert_eq!(shown(&wanted).len(), 4);
        wanted.sized = ["shared_buffers", "max_connections", "max_wal_size"].map(Into::into).into();
        wanted.away = vec!["pg-test-3 on c".to_owned()];
        assert_eq!(shown(&wanted), ["work_mem"], "that is the same for every size");
        let parameters = &wanted.patch(&present)["postgresql"]["parameters"];
        let stays = json!({ "shared_buffers": "1GB", "max_connections": "100", "work_mem": "8MB" });
        assert_eq!(parameters, &stays, "and nothing is taken away");
        assert!(wanted.grows(&present).is_empty());
        assert_eq!(wanted.held(&present).len(), 3);
        assert_eq!(wanted.diff(&wanted.settled()), None);
    }

    #[test]
    fn a_value_that_the_server_does_not_take_is_refused() {
        let wanted = spec(&[("work_mem", "8 apples")]);
        let difference = wanted.diff(&observed(&json!({}), &[("work_mem", "user")]));
        let why = difference.and_then(|one| one.impossible).expect("it is refused");
        assert!(why.contains("work_mem: its units are"), "{why}");
    }

    #[test]
    fn a_standby_clusters_end_and_beginning_are_told() {
        let follows = json!({ "host": "10.10.10.11", "port": 5432 });
        let mut wanted = spec(&[]);
        wanted.settings.insert(STANDBY.to_owned(), Value::Null);
        let mut present = observed(&json!({}), &[]);
        assert_eq!(wanted.diff(&present), None);
        present.document.insert(STANDBY.to_owned(), follows.clone());
        let promotion = wanted.diff(&present).expect("it differs");
        assert!(promotion.reason.starts_with("PROMOTION"), "{promotion:?}");
        assert!(promotion.class < Class::Destroy);
        wanted.settings.insert(STANDBY.to_owned(), follows);
        assert_eq!(wanted.diff(&present), None);
        let demotion = wanted.diff(&observed(&json!({}), &[])).expect("it differs");
        assert_eq!(demotion.class, Class::Destroy, "it wants to be named");
    }

    #[test]
    fn shrinking_is_told_from_growing() {
        let present = observed(&json!({ "max_connections": "200", "max_wal_senders": 50 }), &[]);
        assert!(spec(&[("max_connections", "100"), ("max_wal_senders", "50")]).shrinks(&present));
        assert!(!spec(&[("max_connections", "300"), ("max_wal_senders", "50")]).shrinks(&present));
        // Written down already, and the primary has not restarted yet.
        let runs = |value| BTreeMap::from([("max_connections".to_owned(), value)]);
        let written = spec(&[("max_connections", "200"), ("max_wal_senders", "50")]);
        assert!(!written.shrinks(&present));
        assert!(written.lowers(&present, &runs(300)));
        assert!(!written.lowers(&present, &runs(200)) && !written.lowers(&present, &runs(100)));
    }
}
