//! The privilege matrix of the access control document: every default role tries every kind of
//! statement on every kind of object, also on objects that each kind of owner makes later.

use crate::cluster::wait_healthy;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::{Keddah, expected, says};
use crate::postgres::{login, superuser};
use crate::sandbox::{Sandbox, address};
use crate::world::{World, step};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Everyone who tries: the four roles, users with such a role, and a role that belongs to none.
const ROLES: &[(&str, Level)] = &[
    ("dbrole_readonly", Level::Reader),
    ("dbrole_offline", Level::Reader),
    ("dbrole_readwrite", Level::Writer),
    ("dbrole_admin", Level::Admin),
    ("dbuser_view", Level::Reader),
    ("dbuser_monitor", Level::Reader),
    ("replicator", Level::Reader),
    ("dbuser_meta", Level::Admin),
    ("dbuser_dba", Level::Superuser),
    ("postgres", Level::Superuser),
    ("nobody_at_all", Level::Nobody),
];

/// What a role may do, each more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Nobody,
    Reader,
    Writer,
    Admin,
    Superuser,
}

/// Statements on objects whose names end in `{}`, and the least that they take.
const STATEMENTS: &[(&str, &str, Level)] = &[
    ("read a table", "select * from public.t_{}", Level::Reader),
    ("insert into a table", "insert into public.t_{} values (2)", Level::Writer),
    ("update a table", "update public.t_{} set a = 3", Level::Writer),
    ("delete from a table", "delete from public.t_{}", Level::Writer),
    ("truncate a table", "truncate public.t_{}", Level::Admin),
    (
        "refer to a table",
        "create table public.refers (a int references public.t_{} (a))",
        Level::Admin,
    ),
    (
        "put a trigger on a table",
        "create trigger g before update on public.t_{} for each row \
         execute function suppress_redundant_updates_trigger()",
        Level::Admin,
    ),
    ("read a partitioned table", "select * from public.p_{}", Level::Reader),
    ("insert into a partitioned table", "insert into public.p_{} values (1)", Level::Writer),
    ("read a view", "select * from public.v_{}", Level::Reader),
    ("insert into a view", "insert into public.v_{} values (4)", Level::Writer),
    ("read a materialized view", "select * from public.m_{}", Level::Reader),
    ("look at a sequence", "select last_value from public.s_{}", Level::Reader),
    ("draw from a sequence", "select nextval('public.s_{}')", Level::Writer),
    ("set a sequence", "select setval('public.s_{}', 7)", Level::Writer),
    ("call a function", "select public.f_{}()", Level::Nobody),
    ("use a type", "select 'a'::public.e_{}", Level::Nobody),
];

/// Statements that are about no single object.
const ANYWHERE: &[(&str, &str, Level)] = &[
    ("create in the schema public", "create table public.mine (a int)", Level::Admin),
    (
        "look into the schema monitor",
        "select count(*) from monitor.pg_stat_statements",
        Level::Reader,
    ),
    ("create in the schema monitor", "create table monitor.mine (a int)", Level::Admin),
    ("use a later schema", "select * from later.t", Level::Reader),
    ("create in a later schema", "create table later.mine (a int)", Level::Admin),
    ("make a schema", "create schema mine", Level::Superuser),
    ("make a temporary table", "create temporary table mine (a int)", Level::Nobody),
    ("make a role", "create role mine", Level::Superuser),
    ("read the verifiers of others", "select rolpassword from pg_authid", Level::Superuser),
];

/// Makes one object of each kind; `{}` is the owner's word.
const OBJECTS: &str = "create table public.t_{} (a int primary key); \
    insert into public.t_{} values (1); \
    create table public.p_{} (a int) partition by range (a); \
    create table public.q_{} partition of public.p_{} for values from (0) to (10); \
    create view public.v_{} as select * from public.t_{}; \
    create materialized view public.m_{} as select * from public.t_{}; \
    create sequence public.s_{}; \
    create function public.f_{}() returns int language sql as 'select 1'; \
    create type public.e_{} as enum ('a')";

