//! The kinds that live in PostgreSQL, against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its server has failed")]

mod scratch;

use keddah_core::Secret;
use keddah_host::Host;
use keddah_host::sql::{Session, quote_identifier, quote_literal};
use keddah_resource::kind::pg_database::Database;
use keddah_resource::kind::pg_extension;
use keddah_resource::kind::pg_privileges::{self, DefaultPrivilege};
use keddah_resource::kind::pg_role::{Expiry, Role};
use keddah_resource::{Action, Observation, scram};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use scratch::specs::{database, member_of, names, role, settings};
use scratch::{Server, skipped};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn quoting_agrees_with_the_server() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let session = server.session("postgres").await;
    let mut runner = TestRunner::default();
    let strange = "[^\0]{0,20}|['\"\\\\$a-zA-Z .;%-]{0,20}";
    for _ in 0..300 {
        let text = strange.new_tree(&mut runner).unwrap().current();
        let literal = quote_literal(&text);
        let same = format!("select quote_literal({literal})");
        assert_eq!(session.scalar(&same).await.unwrap().as_deref(), Some(literal.as_str()));
        assert_eq!(session.scalar(&format!("select {literal}")).await.unwrap(), Some(text.clone()));
        if text.is_empty() || text.len() > 63 {
            continue;
        }
        let quoted = quote_identifier(&text);
        let server_side = session.scalar(&format!("select quote_ident({literal})")).await.unwrap();
        let server_side = server_side.unwrap();
        assert!(server_side == quoted || server_side == text, "{server_side} {quoted}");
        // Names longer than any of the strange ones, which would otherwise meet them now and then.
        let back = format!(
            "select 1 from (select 1 as {quoted}) the_relation_of_that_column, \
             lateral row_to_json(the_relation_of_that_column) a_row_with_its_names \
             where a_row_with_its_names::jsonb ? {literal}"
        );
        assert_eq!(session.scalar(&back).await.unwrap().as_deref(), Some("1"), "{quoted}");
    }
}

#[tokio::test]
async fn a_role_is_made_changed_and_kept() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    for group in ["dbrole_readonly", "dbrole_admin"] {
        let group_role = Role { login: false, ..role() };
        server.converges(server.role(group, Some(group_role))).await;
    }
    let full = Role {
        createdb: true,
        connection_limit: 7,
        expiry: Expiry::At("2030-02-03".to_owned()),
        verifier: Some(scram::verifier(&Secret::new("DBUser.Meta"), &[3; 16])),
        member_of: member_of(&["dbrole_readonly"]),
        declared: names(&["dbrole_readonly", "dbrole_admin"]),
        parameters: settings(&[
            ("search_path", r#""$user",app, "My Schema""#),
            ("timezone", "UTC"),
            ("log_min_duration_statement", "1s"),
        ]),
        comment: Some("it's \\ a \"comment\"".to_owned()),
        ..role()
    };
    let spec = server.role("we\"ird-Name", Some(full.clone()));
    server.converges(spec.clone()).await;
    let path = "select array_to_string(rolconfig, ';') from pg_roles where rolname like 'we%'";
    assert_eq!(
        server.value("postgres", path).await,
        "log_min_duration_statement=1s;search_path=\"$user\", app, \"My Schema\";TimeZone=UTC"
    );

    // By hand, on the node.
    server
        .run(
            "postgres",
            r#"alter role "we""ird-Name" nologin superuser valid until 'infinity';
            alter role "we""ird-Name" set jit to off; alter role "we""ird-Name" reset timezone;
            grant dbrole_admin to "we""ird-Name"; revoke dbrole_readonly from "we""ird-Name";
            alter role "we""ird-Name" password 'other'"#,
        )
        .await;
    let found = server.difference(&spec).await.unwrap();
    let fields: Vec<&str> = found.fields.iter().map(|change| change.field()).collect();
    assert_eq!(
        fields,
        [
            "login",
            "superuser",
            "valid until",
            "password",
            "member of",
            "member of",
            "jit",
            "timezone"
        ]
    );
    server.converges(spec).await;

    // A password that is not declared is left alone; an expiry within its window too.
    let relaxed = Role {
        verifier: None,
        expiry: Expiry::Within {
            days: 3000,
            date: "2031-01-01".to_owned(),
            renew_before: "2029-01-01".to_owned(),
        },
        ..full
    };
    assert_eq!(server.difference(&server.role("we\"ird-Name", Some(relaxed.clone()))).await, None);
    // Before PostgreSQL 16 memberships have no INHERIT of their own, and later they follow it.
    let mut noinherit = Role { inherit: false, comment: None, ..relaxed };
    for membership in noinherit.member_of.values_mut() {
        membership.inherit = false;
    }
    server.converges(server.role("we\"ird-Name", Some(noinherit))).await;
    let kept = "select rolpassword like 'SCRAM%' and rolvaliduntil = '2030-02-03 00:00+00' \
                from pg_authid where rolname like 'we%'";
    assert_eq!(server.value("postgres", kept).await, "t");

    let refused = server.refused(&server.role("pg_mine", Some(role()))).await;
    assert!(refused.contains("names that begin with pg_"), "{refused}");
    let refused = server.refused(&server.role(&"x".repeat(64), Some(role()))).await;
    assert!(refused.contains("longer than 63 bytes"), "{refused}");
}

