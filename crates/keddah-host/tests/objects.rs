//! Every field of roles and databases changed once, against a real server: the difference is that
//! field alone, and applying it leaves none.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its server has failed")]

mod scratch;

use keddah_core::Secret;
use keddah_resource::kind::pg_database::Database;
use keddah_resource::kind::pg_privileges::{self, DefaultPrivilege, SchemaPrivilege};
use keddah_resource::kind::pg_role::{Expiry, Membership, Role};
use keddah_resource::kind::{pg_census, pg_schema};
use keddah_resource::{Class, Observation, Observed, Spec, scram};
use scratch::specs::{database, member_of, names, role, settings};
use scratch::{Server, skipped};
use std::collections::{BTreeMap, BTreeSet};

/// The names of the fields that differ.
async fn differing(server: &Server, spec: &Spec) -> Vec<String> {
    let found = server.difference(spec).await;
    let fields = found.iter().flat_map(|difference| &difference.fields);
    fields.map(|change| change.field().to_owned()).collect()
}

#[tokio::test]
async fn every_field_of_a_role_changes_alone() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    for group in ["readers", "writers"] {
        server.converges(server.role(group, Some(role()))).await;
    }
    let verifier = |password: &str| Some(scram::verifier(&Secret::new(password), &[5; 16]));
    let first = Role {
        verifier: verifier("first"),
        member_of: member_of(&["readers"]),
        declared: names(&["readers", "writers"]),
        parameters: settings(&[("work_mem", "8MB")]),
        comment: Some("first".to_owned()),
        ..role()
    };
    server.converges(server.role("app", Some(first.clone()))).await;
    let admin = Membership { admin: true, inherit: true, set: true };
    let with_admin = [("readers".to_owned(), admin)].into();
    type Change = (&'static str, Box<dyn Fn(&mut Role)>);
    let changes: Vec<Change> = vec![
        ("login", Box::new(|role| role.login = false)),
        ("superuser", Box::new(|role| role.superuser = true)),
        ("createdb", Box::new(|role| role.createdb = true)),
        ("createrole", Box::new(|role| role.createrole = true)),
        ("replication", Box::new(|role| role.replication = true)),
        ("bypassrls", Box::new(|role| role.bypassrls = true)),
        ("connection limit", Box::new(|role| role.connection_limit = 7)),
        ("valid until", Box::new(|role| role.expiry = Expiry::At("2031-02-03".to_owned()))),
        (
            "valid until",
            Box::new(|role| role.expiry = Expiry::At("2031-02-03 04:05:06".to_owned())),
        ),
        ("password", Box::new(move |role| role.verifier = verifier("second"))),
        ("member of", Box::new(move |role| role.member_of.clone_from(&with_admin))),
        ("member of", Box::new(|role| role.member_of = member_of(&["readers"]))),
        ("member of", Box::new(|role| role.member_of = member_of(&["readers", "writers"]))),
        ("work_mem", Box::new(|role| role.parameters = settings(&[("work_mem", "9MB")]))),
        ("work_mem", Box::new(|role| role.parameters = settings(&[]))),
        ("comment", Box::new(|role| role.comment = Some("second".to_owned()))),
        ("member of", Box::new(|role| role.member_of = member_of(&["readers"]))),
        ("inherit", Box::new(without_inherit)),
    ];
    let mut now = first;
    for (field, change) in changes {
        change(&mut now);
        let spec = server.role("app", Some(now.clone()));
        assert_eq!(differing(&server, &spec).await, [field]);
        server.converges(spec).await;
    }
}

/// A role's memberships follow its own INHERIT.
fn without_inherit(role: &mut Role) {
    role.inherit = false;
    for membership in role.member_of.values_mut() {
        membership.inherit = false;
    }
}

#[tokio::test]
async fn options_of_memberships() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let version: u32 = server.value("postgres", "show server_version_num").await.parse().unwrap();
    for group in ["readers", "legacy"] {
        server.converges(server.role(group, Some(role()))).await;
    }
    let declared = names(&["readers", "app"]);
    let with = |admin, inherit, set| Role {
        member_of: [("readers".to_owned(), Membership { admin, inherit, set })].into(),
        declared: declared.clone(),
        ..role()
    };
    server.converges(server.role("app", Some(with(true, true, true)))).await;
    if version >= 160_000 {
        server.converges(server.role("app", Some(with(true, false, true)))).await;
        server.converges(server.role("app", Some(with(false, true, false)))).await;
        // Another grantor's grant adds up with ours.
        server.converges(server.role("other", Some(with(true, true, true)))).await;
        server.run("postgres", "set role other; grant readers to app with set true").await;
    } else {
        server.run("postgres", "grant readers to app with admin option").await;
    }
    let plain = server.role("app", Some(with(false, true, version < 160_000)));
    assert_eq!(differing(&server, &plain).await, ["member of"]);
    server.converges(plain.clone()).await;

    // A membership in a role that nobody declared is nobody's business.
    server.run("postgres", "grant legacy to app").await;
    assert_eq!(differing(&server, &plain).await, Vec::<String>::new());
    server.run("postgres", "grant pg_read_all_data to app").await;
    assert_eq!(differing(&server, &plain).await, ["member of"]);
    server.converges(plain).await;
    let kept = "select pg_has_role('app', 'legacy', 'member') \
                and not pg_has_role('app', 'pg_read_all_data', 'member')";
    assert_eq!(server.value("postgres", kept).await, "t");
}

