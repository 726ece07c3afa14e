//! Specs for the tests, with what a test does not care about filled in.

use super::Server;
use keddah_resource::Spec;
use keddah_resource::kind::pg_database::{self, Database};
use keddah_resource::kind::pg_role::{self, Expiry, Membership, Role};
use keddah_resource::kind::{pg_baseline, pg_extension, pg_schema};
use std::collections::{BTreeMap, BTreeSet};

pub fn role() -> Role {
    Role {
        login: true,
        superuser: false,
        createdb: false,
        createrole: false,
        inherit: true,
        replication: false,
        bypassrls: false,
        connection_limit: -1,
        expiry: Expiry::Never,
        verifier: None,
        member_of: BTreeMap::new(),
        declared: BTreeSet::new(),
        parameters: BTreeMap::new(),
        comment: None,
    }
}

pub fn database(owner: &str) -> Database {
    Database {
        owner: Some(owner.to_owned()),
        recreate: false,
        template: None,
        strategy: None,
        encoding: None,
        collate: None,
        ctype: None,
        provider: None,
        locale: None,
        icu_rules: None,
        is_template: false,
        tablespace: None,
        allow_connections: true,
        connection_limit: -1,
        public_connect: true,
        connect_roles: BTreeSet::new(),
        parameters: BTreeMap::new(),
        comment: None,
    }
}

pub fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// Memberships as they are without options.
pub fn member_of(roles: &[&str]) -> BTreeMap<String, Membership> {
    let usual = Membership { admin: false, inherit: true, set: true };
    roles.iter().map(|role| ((*role).to_owned(), usual)).collect()
}

pub fn settings(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Server {
    pub fn role(&self, name: &str, present: Option<Role>) -> Spec {
        pg_role::Spec { connection: self.connection.clone(), role: name.to_owned(), present }.into()
    }

    pub fn database(&self, name: &str, present: Option<Database>) -> Spec {
        let connection = self.connection.clone();
        pg_database::Spec { connection, database: name.to_owned(), present }.into()
    }

    pub fn schema(&self, database: &str, name: &str, owner: Option<&str>, present: bool) -> Spec {
        pg_schema::Spec {
            connection: self.connection.clone(),
            database: database.to_owned(),
            schema: name.to_owned(),
            owner: owner.map(str::to_owned),
            privileges: BTreeSet::new(),
            present,
        }
        .into()
    }

    pub fn extension(&self, database: &str, name: &str) -> pg_extension::Spec {
        pg_extension::Spec {
            connection: self.connection.clone(),
            database: database.to_owned(),
            extension: name.to_owned(),
            schema: None,
            version: None,
            present: true,
        }
    }

    pub fn baseline(&self, database: &str, sql: &str) -> Spec {
        pg_baseline::Spec {
            connection: self.connection.clone(),
            database: database.to_owned(),
            file: "cmdb.sql".to_owned(),
            sql: sql.to_owned(),
        }
        .into()
    }

    pub async fn run(&self, database: &str, statement: &str) {
        self.session(database).await.execute(statement).await.unwrap();
    }

    pub async fn refused(&self, spec: &Spec) -> String {
        let error = self.converge(spec).await.expect_err("it should have been refused");
        format!("{error} {:?} {:?}", error.log, error.hint)
    }
}