const GONE: &str = "drop materialized view public.m_{}; drop view public.v_{}; drop table public.t_{}; \
    drop table public.p_{}; drop sequence public.s_{}; drop function public.f_{}; drop type public.e_{}";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    let leader = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    let place = address(leader.node);
    keddah.apply()?;
    keddah.plan()?.expect_empty()?;
    let privileges = || keddah.run(&["pg", "privileges", "pg-test", "-d", "test"]);
    let dba = login("dbuser_dba", "DBUser.DBA", &place, 5432, "test");
    let business = login("test", "test", &place, 5432, "test");
    says(&privileges()?.success()?, "As the model says")?;

    step("each kind of owner makes one object of each kind", || {
        superuser(sandbox, leader.node, "test", &OBJECTS.replace("{}", "dbsu"))?;
        superuser(
            sandbox,
            leader.node,
            "test",
            "create schema later; create table later.t (a int)",
        )?;
        dba.query(sandbox, &OBJECTS.replace("{}", "dba"))?;
        let as_admin = format!("set role dbrole_admin; {}", OBJECTS.replace("{}", "setrole"));
        business.query(sandbox, &as_admin)?;
        business.query(sandbox, &OBJECTS.replace("{}", "plain")).map(|_| ())
    })?;
    step("what the superuser, the admin and dbrole_admin made follows the model", || {
        let mut trials = Vec::new();
        for owner in ["dbsu", "dba", "setrole"] {
            for (what, statement, least) in STATEMENTS {
                let statement = statement.replace("{}", owner);
                trials.push((format!("{what} of {owner}"), statement, *least));
            }
        }
        for (what, statement, least) in ANYWHERE {
            trials.push(((*what).to_owned(), (*statement).to_owned(), *least));
        }
        compare(&attempts(sandbox, leader.node, "test", &trials)?, &trials)
    })?;
    step("what a user made without SET ROLE is closed to all but superusers", || {
        let trials: Vec<Trial> = STATEMENTS
            .iter()
            .map(|(what, statement, least)| {
                let least = if *least == Level::Nobody { Level::Nobody } else { Level::Superuser };
                (format!("{what} of plain"), statement.replace("{}", "plain"), least)
            })
            .collect();
        compare(&attempts(sandbox, leader.node, "test", &trials)?, &trials)
    })?;
    step("`pg privileges` names those objects and nothing else", || {
        let output = privileges()?.expect(&[2])?;
        says(&output, "3 tables of test")?;
        says(&output, "dbrole_readonly lacks SELECT")?;
        for made in ["dbsu", "dba", "setrole"] {
            ensure!(!output.stdout.contains(&format!("t_{made}")), "{output}");
        }
        business.query(sandbox, &GONE.replace("{}", "plain"))?;
        says(&privileges()?.success()?, "As the model says")
    })?;
    step("a database that somebody makes by hand follows it, too", || {
        superuser(sandbox, leader.node, "postgres", "create database by_hand")?;
        superuser(sandbox, leader.node, "by_hand", &OBJECTS.replace("{}", "dbsu"))?;
        let trials: Vec<Trial> = STATEMENTS
            .iter()
            .map(|(what, statement, least)| {
                ((*what).to_owned(), statement.replace("{}", "dbsu"), *least)
            })
            .collect();
        compare(&attempts(sandbox, leader.node, "by_hand", &trials)?, &trials)?;
        let plan = keddah.run(&["plan"])?.expect(&[0, 2])?;
        says(&plan, "left alone")?;
        says(&plan, "(by_hand")?;
        superuser(sandbox, leader.node, "postgres", "drop database by_hand").map(|_| ())
    })?;
    step("grants and revocations by hand are found; what is the model's is mended", || {
        superuser(
            sandbox,
            leader.node,
            "test",
            "grant insert on public.t_dbsu to dbuser_view; \
             revoke usage on schema monitor from dbrole_offline; \
             alter default privileges for role postgres grant update on tables to dbrole_readonly; \
             grant create on schema public to public; \
             grant dbrole_admin to dbuser_view",
        )?;
        let output = privileges()?.expect(&[2])?;
        for words in [
            "dbuser_view was given INSERT",
            "USAGE to dbrole_offline is missing",
            "UPDATE on TABLES made by postgres to dbrole_readonly is too much",
            "member of: dbrole_admin is too much",
            "public may create: true, not false",
        ] {
            says(&output, words)?;
        }
        let leads = place.as_str();
        keddah.change(&[
            expected("pg-role", "dbuser_view").times(1).action("update").on(leads),
            expected("pg-privileges", "/test").times(1).action("update").on(leads),
            expected("pg-schema", "/test.monitor").times(1).action("update").on(leads),
        ])?;
        superuser(sandbox, leader.node, "test", "revoke insert on public.t_dbsu from dbuser_view")?;
        says(&privileges()?.success()?, "As the model says").map(|_| ())
    })?;
    step("clean up", || {
        for owner in ["dbsu", "dba", "setrole"] {
            superuser(sandbox, leader.node, "test", &GONE.replace("{}", owner))?;
        }
        superuser(sandbox, leader.node, "test", "drop schema later cascade")?;
        keddah.plan()?.expect_empty()
    })
}

/// What is tried, the statement, and the least that it takes.
type Trial = (String, String, Level);

/// Every trial by every role: allowed or not. All happens in a transaction that is undone.
fn attempts(
    sandbox: &Sandbox,
    leader: u8,
    database: &str,
    trials: &[Trial],
) -> Outcome<BTreeMap<(usize, String), String>> {
    let mut script = String::from(
        "begin; create role nobody_at_all; \
         create function pg_temp.attempt(who text, statement text) returns text language plpgsql as $$ \
         begin \
           execute format('set local role %I', who); \
           execute statement; \
           raise exception using errcode = 'KD000'; \
         exception \
           when insufficient_privilege then return 'refused'; \
           when sqlstate 'KD000' then return 'allowed'; \
           when others then return sqlerrm; \
         end $$;\n",
    );
    for (number, (_, statement, _)) in trials.iter().enumerate() {
        for (role, _) in ROLES {
            let _ = writeln!(
                script,
                "select '{number}|{role}|' || pg_temp.attempt('{role}', $q${statement}$q$);"
            );
        }
    }
    script.push_str("rollback;\n");
    let answer = superuser(sandbox, leader, database, &script)?;
    let mut found = BTreeMap::new();
    for line in answer.lines() {
        let mut parts = line.splitn(3, '|');
        if let (Some(number), Some(role), Some(verdict)) =
            (parts.next(), parts.next(), parts.next())
            && let Ok(number) = number.parse()
        {
            found.insert((number, role.to_owned()), verdict.to_owned());
        }
    }
    Ok(found)
}

/// Fails with all that is not as documented.
fn compare(found: &BTreeMap<(usize, String), String>, trials: &[Trial]) -> Outcome {
    let mut wrong = Vec::new();
    for (number, (what, statement, least)) in trials.iter().enumerate() {
        for (role, level) in ROLES {
            let documented = if level >= least { "allowed" } else { "refused" };
            let answer =
                found.get(&(number, (*role).to_owned())).map_or("no answer", String::as_str);
            if answer != documented {
                wrong
                    .push(format!("{role}: {what} should be {documented}: {answer} ({statement})"));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} answers are not as documented", wrong.len()))
        .with(wrong.join("\n")))
}