#[tokio::test]
async fn every_field_of_a_database_changes_alone() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    for name in ["owner", "second", "monitor"] {
        server.converges(server.role(name, Some(role()))).await;
    }
    let elsewhere = server.directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    if scratch::is_root() {
        let status =
            std::process::Command::new("chown").arg("postgres:").arg(&elsewhere).status().unwrap();
        assert!(status.success());
    }
    let location = format!("create tablespace fast location '{}'", elsewhere.display());
    server.run("postgres", &location).await;
    let first = Database {
        parameters: settings(&[("work_mem", "8MB")]),
        comment: Some("first".to_owned()),
        strategy: Some("FILE_COPY".to_owned()),
        ..database("owner")
    };
    server.converges(server.database("app", Some(first.clone()))).await;
    type Change = (&'static str, Box<dyn Fn(&mut Database)>);
    let changes: Vec<Change> = vec![
        ("owner", Box::new(|database| database.owner = Some("second".to_owned()))),
        ("connection limit", Box::new(|database| database.connection_limit = 9)),
        ("is template", Box::new(|database| database.is_template = true)),
        ("work_mem", Box::new(|database| database.parameters = settings(&[("work_mem", "9MB")]))),
        ("work_mem", Box::new(|database| database.parameters = settings(&[]))),
        ("comment", Box::new(|database| database.comment = Some("second".to_owned()))),
        ("tablespace", Box::new(|database| database.tablespace = Some("fast".to_owned()))),
        ("allow connections", Box::new(|database| database.allow_connections = false)),
        ("allow connections", Box::new(|database| database.allow_connections = true)),
        ("public may connect", Box::new(|database| database.public_connect = true)),
    ];
    let mut now =
        Database { public_connect: false, connect_roles: names(&["owner", "monitor"]), ..first };
    let closed = server.database("app", Some(now.clone()));
    assert_eq!(differing(&server, &closed).await, ["public may connect", "may connect"]);
    server.converges(closed).await;
    let guest = server.session("app").await;
    for (field, change) in changes {
        change(&mut now);
        if field == "owner" {
            now.connect_roles = names(&["second", "monitor"]);
        }
        let spec = server.database("app", Some(now.clone()));
        let found = server.difference(&spec).await.unwrap();
        let fields: Vec<&str> = found.fields.iter().map(|change| change.field()).collect();
        if field == "owner" {
            // PostgreSQL gives the new owner the old one's privileges.
            assert_eq!(fields, ["owner", "may connect"]);
        } else {
            assert_eq!(fields, [field]);
        }
        let class = if field == "tablespace" { Class::Restart } else { Class::InPlace };
        assert_eq!(found.class, class, "{field}");
        server.converges(spec).await;
    }
    assert!(guest.scalar("select 1").await.is_err(), "the files moved under a session");
    // An owner that is not written any more stays: the application would lose its database.
    let nobody = server.database("app", Some(Database { owner: None, ..now.clone() }));
    assert_eq!(server.difference(&nobody).await, None);
    let fresh = Database { owner: None, ..database("owner") };
    server.converges(server.database("fresh", Some(fresh))).await;
    let owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'fresh'";
    assert_eq!(server.value("postgres", owner).await, server.connection.superuser);
    let nowhere = Database { tablespace: Some("nowhere".to_owned()), ..now.clone() };
    let found = server.difference(&server.database("app", Some(nowhere))).await.unwrap();
    assert!(found.impossible.unwrap().contains("CREATE TABLESPACE"));
    // It is a template by now, and is dropped all the same.
    server.converges(server.database("app", None)).await;
}

#[tokio::test]
async fn a_database_is_made_anew_once() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let superuser = server.connection.superuser.clone();
    let plain = database(&superuser);
    let again = server.database("app", Some(Database { recreate: true, ..plain.clone() }));
    let plain = server.database("app", Some(plain));
    server.converges(plain.clone()).await;
    server.run("app", "create table public.t (a int)").await;
    let tables = "select count(*) from pg_class where relname = 't'";

    let found = server.difference(&again).await.unwrap();
    assert_eq!(found.class, Class::Destroy);
    let _guest = server.session("app").await;
    server.converges(again.clone()).await;
    assert_eq!(server.value("app", tables).await, "0");
    // It was done; what comes into it now stays, until it is asked for another time.
    server.run("app", "create table public.t (a int)").await;
    assert_eq!(server.difference(&again).await, None);
    assert_eq!(differing(&server, &plain).await, ["recreate"]);
    server.converges(plain).await;
    assert_eq!(server.value("app", tables).await, "1");
    server.converges(again).await;
    assert_eq!(server.value("app", tables).await, "0");
}