#[tokio::test]
async fn a_dropped_role_loses_sessions_and_leaves_what_it_owned() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    server.converges(server.role("leaving", Some(role()))).await;
    server.converges(server.role("staying", Some(role()))).await;
    server.converges(server.database("one", Some(database("leaving")))).await;
    server.converges(server.database("two", Some(database("staying")))).await;
    server
        .run(
            "one",
            "set role leaving; create schema s; create table s.t as select 1 as a; \
                     alter default privileges grant select on tables to staying",
        )
        .await;
    server.run("two", "create table public.u (a int); grant select on public.u to leaving").await;
    let mut child = scratch::as_superuser(&scratch::programs().join("psql"));
    child.args(["-h", &server.connection.socket_directory, "-p", "5499", "-d", "two"]);
    child.args(["-U", "leaving", "-c", "select pg_sleep(60)"]);
    server.run("postgres", "alter system set log_min_messages to warning").await;
    let hba = server.data().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("local all leaving trust\n{rules}")).unwrap();
    server.run("postgres", "select pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut sleeper = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let sessions = "select count(*) from pg_stat_activity where usename = 'leaving'";
    for _ in 0..100 {
        if server.value("postgres", sessions).await == "1" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.value("postgres", sessions).await, "1");

    let gone = server.role("leaving", None);
    server.converges(gone.clone()).await;
    assert!(!sleeper.wait().unwrap().success());
    assert!(!server.converge(&gone).await.unwrap());
    let owner = "select pg_get_userbyid(relowner) from pg_class where relname = 't'";
    assert_eq!(server.value("one", owner).await, server.connection.superuser);
    let refused = server.refused(&server.role(&server.connection.superuser, None)).await;
    assert!(refused.contains("never dropped"), "{refused}");
}

#[tokio::test]
async fn no_verifier_reaches_log_or_statistics() {
    if skipped() {
        return;
    }
    let server = Server::start(
        "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = 'all'\n\
         log_statement = 'all'\nlog_min_duration_statement = 0\nlog_min_error_statement = 'debug5'\n\
         log_duration = on\nlog_min_messages = 'debug1'\ndebug_print_parse = on",
    )
    .await;
    server.run("postgres", "create extension pg_stat_statements schema public").await;
    let verifier = scram::verifier(&Secret::new("poison"), &[9; 16]);
    let spec = server.role("user", Some(Role { verifier: Some(verifier.clone()), ..role() }));
    server.converges(spec).await;
    // The same for a transaction that fails.
    let broken = Role {
        verifier: Some(verifier.clone()),
        member_of: member_of(&["no_such_role"]),
        ..role()
    };
    let refused = server.refused(&server.role("other", Some(broken))).await;
    assert!(refused.contains("no_such_role"), "{refused}");
    assert!(!refused.contains(verifier.reveal()));
    let key = verifier.reveal().rsplit('$').next().unwrap();
    let log = server.log();
    assert!(log.contains("pg_is_in_recovery"), "the log shows no statements at all");
    assert!(!log.contains(key), "the verifier is in the log");
    let collected = format!(
        "select count(*) from public.pg_stat_statements where query like '%{}%'",
        &key[..20]
    );
    // The question itself is collected, and nothing else.
    server.value("postgres", &collected).await;
    let collected = "select string_agg(query, ';') from public.pg_stat_statements \
                     where query like 'alter role%password%'";
    assert_eq!(server.value("postgres", collected).await, "");
}

