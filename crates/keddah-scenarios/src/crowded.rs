//! A cluster full of users, databases and tables: what looking at all of it costs.

use crate::cluster::wait_healthy;
use crate::failure::Outcome;
use crate::keddah::Keddah;
use crate::project::Project;
use crate::sandbox::Sandbox;
use std::fmt::Write;
use std::time::Duration;

const USERS: usize = 100;
const DATABASES: usize = 50;
const TABLES: usize = 200;

/// What is measured, in words.
pub const WHAT: &str = "100 users, 50 databases of 200 tables each";

/// The demo's inventory with all of them in pg-test.
fn inventory(demo: &str) -> String {
    let mut users = String::new();
    for number in 0..USERS {
        let _ = writeln!(
            users,
            "          - {{ name: crowd_{number}, password: Crowd.{number}, pgbouncer: true, roles: \
             [dbrole_readwrite], comment: one of many }}"
        );
    }
    let mut databases = String::from("          - { name: test, owner: test }\n");
    for number in 0..DATABASES {
        let _ = writeln!(
            databases,
            "          - {{ name: crowd_{number}, owner: crowd_{number}, schemas: [app], comment: one of \
             many }}"
        );
    }
    let user = "roles: [dbrole_admin], comment: owner of the test database }\n";
    demo.replace(user, &format!("{user}{users}"))
        .replace("          - { name: test, owner: test }\n", &databases)
}

/// Makes them; returns how long plans take with nothing to change.
pub fn plans(
    sandbox: &Sandbox,
    project: &Project,
    demo: &str,
    runs: usize,
) -> Outcome<Vec<Duration>> {
    project.write(&inventory(demo))?;
    let keddah = Keddah { sandbox, project };
    keddah.apply()?;
    let leader = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    let script = format!(
        "cd / && for number in $(seq 0 {last}); do runuser -u postgres -- psql -X -q -d crowd_$number \
         <<'END'\nselect format('create table app.t_%s (a int primary key, b text)', number) \
         from generate_series(1, {TABLES}) number \\gexec\nEND\ndone",
        last = DATABASES - 1
    );
    sandbox.shell_for(leader.node, &script, Duration::from_secs(300))?.success()?;
    keddah.plan()?.expect_empty()?;
    (0..runs).map(|_| Ok(keddah.run(&["plan"])?.success()?.elapsed)).collect()
}
