//! A whole file: content, owner and mode, or its absence.
//!
//! Secrets live in files of their own, so that every other file's change can be shown in full.

use super::directory::Permissions;
use crate::difference::Fields;
use crate::{Class, Difference};
use keddah_core::Secret;
use keddah_core::hba::{self, Effect, Memberships};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Text that a plan may show.
    Text(String),
    /// Text that nothing may show.
    Secret(#[serde(with = "keddah_core::expose")] Secret),
}

impl Content {
    /// The bytes to write.
    pub fn reveal(&self) -> &str {
        match self {
            Content::Text(text) => text,
            Content::Secret(secret) => secret.reveal(),
        }
    }

    /// The SHA-256 of the bytes in hexadecimal digits.
    pub fn digest(&self) -> String {
        digest(self.reveal().as_bytes())
    }
}

/// The SHA-256 of bytes in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Absolute path.
    pub path: String,
    /// Its content and permissions; `None` means it must not exist.
    pub present: Option<Present>,
}

/// Files that a unit's command line gives to its program, such as HAProxy's by `-f`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFiles {
    /// The unit.
    pub unit: String,
    /// The option before each file or directory.
    pub option: String,
    /// How names of files end that are loaded of a directory.
    pub ending: String,
}

/// A file that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The content.
    pub content: Content,
    /// Owner and mode.
    pub permissions: Permissions,
    /// A command that must succeed before the new content takes the old one's place; `{}` stands
    /// for the path of the candidate, and a word behind `{if PATH}` is left out where there is no such
    /// path.
    pub check: Option<Vec<String>>,
    /// What else a unit gives to the same program, with which the candidate has to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_with: Option<UnitFiles>,
    /// Of a file of client authentication rules: who is a member of which roles, so that a plan can
    /// say who gains and who loses access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_for: Option<Memberships>,
    /// Of a secret list, whose lines begin with what they are about: what may be said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Entries>,
}

/// What the lines of a secret file are about. That is no secret, and a plan says whose line comes, goes or
/// differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entries {
    /// PgBouncer's `"user" "password"` (its manual, "Authentication file format").
    PooledLogins,
    /// PgBouncer's `name = host=…` (its manual, "Section [databases]").
    PooledDatabases,
    /// `key: value` and `key=value`; a key's own keys are indented below it.
    Settings,
}

impl Entries {
    /// Each entry of a text with a digest of what it says.
    pub fn of(self, text: &str) -> BTreeMap<String, String> {
        let mut above: Vec<(usize, &str)> = Vec::new();
        let mut found = BTreeMap::new();
        for line in text.lines() {
            let entry = match self {
                Entries::PooledLogins => quoted(line),
                Entries::PooledDatabases => database(line),
                Entries::Settings => setting(line, &mut above),
            };
            if let Some((name, value)) = entry {
                // With its name, so that equal passwords do not have equal digests.
                found.insert(name.clone(), digest(format!("{name}\0{value}").as_bytes()));
            }
        }
        found
    }

    /// What an entry is to a person.
    fn what(self) -> &'static str {
        match self {
            Entries::PooledLogins => "pooled logins of",
            Entries::PooledDatabases => "pooled logins to",
            Entries::Settings => "values of",
        }
    }
}

/// The first text in double quotes, in which a quote is doubled, and the rest.
fn quoted(line: &str) -> Option<(String, &str)> {
    let line = line.trim().strip_prefix('"')?;
    let mut name = String::new();
    let mut characters = line.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '"' {
            name.push(character);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, line[at + 1..].trim()));
        }
    }
    None
}

/// A database's name, without its quotes, and how the pool reaches it.
fn database(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.starts_with([';', '#', '[']) {
        return None;
    }
    let (name, rest) = line.split_once(" = ")?;
    Some((name.trim().trim_matches('"').to_owned(), rest.trim()))
}

/// A key with those above it, and its value; nothing for a line that has none.
fn setting<'t>(line: &'t str, above: &mut Vec<(usize, &'t str)>) -> Option<(String, &'t str)> {
    let text = line.trim();
    if text.is_empty() || text.starts_with(['#', ';', '[']) {
        return None;
    }
    let (key, value) = text.split_once([':', '='])?;
    let (key, value) = (key.trim(), value.trim());
    let depth = line.len() - line.trim_start().len();
    above.retain(|(other, _)| *other < depth);
    if above.iter().any(|(_, key)| key.is_empty()) {
        return None;
    }
    if value.is_empty() {
        above.push((depth, key));
        return None;
    }
    if value.starts_with(['|', '>']) {
        // A text of several lines, none of which is a key.
        let found = path(above, key);
        above.push((depth, ""));
        return Some((found, value));
    }
    Some((path(above, key), value))
}

fn path(above: &[(usize, &str)], key: &str) -> String {
    let path: Vec<&str> = above.iter().map(|(_, key)| *key).chain([key]).collect();
    path.join(".")
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The file, when it exists.
    pub present: Option<ObservedFile>,
}