#[tokio::test]
async fn a_database_is_made_changed_and_dropped() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    for name in ["owner", "reader", "second"] {
        server.converges(server.role(name, Some(role()))).await;
    }
    let full = Database {
        encoding: Some("utf-8".to_owned()),
        collate: Some("C".to_owned()),
        ctype: Some("C".to_owned()),
        tablespace: Some("pg_default".to_owned()),
        connection_limit: 9,
        public_connect: false,
        connect_roles: names(&["reader", "owner"]),
        parameters: settings(&[("search_path", "app,public"), ("statement_timeout", "5min")]),
        comment: Some("the app's".to_owned()),
        ..database("owner")
    };
    let spec = server.database("App", Some(full.clone()));
    server.converges(spec.clone()).await;
    let allowed = "select string_agg(rolname, ',' order by rolname) from pg_roles \
        where rolname in ('owner', 'reader', 'second') and has_database_privilege(oid, 'App', 'connect')";
    assert_eq!(server.value("postgres", allowed).await, "owner,reader");

    server.run("postgres", r#"alter database "App" owner to second"#).await;
    server
        .run(
            "postgres",
            r#"alter database "App" reset all;
            grant connect on database "App" to public; revoke connect on database "App" from reader;
            comment on database "App" is null; alter database "App" connection limit 3"#,
        )
        .await;
    server.run("postgres", r#"alter database "App" set keddah.baseline to 'x.sql'"#).await;
    let found = server.difference(&spec).await.unwrap();
    assert_eq!(found.action, Action::Update);
    server.converges(spec).await;
    let kept = "select 'keddah.baseline=x.sql' = any(setconfig) from pg_db_role_setting \
                where setdatabase = (select oid from pg_database where datname = 'App')";
    assert_eq!(server.value("postgres", kept).await, "t");

    let open = server.database("App", Some(Database { public_connect: true, ..full.clone() }));
    server.converges(open).await;
    let other = Database { collate: Some("POSIX".to_owned()), ..full };
    let found = server.difference(&server.database("App", Some(other))).await.unwrap();
    assert!(found.impossible.is_some());

    // Made, and the controller killed before the rest.
    server.run("postgres", "create database half").await;
    let whole = Database { public_connect: false, ..database("owner") };
    server.converges(server.database("half", Some(whole))).await;
    let closed = Database { allow_connections: false, ..database("owner") };
    server.converges(server.database("half", Some(closed))).await;

    let _guest = server.session("App").await;
    server.converges(server.database("App", None)).await;
    for own in ["postgres", "template1"] {
        let refused = server.refused(&server.database(own, None)).await;
        assert!(refused.contains("never dropped"), "{refused}");
    }
}

#[tokio::test]
async fn schemas_and_extensions_of_a_database() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    server.converges(server.role("owner", Some(role()))).await;
    let absent = server.schema("app", "core", None, true);
    let Observation::NotYet { because } = server.observe(&absent).await else { panic!("known") };
    assert_eq!(because, "the database app does not exist yet");
    server.converges(server.database("app", Some(database("owner")))).await;

    server.converges(server.schema("app", "core", None, true)).await;
    server.converges(server.schema("app", "core", Some("owner"), true)).await;
    server.converges(server.schema("app", "Own Er", Some("owner"), true)).await;
    server.run("app", "create table core.t (a int)").await;
    let refused = server.refused(&server.schema("app", "core", None, false)).await;
    assert!(refused.contains("2BP01") && refused.contains("core.t"), "{refused}");
    assert!(!refused.contains("CASCADE"), "{refused}");
    server.converges(server.schema("app", "Own Er", None, false)).await;

    let trigram = server.extension("app", "pg_trgm");
    let trigram = pg_extension::Spec { schema: Some("ext".to_owned()), ..trigram };
    server.converges(trigram.clone()).await;
    assert_eq!(
        server
            .value(
                "app",
                "select extnamespace::regnamespace from pg_extension \
        where extname = 'pg_trgm'"
            )
            .await,
        "ext"
    );
    server
        .converges(pg_extension::Spec { schema: Some("core".to_owned()), ..trigram.clone() })
        .await;
    server.converges(server.extension("app", "citext")).await;
    assert_eq!(
        server
            .value(
                "app",
                "select extnamespace::regnamespace from pg_extension \
        where extname = 'citext'"
            )
            .await,
        "public"
    );
    // earthdistance needs cube.
    server.converges(server.extension("app", "earthdistance")).await;
    let old = pg_extension::Spec {
        version: Some("1.9".to_owned()),
        ..server.extension("app", "pg_stat_statements")
    };
    server.converges(old.clone()).await;
    server.converges(pg_extension::Spec { version: Some("1.10".to_owned()), ..old }).await;
    // Its control file dictates pg_catalog.
    let fixed = server.extension("app", "plperl_dictated_schema");
    let found = server.difference(&fixed.into()).await.unwrap();
    assert!(found.impossible.is_some(), "not offered by any package");
    let fixed = pg_extension::Spec {
        schema: Some("ext".to_owned()),
        ..server.extension("app", dictated(&server).await.as_str())
    };
    server.converges(fixed).await;

    server.run("app", "create table core.c (name public.citext)").await;
    let gone = pg_extension::Spec { present: false, ..server.extension("app", "citext") };
    let refused = server.refused(&gone.clone().into()).await;
    assert!(refused.contains("2BP01") && !refused.contains("CASCADE"), "{refused}");
    server.run("app", "drop table core.c").await;
    server.converges(gone).await;
}