#[tokio::test]
async fn databases_with_locales_of_their_own() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let superuser = server.connection.superuser.clone();
    // Saying `template1`, the default, does not stand in the way of another locale.
    let icu = Database {
        template: Some("template1".to_owned()),
        provider: Some("icu".to_owned()),
        locale: Some("de_DE".to_owned()),
        ..database(&superuser)
    };
    server.converges(server.database("icu", Some(icu.clone()))).await;
    let sorted = "select string_agg(x, '' order by x) from (values ('Z'), ('a'), ('ä')) v (x)";
    assert_eq!(server.value("icu", sorted).await, "aäZ");
    let libc = Database { provider: Some("libc".to_owned()), locale: None, ..icu };
    let found = server.difference(&server.database("icu", Some(libc))).await.unwrap();
    assert!(found.impossible.unwrap().contains("locale provider"));
    let unknown = Database { collate: Some("xx_XX.UTF-8".to_owned()), ..database(&superuser) };
    let refused = server.refused(&server.database("unknown", Some(unknown))).await;
    assert!(refused.contains("locale -a"), "{refused}");
}

#[tokio::test]
async fn privileges_beyond_the_model_are_taken_back() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    for name in ["readers", "admin", "stranger"] {
        server.converges(server.role(name, Some(role()))).await;
    }
    server.converges(server.database("app", Some(database("admin")))).await;
    let select = DefaultPrivilege {
        creator: "admin".to_owned(),
        objects: "TABLES".to_owned(),
        privilege: "SELECT".to_owned(),
        grantee: "readers".to_owned(),
    };
    let spec: Spec = pg_privileges::Spec {
        connection: server.connection.clone(),
        database: "app".to_owned(),
        defaults: [select].into(),
        complete_for: names(&["readers", "admin"]),
        public_schema: BTreeSet::new(),
        public_create: false,
    }
    .into();
    server.converges(spec.clone()).await;
    server
        .run(
            "app",
            "alter default privileges for role admin grant insert on tables to readers; \
             alter default privileges for role admin grant select on tables to public; \
             alter default privileges for role admin grant select on tables to stranger; \
             alter default privileges for role stranger grant insert on tables to readers",
        )
        .await;
    assert_eq!(differing(&server, &spec).await, ["default privilege", "default privilege"]);
    server.converges(spec).await;
    let left = "select string_agg(defaclacl::text, ' ' order by defaclrole::regrole::text) \
                from pg_default_acl";
    assert_eq!(
        server.value("app", left).await,
        "{readers=r/admin,admin=arwdDxt/admin,stranger=r/admin} \
         {readers=a/stranger,stranger=arwdDxt/stranger}"
    );

    // A schema is open to the model's roles whoever owns it.
    let usage = SchemaPrivilege { privilege: "USAGE".to_owned(), grantee: "readers".to_owned() };
    let schema: Spec = pg_schema::Spec {
        connection: server.connection.clone(),
        database: "app".to_owned(),
        schema: "core".to_owned(),
        owner: Some("stranger".to_owned()),
        privileges: [usage].into(),
        present: true,
    }
    .into();
    server.converges(schema.clone()).await;
    server.run("app", "revoke usage on schema core from readers").await;
    assert_eq!(differing(&server, &schema).await, ["privilege"]);
    server.converges(schema).await;
}

#[tokio::test]
async fn what_nobody_declared_is_found_and_left_alone() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let superuser = server.connection.superuser.clone();
    server.run("postgres", "create role legacy").await;
    server.run("postgres", "create database scratch").await;
    server
        .run(
            "postgres",
            "create schema old; create schema ext; create extension earthdistance schema ext cascade",
        )
        .await;
    let spec: Spec = pg_census::Spec {
        connection: server.connection.clone(),
        database: "postgres".to_owned(),
        schemas: names(&["ext"]),
        extensions: BTreeSet::new(),
        server: Some(pg_census::Server {
            roles: [superuser].into(),
            databases: BTreeSet::new(),
            birth: BTreeMap::new(),
        }),
    }
    .into();
    let Observation::Known(Observed::PgCensus(mut found)) = server.observe(&spec).await else {
        panic!("not a census")
    };
    let birth = std::mem::take(&mut found.birth);
    let keys: Vec<&str> = birth.keys().map(String::as_str).collect();
    assert_eq!(keys, ["pg_checksum", "pg_encoding", "pg_lc_collate", "pg_lc_ctype"]);
    assert!(["on", "off"].contains(&birth["pg_checksum"].as_str()), "{birth:?}");
    assert!(birth.values().all(|value| !value.is_empty()), "{birth:?}");
    let expected = pg_census::Observed {
        roles: names(&["legacy"]),
        databases: names(&["scratch"]),
        schemas: names(&["old"]),
        extensions: names(&["earthdistance"]),
        birth: BTreeMap::new(),
    };
    assert_eq!(found, expected);
    assert_eq!(server.difference(&spec).await, None);
}