/// A file that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedFile {
    /// SHA-256 of the content in hexadecimal digits.
    pub digest: String,
    /// The text, unless the spec calls the content secret or it is not UTF-8.
    pub text: Option<String>,
    /// What the lines of a secret list are about, with a digest of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entries: BTreeMap<String, String>,
    /// Owner and mode.
    pub permissions: Permissions,
    /// Whether it is what its package brought, unchanged: nobody's work is in it.
    #[serde(default)]
    pub sample: bool,
}

/// Why a file that nobody has touched since its package brought it becomes another.
pub const SAMPLE: &str = "it replaces the sample of its package";

impl Spec {
    /// A file whose content a plan may show.
    pub fn text(
        path: impl Into<String>,
        text: impl Into<String>,
        permissions: Permissions,
    ) -> Self {
        Self {
            path: path.into(),
            present: Some(Present {
                content: Content::Text(text.into()),
                permissions,
                check: None,
                check_with: None,
                access_for: None,
                entries: None,
            }),
        }
    }

    /// A file whose content nothing may show.
    pub fn secret(path: impl Into<String>, secret: Secret, permissions: Permissions) -> Self {
        Self {
            path: path.into(),
            present: Some(Present {
                content: Content::Secret(secret),
                permissions,
                check: None,
                check_with: None,
                access_for: None,
                entries: None,
            }),
        }
    }

    /// A file that should not exist.
    pub fn absent(path: impl Into<String>) -> Self {
        Self { path: path.into(), present: None }
    }

    /// Adds a command that must accept the candidate, `{}` standing for its path.
    #[must_use]
    pub fn checked_by(mut self, command: &[&str]) -> Self {
        if let Some(present) = &mut self.present {
            present.check = Some(command.iter().map(|&word| word.to_owned()).collect());
        }
        self
    }

    /// Has it tested together with the other files that a unit will load with it.
    #[must_use]
    pub fn checked_with_files_of(mut self, unit: &str, option: &str, ending: &str) -> Self {
        if let Some(present) = &mut self.present {
            let [unit, option, ending] = [unit, option, ending].map(str::to_owned);
            present.check_with = Some(UnitFiles { unit, option, ending });
        }
        self
    }

    /// Calls it a file of client authentication rules, of roles with these memberships.
    #[must_use]
    pub fn access_rules(mut self, memberships: Memberships) -> Self {
        if let Some(present) = &mut self.present {
            present.access_for = Some(memberships);
        }
        self
    }

    /// Says of a secret list what its lines are about, which a plan may name.
    #[must_use]
    pub fn listing(mut self, entries: Entries) -> Self {
        if let Some(present) = &mut self.present {
            present.entries = Some(entries);
        }
        self
    }

    /// What its lines are about, where it is a secret list.
    pub fn entries(&self) -> Option<Entries> {
        self.present.as_ref().and_then(|present| present.entries)
    }

    /// The path.
    pub fn name(&self) -> String {
        self.path.clone()
    }

    /// Whether the content must not be shown or sent back.
    pub fn is_secret(&self) -> bool {
        matches!(&self.present, Some(Present { content: Content::Secret(_), .. }))
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match (&self.present, &observed.present) {
            (None, None) => None,
            (None, Some(_)) => {
                Some(Difference::delete(Class::InPlace, "it should no longer exist"))
            }
            (Some(wanted), None) => {
                match &wanted.content {
                    Content::Text(text) => fields.text("content", "", text),
                    Content::Secret(_) => fields.secret("content"),
                }
                wanted.permissions.state(&mut fields);
                Some(Difference::create("it does not exist").with(fields.0))
            }
            (Some(wanted), Some(present)) => {
                let mut reason = "it differs from what is declared";
                if present.sample {
                    reason = SAMPLE;
                }
                if wanted.content.digest() != present.digest {
                    match (&wanted.content, &present.text) {
                        (Content::Text(after), Some(before)) => {
                            if let Some(memberships) = &wanted.access_for
                                && !access(before, after, memberships, &mut fields)
                                && !present.sample
                            {
                                reason = "it differs from what is declared; nobody gains or loses \
                                          access";
                            }
                            if let Some(kind) = wanted.entries {
                                entries(kind, &kind.of(before), &kind.of(after), &mut fields);
                            }
                            fields.text("content", before, after);
                        }
                        (Content::Text(_), None) => {
                            fields.optional("content", Some("(not text)".to_owned()), None);
                        }
                        (Content::Secret(secret), _) => {
                            if let Some(kind) = wanted.entries {
                                let after = kind.of(secret.reveal());
                                if !entries(kind, &present.entries, &after, &mut fields) {
                                    reason = "it differs from what is declared, in no entry";
                                }
                            }
                            fields.secret("content");
                        }
                    }
                }
                wanted.permissions.compare(&present.permissions, &mut fields);
                Difference::update(Class::InPlace, fields.0, reason)
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            present: self.present.as_ref().map(|present| ObservedFile {
                digest: present.content.digest(),
                text: match &present.content {
                    Content::Text(text) => Some(text.clone()),
                    Content::Secret(_) => None,
                },
                entries: match (&present.content, present.entries) {
                    (Content::Secret(secret), Some(kind)) => kind.of(secret.reveal()),
                    (Content::Text(text), Some(kind)) => kind.of(text),
                    (_, None) => BTreeMap::new(),
                },
                permissions: present.permissions.clone(),
                sample: false,
            }),
        }
    }
}

/// States whose entry comes, goes or differs; false where none does.
fn entries(
    kind: Entries,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    fields: &mut Fields,
) -> bool {
    let list = |names: Vec<&String>| {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("{} {}", kind.what(), names.join(", ")))
    };
    let lost = list(before.keys().filter(|name| !after.contains_key(*name)).collect());
    let gained = list(after.keys().filter(|name| !before.contains_key(*name)).collect());
    let differs = |name: &&String| before.get(*name).is_some_and(|is| *is != after[*name]);
    let changed = list(after.keys().filter(differs).collect());
    let any = lost.is_some() || gained.is_some() || changed.is_some();
    fields.optional("loses", lost, None);
    fields.optional("gains", None, gained);
    fields.optional("changes", None, changed);
    any
}