/// Some extension whose control file dictates its schema and that is not there yet.
async fn dictated(server: &Server) -> String {
    let query = "select name from pg_available_extension_versions \
                 where schema is not null and not installed and requires is null \
                 and name not like 'pl%' order by 1 limit 1";
    let name = server.value("app", query).await;
    assert_ne!(name, "");
    name
}

#[tokio::test]
async fn privileges_of_a_database() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    for name in ["dbrole_readonly", "dbrole_admin", "admin"] {
        server.converges(server.role(name, Some(role()))).await;
    }
    server.converges(server.database("app", Some(database("admin")))).await;
    let privilege =
        |creator: &str, objects: &str, privilege: &str, grantee: &str| DefaultPrivilege {
            creator: creator.to_owned(),
            objects: objects.to_owned(),
            privilege: privilege.to_owned(),
            grantee: grantee.to_owned(),
        };
    let spec = pg_privileges::Spec {
        connection: server.connection.clone(),
        database: "app".to_owned(),
        defaults: BTreeSet::from([
            privilege("admin", "SCHEMAS", "USAGE", "dbrole_readonly"),
            privilege("admin", "TABLES", "SELECT", "dbrole_readonly"),
            privilege("admin", "TABLES", "TRUNCATE", "dbrole_admin"),
            privilege("admin", "TABLES", "TRIGGER", "dbrole_admin"),
            privilege("admin", "SEQUENCES", "SELECT", "dbrole_readonly"),
            privilege("admin", "TYPES", "USAGE", "dbrole_readonly"),
            privilege("dbrole_admin", "FUNCTIONS", "EXECUTE", "dbrole_readonly"),
            // What PostgreSQL is built with leaves no trace in the catalog.
            privilege("admin", "FUNCTIONS", "EXECUTE", "public"),
            privilege("dbrole_admin", "TABLES", "INSERT", "dbrole_admin"),
        ]),
        public_schema: BTreeSet::from([
            pg_privileges::SchemaPrivilege {
                privilege: "CREATE".to_owned(),
                grantee: "dbrole_admin".to_owned(),
            },
            pg_privileges::SchemaPrivilege {
                privilege: "USAGE".to_owned(),
                grantee: "dbrole_readonly".to_owned(),
            },
        ]),
        complete_for: names(&["dbrole_readonly", "dbrole_admin"]),
        public_create: true,
    };
    server.converges(spec.clone()).await;
    server.run("app", "revoke create on schema public from dbrole_admin").await;
    server.converges(spec.clone()).await;
    let strict = pg_privileges::Spec { public_create: false, ..spec.clone() };
    server.converges(strict.clone()).await;
    server
        .run(
            "app",
            "alter default privileges for role admin revoke select on tables from dbrole_readonly; \
                     grant create on database app to public",
        )
        .await;
    let found = server.difference(&strict.clone().into()).await.unwrap();
    assert_eq!(found.fields.len(), 2, "{found:?}");
    server.converges(strict.clone()).await;
    server.run("app", "set role admin; create schema s; create table s.t (a int)").await;
    let readable = "select has_table_privilege('dbrole_readonly', 's.t', 'select')";
    assert_eq!(server.value("app", readable).await, "t");

    let unknown = pg_privileges::Spec {
        defaults: BTreeSet::from([privilege("nobody", "TABLES", "SELECT", "dbrole_readonly")]),
        ..strict.clone()
    };
    let refused = server.refused(&unknown.into()).await;
    assert!(refused.contains("nobody"), "{refused}");
    let injected = pg_privileges::Spec {
        defaults: BTreeSet::from([privilege("admin", "TABLES; drop", "SELECT", "dbrole_readonly")]),
        ..strict
    };
    let refused = server.refused(&injected.into()).await;
    assert!(refused.contains("no privilege"), "{refused}");
}

