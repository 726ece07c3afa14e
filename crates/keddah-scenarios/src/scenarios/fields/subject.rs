//! What the edits edit: one user, one database, and the settings of their cluster.

use crate::ensure;
use crate::failure::Outcome;
use std::collections::BTreeMap;

/// Where the demo's inventory takes more lines.
const CLUSTER: &str = "        pg_cluster: pg-test\n";
const USERS: &str = "roles: [dbrole_admin], comment: owner of the test database }\n";
const DATABASES: &str = "          - { name: test, owner: test }\n";

/// Fields by name, as they are written in YAML.
pub type Fields = BTreeMap<&'static str, &'static str>;

/// The demo's inventory with a user, a database and settings that can be changed one by one.
pub struct Subject {
    inventory: String,
    /// Fields of the user `subject`.
    pub user: Fields,
    /// Fields of the database `field`.
    pub database: Fields,
    /// Parameters of the cluster.
    pub cluster: Fields,
    /// More entries of `pg_users`.
    pub users: Vec<&'static str>,
    /// More entries of `pg_databases`.
    pub databases: Vec<&'static str>,
}

impl Subject {
    /// As the edits begin.
    pub fn new(inventory: &str) -> Self {
        Self {
            inventory: inventory.to_owned(),
            user: Fields::from([
                ("name", "subject"),
                ("password", "Subject.One"),
                ("pgbouncer", "true"),
                ("roles", "[dbrole_readonly]"),
            ]),
            database: Fields::from([("name", "field"), ("owner", "test")]),
            cluster: Fields::new(),
            users: Vec::new(),
            databases: Vec::new(),
        }
    }

    /// The whole inventory.
    pub fn inventory(&self) -> Outcome<String> {
        let mut text = self.inventory.clone();
        let mut users = vec![flow(&self.user)];
        users.extend(self.users.iter().map(|&user| user.to_owned()));
        let mut databases = vec![flow(&self.database)];
        databases.extend(self.databases.iter().map(|&database| database.to_owned()));
        let entries = |entries: &[String]| -> String {
            entries.iter().map(|entry| format!("          - {entry}\n")).collect()
        };
        let cluster: String =
            self.cluster.iter().map(|(name, value)| format!("        {name}: {value}\n")).collect();
        for (place, lines) in
            [(USERS, entries(&users)), (DATABASES, entries(&databases)), (CLUSTER, cluster)]
        {
            ensure!(text.matches(place).count() == 1, "the demo's inventory has no `{place}`");
            text = text.replacen(place, &format!("{place}{lines}"), 1);
        }
        Ok(text)
    }
}

fn flow(fields: &Fields) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{{ {} }}", fields.join(", "))
}