/// States who gains and who loses access; false when nobody does.
fn access(before: &str, after: &str, memberships: &Memberships, fields: &mut Fields) -> bool {
    let ((before, _), (after, _)) = (hba::parse(before), hba::parse(after));
    // Beyond what can be told in words, the text itself says it.
    let Some(changes) = hba::changes(&before, &after, memberships) else { return true };
    for hba::Change { effect, access, before, after } in &changes {
        match effect {
            Effect::Gained => fields.optional("gains", None, Some(format!("{access} {after}"))),
            Effect::Lost => fields.optional("loses", Some(format!("{access} {before}")), None),
            Effect::Proof => {
                let was = Some(format!("{access} {before}"));
                fields.optional("proof", was, Some(after.clone()));
            }
        }
    }
    !changes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FieldChange;

    fn list(text: &str) -> Spec {
        let owner = Permissions::root(0o640);
        Spec::secret("/etc/pgbouncer/userlist.txt", Secret::new(text), owner)
            .listing(Entries::PooledLogins)
    }

    fn told(before: &str, after: &str) -> Vec<String> {
        let difference = list(after).diff(&list(before).settled()).expect("they differ");
        let fields = difference.fields.iter().filter_map(|field| match field {
            FieldChange::Value { field, before, after } => {
                let value = before.as_deref().or(after.as_deref()).unwrap_or_default();
                Some(format!("{field} {value}"))
            }
            FieldChange::Secret { field } => Some(format!("{field} ********")),
            FieldChange::Text { .. } => None,
        });
        fields.collect()
    }

    #[test]
    fn whose_login_comes_goes_or_differs_is_told_and_no_secret_is() {
        let before =
            "\"app\" \"SCRAM-SHA-256$poison-1\"\n\"odd \"\"one\" \"poison-2\"\n\"same\" \"x\"\n";
        let after = "\"app\" \"SCRAM-SHA-256$poison-3\"\n\"same\" \"x\"\n\"new\" \"poison-4\"\n";
        assert_eq!(
            told(before, after),
            [
                "loses pooled logins of odd \"one",
                "gains pooled logins of new",
                "changes pooled logins of app",
                "content ********",
            ]
        );
        let observed = serde_json::to_string(&list(before).settled()).expect("JSON");
        assert!(!observed.contains("poison"), "{observed}");
        let other_order = "\"b\" \"2\"\n\"a\" \"1\"\n";
        assert_eq!(told("\"a\" \"1\"\n\"b\" \"2\"\n", other_order), ["content ********"]);
    }

    #[test]
    fn which_database_the_pool_does_not_offer_any_more_is_told() {
        let list = |text: &str| {
            Spec::text("/etc/pgbouncer/database.txt", text, Permissions::root(0o640))
                .listing(Entries::PooledDatabases)
        };
        let before = "; Written\ntest = host=/run port=5432\n\"odd one\" = host=/run port=5432\n";
        let after = "; Written\n\"odd one\" = host=/run port=5433\n";
        let difference = list(after).diff(&list(before).settled()).expect("they differ");
        let told: Vec<String> = difference
            .fields
            .iter()
            .filter_map(|field| match field {
                FieldChange::Value { field, before, after } => {
                    let value = before.as_deref().or(after.as_deref()).unwrap_or_default();
                    Some(format!("{field} {value}"))
                }
                _ => None,
            })
            .collect();
        assert_eq!(told, ["loses pooled logins to test", "changes pooled logins to odd one"]);
    }

    #[test]
    fn settings_are_known_by_their_whole_keys() {
        let text = "# a\n[global]\nrepo1-cipher-pass=a:b\npostgresql:\n  authentication:\n    superuser:\n      \
                    password: x\n    rewind:\n      password: |-\n        poison: y\n        z\nrestapi:\n  \
                    password: x\n";
        let entries = Entries::Settings.of(text);
        let names: Vec<&str> = entries.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "postgresql.authentication.rewind.password",
                "postgresql.authentication.superuser.password",
                "repo1-cipher-pass",
                "restapi.password",
            ]
        );
        let digests: std::collections::BTreeSet<&String> = entries.values().collect();
        assert_eq!(digests.len(), 4, "equal passwords do not look equal");
    }
}