#[tokio::test]
async fn a_baseline_is_run_once() {
    if skipped() || !scratch::is_root() {
        return;
    }
    let server = Server::start("").await;
    let owner = server.connection.superuser.clone();
    for name in ["app", "plain", "outside", "broken"] {
        server.converges(server.database(name, Some(database(&owner)))).await;
    }
    let Observation::NotYet { .. } = server.observe(&server.baseline("nowhere", "")).await else {
        panic!("known")
    };
    let sql = "\\set answer 42\ncreate table t as select :answer as a;\n\
               copy t from stdin;\n1\n2\n\\.\nselect 1 -- no semicolon";
    server.converges(server.baseline("app", sql)).await;
    assert_eq!(server.value("app", "select count(*) from public.t").await, "3");
    assert!(!server.converge(&server.baseline("app", "select 'never run'")).await.unwrap());

    // What cannot be in a transaction, and what connects elsewhere.
    let sql = "create table if not exists t (a int); vacuum t;";
    server.converges(server.baseline("outside", sql)).await;
    let sql = "create table t (a int);\n\\c app\ncreate table from_plain (a int);\n";
    server.converges(server.baseline("plain", sql)).await;
    assert_eq!(server.value("app", "select count(*) from public.from_plain").await, "0");

    let sql = "create table kept (a int);\nselect 'hunter2' from missing;\n";
    let refused = server.refused(&server.baseline("broken", sql)).await;
    assert!(refused.contains("missing") && !refused.contains("hunter2"), "{refused}");
    let tables = "select count(*) from pg_class where relname = 'kept'";
    assert_eq!(server.value("broken", tables).await, "0");
}

#[tokio::test]
async fn a_server_that_is_away_or_a_standby() {
    if skipped() {
        return;
    }
    let mut server = Server::start("").await;
    let user = server.role("user", Some(role()));
    let schema = server.schema("postgres", "s", None, true);
    let observed = server.known(&user).await;
    let difference = user.diff(&observed).unwrap();
    server.stop();
    for spec in [&user, &schema, &server.database("d", None), &server.baseline("d", "")] {
        let Observation::NotYet { because } = server.observe(spec).await else { panic!("known") };
        assert_eq!(because, "PostgreSQL does not run on port 5499 yet");
    }
    let error = server.host.apply(&user, &observed, &difference, None).await.unwrap_err();
    assert!(error.message.contains("does not run"), "{error}");

    std::fs::write(server.data().join("standby.signal"), "").unwrap();
    server.launch().await;
    assert_eq!(server.known(&user).await, observed);
    for spec in [&user, &schema] {
        let refused = server.refused(spec).await;
        assert!(refused.contains("not the primary any more; plan again"), "{refused}");
    }
}

#[tokio::test]
async fn an_apply_does_not_wait_behind_a_lock() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    server.converges(server.role("user", Some(role()))).await;
    let holder: Session = server.session("postgres").await;
    holder.execute("begin; alter role \"user\" createrole").await.unwrap();
    let spec = server.role("user", Some(Role { createdb: true, ..role() }));
    let observed = server.known(&spec).await;
    let difference = spec.diff(&observed).unwrap();
    let apply = server.host.apply(&spec, &observed, &difference, None);
    let error = tokio::time::timeout(Duration::from_secs(30), apply).await.unwrap().unwrap_err();
    assert!(error.message.contains("lock timeout"), "{error}");
    holder.execute("rollback").await.unwrap();
    server.converges(spec).await;
}

#[tokio::test]
async fn fifty_databases_are_observed_at_once() {
    if skipped() {
        return;
    }
    let server = Server::start("max_connections = 30").await;
    let owner = server.connection.superuser.clone();
    let mut specs = Vec::new();
    for number in 0..50 {
        let name = format!("d{number}");
        server.converges(server.database(&name, Some(database(&owner)))).await;
        specs.push(server.database(&name, Some(database(&owner))));
        specs.push(server.schema(&name, "public", None, true));
        specs.push(server.extension(&name, "plpgsql").into());
        specs.push(
            pg_privileges::Spec {
                connection: server.connection.clone(),
                database: name,
                defaults: BTreeSet::new(),
                complete_for: BTreeSet::new(),
                public_schema: BTreeSet::new(),
                public_create: false,
            }
            .into(),
        );
    }
    let start = tokio::time::Instant::now();
    let answers = server.host.observe(&specs).await;
    let took = start.elapsed();
    for (spec, answer) in specs.iter().zip(answers) {
        let Ok(Observation::Known(observed)) = answer else {
            panic!("{}: {answer:?}", spec.name())
        };
        assert_eq!(spec.diff(&observed), None, "{}", spec.name());
    }
    // A busy machine gets four times as long as a quiet one needs.
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// What the server keeps of a password is told for those roles alone that were asked for, and fits the
/// password although its salt is the server's own.
#[tokio::test]
async fn stored_verifiers_are_told_of_declared_roles() {
    if skipped() {
        return;
    }
    let server = Server::start("").await;
    let session = server.session("postgres").await;
    for statement in [
        "create role dbuser_meta login password 'DBUser.Meta'",
        "create role dbuser_other login password 'Other'",
        "create role dbrole_admin",
    ] {
        session.execute(statement).await.unwrap();
    }
    let probe = keddah_resource::VerifierProbe {
        cluster: "pg-meta".to_owned(),
        connection: server.connection.clone(),
        roles: ["dbrole_admin", "dbuser_meta", "nobody"].map(str::to_owned).to_vec(),
    };
    let away = keddah_resource::VerifierProbe {
        connection: keddah_resource::kind::PgConnection { port: 1, ..probe.connection.clone() },
        ..probe.clone()
    };
    let told = keddah_host::real::verifiers::gather(&[probe, away]).await.unwrap();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!(told.cluster, "pg-meta");
    let [one] = &told.roles[..] else { panic!("{told:?}") };
    assert_eq!(one.role, "dbuser_meta");
    assert!(scram::matches(one.verifier.reveal(), "DBUser.Meta"));
}

/// Before a removal an instance says what goes with it: sizes, slots nobody reads from, WAL that waits.
#[tokio::test]
async fn an_instance_says_what_it_holds() {
    if skipped() {
        return;
    }
    let server =
        Server::start("wal_level = logical\narchive_mode = on\narchive_command = 'false'\n").await;
    let session = server.session("postgres").await;
    session.execute("create database held").await.unwrap();
    for statement in [
        "select pg_create_logical_replication_slot('unread', 'pgoutput')",
        "select pg_switch_wal()",
    ] {
        session.scalar(statement).await.unwrap();
    }
    let probe = keddah_resource::HoldingsProbe {
        cluster: "pg-meta".to_owned(),
        connection: server.connection.clone(),
    };
    let told = keddah_host::real::holdings::gather(&[probe]).await;
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!(told.unread, "");
    let held = told.databases.iter().find(|one| one.name == "held").expect("the database");
    assert!(held.bytes > 1 << 20, "{held:?}");
    assert!(told.databases.iter().all(|one| one.name != "template0"));
    let [slot] = &told.slots[..] else { panic!("{told:?}") };
    assert_eq!((slot.name.as_str(), slot.form.as_str(), slot.active), ("unread", "logical", false));
    assert!(told.unarchived >= 1, "{told:?}");
}
